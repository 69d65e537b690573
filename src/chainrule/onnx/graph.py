"""Models as ONNX graphs: raw columns in, predictions out, for any ONNX runtime.

A graph computes in the dtype of the weights, and encodes the numbers of a table in float64, as Chainrule does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import InputError, UsageError
from chainrule.maths.activations import LEAK, SELU_ALPHA, SELU_SCALE, Activation, is_activation_of_ours
from chainrule.network import Network, Params
from chainrule.storage.files import written_aside
from chainrule.tables.fit import TableModel
from chainrule.tables.target import Target

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 9  # of the time of these opsets, so that older runtimes read the file too


def to_onnx(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator, or the model of a table, as an ONNX file.

    Parameters
    ----------
    model
        A fitted `MLPClassifier` or `MLPRegressor`: input "X" (rows, n_features) in the dtype of the weights; outputs
        "label" and "probabilities", or "prediction".
        The model of a table, from `load("runs/churn-1")`: an input (rows, 1) for each raw column, named as the
        column; outputs "prediction" and "probabilities", or "prediction". Numbers are float64, NaN if missing;
        booleans 0 and 1; dates and times of day seconds since 1970-01-01 or midnight; text is text, "" if missing, and
        without blanks before or after it, which a runtime cannot trim as Chainrule does.

    A runtime rounds otherwise: expect probabilities to agree to 1e-5, and numbers to 1e-5 deviations of the target.

    Raises
    ------
    UsageError
        If the package onnx is not installed.
    InputError
        If the network has an activation of your own, or `path` cannot be written.

    Examples
    --------
    >>> import tempfile, chainrule as cr, onnxruntime
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = cr.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, 3 * X[:, 0])
    >>> path = tempfile.mkdtemp() + "/line.onnx"
    >>> cr.to_onnx(model, path)
    >>> [told] = onnxruntime.InferenceSession(path).run(None, {"X": X})
    >>> bool(np.abs(told - model.predict(X)).max() < 1e-5)
    True
    """
    graph = _Graph([column.name for column in model.encoding.columns] if isinstance(model, TableModel) else ["X"])
    if isinstance(model, TableModel):
        _table(graph, model)
    elif type(model).__module__.startswith("chainrule.estimators"):
        _estimator(graph, model)
    else:
        raise TypeError(f"to_onnx: expected an estimator or the model of a table, got {type(model).__name__}")
    whole = graph.model()
    with written_aside(path) as aside:
        aside.write_bytes(whole.SerializeToString())


class _Graph:
    """An ONNX graph in the making: nodes and constants, each result under a fresh name."""

    def __init__(self, columns: Sequence[str]) -> None:
        try:
            import onnx
        except ImportError as error:
            raise UsageError("ONNX files need the package onnx: pip install 'chainrule[onnx]'") from error
        self.onnx: Any = onnx
        self.prefix = "/" * (1 + max(len(name) - len(name.lstrip("/")) for name in columns))  # of no column
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, dtype: Any, *shape: Any) -> str:
        self.inputs.append(self._typed(name, dtype, shape))
        return name

    def output(self, name: str, result: str, dtype: Any, *shape: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node("Identity", [result], [name]))
        self.outputs.append(self._typed(name, dtype, shape))

    def constant(self, value: Any, dtype: Any = None) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; the name of its result."""
        name = f"{self.prefix}{operator}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def cast(self, x: str, dtype: Any) -> str:
        return self("Cast", x, to=self._type(dtype))

    def zero_if_missing(self, values: str, result: str) -> str:
        return self("Where", self("IsNaN", values), self.constant(0, np.float64), result)

    def model(self) -> Any:
        helper = self.onnx.helper
        names = [value.name for value in (*self.inputs, *self.outputs)]
        taken = next((name for name in names if names.count(name) > 1), None)
        if taken:
            raise InputError(f"the column {taken!r} is called as an output of the ONNX file; rename it before training")
        graph = helper.make_graph(self.nodes, "chainrule", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        whole = helper.make_model(graph, opset_imports=opsets, producer_name="chainrule", ir_version=IR_VERSION)
        self.onnx.checker.check_model(whole, full_check=True)
        return whole

    def _typed(self, name: str, dtype: Any, shape: Sequence[Any]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self._type(dtype), list(shape))

    def _type(self, dtype: Any) -> int:
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _forward(g: _Graph, network: Network, params: Params, X: str) -> str:
    """The network's output, layer by layer."""
    a = X
    for (W, b), mask, activation in zip(params, network.masks, network.activations, strict=True):
        W = np.asarray(W) if mask is None else np.asarray(W) * np.asarray(mask)
        z = g("Add", g("MatMul", a, g.constant(W, params[0].W.dtype)), g.constant(b))
        a = _activation(g, activation, z, params[0].W.dtype)
    return a


def _activation(g: _Graph, activation: Activation, z: str, dtype: Any) -> str:
    """The activation in operators that runtimes have for float64 too."""
    if not is_activation_of_ours(activation):
        raise InputError(f"activation {activation.name!r} is your own function: ONNX has no operator for it")

    def number(x: float) -> str:
        return g.constant(x, dtype)

    def times(x: float, y: str) -> str:
        return g("Mul", number(x), y)

    def below(x: str) -> str:  # exp(x) - 1 where x < 0
        return g("Sub", g("Exp", g("Min", x, number(0))), number(1))

    def where_positive(y: str, otherwise: str) -> str:
        return g("Where", g("Greater", z, number(0)), y, otherwise)

    match activation.name:
        case "identity":
            return z
        case "sigmoid" | "tanh" | "relu":
            return g(activation.name.capitalize(), z)
        case "leaky_relu":
            return where_positive(z, times(LEAK, z))
        case "elu":
            return where_positive(z, below(z))
        case "selu":
            return times(SELU_SCALE, where_positive(z, times(SELU_ALPHA, below(z))))
        case "gelu":
            cube = g("Mul", z, g("Mul", z, z))
            inner = times(float(np.sqrt(2 / np.pi)), g("Add", z, times(0.044715, cube)))
            return times(0.5, g("Mul", z, g("Add", number(1), g("Tanh", inner))))
        case "silu":
            return g("Mul", z, g("Sigmoid", z))
        case "softplus":
            tail = g("Log", g("Add", number(1), g("Exp", g("Neg", g("Abs", z)))))
            return g("Add", g("Max", z, number(0)), tail)
        case "exponential":
            return g("Exp", g("Min", z, number(np.log(np.finfo(dtype).max) - 1)))
        case "softmax":
            return g("Softmax", z, axis=-1)
    raise InputError(f"activation {activation.name!r} has no ONNX form yet")


def _probabilities(g: _Graph, y_hat: str, dtype: Any) -> str:
    """Of both classes, from the one output node of a network for two."""
    return g("Concat", g("Sub", g.constant(1, dtype), y_hat), y_hat, axis=1)


def _estimator(g: _Graph, model: Any) -> None:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    network, params = model.network_, model._answering_params()
    dtype = params[0].W.dtype
    X = g.input("X", dtype, "rows", model.n_features_in_)
    if hasattr(model, "inputs_"):
        X = _estimator_inputs(g, model.inputs_, X, dtype)
    y_hat = _forward(g, network, params, X)
    if not hasattr(model, "classes_"):
        one = model.n_outputs_ == 1
        y_hat = g("Reshape", y_hat, g.constant([-1], np.int64)) if one else y_hat
        g.output("prediction", y_hat, dtype, "rows", *([] if one else [model.n_outputs_]))
        return
    if model._label_binarizer.y_type_ == "multilabel-indicator":
        told = g.cast(g("Greater", y_hat, g.constant(0.5, dtype)), np.int64)
        g.output("label", told, np.int64, "rows", len(model.classes_))
    elif network.layers[-1] == 1:
        second = g("Reshape", g("Greater", y_hat, g.constant(0.5, dtype)), g.constant([-1], np.int64))
        both = np.resize(model.classes_, 2)  # of one class alone, the same for either
        _labels(g, "label", both, g.cast(second, np.int64), "rows")
        y_hat = _probabilities(g, y_hat, dtype)
    else:
        _labels(g, "label", model.classes_, g("ArgMax", y_hat, axis=1, keepdims=0), "rows")
    g.output("probabilities", y_hat, dtype, "rows", max(2, len(model.classes_)))  # 2 of a single class too


def _estimator_inputs(g: _Graph, inputs: Any, X: str, dtype: Any) -> str:
    """What `Inputs.encode` does."""
    raw = g.cast(X, np.float64)
    absent = g("IsNaN", raw)
    filled = g("Where", absent, g.constant(inputs.fill, np.float64), raw)
    scaled = g("Div", g("Sub", filled, g.constant(inputs.mean, np.float64)), g.constant(inputs.std, np.float64))
    parts = [g.cast(scaled, dtype)]
    for i, quantiles in enumerate(inputs.quantiles):
        if quantiles:
            column = g("Gather", raw, g.constant([i], np.int64), axis=1)
            parts.append(g.cast(g.zero_if_missing(column, quantiles.to_onnx(g, column)), dtype))
    if len(inputs.indicated):
        some = g("Gather", g.cast(absent, dtype), g.constant(inputs.indicated, np.int64), axis=1)
        parts.append(some)
    return g("Concat", *parts, axis=1)


def _labels(g: _Graph, name: str, classes: np.ndarray, place: str, *shape: Any) -> None:
    """An output of the labels at these places: text as it is, other labels as whole numbers or float64."""
    labels = np.asarray(classes)
    if labels.dtype.kind in "UO":
        labels, dtype = np.array([str(label) for label in labels], dtype=object), np.dtype(object)
    else:
        dtype = np.dtype(np.float64 if labels.dtype.kind == "f" else np.int64)
        labels = labels.astype(dtype)
    g.output(name, g("Gather", g.constant(labels), place, axis=0), dtype, *shape)


def _table(g: _Graph, model: TableModel) -> None:
    dtype = np.asarray(model.params[0].W).dtype
    X = g("Concat", *(column.to_onnx(g, dtype) for column in model.encoding.columns), axis=1)
    y_hat = _forward(g, model.network, model.params, X)
    if model.target.task == "regression":
        g.output("prediction", _in_units(g, model.target, y_hat), np.float64, "rows", model.target.n_outputs)
        return
    probabilities = _probabilities(g, y_hat, dtype) if model.target.task == "binary" else y_hat
    classes = np.array(model.target.classes, dtype=object)
    _labels(g, "prediction", classes, g("ArgMax", probabilities, axis=1, keepdims=1), "rows", 1)
    g.output("probabilities", probabilities, dtype, "rows", len(classes))


def _in_units(g: _Graph, target: Target, y_hat: str) -> str:
    wide = g.cast(y_hat, np.float64)
    if not target.scaled:
        return wide
    return g("Add", g("Mul", wide, g.constant(target.std, np.float64)), g.constant(target.mean, np.float64))

"""An estimator as nodes of an ONNX graph, with the steps of a pipeline before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.onnx.graph import Graph
from chainrule.onnx.layers import forward, labels_at, of_both
from chainrule.onnx.steps import refuse_steps, transformed


def estimator(model: Any, steps: Sequence[tuple[str, Any]] = ()) -> Graph:
    """The graph of a fitted estimator, after the steps of a pipeline."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    network, params = model.network_, model._answering_params()
    dtype = params[0].W.dtype
    inputs, g = vars(model).get("inputs_"), Graph(["X", *feature_names(model)])
    if inputs and inputs.categories:
        refuse_steps(steps)
        X = _columns(g, model, inputs, dtype)
    else:
        X = transformed(g, steps, g.input("X", dtype, "rows", model.n_features_in_), dtype)
        X = g("Concat", *_numbers(g, inputs, X, dtype), axis=1) if inputs else X
    y_hat = forward(g, network, params, X)
    if not hasattr(model, "classes_"):
        one = model.n_outputs_ == 1
        y_hat = g("Reshape", y_hat, g.constant([-1], np.int64)) if one else y_hat
        g.output("prediction", y_hat, dtype, "rows", *([] if one else [model.n_outputs_]))
        return g
    if model._label_binarizer.y_type_ == "multilabel-indicator":
        told = g.cast(g("Greater", y_hat, g.constant(0.5, dtype)), np.int64)
        g.output("label", told, np.int64, "rows", len(model.classes_))
    elif network.layers[-1] == 1:
        second = g("Reshape", g("Greater", y_hat, g.constant(0.5, dtype)), g.constant([-1], np.int64))
        both = np.resize(model.classes_, 2)  # repeated if there is only one class
        labels_at(g, "label", both, g.cast(second, np.int64), "rows")
        y_hat = of_both(g, y_hat, dtype)
    else:
        labels_at(g, "label", model.classes_, g("ArgMax", y_hat, axis=1, keepdims=0), "rows")
    g.output("probabilities", y_hat, dtype, "rows", max(2, len(model.classes_)))  # 2 for a single class, too
    return g


def _columns(g: Graph, model: Any, inputs: Any, dtype: Any) -> str:
    """The inputs of a model with categories: one per raw column, numbers in the dtype of the weights."""
    names, hot = feature_names(model), dict(inputs.categories.encoded)
    raw = [g.input(names[i], dtype, "rows", 1) for i in inputs.numbers]
    numbers = _numbers(g, inputs, g("Concat", *raw, axis=1), dtype) if raw else []
    return g("Concat", *numbers, *(column.to_onnx(g, dtype) for column in hot.values()), axis=1)


def feature_names(model: Any) -> list[str]:
    """The column names seen in `fit`, or x0, x1, ..."""
    return list(vars(model).get("feature_names_in_", [f"x{i}" for i in range(model.n_features_in_)]))


def _numbers(g: Graph, inputs: Any, X: str, dtype: Any) -> list[str]:
    """Encode the numeric columns, as `Inputs.encode` does."""

    def numbers(x: np.ndarray) -> str:
        return g.constant(x[inputs.numbers], np.float64)

    raw = g.cast(X, np.float64)
    absent = g("IsNaN", raw)
    filled = g("Where", absent, numbers(inputs.fill), raw)
    parts = [g.cast(g("Div", g("Sub", filled, numbers(inputs.mean)), numbers(inputs.std)), dtype)]
    for i, place in enumerate(inputs.numbers):
        quantiles = inputs.quantiles[place] if inputs.quantiles else None
        if quantiles:
            column = g("Gather", raw, g.constant([i], np.int64), axis=1)
            parts.append(g.cast(g.zero_if_missing(column, quantiles.to_onnx(g, column)), dtype))
    if len(inputs.indicated):
        places = np.searchsorted(inputs.numbers, inputs.indicated)
        parts.append(g("Gather", g.cast(absent, dtype), g.constant(places, np.int64), axis=1))
    return parts

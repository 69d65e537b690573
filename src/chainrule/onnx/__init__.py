"""Export of models to ONNX: raw columns in, predictions out, for any ONNX runtime.

A graph computes in the dtype of the weights and encodes numeric columns in float64, as Chainrule does.
"""

from __future__ import annotations

import os
from typing import Any

from chainrule.network import Network
from chainrule.onnx.graph import Graph
from chainrule.onnx.layers import bare
from chainrule.onnx.tables import table
from chainrule.storage.files import written_aside
from chainrule.tables.fit import TableModel


def to_onnx(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model as an ONNX file.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor, Pipeline, TableModel or tuple (network, params)
        A fitted estimator; a scikit-learn pipeline of `StandardScaler`, `MinMaxScaler` and `SimpleImputer` that ends
        in one; the model of a table, from ``load("runs/churn-1")``; or a network with its parameters.
    path : path
        The file to write.

    Raises
    ------
    UsageError
        If the package onnx is not installed.
    InputError
        If the network has a user-defined activation, a step of the pipeline has no ONNX form, or `path` cannot be
        written.
    TypeError
        If `model` is anything else.

    Notes
    -----
    Inputs and outputs of the graph:

    - An estimator: input "X" (rows, n_features) in the dtype of the weights; outputs "label" and "probabilities", or
      "prediction". With `categorical_features`, one input (rows, 1) per column, named after the column or x0, x1, ...:
      numbers in that dtype, categories as text, "" if missing.
    - A network with its parameters: input "X" (rows, n_in), output "output" (rows, n_out), in their dtype.
    - The model of a table: one input (rows, 1) per raw column, named after the column; outputs "prediction" and
      "probabilities", or "prediction". Numbers are float64, NaN if missing; booleans 0 and 1; dates and times of day
      are seconds since 1970-01-01 or midnight; text is passed as it is, "" if missing. Leading and trailing blanks
      must be removed beforehand, because a runtime cannot trim text as Chainrule does.

    Runtimes round differently: expect probabilities to agree to 1e-5, and numbers to 1e-5 standard deviations of the
    target.

    Examples
    --------
    >>> import tempfile, numpy as np, chainrule as cr, onnxruntime
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = cr.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, 3 * X[:, 0])
    >>> path = tempfile.mkdtemp() + "/line.onnx"
    >>> cr.to_onnx(model, path)
    >>> [predicted] = onnxruntime.InferenceSession(path).run(None, {"X": X})
    >>> bool(np.abs(predicted - model.predict(X)).max() < 1e-5)
    True
    """
    whole = _graph(model).model()
    with written_aside(path) as aside:
        aside.write_bytes(whole.SerializeToString())


def _graph(model: Any) -> Graph:
    if isinstance(model, TableModel):
        return table(model)
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], Network):
        return bare(*model)
    from chainrule.estimators.pipelines import parts_of
    from chainrule.onnx.estimators import estimator

    return estimator(*parts_of(model))

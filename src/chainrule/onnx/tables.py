"""The model of a table as nodes of an ONNX graph."""

from __future__ import annotations

import numpy as np

from chainrule.onnx.graph import Graph
from chainrule.onnx.layers import forward, labels_at, of_both
from chainrule.tables.fit import TableModel
from chainrule.tables.target import Target


def table(model: TableModel) -> Graph:
    """The graph of a table's model: an input for each raw column."""
    g = Graph([column.name for column in model.encoding.columns])
    dtype = np.asarray(model.params[0].W).dtype
    X = g("Concat", *(column.to_onnx(g, dtype) for column in model.encoding.columns), axis=1)
    y_hat = forward(g, model.network, model.params, X)
    if model.target.task == "regression":
        g.output("prediction", _in_units(g, model.target, y_hat), np.float64, "rows", model.target.n_outputs)
        return g
    probabilities = of_both(g, y_hat, dtype) if model.target.task == "binary" else y_hat
    classes = np.array(model.target.classes, dtype=object)
    labels_at(g, "prediction", classes, g("ArgMax", probabilities, axis=1, keepdims=1), "rows", 1)
    g.output("probabilities", probabilities, dtype, "rows", len(classes))
    return g


def _in_units(g: Graph, target: Target, y_hat: str) -> str:
    wide = g.cast(y_hat, np.float64)
    if not target.scaled:
        return wide
    return g("Add", g("Mul", wide, g.constant(target.std, np.float64)), g.constant(target.mean, np.float64))

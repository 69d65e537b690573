"""A network and its outputs as nodes of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import InputError
from chainrule.maths.activations import LEAK, SELU_ALPHA, SELU_SCALE, Activation, is_activation_of_ours
from chainrule.network import Network, Params
from chainrule.onnx.graph import Graph


def bare(network: Network, params: Params) -> Graph:
    """The graph of a network with its parameters."""
    g = Graph(["X"])
    dtype = np.asarray(params[0].W).dtype
    X = g.input("X", dtype, "rows", network.layers[0])
    g.output("output", forward(g, network, params, X), dtype, "rows", network.layers[-1])
    return g


def forward(g: Graph, network: Network, params: Params, X: str) -> str:
    """The network's output, layer by layer."""
    a = X
    for (W, b), mask, activation in zip(params, network.masks, network.activations, strict=True):
        W = np.asarray(W) if mask is None else np.asarray(W) * np.asarray(mask)
        z = g("Add", g("MatMul", a, g.constant(W, params[0].W.dtype)), g.constant(b))
        a = _activation(g, activation, z, params[0].W.dtype)
    return a


def _activation(g: Graph, activation: Activation, z: str, dtype: Any) -> str:
    """The activation in operators that runtimes support for float64, too."""
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


def of_both(g: Graph, y_hat: str, dtype: Any) -> str:
    """Probabilities of both classes from the single output node of a binary classifier."""
    return g("Concat", g("Sub", g.constant(1, dtype), y_hat), y_hat, axis=1)


def labels_at(g: Graph, name: str, classes: np.ndarray, place: str, *shape: Any) -> None:
    """Add an output with the labels at the given indices: text unchanged, others as int64 or float64."""
    labels = np.asarray(classes)
    if labels.dtype.kind in "UO":
        labels, dtype = np.array([str(label) for label in labels], dtype=object), np.dtype(object)
    else:
        dtype = np.dtype(np.float64 if labels.dtype.kind == "f" else np.int64)
        labels = labels.astype(dtype)
    g.output(name, g("Gather", g.constant(labels), place, axis=0), dtype, *shape)

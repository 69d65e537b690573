"""Numerically stable forms of canonical pairs of output activation and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from chainrule.maths.activations import EXPONENTIAL, IDENTITY, SIGMOID, SOFTMAX, Activation
from chainrule.maths.arrays import Array, namespace
from chainrule.maths.costs import (
    BINARY_CROSS_ENTROPY,
    CATEGORICAL_CROSS_ENTROPY,
    HALF_SQUARED_ERROR,
    POISSON,
    SQUARED_ERROR,
    Cost,
    _half_squared,
    _half_squared_derivative,
    _in_domain,
    _squared,
    _squared_derivative,
)


class OutputPair(NamedTuple):
    """An output activation combined with a cost, accurate where the activation alone would round to 0 or 1."""

    costs: Callable[[Array, Array], Array]  # (z, y) -> (batch, n_out)
    delta: Callable[[Array, Array], Array]  # (a, y) -> dc/dz, (batch, n_out)


def _binary_from_z(z: Array, y: Array) -> Array:
    xp = namespace(z)
    return xp.maximum(z, 0) - y * z + xp.log1p(xp.exp(-xp.abs(z)))


def _categorical_from_z(z: Array, y: Array) -> Array:
    xp = namespace(z)
    shifted = z - xp.max(z, axis=1, keepdims=True)
    return y * (xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True)) - shifted)


def _categorical_delta(a: Array, y: Array) -> Array:
    return a * namespace(y).sum(y, axis=1, keepdims=True) - y


def _poisson_from_z(z: Array, y: Array) -> Array:
    count = namespace(z).asarray(y, dtype=z.dtype)
    return EXPONENTIAL(z) - count * z + count * namespace(z).log(_in_domain(count)) - count


FUSED: Mapping[tuple[Activation, Cost], OutputPair] = {
    (SIGMOID, BINARY_CROSS_ENTROPY): OutputPair(_binary_from_z, _half_squared_derivative),
    (SOFTMAX, CATEGORICAL_CROSS_ENTROPY): OutputPair(_categorical_from_z, _categorical_delta),
    (EXPONENTIAL, POISSON): OutputPair(_poisson_from_z, _half_squared_derivative),
    (IDENTITY, HALF_SQUARED_ERROR): OutputPair(_half_squared, _half_squared_derivative),
    (IDENTITY, SQUARED_ERROR): OutputPair(_squared, _squared_derivative),
}

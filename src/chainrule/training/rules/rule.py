"""The protocol of update rules, and helpers that they share."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Protocol, TypeAlias

from chainrule.maths.arrays import Array, namespace
from chainrule.network import Layer, Params

LARGEST = 1e30  # limit of a rate, so that float32 does not overflow
MOST_UPDATES = 2**31 - 1  # a program counts updates in 32 bits

Schedule: TypeAlias = Callable[[Any], Any]


class Rule(Protocol):
    """The methods that `update` and `train` require; every `optax.GradientTransformation` has them."""

    @property
    def init(self) -> Callable[..., Any]:
        """params -> the initial state of the rule."""
        ...

    @property
    def update(self) -> Callable[..., Any]:
        """(gradient, state, params) -> the step to add to the parameters, and the new state."""
        ...


def norm_of(gradient: Params) -> Array:
    """The Euclidean norm over all weights and biases."""
    leaves = [x for layer in gradient for x in layer]
    return namespace(leaves[0]).sqrt(sum(namespace(x).sum(x * x) for x in leaves))


def rate_at(learning_rate: float | Schedule, step: Any) -> Any:
    """The learning rate of update number `step`."""
    return learning_rate(step) if callable(learning_rate) else learning_rate


def mapped(f: Callable[..., Any], *trees: Params) -> Params:
    """Apply f to the corresponding arrays of parameter tuples."""
    return tuple(Layer(*(f(*leaves) for leaves in zip(*layers, strict=True))) for layers in zip(*trees, strict=True))


def as_number(like: Array, number: Any) -> Array:
    """Convert a number to a scalar array with the dtype of `like`."""
    return namespace(like).asarray(number, dtype=like.dtype)


def check_rate(eta: float) -> float:
    """Return a learning rate, or raise a ValueError."""
    if not (isfinite(eta) and eta > 0):
        raise ValueError(f"learning rate: expected a number above 0, such as 0.1; got {eta}")
    return check_size("learning rate", eta, LARGEST)


def check_size(what: str, number: Any, largest: float) -> Any:
    """Return a number, or raise a ValueError if it is too large."""
    if number > largest:
        told = f"{largest:,}" if isinstance(largest, int) else f"{largest:g}"
        raise ValueError(f"{what}: expected at most {told}, got {number:g}")
    return number


def check_factor(factor: float) -> float:
    """Return a decay factor, or raise a ValueError."""
    if not 0 < factor <= 1:
        raise ValueError(f"decay factor: expected a number above 0 and at most 1, got {factor}")
    return factor


def check_count(what: str, count: int) -> int:
    """Return a number of updates, or raise a ValueError."""
    if count < 1:
        raise ValueError(f"{what}: expected a whole number of updates, 1 or more; got {count}")
    return check_size(what, count, MOST_UPDATES)

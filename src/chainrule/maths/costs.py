r"""Cost functions, each beside its derivative, and the stable forms of canonical output pairs.

A cost is elementwise: f(y_hat, y) gives one number per observation and output. An observation's cost c_i is
the sum over its outputs, and the cost of a batch is

.. math:: C = g\left(\frac{\sum_i w_i c_i}{\sum_i w_i}\right) \text{ ("mean")} \qquad\text{or}\qquad
          C = \sum_i w_i c_i \text{ ("sum")}

with observation weights w, and g the identity for all but RMSE, where it is the square root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np

from chainrule.errors import look_up
from chainrule.maths.activations import EXPONENTIAL, IDENTITY, SIGMOID, SOFTMAX, Activation
from chainrule.maths.arrays import Array, namespace
from chainrule.maths.custom import apply, pull_back


def _same(mean: Array) -> Array:
    return mean


def _one(mean: Array) -> Array:
    return namespace(mean).ones_like(mean)


@dataclass(frozen=True)
class Cost:
    """A cost and its derivative with respect to the network's output.

    Parameters
    ----------
    name : str
    f : callable
        (y_hat, y) -> costs, both (batch, n_out) to (batch, n_out), or (batch,) if it mixes outputs.
    derivative : callable, optional
        (y_hat, y) -> dc/dy_hat, (batch, n_out). Without it `f` is differentiated by JAX.
    outer, outer_derivative : callable
        g and g' above, applied to the mean over observations. Only RMSE needs them.
    output
        The activation, by its name or as an `Activation`, of an output that is a number, where none is asked for.
    domain : (low, high)
        What the targets may be.
    of : "numbers" or "classes", optional
        What the targets are, where the cost makes sense for one of them alone.
    metric : "rmse" or "accuracy"
        What is measured on validation rows beside the cost.
    worked : callable, optional
        (y_hat, y, y as a number) -> the cost of one output, written out for people; "" where it is 0 whatever y_hat.

    Examples
    --------
    >>> import chainrule as cr
    >>> cubic = cr.Cost("cubic", f=lambda y_hat, y: abs(y_hat - y) ** 3)
    >>> cr.Network([2, 3, 1], cost=cubic).cost.name
    'cubic'
    """

    name: str
    f: Callable[[Any, Any], Any]
    derivative: Callable[[Any, Any], Any] | None = None
    outer: Callable[[Any], Any] = _same
    outer_derivative: Callable[[Any], Any] = _one
    output: Any = "identity"
    domain: tuple[float, float] = (-inf, inf)
    of: Literal["numbers", "classes"] | None = None
    metric: Literal["rmse", "accuracy"] = "rmse"
    worked: Callable[[str, str, float], str] | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether targets have to be in their own units: another scale would leave the domain."""
        return self.domain != (-inf, inf)

    def check_domain(self, Y: np.ndarray) -> None:
        """A ValueError if a target is not in the domain."""
        low, high = self.domain
        outside = Y[(low > Y) | (high < Y)]
        if outside.size:
            raise ValueError(f"cost {self.name}: expected targets from {low:g} to {high:g}, got {outside[0]:g}")

    def __repr__(self) -> str:
        return f"Cost({self.name!r})"

    def __reduce__(self) -> Any:
        if is_cost_of_ours(self):  # a copy is the one object that the name means
            return cost_named, (self.name,)
        return Cost, tuple(getattr(self, field.name) for field in fields(self))

    def per_observation(self, y_hat: Array, y: Array) -> Array:
        """c: (batch,), the cost of each observation, summed over its outputs."""
        costs = apply(self.f, y_hat, y)
        return costs if costs.ndim == 1 else namespace(costs).sum(costs, axis=1)

    def error(self, y_hat: Array, y: Array) -> Array:
        """dc/dy_hat: (batch, n_out), of each observation's own cost."""
        if self.derivative is not None:
            return apply(self.derivative, y_hat, y)
        return pull_back(self.f, namespace(y_hat).ones((), dtype=y_hat.dtype), y_hat, y)


def rows_alone(cost: Cost) -> Cost:
    """The cost without what is made of the mean over observations: the squared error, of RMSE."""
    return (
        cost if cost.outer is _same else replace(cost, name=f"rows of {cost.name}", outer=_same, outer_derivative=_one)
    )


def _half_squared(y_hat: Array, y: Array) -> Array:
    return (y_hat - y) ** 2 / 2


def _half_squared_derivative(y_hat: Array, y: Array) -> Array:
    return y_hat - y


def _half_squared_worked(y_hat: str, y: str, _: float) -> str:
    return f"1/2 * ({y_hat} - {y})^2"


def _squared(y_hat: Array, y: Array) -> Array:
    return (y_hat - y) ** 2


def _squared_derivative(y_hat: Array, y: Array) -> Array:
    return 2 * (y_hat - y)


def _squared_worked(y_hat: str, y: str, _: float) -> str:
    return f"({y_hat} - {y})^2"


def _root(mean: Array) -> Array:
    return namespace(mean).sqrt(mean)


def _root_derivative(mean: Array) -> Array:
    xp = namespace(mean)
    return xp.where(mean > 0, 0.5 / xp.sqrt(xp.where(mean > 0, mean, 1)), 0)  # no slope where all is met


def _absolute(y_hat: Array, y: Array) -> Array:
    return namespace(y_hat).abs(y_hat - y)


def _absolute_derivative(y_hat: Array, y: Array) -> Array:
    return namespace(y_hat).sign(y_hat - y)


def _absolute_worked(y_hat: str, y: str, _: float) -> str:
    return f"|{y_hat} - {y}|"


def _poisson(y_hat: Array, y: Array) -> Array:
    xp = namespace(y_hat)
    rate, count = _in_domain(y_hat), xp.asarray(y, dtype=y_hat.dtype)
    return rate - y + y * (xp.log(_in_domain(count)) - xp.log(rate))


def _poisson_derivative(y_hat: Array, y: Array) -> Array:
    return _no_slope_outside(y_hat, 1 - y / _in_domain(y_hat))


def _binary(y_hat: Array, y: Array) -> Array:
    log, chance = namespace(y_hat).log, _in_domain(y_hat, at_most_one=True)
    return -(y * log(chance)) - (1 - y) * log(1 - chance)


def _binary_derivative(y_hat: Array, y: Array) -> Array:
    chance = _in_domain(y_hat, at_most_one=True)
    return _no_slope_outside(y_hat, (1 - y) / (1 - chance) - y / chance, at_most_one=True)


def _binary_worked(y_hat: str, y: str, value: float) -> str:
    if value in (0, 1):
        return f"-ln({y_hat})" if value else f"-ln(1 - {y_hat})"
    return f"cross-entropy({y_hat}, {y})"


def _categorical(y_hat: Array, y: Array) -> Array:
    return -(y * namespace(y_hat).log(_in_domain(y_hat, at_most_one=True)))


def _categorical_derivative(y_hat: Array, y: Array) -> Array:
    return _no_slope_outside(y_hat, -(y / _in_domain(y_hat, at_most_one=True)), at_most_one=True)


def _categorical_worked(y_hat: str, y: str, value: float) -> str:
    return f"-{'' if value == 1 else f'{value:g} '}ln({y_hat})" if value else ""


def _in_domain(x: Array, at_most_one: bool = False) -> Array:
    """x where its logarithm (and that of 1 - x) is finite: what an output such as the identity's may leave."""
    xp, eps = namespace(x), namespace(x).finfo(x.dtype).eps
    return xp.clip(x, eps, 1 - eps) if at_most_one else xp.maximum(x, eps)


def _no_slope_outside(x: Array, slope: Array, at_most_one: bool = False) -> Array:
    """The slope where the cost is not held constant by `_in_domain`."""
    xp = namespace(x)
    return xp.where(_in_domain(x, at_most_one) == x, slope, xp.zeros_like(slope))


@dataclass(frozen=True)
class _Huber:
    threshold: float

    def __call__(self, y_hat: Array, y: Array) -> Array:
        xp = namespace(y_hat)
        inside = xp.clip(y_hat - y, -self.threshold, self.threshold)
        return inside * (y_hat - y - inside / 2)

    def derivative(self, y_hat: Array, y: Array) -> Array:
        return namespace(y_hat).clip(y_hat - y, -self.threshold, self.threshold)


@dataclass(frozen=True)
class _Pinball:
    quantile: float

    def __call__(self, y_hat: Array, y: Array) -> Array:
        return (y_hat - y) * self.derivative(y_hat, y)

    def derivative(self, y_hat: Array, y: Array) -> Array:
        xp = namespace(y_hat)
        excess = y_hat - y
        return xp.where(excess > 0, 1 - self.quantile, xp.where(excess < 0, -self.quantile, xp.zeros_like(excess)))


def huber(threshold: float = 1.0) -> Cost:
    """Squared within `threshold` of the target, linear beyond. Huber (1964).

    >>> huber(2).name
    'huber:2.0'
    """
    if not threshold > 0:
        raise ValueError(f"huber: expected a threshold above 0, got {threshold}")
    return _with_number("huber", _Huber, float(threshold))


def pinball(quantile: float = 0.5) -> Cost:
    """The cost whose minimum is the `quantile` of y given x. Koenker and Bassett (1978).

    >>> pinball(0.9).name
    'pinball:0.9'
    """
    if not 0 < quantile < 1:
        raise ValueError(f"pinball: expected a quantile between 0 and 1, got {quantile}")
    return _with_number("pinball", _Pinball, float(quantile))


@cache  # equal costs must be one object, so that networks compare equal and share a compiled program
def _with_number(name: str, kind: type[_Huber] | type[_Pinball], number: float) -> Cost:
    f = kind(number)
    return Cost(f"{name}:{number}", f, f.derivative, of="numbers" if kind is _Pinball else None)


HALF_SQUARED_ERROR = Cost("half_squared_error", _half_squared, _half_squared_derivative, worked=_half_squared_worked)
SQUARED_ERROR = Cost("squared_error", _squared, _squared_derivative, worked=_squared_worked)
ABSOLUTE_ERROR = Cost("absolute_error", _absolute, _absolute_derivative, worked=_absolute_worked)
RMSE = Cost("rmse", _squared, _squared_derivative, _root, _root_derivative)
POISSON = Cost("poisson", _poisson, _poisson_derivative, output="softplus", domain=(0, inf), of="numbers")
BINARY_CROSS_ENTROPY = Cost(
    "binary_cross_entropy",
    _binary,
    _binary_derivative,
    output="sigmoid",
    domain=(0, 1),
    metric="accuracy",
    worked=_binary_worked,
)
CATEGORICAL_CROSS_ENTROPY = Cost(
    "categorical_cross_entropy",
    _categorical,
    _categorical_derivative,
    of="classes",
    metric="accuracy",
    worked=_categorical_worked,
)

COSTS: Mapping[str, Cost | Callable[..., Cost]] = {
    "half_squared_error": HALF_SQUARED_ERROR,
    "squared_error": SQUARED_ERROR,
    "absolute_error": ABSOLUTE_ERROR,
    "rmse": RMSE,
    "huber": huber,
    "pinball": pinball,
    "poisson": POISSON,
    "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "categorical_cross_entropy": CATEGORICAL_CROSS_ENTROPY,
}

ELSEWHERE = {
    "mse": "squared_error",
    "mae": "absolute_error",
    "bce": "binary_cross_entropy",
    "log_loss": "binary_cross_entropy",
}


def cost_of(given: Any) -> Cost:
    """A `Cost` as it is, a name looked up, a bare function (y_hat, y) -> costs wrapped.

    >>> cost_of("rmse").name, cost_of(max).name
    ('rmse', 'max')
    """
    if isinstance(given, Cost):
        return given
    return Cost(getattr(given, "__name__", "own"), given) if callable(given) else cost_named(given)


def cost_named(name: str) -> Cost:
    """The cost of that name; "huber" and "pinball" may carry their number.

    >>> cost_named("pinball:0.9").name, cost_named("huber").name
    ('pinball:0.9', 'huber:1.0')
    """
    base, colon, number = name.partition(":")
    found = look_up("cost", base, COSTS, ELSEWHERE)
    if isinstance(found, Cost):
        if colon:
            raise ValueError(f"cost {base!r} takes no number, got {name!r}")
        return found
    try:
        return found(*([float(number)] if colon else []))
    except ValueError as error:
        raise ValueError(f"cost {name!r}: {error}") from None


def is_cost_of_ours(cost: Cost) -> bool:
    """Whether its name alone says what the cost is.

    >>> is_cost_of_ours(huber(2)), is_cost_of_ours(cost_of(max))
    (True, False)
    """
    try:
        return cost_named(cost.name) == cost
    except ValueError:
        return False


class OutputPair(NamedTuple):
    """An output activation and a cost joined: numbers that stay right where each alone would round to 0 or 1."""

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

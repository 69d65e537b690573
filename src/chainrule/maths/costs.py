r"""Cost functions, each next to its derivative.

A cost is elementwise: f(y_hat, y) gives one number per observation and output. The cost c_i of an observation is
the sum over its outputs, and the cost of a batch is

.. math:: C = g\left(\frac{\sum_i w_i c_i}{\sum_i w_i}\right) \text{ ("mean")} \qquad\text{or}\qquad
          C = \sum_i w_i c_i \text{ ("sum")}

with observation weights w; g is the identity, or the square root for RMSE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from math import inf
from typing import Any, Literal

import numpy as np

from chainrule.errors import look_up
from chainrule.maths.arrays import Array, namespace
from chainrule.maths.costs_with_number import Huber, Pinball
from chainrule.maths.custom import apply, pull_back


def _same(mean: Array) -> Array:
    return mean


def _one(mean: Array) -> Array:
    return namespace(mean).ones_like(mean)


@dataclass(frozen=True)
class Cost:
    """A cost and its derivative with respect to the output of the network.

    Parameters
    ----------
    name : str
    f : callable
        (y_hat, y) -> costs; all of shape (batch, n_out), or costs of shape (batch,) if they combine outputs.
    derivative : callable, optional
        (y_hat, y) -> dc/dy_hat of shape (batch, n_out). Without it, `f` is differentiated by JAX.
    outer, outer_derivative : callable, optional
        g and its derivative, applied to the mean over observations; the identity by default. Only RMSE needs them.
    output : str or Activation, default="identity"
        The default output activation for numeric targets.
    domain : tuple (low, high), default=(-inf, inf)
        The range of valid targets.
    of : {"numbers", "classes"}, optional
        The kind of target that the cost is restricted to.
    metric : {"rmse", "accuracy"}, default="rmse"
        The metric on validation rows, in addition to the cost.
    worked : callable, optional
        (y_hat, y, y as a number) -> the cost of one output as text for worked examples; "" if it is 0 for any y_hat.

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
        """Whether the domain is bounded, so that targets must not be rescaled."""
        return self.domain != (-inf, inf)

    def check_domain(self, Y: np.ndarray) -> None:
        """Check that all targets are in the domain.

        Parameters
        ----------
        Y : array of any shape

        Raises
        ------
        ValueError
            If a target is outside the domain.
        """
        low, high = self.domain
        outside = Y[(low > Y) | (high < Y)]
        if outside.size:
            raise ValueError(f"cost {self.name}: expected targets from {low:g} to {high:g}, got {outside[0]:g}")

    def __repr__(self) -> str:
        return f"Cost({self.name!r})"

    def __reduce__(self) -> Any:
        if is_cost_of_ours(self):  # so that a copy is the same object
            return cost_named, (self.name,)
        return Cost, tuple(getattr(self, field.name) for field in fields(self))

    def per_observation(self, y_hat: Array, y: Array) -> Array:
        """Compute the cost of each observation, summed over its outputs.

        Parameters
        ----------
        y_hat, y : array of shape (batch, n_out)

        Returns
        -------
        array of shape (batch,)
        """
        costs = apply(self.f, y_hat, y)
        return costs if costs.ndim == 1 else namespace(costs).sum(costs, axis=1)

    def error(self, y_hat: Array, y: Array) -> Array:
        """Compute the derivative dc/dy_hat of the cost of each observation.

        Parameters
        ----------
        y_hat, y : array of shape (batch, n_out)

        Returns
        -------
        array of shape (batch, n_out)
        """
        if self.derivative is not None:
            return apply(self.derivative, y_hat, y)
        return pull_back(self.f, namespace(y_hat).ones((), dtype=y_hat.dtype), y_hat, y)


def rows_alone(cost: Cost) -> Cost:
    """The cost without its outer function, such as the squared error for RMSE."""
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
    """Clip x to where log(x), and log(1 - x), is finite; an identity output, for one, may lie outside."""
    xp, eps = namespace(x), namespace(x).finfo(x.dtype).eps
    return xp.clip(x, eps, 1 - eps) if at_most_one else xp.maximum(x, eps)


def _no_slope_outside(x: Array, slope: Array, at_most_one: bool = False) -> Array:
    """The slope, or 0 where `_in_domain` clips x and the cost is constant."""
    xp = namespace(x)
    return xp.where(_in_domain(x, at_most_one) == x, slope, xp.zeros_like(slope))


def huber(threshold: float = 1.0) -> Cost:
    r"""Huber cost: squared near the target, linear beyond a threshold. Huber (1964).

    .. math:: c = \begin{cases} (\hat y - y)^2 / 2 & |\hat y - y| \le t \\
              t\,|\hat y - y| - t^2 / 2 & \text{otherwise} \end{cases}

    Parameters
    ----------
    threshold : float, default=1.0
        t, above 0.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        If `threshold` is not above 0.

    Examples
    --------
    >>> huber(2).name
    'huber:2.0'
    """
    if not threshold > 0:
        raise ValueError(f"huber: expected a threshold above 0, got {threshold}")
    return _with_number("huber", Huber, float(threshold))


def pinball(quantile: float = 0.5) -> Cost:
    r"""Pinball cost, which is minimised by a quantile of y given x. Koenker and Bassett (1978).

    .. math:: c = \max\big(q\,(y - \hat y),\ (1 - q)(\hat y - y)\big)

    Parameters
    ----------
    quantile : float, default=0.5
        q, between 0 and 1 (exclusive).

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        If `quantile` is not between 0 and 1.

    Examples
    --------
    >>> pinball(0.9).name
    'pinball:0.9'
    """
    if not 0 < quantile < 1:
        raise ValueError(f"pinball: expected a quantile between 0 and 1, got {quantile}")
    return _with_number("pinball", Pinball, float(quantile))


@cache  # equal costs must be one object, so that networks compare equal and share a compiled program
def _with_number(name: str, kind: type[Huber] | type[Pinball], number: float) -> Cost:
    f = kind(number)
    return Cost(f"{name}:{number}", f, f.derivative, of="numbers" if kind is Pinball else None)


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
    """Convert a name or a function (y_hat, y) -> costs to a `Cost`; a `Cost` is returned unchanged.

    >>> cost_of("rmse").name, cost_of(max).name
    ('rmse', 'max')
    """
    if isinstance(given, Cost):
        return given
    return Cost(getattr(given, "__name__", "own"), given) if callable(given) else cost_named(given)


def cost_named(name: str) -> Cost:
    """Look up a cost by name; "huber" and "pinball" accept a number after a colon.

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
    """Whether a cost is one of Chainrule's, and so defined by its name.

    >>> is_cost_of_ours(huber(2)), is_cost_of_ours(cost_of(max))
    (True, False)
    """
    try:
        return cost_named(cost.name) == cost
    except ValueError:
        return False

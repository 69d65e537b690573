r"""Update rules: gradient descent and its learning-rate schedules; optax brings the rest.

A rule is anything with optax's two functions, `init(params)` and `update(gradient, state, params)`.
Rules and schedules here are frozen dataclasses rather than closures, so that equal ones compare equal and
trainings that differ only in their data share a compiled program.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from math import isfinite, pi
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np

from chainrule.errors import nearest
from chainrule.maths.arrays import Array, namespace
from chainrule.network import Layer, Params

LARGEST = 1e30  # of a rate, so that float32 has room to compute with it
MOST_UPDATES = 2**31 - 1  # that a program counts

Schedule: TypeAlias = Callable[[Any], Any]


class Rule(Protocol):
    """What `update` and `train` need of a rule; every `optax.GradientTransformation` fits."""

    @property
    def init(self) -> Callable[..., Any]: ...
    @property
    def update(self) -> Callable[..., Any]: ...


def update(rule: Rule, params: Params, gradient: Params, state: Any) -> tuple[Params, Any]:
    """One step of `rule`: new parameters and the rule's new state.

    Examples
    --------
    >>> import numpy as np
    >>> rule = gradient_descent(0.5)
    >>> params = (Layer(np.array([[1.0]]), np.array([0.0])),)
    >>> params, state = update(rule, params, gradient=params, state=rule.init(params))
    >>> float(params[0].W[0, 0])
    0.5
    """
    step, state = rule.update(gradient, state, params)
    return _map(lambda p, s: p + s, params, step), state


class GradientDescentState(NamedTuple):
    """step: updates made so far; velocity: the tree of params, or () without momentum."""

    step: Array
    velocity: Any


@dataclass(frozen=True)
class GradientDescent:
    """See `gradient_descent`."""

    numbers: ClassVar[tuple[str, ...]] = ("learning_rate",)

    learning_rate: float | Schedule
    momentum: float = 0.0
    nesterov: bool = False

    def init(self, params: Params) -> GradientDescentState:
        xp = namespace(params[0].W)
        velocity = _map(xp.zeros_like, params) if self.momentum else ()
        return GradientDescentState(xp.zeros((), dtype=xp.int32), velocity)

    def update(
        self, gradient: Params, state: GradientDescentState, params: Params | None = None
    ) -> tuple[Params, GradientDescentState]:
        eta, mu = rate_at(self.learning_rate, state.step), self.momentum
        step = _map(lambda g: -_as(g, eta) * g, gradient)
        velocity = ()
        if mu:
            velocity = _map(lambda v, s: mu * v + s, state.velocity, step)
            step = _map(lambda v, s: mu * v + s, velocity, step) if self.nesterov else velocity
        return step, GradientDescentState(state.step + 1, velocity)


class AdamState(NamedTuple):
    """step: updates made so far; mean and square: running moments of the gradient, trees of params."""

    step: Array
    mean: Params
    square: Params


@dataclass(frozen=True)
class Adam:
    r"""Adam as its authors write it for efficiency (and as scikit-learn does), epsilon beside the raw root.

    .. math:: W \leftarrow W - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \epsilon}

    References
    ----------
    Kingma and Ba (2015), section 2, last paragraph. optax's "adam" has epsilon beside the corrected root.
    """

    numbers: ClassVar[tuple[str, ...]] = ("learning_rate",)

    learning_rate: float | Schedule
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, params: Params) -> AdamState:
        xp = namespace(params[0].W)
        return AdamState(xp.zeros((), dtype=xp.int32), _map(xp.zeros_like, params), _map(xp.zeros_like, params))

    def update(self, gradient: Params, state: AdamState, params: Params | None = None) -> tuple[Params, AdamState]:
        xp, t = namespace(gradient[0].W), _as(gradient[0].W, state.step + 1)
        mean = _map(lambda m, g: self.beta_1 * m + (1 - self.beta_1) * g, state.mean, gradient)
        square = _map(lambda v, g: self.beta_2 * v + (1 - self.beta_2) * g**2, state.square, gradient)
        correction = xp.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        eta = _as(gradient[0].W, rate_at(self.learning_rate, state.step)) * correction
        step = _map(lambda m, v: -eta * m / (xp.sqrt(v) + self.epsilon), mean, square)
        return step, AdamState(state.step + 1, mean, square)


def gradient_descent(learning_rate: float | Schedule, momentum: float = 0.0, nesterov: bool = False) -> GradientDescent:
    r"""Gradient descent, plain or with momentum.

    .. math:: v \leftarrow \mu v - \eta \frac{\partial C}{\partial W}, \qquad W \leftarrow W + v
              \qquad\text{(Nesterov: } W \leftarrow W + \mu v - \eta \frac{\partial C}{\partial W}\text{)}

    Parameters
    ----------
    learning_rate : float above 0, or a schedule: update number (from 0) -> float
    momentum : float in [0, 1)
    nesterov : bool

    References
    ----------
    Rumelhart, Hinton and Williams (1986), eq. 9; Sutskever et al. (2013) for Nesterov's form. scikit-learn's
    MLP scales velocity alike; PyTorch and optax multiply the velocity by the current learning rate instead.

    Examples
    --------
    >>> gradient_descent(inverse_time_decay(0.5, rate=0.01), momentum=0.9).momentum
    0.9
    """
    if not callable(learning_rate):
        _check_rate(learning_rate)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: expected a number from 0 to below 1, got {momentum}")
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0, such as 0.9")
    return GradientDescent(learning_rate, momentum, nesterov)


def adam(learning_rate: float | Schedule, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> Adam:
    """`Adam`, if these are numbers that it can have.

    >>> adam(1e-3).beta_2
    0.999
    """
    if not callable(learning_rate):
        _check_rate(learning_rate)
    if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1 and 0 < epsilon <= LARGEST):
        raise ValueError(
            f"adam: expected betas from 0 to below 1 and an epsilon above 0, got {beta_1}, {beta_2}, {epsilon}"
        )
    return Adam(learning_rate, beta_1, beta_2, epsilon)


@dataclass(frozen=True)
class StepDecay:
    """See `step_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "factor", "every")

    eta: float
    factor: float
    every: int

    def __call__(self, step: Any) -> Any:
        return self.eta * self.factor ** (step // self.every)

    @property
    def words(self) -> str:
        return f"{self.eta:g}, times {self.factor:g} every {self.every:,} updates"


@dataclass(frozen=True)
class ExponentialDecay:
    """See `exponential_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "factor", "every")

    eta: float
    factor: float
    every: int

    def __call__(self, step: Any) -> Any:
        return self.eta * self.factor ** (step / self.every)

    @property
    def words(self) -> str:
        return f"{self.eta:g}, decaying by {self.factor:g} in {self.every:,} updates"


@dataclass(frozen=True)
class InverseTimeDecay:
    """See `inverse_time_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "rate")

    eta: float
    rate: float

    def __call__(self, step: Any) -> Any:
        return self.eta / (1 + self.rate * step)

    @property
    def words(self) -> str:
        return f"{self.eta:g} / (1 + {self.rate:g} * updates)"


@dataclass(frozen=True)
class CosineDecay:
    """See `cosine_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "steps")

    eta: float
    steps: int

    def __call__(self, step: Any) -> Any:
        xp = namespace(step)
        return self.eta / 2 * (1 + xp.cos(pi * xp.minimum(step, self.steps) / self.steps))

    @property
    def words(self) -> str:
        return f"{self.eta:g}, cosine decay over {self.steps:,} updates"


def step_decay(eta: float, factor: float = 0.5, every: int = 1000) -> Schedule:
    """eta * factor^floor(step / every): first fast, then small steps.

    >>> [step_decay(0.4, 0.5, every=10)(step) for step in (0, 9, 10, 20)]
    [0.4, 0.4, 0.2, 0.1]
    """
    return StepDecay(_check_rate(eta), _check_factor(factor), _check_count("every", every))


def exponential_decay(eta: float, factor: float = 0.5, every: int = 1000) -> Schedule:
    """eta * factor^(step / every), without the stairs of `step_decay`.

    >>> exponential_decay(0.4, 0.25, every=10)(5)
    0.2
    """
    return ExponentialDecay(_check_rate(eta), _check_factor(factor), _check_count("every", every))


def inverse_time_decay(eta: float, rate: float = 0.001) -> Schedule:
    """eta / (1 + rate * step). Its steps sum to infinity and their squares do not: Robbins and Monro (1951).

    >>> inverse_time_decay(0.5, rate=0.1)(10)
    0.25
    """
    if not (isfinite(rate) and rate >= 0):
        raise ValueError(f"inverse_time_decay: expected a rate of 0 or more, got {rate}")
    return InverseTimeDecay(_check_rate(eta), _check_size("inverse_time_decay", rate, LARGEST))


def cosine_decay(eta: float, steps: int) -> Schedule:
    """eta/2 * (1 + cos(pi * step / steps)), and 0 after `steps`. Loshchilov and Hutter (2017).

    >>> round(float(cosine_decay(0.4, steps=100)(50)), 3)
    0.2
    """
    return CosineDecay(_check_rate(eta), _check_count("steps", steps))


class OptaxState(NamedTuple):
    """step: updates made so far; inner: optax's own state."""

    step: Array
    inner: Any


@dataclass(frozen=True)
class OptaxRule:
    """See `optax_rule`."""

    numbers: ClassVar[tuple[str, ...]] = ("learning_rate",)

    name: str
    learning_rate: float | Schedule
    options: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def transformation(self) -> Any:
        import optax

        return getattr(optax, self.name)(self.learning_rate, **dict(self.options))

    def __reduce__(self) -> Any:  # pickled by its name: optax's own functions cannot be
        return OptaxRule, (self.name, self.learning_rate, self.options)

    def init(self, params: Params) -> OptaxState:
        return OptaxState(np.zeros((), np.int32), _compiled_init(self)(params))

    def update(self, gradient: Params, state: OptaxState, params: Params | None = None) -> tuple[Params, OptaxState]:
        step, inner = self.transformation.update(gradient, state.inner, params)
        return step, OptaxState(state.step + 1, inner)


@lru_cache(maxsize=128)
def _compiled_init(rule: OptaxRule) -> Any:
    """Optax's `init` in one program, rather than one for each kind of array; equal rules share it."""
    import jax

    return jax.jit(rule.transformation.init)


# What asks for more than a gradient and the parameters, and what to use in its place.
_LINE_SEARCH = "searches along a line, with costs that only it asks for; use an estimator with solver='lbfgs'"
_INSTEAD = {
    "lbfgs": _LINE_SEARCH,
    "scale_by_zoom_linesearch": _LINE_SEARCH,
    "scale_by_backtracking_linesearch": _LINE_SEARCH,
    "reduce_on_plateau": "looks at the cost; use a schedule such as cosine_decay, or the goal NoImprovement",
    "lookahead": "trains two sets of parameters; use train(..., average=0.998), which keeps an average beside them",
    "noisy_sgd": "takes a seed of its own; use optax_rule('sgd', 0.1), and dropout for noise",
}


def check_gradient_alone(rule: Any) -> None:
    """Refuse an optax transformation that needs more than a gradient and the parameters.

    Raises
    ------
    ValueError
        With what to use instead.

    >>> import optax
    >>> check_gradient_alone(optax.sgd(0.1))
    """
    inner = rule.rule if isinstance(rule, Clipped) else rule
    if not type(inner).__module__.startswith("optax."):
        return
    import jax

    params = (Layer(np.zeros((1, 1), np.float32), np.zeros(1, np.float32)),)
    try:
        jax.eval_shape(lambda p: inner.update(p, inner.init(p), p), params)
    except Exception as error:  # others, such as masks for another network, are not about the rule
        part = "lookahead" if str(error).endswith("no attribute 'fast'") else str(error).split(".")[0]
        if part in _INSTEAD or "keyword-only argument" in str(error):
            instead = _INSTEAD.get(part, "needs more than a gradient; use one that does not, such as optax.adam(1e-3)")
            raise ValueError(f"rule: optax's {part} {instead}") from None


def check_rule(rule: Any) -> None:
    """A TypeError for what is no rule, a ValueError for one that asks for more than a gradient."""
    if not (hasattr(rule, "init") and hasattr(rule, "update")):
        raise TypeError(
            f'rule: expected gradient_descent(0.1), optax_rule("adam", 1e-3) or an optax transformation; got {rule!r}'
        )
    check_gradient_alone(rule)


def optax_rule(name: str, learning_rate: float | Schedule, **options: Any) -> OptaxRule:
    """An optax optimiser by its name: "adam", "adamw", "rmsprop", "adagrad"...

    Examples
    --------
    >>> optax_rule("adamw", 1e-3, weight_decay=1e-4).name
    'adamw'
    """
    import inspect

    import optax

    kinds = (FunctionType, partial)  # nadam is a partial of adam
    makers = {n: f for n, f in vars(optax).items() if isinstance(f, kinds) and _takes_learning_rate(f)}
    for other in [n for n in makers if n.startswith(("_", "scale_by")) or n in _INSTEAD]:
        makers.pop(other)  # parts of an optimiser, or they ask for more than a gradient
    if name in _INSTEAD:
        raise ValueError(f"optax.{name} {_INSTEAD[name]}")
    if name not in makers:
        raise ValueError(f"optax has no optimiser {name!r}{nearest(name, makers)}")
    if not callable(learning_rate):
        _check_rate(learning_rate)
    known = inspect.signature(makers[name]).parameters
    for option in options:
        if option not in known:
            raise ValueError(f"optax.{name} has no option {option!r}{nearest(option, known)}")
    return OptaxRule(name, learning_rate, tuple(sorted(options.items())))


def _takes_learning_rate(f: Callable[..., Any]) -> bool:
    import inspect

    return next(iter(inspect.signature(f).parameters), None) == "learning_rate"


@dataclass(frozen=True)
class Clipped:
    """See `clipped`."""

    numbers: ClassVar[tuple[str, ...]] = ("rule", "max_norm")

    rule: Rule
    max_norm: float

    @property
    def learning_rate(self) -> Any:
        return getattr(self.rule, "learning_rate", None)

    def init(self, params: Params) -> Any:
        return self.rule.init(params)

    def update(self, gradient: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        xp, norm = namespace(gradient[0].W), norm_of(gradient)
        share = self.max_norm / xp.maximum(norm, _as(norm, self.max_norm))
        return self.rule.update(_map(lambda g: share * g, gradient), state, params)


def clipped(rule: Rule, max_norm: float) -> Clipped:
    r"""The rule, fed a gradient whose norm over all layers is `max_norm` at most.

    .. math:: g \leftarrow g \min(1, \text{max\_norm} / \lVert g \rVert_2)

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> rule, params = clipped(gradient_descent(1.0), 0.5), (Layer(np.array([[0.0]]), np.array([0.0])),)
    >>> gradient = (Layer(np.array([[3.0]]), np.array([4.0])),)
    >>> [x.round(12).tolist() for x in update(rule, params, gradient, rule.init(params))[0][0]]
    [[[-0.3]], [-0.4]]
    """
    if not (isfinite(max_norm) and max_norm > 0):
        raise ValueError(f"max_norm: expected a number above 0, such as 1.0; got {max_norm}")
    return Clipped(rule, _check_size("max_norm", max_norm, LARGEST))


def rule_words(rule: Any) -> str:
    """A rule as people call it, with its numbers.

    >>> print(rule_words(gradient_descent(0.5, momentum=0.9)))
    gradient_descent, learning rate 0.5, momentum 0.9
    >>> print(rule_words(gradient_descent(step_decay(0.5, 0.5, 100))))
    gradient_descent, learning rate 0.5, times 0.5 every 100 updates
    """
    if isinstance(rule, Clipped):
        return f"{rule_words(rule.rule)}, gradients clipped to a norm of {rule.max_norm:g}"
    name = getattr(rule, "name", None) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(rule).__name__).lower()
    rate: Any = getattr(rule, "learning_rate", None)
    momentum = getattr(rule, "momentum", 0)
    said = f"{rate:g}" if isinstance(rate, float | int) else getattr(rate, "words", "")
    rated = f", learning rate {said}" if said else ""
    kind = "Nesterov momentum" if getattr(rule, "nesterov", False) else "momentum"
    return name + rated + (f", {kind} {momentum:g}" if momentum else "")


def has_own_rate(rule: Rule) -> bool:
    """Whether the learning rate is the rule's own affair: a schedule, or a rule that is not from this module."""
    inner = rule.rule if isinstance(rule, Clipped) else rule
    return not isinstance(inner, GradientDescent | Adam) or callable(inner.learning_rate)


def with_rate(rule: Any, learning_rate: Any) -> Rule:
    """Our rule with another learning rate."""
    if isinstance(rule, Clipped):
        return replace(rule, rule=with_rate(rule.rule, learning_rate))
    return replace(rule, learning_rate=learning_rate)


def with_checked_rate(rule: Any, learning_rate: Any) -> Rule:
    """`with_rate`, or a ValueError for a rate that cannot be used or a rule that has none to be seen."""
    if not isinstance(rule.rule if isinstance(rule, Clipped) else rule, GradientDescent | Adam | OptaxRule):
        raise ValueError('the learning rate of this rule is out of sight; use one such as optax_rule("adamw", 1e-3)')
    if not callable(learning_rate):
        _check_rate(learning_rate)
    return with_rate(rule, learning_rate)


def norm_of(gradient: Params) -> Array:
    """The Euclidean norm over all weights and biases."""
    leaves = [x for layer in gradient for x in layer]
    return namespace(leaves[0]).sqrt(sum(namespace(x).sum(x * x) for x in leaves))


def rate_at(learning_rate: float | Schedule, step: Any) -> Any:
    """The learning rate of update number `step`."""
    return learning_rate(step) if callable(learning_rate) else learning_rate


def _map(f: Callable[..., Any], *trees: Params) -> Params:
    return tuple(Layer(*(f(*leaves) for leaves in zip(*layers, strict=True))) for layers in zip(*trees, strict=True))


def _as(like: Array, number: Any) -> Array:
    return namespace(like).asarray(number, dtype=like.dtype)


def _check_rate(eta: float) -> float:
    if not (isfinite(eta) and eta > 0):
        raise ValueError(f"learning rate: expected a number above 0, such as 0.1; got {eta}")
    return _check_size("learning rate", eta, LARGEST)


def _check_size(what: str, number: Any, largest: float) -> Any:
    if number > largest:
        told = f"{largest:,}" if isinstance(largest, int) else f"{largest:g}"
        raise ValueError(f"{what}: expected {told} at most, got {number:g}")
    return number


def _check_factor(factor: float) -> float:
    if not 0 < factor <= 1:
        raise ValueError(f"decay factor: expected a number above 0, at most 1; got {factor}")
    return factor


def _check_count(what: str, count: int) -> int:
    if count < 1:
        raise ValueError(f"{what}: expected a whole number of updates, 1 or more; got {count}")
    return _check_size(what, count, MOST_UPDATES)

"""The update rules of optax, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import FunctionType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from chainrule.errors import nearest
from chainrule.maths.arrays import Array
from chainrule.network import Layer, Params
from chainrule.training.compiling import PROGRAMS, compiled
from chainrule.training.rules.clipping import unclipped
from chainrule.training.rules.rule import Schedule, check_rate


class OptaxState(NamedTuple):
    """Number of updates so far, and optax's own state."""

    step: Array
    inner: Any


@dataclass(frozen=True)
class OptaxRule:
    """An optimiser of optax, created by `optax_rule`."""

    numbers: ClassVar[tuple[str, ...]] = ("learning_rate",)

    name: str
    learning_rate: float | Schedule
    options: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def transformation(self) -> Any:
        """The optax transformation."""
        import optax

        return getattr(optax, self.name)(self.learning_rate, **dict(self.options))

    def __reduce__(self) -> Any:  # pickled by name, because optax's functions cannot be pickled
        return OptaxRule, (self.name, self.learning_rate, self.options)

    def init(self, params: Params) -> OptaxState:
        """The state before the first update."""
        return OptaxState(np.zeros((), np.int32), _compiled_init(self)(params))

    def update(self, gradient: Params, state: OptaxState, params: Params | None = None) -> tuple[Params, OptaxState]:
        """The step to add to the parameters, and the new state."""
        step, inner = self.transformation.update(gradient, state.inner, params)
        return step, OptaxState(state.step + 1, inner)


@lru_cache(maxsize=PROGRAMS)
def _compiled_init(rule: OptaxRule) -> Any:
    """Optax's `init` in one program, rather than one for each kind of array; equal rules share it."""
    return compiled(rule.transformation.init)


# Transformations that need more than a gradient and the parameters, and what to use instead.
_LINE_SEARCH = "performs a line search, which evaluates the cost; use an estimator with solver='lbfgs'"
_INSTEAD = {
    "lbfgs": _LINE_SEARCH,
    "scale_by_zoom_linesearch": _LINE_SEARCH,
    "scale_by_backtracking_linesearch": _LINE_SEARCH,
    "reduce_on_plateau": "depends on the cost; use a schedule such as cosine_decay, or the goal NoImprovement",
    "lookahead": "trains two sets of parameters; use train(..., average=0.998), which also keeps an average",
    "noisy_sgd": "needs a seed of its own; use optax_rule('sgd', 0.1), and dropout for noise",
}


def check_gradient_alone(rule: Any) -> None:
    """Refuse an optax transformation that needs more than a gradient and the parameters.

    Raises
    ------
    ValueError
        Its message names an alternative.

    >>> import optax
    >>> check_gradient_alone(optax.sgd(0.1))
    """
    inner = unclipped(rule)
    if not type(inner).__module__.startswith("optax."):
        return
    import jax

    params = (Layer(np.zeros((1, 1), np.float32), np.zeros(1, np.float32)),)
    try:
        jax.eval_shape(lambda p: inner.update(p, inner.init(p), p), params)
    except Exception as error:  # other errors, such as masks for another network, do not concern the rule
        part = "lookahead" if str(error).endswith("no attribute 'fast'") else str(error).split(".")[0]
        if part in _INSTEAD or "keyword-only argument" in str(error):
            instead = _INSTEAD.get(part, "needs more than a gradient; use one that does not, such as optax.adam(1e-3)")
            raise ValueError(f"rule: optax's {part} {instead}") from None


def optax_rule(name: str, learning_rate: float | Schedule, **options: Any) -> OptaxRule:
    """Look up an optimiser of optax by name, such as "adam", "adamw", "rmsprop" or "adagrad".

    Parameters
    ----------
    name : str
        A function of `optax` that takes a learning rate.
    learning_rate : float or callable
        Above 0, or a schedule: update number (from 0) -> learning rate.
    **options
        Further arguments of that function.

    Returns
    -------
    OptaxRule

    Raises
    ------
    ValueError
        If the name, the learning rate or an option is invalid, or if the optimiser needs more than a gradient.

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
        makers.pop(other)  # parts of an optimiser, or functions that need more than a gradient
    if name in _INSTEAD:
        raise ValueError(f"optax.{name} {_INSTEAD[name]}")
    if name not in makers:
        raise ValueError(f"optax has no optimiser {name!r}{nearest(name, makers)}")
    if not callable(learning_rate):
        check_rate(learning_rate)
    known = inspect.signature(makers[name]).parameters
    for option in options:
        if option not in known:
            raise ValueError(f"optax.{name} has no option {option!r}{nearest(option, known)}")
    return OptaxRule(name, learning_rate, tuple(sorted(options.items())))


def _takes_learning_rate(f: Callable[..., Any]) -> bool:
    import inspect

    return next(iter(inspect.signature(f).parameters), None) == "learning_rate"

"""Where a training is: the state between two epochs, and what the first updates of an epoch have made of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array
from chainrule.network import Layer, Params
from chainrule.training.arguments import shape_of
from chainrule.training.averaging import Average, average_from
from chainrule.training.forks import check_not_forked
from chainrule.training.settings import TrainingSettings

RUNNING, DIVERGED = 0, -1


class Evaluated(NamedTuple):
    """The cost and its gradient at some parameters."""

    cost: Array
    gradient: Params


class Best(NamedTuple):
    """The parameters with the lowest validation cost so far, that cost, and their epoch."""

    params: Params
    cost: Array
    epoch: Array


class State(NamedTuple):
    """All that one epoch hands to the next; () is what a training does without.

    `here` is for whole-table updates, `best` for validation rows, `average` for averaged parameters.
    """

    epoch: Array
    seed: Array
    params: Params
    rule_state: Any
    here: Evaluated | tuple[()]
    best: Best | tuple[()]
    average: Average | tuple[()]
    reason: Array  # RUNNING, DIVERGED, or 1 + the place of the goal that was reached

    @property
    def answering(self) -> Params:
        """The parameters that are validated and returned."""
        return self.average.params if self.average else self.params


class Sums(NamedTuple):
    """Of the updates of an epoch so far: their costs, and the squared norms of their gradients."""

    costs: Array
    squares: Array


class Span(NamedTuple):
    """Which updates to make: `epochs` whole ones, the first of them from its update `first` on.

    Or, where `epochs` is 0, the updates `first` to `last` (not included) of one epoch, which does not end.
    """

    epochs: Any
    first: Any = 0
    last: Any = 0

    @property
    def divides(self) -> bool:
        """Whether it begins or ends within an epoch."""
        return self.first > 0 or self.epochs == 0


class Moment(NamedTuple):
    """Where a training is: the state at the beginning of an epoch, and what its first updates have made of it.

    `now` is the state at the beginning with other parameters, rule state and average; of a whole epoch, the state
    itself.
    """

    begin: State
    now: State
    sums: Sums
    updates: int


def at_beginning(state: State) -> Moment:
    """Before the first update of an epoch."""
    return Moment(state, state, no_sums(state.params[0].W.dtype), 0)


def no_sums(dtype: Any) -> Sums:
    """Before the first update of an epoch."""
    return Sums(np.zeros((), dtype), np.zeros((), dtype))  # pyright: ignore[reportArgumentType]


def first_state(settings: TrainingSettings, params: Params, validates: bool) -> State:
    """Nothing trained yet; `here`, of whole-table updates, is not yet taken."""
    import jax

    check_not_forked()
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    start, zero = tuple(Layer(np.array(W, dtype), np.array(b, dtype)) for W, b in params), np.zeros((), np.int32)
    best = Best(start, np.asarray(np.inf, dtype), zero) if validates else ()
    mean = average_from(start) if settings.average else ()
    seed = np.asarray(settings.seed % 2**32, np.uint32)
    state = State(zero, seed, start, shape_of(settings.rule).init(start), (), best, mean, zero)
    return jax.device_put(state)

"""The state of a training: between two epochs, and within an epoch."""

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
    """The state between two epochs; () stands for parts that a training does not use.

    `here` is used by whole-table updates, `best` with validation rows, `average` with averaged parameters.
    """

    epoch: Array
    seed: Array
    params: Params
    rule_state: Any
    here: Evaluated | tuple[()]
    best: Best | tuple[()]
    average: Average | tuple[()]
    reason: Array  # RUNNING, DIVERGED, or 1 + the index of the goal that was reached

    @property
    def answering(self) -> Params:
        """The parameters that are validated and returned."""
        return self.average.params if self.average else self.params


class Sums(NamedTuple):
    """Sums over the updates of an epoch so far: costs, and squared norms of the gradients."""

    costs: Array
    squares: Array


class Span(NamedTuple):
    """Which updates to make: `epochs` epochs, starting at update `first` of the first of them.

    If `epochs` is 0: the updates `first` to `last` (exclusive) of one epoch, which is not completed.
    """

    epochs: Any
    first: Any = 0
    last: Any = 0

    @property
    def divides(self) -> bool:
        """Whether the span starts or ends within an epoch."""
        return self.first > 0 or self.epochs == 0


class Moment(NamedTuple):
    """A point within an epoch: the state at its beginning, and the state after its first updates.

    `now` differs from `begin` in parameters, rule state and average only; at the beginning they are equal.
    """

    begin: State
    now: State
    sums: Sums
    updates: int


def at_beginning(state: State) -> Moment:
    """The moment before the first update of an epoch."""
    return Moment(state, state, no_sums(state.params[0].W.dtype), 0)


def no_sums(dtype: Any) -> Sums:
    """The sums before the first update of an epoch."""
    return Sums(np.zeros((), dtype), np.zeros((), dtype))  # pyright: ignore[reportArgumentType]


def first_state(settings: TrainingSettings, params: Params, validates: bool) -> State:
    """The state before training, without `here`, which whole-table updates need."""
    import jax

    check_not_forked()
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    start, zero = tuple(Layer(np.array(W, dtype), np.array(b, dtype)) for W, b in params), np.zeros((), np.int32)
    best = Best(start, np.asarray(np.inf, dtype), zero) if validates else ()
    mean = average_from(start) if settings.average else ()
    seed = np.asarray(settings.seed % 2**32, np.uint32)
    state = State(zero, seed, start, shape_of(settings.rule).init(start), (), best, mean, zero)
    return jax.device_put(state)

r"""The compiled loop: epochs of forward, cost, backward and update, until a goal is met.

The order of the rows is an argument of the program. Equal shapes share a program, whatever their data and numbers:
learning rates, L2, dropout and goals are arguments, too. An epoch can be started and left at any update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array, namespace
from chainrule.network import Network, Params, backward, cost, forward, penalty
from chainrule.training.arguments import arguments_of, filled_settings, shape_of_settings
from chainrule.training.averaging import averaged
from chainrule.training.batches import Table
from chainrule.training.compiling import PROGRAMS, compiled, one_kernel
from chainrule.training.dropout import keep
from chainrule.training.goals import Record, measures_gradients
from chainrule.training.rules import Rule, norm_of, rate_at, update
from chainrule.training.settings import TrainingSettings
from chainrule.training.state import (
    DIVERGED,
    RUNNING,
    Best,
    Evaluated,
    Moment,
    Span,
    State,
    Sums,
    at_beginning,
    no_sums,
)

EPOCHS_PER_DISPATCH = 4096  # maximum; fewer if the row orders would take too much memory
GATHERED_AT_ONCE = 2**23  # numbers of a table up to which the rows of an epoch are gathered before its updates,
NARROW = 100_000  # and weights of a network; above either, the rows are gathered for each update


def with_evaluated(state: State, settings: TrainingSettings, data: Table) -> State:
    """Add the cost and gradient of the whole table to the state."""
    evaluated = _evaluated(shape_of_settings(settings))
    return state._replace(here=evaluated(state.params, state.seed, data, arguments_of(settings)))


@lru_cache(maxsize=PROGRAMS)
def _evaluated(shape: TrainingSettings) -> Any:

    def run(params: Params, seed: Array, data: Table, arguments: tuple[Any, ...]) -> Evaluated:
        how = filled_settings(shape, arguments)
        kept = keep(how.network, how.dropout, seed, 1, 0, len(data.X), data.X.dtype)
        return evaluate_at(how.network, params, data, kept)

    return compiled(run)


@lru_cache(maxsize=PROGRAMS)
def program(
    shape: TrainingSettings, batch: int | None, tiny: bool = False, divided: bool = False, quickly: bool = False
) -> Any:
    """The compiled loop over epochs: (begin, now, sums, data, held, slots, n_rows, span, arguments)
    -> state, sums, rows of the history.

    With `tiny`, all operations are compiled into one function, for updates that take less time than the calls of
    their operations. With `divided`, a span may start or end within an epoch.
    """
    import jax.numpy as jnp

    def run(
        begin: State,
        now: State,
        sums: Sums,
        data: Table,
        held: Table | None,
        slots: Array,
        n_rows: Array,
        span: Span,
        arguments: tuple[Any, ...],
    ) -> tuple[State, Sums, Array]:
        how = filled_settings(shape, arguments)

        def evaluate(params: Params, epoch: Array) -> Evaluated:
            kept = keep(how.network, how.dropout, begin.seed, epoch, 0, len(data.X), data.X.dtype)
            return evaluate_at(how.network, params, data, kept)

        def batches_of(old: State, i: Array) -> Batches:
            return _batches_of(how, old, data, slots[i], n_rows, batch or 1)

        def validated(params: Params) -> Sequence[Array]:
            return _validated(how.network, params, held) if held else [jnp.array(jnp.nan)] * 2

        total = jnp.sum(data.weights)
        if batch is None:
            return looped_over_table(how, evaluate, validated, begin, total, len(slots), span)
        at = Moment(begin, now, sums, 0) if divided else at_beginning(begin)
        return looped_over_batches(how, batches_of, validated, at, total, len(slots), span, divided)

    return one_kernel(run) if tiny else compiled(run, quickly)


Validated = Callable[[Params], Sequence[Array]]


def looped_over_table(
    how: TrainingSettings,
    evaluate: Callable[[Params, Array], Evaluated],
    validated: Validated,
    state: State,
    total: Array,
    room: int,
    span: Span,
) -> tuple[State, Sums, Array]:
    """Epochs of one update with all rows, at most `room`, or until a goal is reached."""

    def one_epoch(old: State, i: Array) -> tuple[State, Sums, Array]:
        new, C, norm = whole_table_epoch(how, evaluate, old)
        kept, row = judged(how, old, new, C, norm, total, *validated(new.answering))
        return kept, no_sums(C.dtype), row

    return looped(one_epoch, state, room, span.epochs)


def looped_over_batches(
    how: TrainingSettings,
    batches_of: Callable[[State, Array], Batches],
    validated: Validated,
    at: Moment,
    total: Array,
    room: int,
    span: Span,
    divided: bool,
) -> tuple[State, Sums, Array]:
    """Epochs of mini-batches, at most `room`, or until a goal is reached; if `divided`, possibly part of an epoch."""
    import jax
    import jax.numpy as jnp

    is_part = span.epochs == 0

    def one_epoch(old: State, i: Array) -> tuple[State, Sums, Array]:
        batches = batches_of(old, i)
        start, sums, first, last = old, no_sums(total.dtype), 0, batches.steps
        if divided:
            goes_on = (i == 0) & (span.first > 0)
            start, sums = jax.tree.map(lambda a, b: jnp.where(goes_on, a, b), (at.now, at.sums), (old, sums))
            first, last = jnp.where(i == 0, span.first, 0), jnp.where(is_part, span.last, batches.steps)
        now, sums = updated(how, batches.evaluated, start, sums, first, last)
        C, norm = ended_epoch(how, now, sums, batches.total, batches.steps)
        kept, row = judged(how, old, now, C, norm, total, *validated(now.answering))
        kept = jax.tree.map(lambda a, b: jnp.where(is_part, a, b), now, kept) if divided else kept
        return kept, sums, row

    return looped(one_epoch, at.begin, room, jnp.maximum(span.epochs, 1))


def looped(
    one_epoch: Callable[[State, Array], tuple[State, Sums, Array]], state: State, room: int, n_epochs: Array
) -> tuple[State, Sums, Array]:
    """Run `n_epochs` epochs, at most `room`, or until a goal is reached."""
    import jax
    import jax.numpy as jnp

    dtype = state.params[0].W.dtype

    def epoch(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        i, old, _, block = carry
        new, sums, row = one_epoch(old, i)
        return i + 1, new, sums, block.at[i].set(row)

    def goes_on(carry: tuple[Any, ...]) -> Array:
        return (carry[0] < n_epochs) & (carry[1].reason == RUNNING)

    begin = (jnp.int32(0), state, no_sums(dtype), jnp.zeros((room, 5), dtype))
    _, state, sums, block = jax.lax.while_loop(goes_on, epoch, begin)
    return state, sums, block


def judged(
    how: TrainingSettings,
    old: State,
    new: State,
    C: Array,
    norm: Array,
    total: Array,
    held_cost: Array,
    metric: Array,
) -> tuple[State, Array]:
    """Evaluate the goals after an epoch; returns the state and a history row, or the old state if it diverged.

    `total` is the weight of all rows; `held_cost` and `metric` are those of the validation rows.
    """
    import jax
    import jax.numpy as jnp

    change = _largest_change(new.params, old.params)
    new = new._replace(epoch=old.epoch + 1)
    best = _better(old.best, new, held_cost) if old.best else old.best
    since = new.epoch - best.epoch if best else jnp.zeros_like(new.epoch)
    new = new._replace(best=best)
    by_sum, by_mean = (C, C / total) if how.network.reduction == "sum" else (C * total, C)
    record = Record(new.epoch, C, by_sum, by_mean, held_cost, norm, change, since)
    reason = jnp.zeros_like(old.reason)
    for place, goal in reversed(list(enumerate(how.stop))):
        reason = jnp.where(goal.reached(record), 1 + place, reason)
    new = new._replace(reason=reason)
    row = jnp.stack([jnp.asarray(x, C.dtype) for x in (C, held_cost, metric, norm, _rate(how.rule, new))])
    good = jnp.isfinite(C) & jnp.isfinite(change)
    kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old._replace(reason=old.reason + DIVERGED))
    return kept, row


def whole_table_epoch(
    how: TrainingSettings, evaluate: Callable[[Params, Array], Evaluated], state: State
) -> tuple[State, Array, Array]:
    """One update with the gradient at the current parameters, then cost and gradient at the new ones.

    Cost and gradient at the end of the epoch are free: the next epoch needs the gradient anyway.
    """
    assert isinstance(state.here, Evaluated)
    params, rule_state = update(how.rule, state.params, state.here.gradient, state.rule_state)
    here = evaluate(params, state.epoch + 2)
    new = state._replace(params=params, rule_state=rule_state, here=here)
    new = new._replace(average=averaged(state.average, params, how.average)) if state.average else new
    return new, here.cost, norm_of(here.gradient)


class Batches(NamedTuple):
    """The batches of an epoch: a function (batch number, parameters) -> (cost and gradient, weight of the rows).

    `total` is the weight of all rows of the epoch, `steps` the number of its updates.
    """

    evaluated: Callable[[Array, Params], tuple[Evaluated, Array]]
    total: Array
    steps: Array


def _batches_of(how: TrainingSettings, state: State, data: Table, order: Array, n_rows: Array, batch: int) -> Batches:
    """The batches of a table whose rows are taken in the given order."""
    import jax.numpy as jnp
    from jax import lax

    weights = jnp.where(jnp.arange(len(order)) < n_rows, data.weights[order], 0)
    at_once = data.X.size + data.Y.size <= GATHERED_AT_ONCE and how.network.n_weights <= NARROW
    ordered = (data.X[order], data.Y[order]) if at_once else ()

    def evaluated(i: Array, params: Params) -> tuple[Evaluated, Array]:
        rows, w = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in (order, weights))
        sliced = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in ordered)
        X, Y = sliced if at_once else (data.X[rows], data.Y[rows])
        kept = keep(how.network, how.dropout, state.seed, state.epoch + 1, i, batch, X.dtype)
        return evaluated_batch(how.network, params, Table(X, Y, w), kept)

    return Batches(evaluated, jnp.sum(weights), (n_rows + batch - 1) // batch)


def updated(
    how: TrainingSettings,
    evaluated: Callable[[Array, Params], tuple[Evaluated, Array]],
    now: State,
    sums: Sums,
    first: Any,
    last: Any,
) -> tuple[State, Sums]:
    """Make the updates `first` to `last` (exclusive) of an epoch.

    The norm of the gradient is computed only if a goal needs it, because it costs as much as the update.
    """
    import jax.numpy as jnp
    from jax import lax

    measures, adds_means = measures_gradients(how.stop), how.network.reduction == "mean"

    def step(i: Array, carry: Any) -> Any:
        params, rule_state, mean, (costs, squares) = carry
        here, weight = evaluated(i, params)
        params, rule_state = update(how.rule, params, here.gradient, rule_state)
        mean = averaged(mean, params, how.average) if mean else mean
        costs += here.cost * weight if adds_means else here.cost
        squares += norm_of(here.gradient) ** 2 if measures else jnp.nan
        return params, rule_state, mean, Sums(costs, squares)

    begin = (now.params, now.rule_state, now.average, sums)
    params, rule_state, mean, sums = lax.fori_loop(first, last, step, begin)
    return now._replace(params=params, rule_state=rule_state, average=mean), sums


def evaluated_batch(network: Network, params: Params, rows: Table, kept: Any) -> tuple[Evaluated, Array]:
    """Cost (without the penalty) and gradient of a batch, and the weight of its rows."""
    fwd = forward(network, params, rows.X, kept)
    C = cost(replace(network, l2=0.0), fwd, rows.Y, rows.weights)
    gradient = backward(network, params, fwd, rows.Y, rows.weights).gradient
    return Evaluated(C, gradient), namespace(rows.weights).sum(rows.weights)


def ended_epoch(how: TrainingSettings, now: State, sums: Sums, total: Array, n_steps: Array) -> tuple[Array, Array]:
    """The average cost of the batches of an epoch, and the root mean square of their gradient norms."""
    import jax.numpy as jnp

    C = sums.costs / total if how.network.reduction == "mean" else sums.costs
    C = C + penalty(how.network, now.params) if how.network.penalised else C
    return C, jnp.sqrt(sums.squares / n_steps)


def evaluate_at(network: Network, params: Params, data: Table, kept: Any) -> Evaluated:
    """Cost and gradient of all rows."""
    fwd = forward(network, params, data.X, kept)
    C = cost(network, fwd, data.Y, data.weights, params)
    return Evaluated(C, backward(network, params, fwd, data.Y, data.weights).gradient)


def _validated(network: Network, params: Params, held: Table) -> tuple[Array, Array]:
    fwd, xp = forward(network, params, held.X), namespace(held.X)
    mean = xp.sum(held.weights * per_row_metric(network, fwd.a[-1], held.Y)) / xp.sum(held.weights)
    return cost(replace(network, l2=0.0), fwd, held.Y, held.weights), metric_of_mean(network, mean)


def metric_of_mean(network: Network, mean: Any) -> Array:
    """Compute the metric from the mean of `per_row_metric` over the rows."""
    return namespace(mean).sqrt(mean) if network.cost.metric == "rmse" else mean


def per_row_metric(network: Network, y_hat: Array, Y: Array) -> Array:
    """For each row, the mean squared error, or whether its class is predicted correctly: (rows,)."""
    xp = namespace(y_hat)
    if network.cost.metric == "rmse":
        return xp.mean((y_hat - Y) ** 2, axis=1)
    if network.activations[-1].name == "softmax":
        return xp.argmax(y_hat, axis=1) == xp.argmax(Y, axis=1)
    return xp.all((y_hat > 0.5) == (Y > 0.5), axis=1)


def _better(best: Any, new: State, held_cost: Array) -> Best:
    import jax

    improved = held_cost < best.cost
    candidate = Best(new.answering, held_cost, new.epoch)
    return jax.tree.map(lambda a, b: namespace(a).where(improved, a, b), candidate, best)


def _largest_change(new: Params, old: Params) -> Array:
    import jax.numpy as jnp

    pairs = [(a, b) for after, before in zip(new, old, strict=True) for a, b in zip(after, before, strict=True)]
    return jnp.max(jnp.stack([jnp.max(jnp.abs(a - b)) for a, b in pairs]))


def _rate(rule: Rule, state: State) -> Any:
    learning_rate = getattr(
        rule, "learning_rate", None
    )  # None for a bare optax transformation, which does not expose it
    return np.nan if learning_rate is None else rate_at(learning_rate, state.rule_state.step - 1)

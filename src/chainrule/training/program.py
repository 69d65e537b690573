r"""The compiled loop: epochs of forward, cost, backward and update, until a goal is met.

The program takes the order of the data, it never makes it. Equal designs share a program, whatever their data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array, namespace
from chainrule.network import Layer, Network, Params, backward, cost, forward, penalty
from chainrule.training.averaging import Average, average_from, averaged
from chainrule.training.batches import Table
from chainrule.training.dropout import keep
from chainrule.training.forks import check_not_forked
from chainrule.training.fused import one_kernel
from chainrule.training.goals import CostGoal, MaxSeconds, NoImprovement, Record, Stop, Unchanged
from chainrule.training.rules import Rule, norm_of, rate_at, update

RUNNING, DIVERGED = 0, -1
EPOCHS_PER_DISPATCH = 4096  # at most; fewer where the orders of so many epochs would fill memory
GATHERED_AT_ONCE = 2**23  # numbers of a table up to which an epoch's rows are put in order before its updates,
NARROW = 100_000  # and weights of a network; beyond, the rows of each update are gathered when it comes
BLIND_TO_GRADIENTS = (CostGoal, Unchanged, NoImprovement, MaxSeconds)


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


def first_state(
    network: Network,
    rule: Rule,
    params: Params,
    whole: Table | None,
    validates: bool,
    seed: Any,
    dropout: float,
    average: float,
) -> State:
    """Nothing trained yet; with `whole`, cost and gradient at the first parameters are taken."""
    import jax

    check_not_forked()
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    start = tuple(Layer(np.array(W, dtype), np.array(b, dtype)) for W, b in params)
    here, zero = (), np.zeros((), np.int32)
    if whole is not None:
        kept = keep(network, dropout, seed, 1, 0, len(whole.X), dtype)
        here = _evaluated()(network, start, whole, kept)
    best = Best(start, np.asarray(np.inf, dtype), zero) if validates else ()
    mean = average_from(start) if average else ()
    state = State(zero, np.asarray(seed), start, rule.init(start), here, best, mean, zero)
    return jax.device_put(state, may_alias=False)  # for the program takes over each buffer that is JAX's


@lru_cache(maxsize=128)
def program(
    network: Network,
    rule: Rule,
    stops: tuple[Stop, ...],
    batch: int | None,
    dropout: float,
    average: float,
    tiny: bool = False,
) -> Any:
    """The compiled loop over epochs. Equal designs share it, whatever their data, rows or number of epochs.

    With `tiny`, where an update takes less time than the calls of its operations, they are compiled into one.
    """
    import jax
    import jax.numpy as jnp

    measures = measures_gradients(stops)

    def run(
        state: State, data: Table, held: Table | None, slots: Array, n_rows: Array, n_epochs: Array
    ) -> tuple[State, Array]:
        def evaluate(params: Params, epoch: Array) -> Evaluated:
            kept = keep(network, dropout, state.seed, epoch, 0, len(data.X), data.X.dtype)
            return _evaluate(network, params, data, kept)

        def one_epoch(old: State, i: Array) -> tuple[State, Array, Array]:
            if batch is None:
                return whole_table_epoch(network, rule, average, evaluate, old)
            rows = _batches_of(network, dropout, old, data, slots[i], n_rows, batch)
            return mini_batch_epoch(network, rule, average, measures, rows, (n_rows + batch - 1) // batch, old)

        def validated(params: Params) -> Sequence[Array]:
            return _validated(network, params, held) if held else [jnp.array(jnp.nan)] * 2

        total = jnp.sum(data.weights)
        return looped(network, rule, stops, one_epoch, validated, state, total, len(slots), n_epochs)

    return one_kernel(run) if tiny else jax.jit(run, donate_argnums=0)


def looped(
    network: Network,
    rule: Rule,
    stops: tuple[Stop, ...],
    one_epoch: Callable[[State, Array], tuple[State, Array, Array]],
    validated: Callable[[Params], Sequence[Array]],
    state: State,
    total: Array,
    room: int,
    n_epochs: Array,
) -> tuple[State, Array]:
    """`n_epochs` epochs, `room` at most, or until a goal is reached: the state, and their rows of the history."""
    import jax
    import jax.numpy as jnp

    first = state.epoch

    def epoch(carry: tuple[State, Any]) -> tuple[State, Array]:
        old, block = carry
        i = old.epoch - first
        new, C, norm = one_epoch(old, i)
        kept, row = judged(network, rule, stops, old, new, C, norm, total, *validated(new.answering))
        return kept, block.at[i].set(row)

    def goes_on(carry: tuple[State, Array]) -> Array:
        now = carry[0]
        return (now.epoch - first < n_epochs) & (now.reason == RUNNING)

    block: Any = jnp.zeros((room, 5), state.params[0].W.dtype)
    return jax.lax.while_loop(goes_on, epoch, (state, block))


def measures_gradients(stops: tuple[Stop, ...]) -> bool:
    """Whether a goal may look at the gradient's norm."""
    return any(not isinstance(goal, BLIND_TO_GRADIENTS) for goal in stops)


def judged(
    network: Network,
    rule: Rule,
    stops: tuple[Stop, ...],
    old: State,
    new: State,
    C: Array,
    norm: Array,
    total: Array,
    held_cost: Array,
    metric: Array,
) -> tuple[State, Array]:
    """The state after an epoch and its row of the history; or the state before it, where the cost is no number.

    `total` is the weight of all rows, `held_cost` and `metric` those of the validation rows.
    """
    import jax
    import jax.numpy as jnp

    change = _largest_change(new.params, old.params)
    new = new._replace(epoch=old.epoch + 1)
    best = _better(old.best, new, held_cost) if old.best else old.best
    since = new.epoch - best.epoch if best else jnp.zeros_like(new.epoch)
    new = new._replace(best=best)
    by_sum, by_mean = (C, C / total) if network.reduction == "sum" else (C * total, C)
    record = Record(new.epoch, C, by_sum, by_mean, held_cost, norm, change, since)
    reason = jnp.zeros_like(old.reason)
    for place, goal in reversed(list(enumerate(stops))):
        reason = jnp.where(goal.reached(record), 1 + place, reason)
    new = new._replace(reason=reason)
    row = jnp.stack([jnp.asarray(x, C.dtype) for x in (C, held_cost, metric, norm, _rate(rule, new))])
    good = jnp.isfinite(C) & jnp.isfinite(change)
    kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old._replace(reason=old.reason + DIVERGED))
    return kept, row


def whole_table_epoch(
    network: Network, rule: Rule, decay: float, evaluate: Callable[[Params, Array], Evaluated], state: State
) -> tuple[State, Array, Array]:
    """One update with the gradient at the current parameters, then cost and gradient at the new ones.

    Cost and gradient at the epoch's end come for nothing: the next epoch's update needs the gradient anyway.
    """
    assert isinstance(state.here, Evaluated)
    params, rule_state = update(rule, state.params, state.here.gradient, state.rule_state)
    here = evaluate(params, state.epoch + 2)
    new = state._replace(params=params, rule_state=rule_state, here=here)
    new = new._replace(average=averaged(state.average, params, decay)) if state.average else new
    return new, here.cost, norm_of(here.gradient)


class Batches(NamedTuple):
    """An epoch's: a function of a batch's place and of the parameters to what `learnt` needs; the rows' weight."""

    evaluated: Callable[[Array, Params], tuple[Evaluated, Array]]
    total: Array


def _batches_of(
    network: Network, dropout: float, state: State, data: Table, order: Array, n_rows: Array, batch: int
) -> Batches:
    """Those of a table whose rows are taken in the given order."""
    import jax.numpy as jnp
    from jax import lax

    weights = jnp.where(jnp.arange(len(order)) < n_rows, data.weights[order], 0)
    at_once = data.X.size + data.Y.size <= GATHERED_AT_ONCE and network.n_weights <= NARROW
    ordered = (data.X[order], data.Y[order]) if at_once else ()

    def evaluated(i: Array, params: Params) -> tuple[Evaluated, Array]:
        rows, w = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in (order, weights))
        sliced = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in ordered)
        X, Y = sliced if at_once else (data.X[rows], data.Y[rows])
        kept = keep(network, dropout, state.seed, state.epoch + 1, i, batch, X.dtype)
        return evaluated_batch(network, params, Table(X, Y, w), kept)

    return Batches(evaluated, jnp.sum(weights))


def mini_batch_epoch(
    network: Network, rule: Rule, decay: float, measures: bool, batches: Batches, n_steps: Array, state: State
) -> tuple[State, Array, Array]:
    """One pass over the batches, an update for each."""
    from jax import lax

    def step(i: Array, now: Learning) -> Learning:
        return learnt(network, rule, decay, measures, now, *batches.evaluated(i, now.params))

    now = lax.fori_loop(0, n_steps, step, about_to_learn(state))
    return ended_epoch(network, state, now, batches.total, n_steps)


class Learning(NamedTuple):
    """In the middle of an epoch of mini-batches: what the updates change, and the sums of costs and squared norms."""

    params: Params
    rule_state: Any
    average: Average | tuple[()]
    costs: Array
    squares: Array


def about_to_learn(state: State) -> Learning:
    """Before the first batch of an epoch."""
    import jax.numpy as jnp

    zero = jnp.zeros((), state.params[0].W.dtype)
    return Learning(state.params, state.rule_state, state.average, zero, zero)


def evaluated_batch(network: Network, params: Params, rows: Table, kept: Any) -> tuple[Evaluated, Array]:
    """Cost, without the penalty, and gradient of a batch; and the weight of its rows."""
    fwd = forward(network, params, rows.X, kept)
    C = cost(replace(network, l2=0.0), fwd, rows.Y, rows.weights)
    gradient = backward(network, params, fwd, rows.Y, rows.weights).gradient
    return Evaluated(C, gradient), namespace(rows.weights).sum(rows.weights)


def learnt(
    network: Network, rule: Rule, decay: float, measures: bool, now: Learning, here: Evaluated, weight: Array
) -> Learning:
    """After one more update, with the cost and the gradient of a batch of so much weight.

    The gradient's norm is taken only if someone looks at it: to measure a gradient costs as much as to apply it.
    """
    import jax.numpy as jnp

    params, rule_state, mean, costs, squares = now
    params, rule_state = update(rule, params, here.gradient, rule_state)
    mean = averaged(mean, params, decay) if mean else mean
    costs += here.cost * weight if network.reduction == "mean" else here.cost
    squares += norm_of(here.gradient) ** 2 if measures else jnp.nan
    return Learning(params, rule_state, mean, costs, squares)


def ended_epoch(
    network: Network, state: State, now: Learning, total: Array, n_steps: Array
) -> tuple[State, Array, Array]:
    """The state after the last batch, the average cost of the epoch's batches, and the norm of their gradients."""
    import jax.numpy as jnp

    C = now.costs / total if network.reduction == "mean" else now.costs
    C = C + penalty(network, now.params) if network.l2 else C
    new = state._replace(params=now.params, rule_state=now.rule_state, average=now.average)
    return new, C, jnp.sqrt(now.squares / n_steps)


@lru_cache(maxsize=1)
def _evaluated() -> Any:
    import jax

    return jax.jit(_evaluate, static_argnums=0)


def _evaluate(network: Network, params: Params, data: Table, kept: Any) -> Evaluated:
    fwd = forward(network, params, data.X, kept)
    C = cost(network, fwd, data.Y, data.weights, params)
    return Evaluated(C, backward(network, params, fwd, data.Y, data.weights).gradient)


def metric_name(network: Network) -> str:
    """The metric taken on validation rows: accuracy where the cost is a cross-entropy, else RMSE."""
    return "accuracy" if network.cost.name.endswith("cross_entropy") else "rmse"


def _validated(network: Network, params: Params, held: Table) -> tuple[Array, Array]:
    fwd, xp = forward(network, params, held.X), namespace(held.X)
    mean = xp.sum(held.weights * per_row_metric(network, fwd.a[-1], held.Y)) / xp.sum(held.weights)
    metric = xp.sqrt(mean) if metric_name(network) == "rmse" else mean
    return cost(replace(network, l2=0.0), fwd, held.Y, held.weights), metric


def per_row_metric(network: Network, y_hat: Array, Y: Array) -> Array:
    """Of each row the mean squared error, or whether its class was told right: (rows,)."""
    xp = namespace(y_hat)
    if metric_name(network) == "rmse":
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
    learning_rate = getattr(rule, "learning_rate", None)  # None: inside a bare optax transformation, out of sight
    return np.nan if learning_rate is None else rate_at(learning_rate, state.rule_state.step - 1)

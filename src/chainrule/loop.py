r"""The compiled loop: epochs of forward, cost, backward and update, until a goal is met.

The program takes the order of the data, it never makes it. Equal designs share a program, whatever their data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.arrays import Array, namespace
from chainrule.averaging import Average, average_from, averaged
from chainrule.batches import Table
from chainrule.dropout import keep
from chainrule.network import Layer, Network, Params, backward, cost, forward, penalty
from chainrule.one_kernel import one_kernel
from chainrule.rules import Rule, norm_of, rate_at, update
from chainrule.stopping import CostGoal, MaxSeconds, NoImprovement, Record, Stop, Unchanged

RUNNING, DIVERGED = 0, -1
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

    measures = any(not isinstance(goal, BLIND_TO_GRADIENTS) for goal in stops)
    whole = batch is None
    one_epoch = _whole_table_epoch(dropout, average) if whole else _mini_batch_epoch(batch, dropout, average, measures)

    def run(
        state: State, data: Table, held: Table | None, slots: Array, n_rows: Array, n_epochs: Array
    ) -> tuple[State, Array]:
        first = state.epoch
        total = jnp.sum(data.weights)

        def epoch(carry: tuple[State, Any]) -> tuple[State, Array]:
            old, block = carry
            i = old.epoch - first
            new, C, norm = one_epoch(network, rule, old, data, slots[i], n_rows)
            change = _largest_change(new.params, old.params)
            new = new._replace(epoch=old.epoch + 1)
            held_cost, metric = _validated(network, new.answering, held) if held else [jnp.array(jnp.nan)] * 2
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
            return kept, block.at[i].set(row)

        def goes_on(carry: tuple[State, Array]) -> Array:
            now = carry[0]
            return (now.epoch - first < n_epochs) & (now.reason == RUNNING)

        block: Any = jnp.zeros((len(slots), 5), data.X.dtype)
        return jax.lax.while_loop(goes_on, epoch, (state, block))

    return one_kernel(run) if tiny else jax.jit(run, donate_argnums=0)


def _whole_table_epoch(dropout: float, decay: float) -> Callable[..., tuple[State, Array, Array]]:
    """One update with the gradient at the current parameters, then cost and gradient at the new ones.

    Cost and gradient at the epoch's end come for nothing: the next epoch's update needs the gradient anyway.
    """

    def epoch(
        network: Network, rule: Rule, state: State, data: Table, order: Array, n_rows: Array
    ) -> tuple[State, Array, Array]:
        assert isinstance(state.here, Evaluated)
        params, rule_state = update(rule, state.params, state.here.gradient, state.rule_state)
        next_keep = keep(network, dropout, state.seed, state.epoch + 2, 0, len(data.X), data.X.dtype)
        here = _evaluate(network, params, data, next_keep)
        new = state._replace(params=params, rule_state=rule_state, here=here)
        new = new._replace(average=averaged(state.average, params, decay)) if state.average else new
        return new, here.cost, norm_of(here.gradient)

    return epoch


def _mini_batch_epoch(
    batch: int, dropout: float, decay: float, measures: bool
) -> Callable[..., tuple[State, Array, Array]]:
    """One pass over the table in the given order, an update for every `batch` rows.

    The gradient's norm is taken only if someone looks at it: to measure a gradient costs as much as to apply it.
    """

    def epoch(
        network: Network, rule: Rule, state: State, data: Table, order: Array, n_rows: Array
    ) -> tuple[State, Array, Array]:
        import jax.numpy as jnp
        from jax import lax

        plain = replace(network, l2=0.0)
        weights = jnp.where(jnp.arange(len(order)) < n_rows, data.weights[order], 0)
        at_once = data.X.size + data.Y.size <= GATHERED_AT_ONCE and network.n_weights <= NARROW
        ordered = (data.X[order], data.Y[order]) if at_once else ()

        def step(i: Array, carry: Any) -> Any:
            params, rule_state, mean, costs, squares = carry
            rows, w = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in (order, weights))
            sliced = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in ordered)
            X, Y = sliced if at_once else (data.X[rows], data.Y[rows])
            fwd = forward(network, params, X, keep(network, dropout, state.seed, state.epoch + 1, i, batch, X.dtype))
            C, gradient = cost(plain, fwd, Y, w), backward(network, params, fwd, Y, w).gradient
            params, rule_state = update(rule, params, gradient, rule_state)
            mean = averaged(mean, params, decay) if mean else mean
            costs += C * jnp.sum(w) if network.reduction == "mean" else C
            squares += norm_of(gradient) ** 2 if measures else jnp.nan
            return params, rule_state, mean, costs, squares

        n_steps = (n_rows + batch - 1) // batch
        zero = jnp.zeros((), data.X.dtype)
        begin = (state.params, state.rule_state, state.average, zero, zero)
        params, rule_state, mean, costs, squares = lax.fori_loop(0, n_steps, step, begin)
        C = costs / jnp.sum(weights) if network.reduction == "mean" else costs
        C = C + penalty(network, params) if network.l2 else C
        return state._replace(params=params, rule_state=rule_state, average=mean), C, jnp.sqrt(squares / n_steps)

    return epoch


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
    fwd = forward(network, params, held.X)
    y_hat, xp = fwd.a[-1], namespace(fwd.a[-1])
    if metric_name(network) == "rmse":
        metric = xp.sqrt(xp.sum(held.weights[:, None] * (y_hat - held.Y) ** 2) / xp.sum(held.weights) / y_hat.shape[1])
    else:
        softmax = network.activations[-1].name == "softmax"
        told, true = (xp.argmax(x, axis=1) if softmax else (x > 0.5) for x in (y_hat, held.Y))
        right = told == true if softmax else xp.all(told == true, axis=1)
        metric = xp.sum(held.weights * right) / xp.sum(held.weights)
    return cost(replace(network, l2=0.0), fwd, held.Y, held.weights), metric


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

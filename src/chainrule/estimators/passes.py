"""Passes over a table in scikit-learn's conventions, many to a dispatch; the estimators decide after each pass.

A fit of few updates is over before a compiler would be: its passes are the same functions, run by NumPy.

What differs from `training`: the penalty alpha/2 times the sum of squared weights is divided by a batch's total weight,
as the cost is; a pass's loss averages the batches by their rows; and the learning rate is an argument of each pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from chainrule.arrays import Array, namespace
from chainrule.averaging import averaged
from chainrule.batches import Table
from chainrule.costs import HALF_SQUARED_ERROR
from chainrule.dropout import keep
from chainrule.network import Layer, Network, Params, backward, cost, forward
from chainrule.rules import has_own_rate, norm_of, update, with_rate

FEW_UPDATES = 250  # up to which, and up to so many multiplications in all, NumPy is done before a compiler
FEW_MULTIPLICATIONS = 5e9


class Progressed(NamedTuple):
    """Parameters, rule state and average after the passes; of each its loss, gradient and outputs on validation rows.

    The gradient is the root mean square of the batches' norms; 0 where it was not asked for. The average is () where
    it was not; where it was, it is what answers for the validation rows.
    """

    params: Params
    rule_state: Any
    average: Any
    losses: Array
    norms: Array
    outputs: Array


class Draws(NamedTuple):
    """What chance decides in the passes: orders (slots, padded rows) of the table, and what dropout leaves out."""

    orders: Array
    seed: Any  # of the dropout
    first: Any  # the number of the first pass since the network was initialized, from 1


class Ways(NamedTuple):
    """What a pass does beside scikit-learn's: the rate of dropout, the decay of the average, whether to take norms."""

    dropout: float = 0.0
    decay: float = 0.0
    norms: bool = False


def is_short(network: Network, updates: int, batch: int) -> bool:
    """Whether so many updates take NumPy less time than importing and running a compiler takes.

    A function of the settings alone, so that the same fit gives the same numbers in whatever process.
    """
    derived = all(x.derivative or getattr(x, "product", None) for x in (*network.activations, network.cost))
    return derived and updates <= FEW_UPDATES and 3 * updates * batch * network.n_weights <= FEW_MULTIPLICATIONS


@contextmanager
def arithmetic(dtype: Any, short: bool) -> Iterator[None]:
    """JAX's arrays in this dtype; or NumPy as silent as JAX about infinities, which the loss tells of."""
    if short:
        with np.errstate(all="ignore"):
            yield
        return
    import jax

    with jax.enable_x64(dtype == np.float64):
        yield


def put(tree: Any, short: bool) -> Any:
    """NumPy arrays, brought to where they are computed with."""
    if short:
        return tree
    import jax

    return jax.device_put(tree)


def back(tree: Any, short: bool) -> Any:
    """What was computed, as NumPy arrays."""
    if short:
        return tree
    import jax

    return jax.tree.map(np.array, tree)


def numpy_passes(network: Network, rule: Any, batch: int, ways: Ways) -> Any:
    """The function that `passes` returns, for NumPy arrays: not compiled, without dropout and schedules."""

    def run(
        params: Params,
        rule_state: Any,
        average: Any,
        table: Table,
        held: Array,
        draws: Draws,
        rates: Array,
        alpha: Array,
        n_rows: int,
        n_passes: int,
    ) -> Progressed:
        of_passes = []
        for order, rate in zip(draws.orders[:n_passes, :n_rows], rates, strict=False):
            rated, losses, squares = with_rate(rule, rate), 0.0, 0.0
            for start in range(0, n_rows, batch):
                rows = order[start : start + batch]
                some = Table(*(x[rows] for x in table))
                loss, gradient = penalised(network, params, some, alpha)
                params, rule_state = update(rated, params, gradient, rule_state)
                average = averaged(average, params, ways.decay) if average else average
                losses += loss * len(rows)
                squares += norm_of(gradient) ** 2 if ways.norms else 0.0
            told = forward(network, answering(params, rule_state, average), held).a[-1]
            of_passes.append((losses / n_rows, np.sqrt(squares / -(-n_rows // batch)), told))
        return Progressed(params, rule_state, average, *map(np.array, zip(*of_passes, strict=True)))

    return run


@lru_cache(maxsize=128)
def passes(network: Network, rule: Any, batch: int, ways: Ways) -> Any:
    """The compiled function (params, rule_state, average, table, held, draws, rates, alpha, n_rows, n_passes)
    -> Progressed.

    `draws.orders` and `rates` (slots,) have room for several passes, of which the first n_passes are made. A
    rule with a schedule, or of the caller's own, has its own rate.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    def step(
        rule: Any, table: Table, order: Array, keeping: Any, alpha: Array, n_rows: Array, i: Array, carry: Any
    ) -> Any:
        params, rule_state, mean, losses, squares = carry
        rows = lax.dynamic_slice_in_dim(order, i * batch, batch)
        real = jnp.asarray(i * batch + jnp.arange(batch) < n_rows, table.X.dtype)
        some = Table(table.X[rows], table.Y[rows], table.weights[rows] * real)
        kept = keep(network, ways.dropout, *keeping, step=i, rows=batch, dtype=table.X.dtype)
        loss, gradient = penalised(network, params, some, alpha, kept)
        params, rule_state = update(rule, params, gradient, rule_state)
        mean = averaged(mean, params, ways.decay) if mean else mean
        squares = squares + norm_of(gradient) ** 2 if ways.norms else squares
        return params, rule_state, mean, losses + loss * jnp.sum(real), squares

    def run(
        params: Params,
        rule_state: Any,
        average: Any,
        table: Table,
        held: Array,
        draws: Draws,
        rates: Array,
        alpha: Array,
        n_rows: Array,
        n_passes: Array,
    ) -> Progressed:
        def one(e: Array, now: Progressed) -> Progressed:
            rated = rule if has_own_rate(rule) else with_rate(rule, rates[e])
            keeping = (draws.seed, draws.first + e)

            def body(i: Array, carry: Any) -> Any:
                return step(rated, table, draws.orders[e], keeping, alpha, n_rows, i, carry)

            n_steps, zero = (n_rows + batch - 1) // batch, jnp.zeros((), table.X.dtype)
            begin = (now.params, now.rule_state, now.average, zero, zero)
            *learned, losses, squares = lax.fori_loop(0, n_steps, body, begin)
            told = forward(network, answering(*learned), held).a[-1]
            of_pass = (losses / n_rows, jnp.sqrt(squares / n_steps), told)
            seen: Any = (now.losses, now.norms, now.outputs)
            return Progressed(*learned, *(all_.at[e].set(x) for all_, x in zip(seen, of_pass, strict=True)))

        slots = draws.orders.shape[0]
        outputs = jnp.zeros((slots, held.shape[0], network.layers[-1]), table.X.dtype)
        numbers = jnp.zeros(slots, table.X.dtype)
        return lax.fori_loop(0, n_passes, one, Progressed(params, rule_state, average, numbers, numbers, outputs))

    return jax.jit(run)


def answering(params: Params, rule_state: Any, average: Any) -> Params:
    """The parameters that predict: the average, where there is one."""
    return average.params if average else params


def penalised(network: Network, params: Params, table: Table, alpha: Array, kept: Any = ()) -> tuple[Array, Params]:
    """The mean cost and its gradient, both with the penalty divided by the rows' total weight."""
    xp = namespace(table.X)
    fwd, total = forward(network, params, table.X, kept), xp.sum(table.weights)
    share = xp.where(total > 0, alpha / xp.where(total > 0, total, 1), 0)  # a batch that weighs nothing asks nothing
    # scikit-learn's squared loss of several outputs is their mean, its gradient that of their sum
    outputs = network.layers[-1] if network.cost is HALF_SQUARED_ERROR else 1
    loss = cost(network, fwd, table.Y, table.weights) / outputs + share / 2 * sum(xp.sum(W**2) for W, _ in params)
    of_cost = backward(network, params, fwd, table.Y, table.weights).gradient
    return loss, tuple(Layer(g.W + share * p.W, g.b) for g, p in zip(of_cost, params, strict=True))


@lru_cache(maxsize=128)
def packed_gradient(network: Network, compiled: bool) -> Any:
    """The function (packed parameters, table, alpha) -> (loss, packed gradient), for L-BFGS.

    Packed is one vector: all weights, layer by layer, then all biases.
    """
    shapes = list(pairwise(network.layers))
    ends = list(accumulate([n_in * n_out for n_in, n_out in shapes] + [n_out for _, n_out in shapes]))

    def run(packed: Any, table: Table, alpha: Array) -> tuple[Array, Array]:
        xp = namespace(packed)
        pieces = xp.split(packed, ends[:-1])
        weights = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=False)]
        params = tuple(Layer(W, b) for W, b in zip(weights, pieces[len(shapes) :], strict=True))
        loss, gradient = penalised(network, params, table, alpha)
        flat = [layer.W.ravel() for layer in gradient] + [layer.b for layer in gradient]
        return loss, xp.concatenate(flat)

    if not compiled:
        return run
    import jax

    return jax.jit(run)

"""Epochs in scikit-learn's conventions, called passes here, several per dispatch.

In contrast to `training`, the penalty of alpha/2 times the sum of squared weights is divided by the total weight of a
batch, like the cost; the loss of a pass averages the batches by their rows; and each pass has its own learning rate.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array, namespace
from chainrule.maths.costs import HALF_SQUARED_ERROR
from chainrule.network import Layer, Network, Params, backward, cost, forward
from chainrule.training.averaging import averaged
from chainrule.training.batches import Table
from chainrule.training.compiling import PROGRAMS, compiled
from chainrule.training.dropout import dropped, keep
from chainrule.training.rules import has_own_rate, norm_of, update, with_rate


class Progressed(NamedTuple):
    """Parameters, rule state and average after the passes; loss, gradient norm and validation outputs of each pass.

    Gradient norms are root mean squares over the batches, or 0 if not requested. The average is () if not requested;
    otherwise it is used for the validation outputs.
    """

    params: Params
    rule_state: Any
    average: Any
    losses: Array
    norms: Array
    outputs: Array


class Draws(NamedTuple):
    """The random draws of the passes: row orders (slots, padded rows), and the seed of dropout."""

    orders: Array
    seed: Any  # of dropout
    first: Any  # number of the first pass, from 1, since the network was initialized


class Ways(NamedTuple):
    """Additions to scikit-learn's passes: dropout rate, decay of the average, whether to compute gradient norms."""

    dropout: float = 0.0
    decay: float = 0.0
    norms: bool = False


@lru_cache(maxsize=PROGRAMS)
def passes(network: Network, rule: Any, batch: int, ways: Ways, quickly: bool = False) -> Any:
    """The compiled function (params, rule_state, average, table, held, draws, rates, alpha, n_rows, n_passes)
    -> Progressed.

    `draws.orders` and `rates` (slots,) have slots for several passes, of which the first n_passes are used. A rule with
    a schedule, or a user-defined rule, determines its own learning rate.
    """
    import jax.numpy as jnp
    from jax import lax

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

            def body(i: Array, carry: Any) -> Any:
                *learned, losses, squares = carry
                rows = lax.dynamic_slice_in_dim(draws.orders[e], i * batch, batch)
                real = jnp.asarray(i * batch + jnp.arange(batch) < n_rows, table.X.dtype)
                some = Table(table.X[rows], table.Y[rows], table.weights[rows] * real)
                place = draws.seed, draws.first + e, i
                *learned, loss, square = stepped(network, rated, ways, some, alpha, place, *learned)
                return *learned, losses + loss * jnp.sum(real), squares + square

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

    return compiled(run, quickly)


def eager_pass(network: Network, rule: Any, batch: int, ways: Ways) -> Any:
    """The function that `passes` compiles, for a single pass, computed with NumPy."""

    def run(
        params: Params,
        rule_state: Any,
        average: Any,
        table: Table,
        held: np.ndarray,
        draws: Draws,
        rates: np.ndarray,
        alpha: Any,
        n_rows: int,
        n_passes: int,
    ) -> Progressed:
        assert n_passes == 1
        rated = rule if has_own_rate(rule) else with_rate(rule, rates[0])
        learned: Any = [params, rule_state, average]
        starts = range(0, n_rows, batch)
        losses = squares = table.X.dtype.type(0)
        for i, start in enumerate(starts):
            rows = draws.orders[0, start : min(start + batch, n_rows)]
            some = Table(table.X[rows], table.Y[rows], table.weights[rows])
            place = draws.seed, draws.first, i
            *learned, loss, square = stepped(network, rated, ways, some, alpha, place, *learned)
            losses, squares = losses + loss * len(rows), squares + square
        told = forward(network, answering(*learned), held).a[-1]
        seen: Any = losses / n_rows, np.sqrt(squares / len(starts)), told
        return Progressed(*learned, *(x[None] for x in seen))

    return run


def stepped(
    network: Network,
    rule: Any,
    ways: Ways,
    some: Table,
    alpha: Any,
    place: tuple[Any, Any, Any],
    *learned: Any,
) -> tuple[Params, Any, Any, Array, Array]:
    """One update of parameters, rule state and average; and the loss and, if asked for, the squared norm before it.

    `place` is the seed of the dropout, the pass and the step.
    """
    params, rule_state, average = learned
    kept = keep(network, dropped(ways.dropout), *place, rows=len(some.X), dtype=some.X.dtype)
    loss, gradient = penalised(network, params, some, alpha, kept)
    params, rule_state = update(rule, params, gradient, rule_state)
    average = averaged(average, params, ways.decay) if average else average
    return params, rule_state, average, loss, norm_of(gradient) ** 2 if ways.norms else 0 * loss


def answering(params: Params, rule_state: Any, average: Any) -> Params:
    """The parameters for prediction: the average, if there is one."""
    return average.params if average else params


def penalised(network: Network, params: Params, table: Table, alpha: Array, kept: Any = ()) -> tuple[Array, Params]:
    """The mean cost and its gradient, both with the penalty divided by the total weight of the rows."""
    xp = namespace(table.X)
    fwd, total = forward(network, params, table.X, kept), xp.sum(table.weights)
    share = xp.where(total > 0, alpha / xp.where(total > 0, total, 1), 0)  # no penalty for a batch of weight 0
    # for several outputs, scikit-learn's squared loss is their mean, but its gradient is that of their sum
    outputs = network.layers[-1] if network.cost is HALF_SQUARED_ERROR else 1
    loss = cost(network, fwd, table.Y, table.weights) / outputs + share / 2 * sum(xp.sum(W**2) for W, _ in params)
    of_cost = backward(network, params, fwd, table.Y, table.weights).gradient
    return loss, tuple(Layer(g.W + share * p.W, g.b) for g, p in zip(of_cost, params, strict=True))


@lru_cache(maxsize=PROGRAMS)
def packed_gradient(network: Network) -> Any:
    """The compiled function (packed parameters, table, alpha) -> (loss, packed gradient), for L-BFGS.

    Parameters are packed into one vector: all weights, layer by layer, then all biases.
    """
    import jax.numpy as jnp

    shapes = list(pairwise(network.layers))
    ends = list(accumulate([n_in * n_out for n_in, n_out in shapes] + [n_out for _, n_out in shapes]))

    def run(packed: Any, table: Table, alpha: Array) -> tuple[Array, Array]:
        pieces = jnp.split(packed, ends[:-1])
        weights = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=False)]
        params = tuple(Layer(W, b) for W, b in zip(weights, pieces[len(shapes) :], strict=True))
        loss, gradient = penalised(network, params, table, alpha)
        flat = [layer.W.ravel() for layer in gradient] + [layer.b for layer in gradient]
        return loss, jnp.concatenate(flat)

    return compiled(run)

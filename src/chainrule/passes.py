"""Passes over a table in scikit-learn's conventions, many to a dispatch; the estimators decide after each pass.

What differs from `training`: the penalty alpha/2 times the sum of squared weights is divided by a batch's total weight,
as the cost is; a pass's loss averages the batches by their rows; and the learning rate is an argument of each pass.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from chainrule.arrays import Array
from chainrule.batches import Table
from chainrule.costs import HALF_SQUARED_ERROR
from chainrule.network import Layer, Network, Params, backward, cost, forward
from chainrule.rules import Adam, GradientDescent, update


class Progressed(NamedTuple):
    """Parameters and rule state after the passes; of each pass its loss and its outputs on the validation rows."""

    params: Params
    rule_state: Any
    losses: Array
    outputs: Array


@lru_cache(maxsize=128)
def passes(network: Network, rule: Any, batch: int) -> Any:
    """The compiled function (params, rule_state, table, held, orders, rates, alpha, n_rows, n_passes) -> Progressed.

    `orders` is (slots, padded rows) and `rates` (slots,), of which the first n_passes are used; the learning rate
    of `rule` itself is not.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    def step(rule: Any, table: Table, order: Array, alpha: Array, n_rows: Array, i: Array, carry: Any) -> Any:
        params, rule_state, losses = carry
        rows = lax.dynamic_slice_in_dim(order, i * batch, batch)
        real = jnp.asarray(i * batch + jnp.arange(batch) < n_rows, table.X.dtype)
        some = Table(table.X[rows], table.Y[rows], table.weights[rows] * real)
        loss, gradient = penalised(network, params, some, alpha)
        params, rule_state = update(rule, params, gradient, rule_state)
        return params, rule_state, losses + loss * jnp.sum(real)

    def run(
        params: Params,
        rule_state: Any,
        table: Table,
        held: Array,
        orders: Array,
        rates: Array,
        alpha: Array,
        n_rows: Array,
        n_passes: Array,
    ) -> Progressed:
        def one(e: Array, now: Progressed) -> Progressed:
            known = isinstance(rule, GradientDescent | Adam)  # a rule of the caller's own has its own learning rate
            with_rate = replace(rule, learning_rate=rates[e]) if known else rule

            def body(i: Array, carry: Any) -> Any:
                return step(with_rate, table, orders[e], alpha, n_rows, i, carry)

            begin = (now.params, now.rule_state, jnp.zeros((), table.X.dtype))
            params, rule_state, losses = lax.fori_loop(0, (n_rows + batch - 1) // batch, body, begin)
            told: Any = forward(network, params, held).a[-1]
            seen: Any = now.losses
            outputs: Any = now.outputs
            return Progressed(params, rule_state, seen.at[e].set(losses / n_rows), outputs.at[e].set(told))

        slots = orders.shape[0]
        outputs = jnp.zeros((slots, held.shape[0], network.layers[-1]), table.X.dtype)
        return lax.fori_loop(0, n_passes, one, Progressed(params, rule_state, jnp.zeros(slots, table.X.dtype), outputs))

    return jax.jit(run)


def penalised(network: Network, params: Params, table: Table, alpha: Array) -> tuple[Array, Params]:
    """The mean cost and its gradient, both with the penalty divided by the rows' total weight."""
    import jax.numpy as jnp

    fwd, share = forward(network, params, table.X), alpha / jnp.sum(table.weights)
    # scikit-learn's squared loss of several outputs is their mean, its gradient that of their sum
    outputs = network.layers[-1] if network.cost is HALF_SQUARED_ERROR else 1
    loss = cost(network, fwd, table.Y, table.weights) / outputs + share / 2 * sum(jnp.sum(W**2) for W, _ in params)
    of_cost = backward(network, params, fwd, table.Y, table.weights).gradient
    return loss, tuple(Layer(g.W + share * p.W, g.b) for g, p in zip(of_cost, params, strict=True))


@lru_cache(maxsize=128)
def packed_gradient(network: Network) -> Any:
    """The compiled function (packed parameters, table, alpha) -> (loss, packed gradient), for L-BFGS.

    Packed is one vector: all weights, layer by layer, then all biases.
    """
    import jax
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

    return jax.jit(run)

"""Where passes are computed: a single short pass with NumPy, all others with a program compiled by XLA.

The choice depends only on the call, that is, on its settings and number of rows, so that the same call gives the same
numbers in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from chainrule.estimators.passes import eager_pass, passes
from chainrule.estimators.widths import resized, widened_design
from chainrule.maths.activations import is_activation_of_ours
from chainrule.maths.costs import is_cost_of_ours
from chainrule.network import Network
from chainrule.training.batches import Table, bucket, on_device, padded_rows, room_for
from chainrule.training.compiling import SMALL_PASS
from chainrule.training.rules import Adam, GradientDescent, unclipped

LIGHT = 10**9  # rows times weights; NumPy computes a pass of this size in about a second
FEWEST = 512  # rows of a padded table; padded rows are never part of a batch
FEWEST_HELD = 64  # validation rows, all of which are computed in each pass


class Executor(NamedTuple):
    """How passes are computed: the padding of tables, the transfer of arrays to the device and back, and the passes.

    `network` is the design that is trained; some of its hidden nodes may be padding.
    """

    network: Network
    room: Callable[[int, int], int]
    table: Callable[[Table, int], Table]
    held: Callable[[np.ndarray], Any]
    put: Callable[[Any], Any]
    fetched: Callable[[Any], Any]
    passes: Callable[..., Any]
    precision: Callable[[Any], Any]


def executor_of(network: Network, rule: Any, n: int, single: bool, dropout: bool) -> Executor:
    """Choose the executor for passes over n rows; `single` if there is only one pass."""
    if single and _is_light(network, rule, n):
        return _eager(network)
    wide = network if dropout else widened_design(network, rule, n)
    return _compiled(network, wide, n * wide.n_weights <= SMALL_PASS)


def _is_light(network: Network, rule: Any, n: int) -> bool:
    """Whether a pass is short in NumPy and has no function that may need JAX."""
    inner = unclipped(rule)
    ours = isinstance(inner, GradientDescent | Adam) and not callable(inner.learning_rate)
    plain = is_cost_of_ours(network.cost) and all(map(is_activation_of_ours, network.activations))
    return ours and plain and n * network.n_weights <= LIGHT


def _room(n: int, batch: int) -> int:
    return room_for(max(n, FEWEST), batch)


def _held_on_device(X: np.ndarray) -> Any:
    import jax

    return jax.device_put(padded_rows(X, bucket(max(len(X), FEWEST_HELD)) if len(X) else 0))


def _precision(dtype: Any) -> Any:
    import jax

    return jax.enable_x64(dtype == np.float64)


def _same(tree: Any) -> Any:
    return tree


def _eager(network: Network) -> Executor:
    return Executor(
        network,
        room=lambda n, _: n,
        table=lambda table, _: table,
        held=_same,
        put=_same,
        fetched=_same,
        passes=eager_pass,
        precision=lambda _: nullcontext(),
    )


def _compiled(network: Network, wide: Network, quickly: bool = False) -> Executor:
    import jax

    def put(tree: Any) -> Any:
        return jax.device_put(resized(tree, wide.layers) if wide is not network else tree)

    def fetched(tree: Any) -> Any:
        tree = jax.tree.map(np.array, tree)
        return resized(tree, network.layers) if wide is not network else tree

    ways = partial(passes, quickly=quickly)
    return Executor(wide, _room, on_device, _held_on_device, put, fetched, ways, _precision)

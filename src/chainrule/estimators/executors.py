"""Where passes are made: a single light one with NumPy, at once; all others by a program that XLA compiles.

Which of the two depends on the call alone, its settings and the number of its rows, so that the same call gives the
same numbers in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from chainrule.estimators.passes import eager_pass, passes
from chainrule.estimators.widths import resized, widened_design
from chainrule.maths.activations import is_activation_of_ours
from chainrule.maths.costs import is_cost_of_ours
from chainrule.network import Network
from chainrule.training.batches import Table, bucket, on_device, room_for
from chainrule.training.rules import Adam, GradientDescent, unclipped

LIGHT = 10**9  # rows times weights of a pass that NumPy makes within a second
FEWEST = 512  # rows that a table is padded to: a pass does not look at those it does not need
FEWEST_HELD = 64  # validation rows, which each pass looks at


class Executor(NamedTuple):
    """Where passes are made: how many rows a table is padded to, how arrays get there and back, what makes passes.

    `network` is the design as it is trained, of which some hidden nodes may be padding.
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
    """Where the passes over n rows are made; `single` says that there is one."""
    if single and _is_light(network, rule, n):
        return _eager(network)
    return _compiled(network, network if dropout else widened_design(network, rule, n))


def _is_light(network: Network, rule: Any, n: int) -> bool:
    """Whether NumPy makes a pass within a second, without a function that may need JAX."""
    inner = unclipped(rule)
    ours = isinstance(inner, GradientDescent | Adam) and not callable(inner.learning_rate)
    plain = is_cost_of_ours(network.cost) and all(map(is_activation_of_ours, network.activations))
    return ours and plain and n * network.n_weights <= LIGHT


def _room(n: int, batch: int) -> int:
    return room_for(max(n, FEWEST), batch)


def _held_on_device(X: np.ndarray) -> Any:
    import jax

    roomy = np.zeros((bucket(max(len(X), FEWEST_HELD)) if len(X) else 0, *X.shape[1:]), X.dtype)
    roomy[: len(X)] = X
    return jax.device_put(roomy)


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


def _compiled(network: Network, wide: Network) -> Executor:
    import jax

    def put(tree: Any) -> Any:
        return jax.device_put(resized(tree, wide.layers) if wide is not network else tree)

    def fetched(tree: Any) -> Any:
        tree = jax.tree.map(np.array, tree)
        return resized(tree, network.layers) if wide is not network else tree

    return Executor(wide, _room, on_device, _held_on_device, put, fetched, passes, _precision)

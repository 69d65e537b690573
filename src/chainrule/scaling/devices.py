r"""Data-parallel training: the rows are distributed over several devices, the parameters are replicated.

A batch consists of the same rows as on one device. Each device computes the sums of cost and gradient over its own
rows of the batch; one reduction adds them up, and then every device makes the same update:

.. math:: C = f\Big(\frac{\sum_k S_k}{\sum_k w_k}\Big), \qquad
          \nabla C = \frac{f'}{\sum_k w_k} \sum_k \nabla S_k

where :math:`S_k` is the weighted sum of the costs of device k's rows of the batch, :math:`w_k` their weight, and f the
outer function of the cost (the root, for RMSE). Only the order of the additions depends on the number of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array
from chainrule.maths.costs import rows_alone
from chainrule.network import Layer, Network, Params, backward, cost, costs_and_shares, forward, masked, penalty
from chainrule.scaling.agreement import Shares, data_digest_together, on_all, shares_of
from chainrule.scaling.processes import AXIS, mesh, one_fate, told
from chainrule.training.arguments import arguments_of, filled_settings, shape_of_settings
from chainrule.training.batches import Table, bucket, checked_table, no_rows, order_of
from chainrule.training.compiling import PROGRAMS, compiled
from chainrule.training.dropout import keep
from chainrule.training.memory import Looked, Rows, fill_orders, order_slots, three
from chainrule.training.program import (
    EPOCHS_PER_DISPATCH,
    Batches,
    looped_over_batches,
    looped_over_table,
    metric_of_mean,
    per_row_metric,
)
from chainrule.training.settings import TrainingSettings
from chainrule.training.state import Evaluated, Moment, Span, State, Sums, first_state

SPARE = 4  # capacity of a device beyond its mean share of a batch, in standard deviations


class OverDevices:
    """The executor for rows on the devices of all processes. See `chainrule.training.memory.Executor`."""

    together = True

    def __init__(
        self,
        settings: TrainingSettings,
        params: Params,
        rows: Rows,
        order: Callable[[int], np.ndarray] | None = None,
    ):
        network, dtype = settings.network, settings.dtype
        with one_fate():
            table = checked_table(network, rows.X, rows.Y, rows.weights, dtype, "training")
            held = None if rows.validation is None else _held_rows(network, rows.validation, dtype)
        self.shares, held_shares = shares_of(len(table.X)), None if held is None else shares_of(len(held.X))
        self.settings, self.params, self.tables = settings, params, (table, held)
        self.rows = n = self.shares.n
        self.batch = settings.batch_of(n)
        self.data = _over_devices(table, self.shares)
        self.held = None if held is None or held_shares is None else _over_devices(held, held_shares)
        self.order = order or partial(order_of, settings.seed, n=n, sample=settings.sample)
        self.slots = order_slots(n, self.batch)
        self.room, self._share = len(self.slots), _Room(self.batch, self.shares)

    def first(self) -> State:
        state = on_all(first_state(self.settings, self.params, self.held is not None))
        if self.batch is not None:
            return state
        shape, arguments = shape_of_settings(self.settings), arguments_of(self.settings)
        evaluated = _first_of_whole_table(shape, bucket(self.rows))
        return state._replace(here=evaluated(state, self.data, None, _first_rows(self.shares), arguments))

    def run(self, at: Moment, span: Span, settings: TrainingSettings) -> tuple[State, Sums, Array]:
        """Make the updates of a span; each device receives the numbers of its own rows."""
        shape, arguments = shape_of_settings(settings), arguments_of(settings)
        counts = Span(*map(np.int32, span))
        if self.batch is None:
            whole = whole_program(shape, bucket(self.rows))
            return whole(at.begin, self.data, self.held, _first_rows(self.shares), counts, arguments)
        fill_orders(self.slots, self.order, self.batch, self.rows, at, span)
        program = batch_program(shape, self.batch, span.divides)
        mine = map(_on_each, self._own_rows(max(1, span.epochs), self.batch))
        return program(at.begin, self.data, self.held, *mine, at.now, at.sums, counts, arguments)

    def _own_rows(self, n_epochs: int, batch: int) -> list[np.ndarray]:
        """For each device of this process: its rows of every batch, and their positions there (-1 for padding)."""
        shares, n = self.shares, self.rows
        devices, steps = range(shares.mine.start, shares.mine.stop), -(-n // batch)
        picked = [[_picked(order[:n], shares, k, batch, steps) for order in self.slots[:n_epochs]] for k in devices]
        room = self._share.enough_for(max((p.most for device in picked for p in device), default=0))
        filled = [np.zeros((len(devices), len(self.slots), steps, room), np.int32) for _ in range(2)]
        filled[1] -= 1
        for i, device in enumerate(picked):
            for j, p in enumerate(device):
                filled[0][i, j, p.step, p.slot], filled[1][i, j, p.step, p.slot] = p.row, p.place
        return filled

    def digest(self) -> str:
        return data_digest_together(self.tables)

    def agreed(self, looked: Looked) -> Looked:
        """The first process decides on the duration; an interrupt of any process counts for all."""
        everyones = told(np.array(looked, np.float64))
        epochs, seconds, is_due, _, _ = everyones[0].tolist()
        pressed, terminated = (bool(column.any()) for column in everyones.T[-2:])
        return Looked(int(epochs), seconds, bool(is_due), pressed, terminated)


def _held_rows(network: Network, validation: tuple[Any, ...], dtype: str) -> Table:
    """The validation rows of this process, possibly none."""
    some = len(validation[0]) > 0
    return checked_table(network, *three(validation), dtype, "validation") if some else no_rows(network, dtype)


def _on_each(rows: np.ndarray) -> Any:
    """Combine arrays (devices, ...) of all processes into one array sharded over all devices."""
    import jax

    apart = jax.sharding.NamedSharding(mesh(), jax.sharding.PartitionSpec(AXIS))
    return jax.make_array_from_process_local_data(apart, rows)


def _over_devices(table: Table, shares: Shares) -> Table:
    """Distribute the table of this process over its devices, padded with rows of weight 0 to equal size."""
    room = bucket(max(1, int(shares.counts.max())))
    counts = shares.counts[shares.mine]
    parts = np.split(np.arange(len(table.X)), np.cumsum(counts)[:-1])
    padded = [np.zeros((len(counts), room, *x.shape[1:]), x.dtype) for x in table]
    for to, x in zip(padded, table, strict=True):
        for i, rows in enumerate(parts):
            to[i, : len(rows)] = x[rows]
    return Table(*map(_on_each, padded))


def _first_rows(shares: Shares) -> Any:
    return _on_each(shares.first[shares.mine].astype(np.int32))


class _Room:
    """The capacity of a device in rows per batch: the maximum over all devices, known to all processes."""

    def __init__(self, batch: int | None, shares: Shares):
        share = shares.counts.max() / shares.n
        wanted = (batch or 1) * share + SPARE * np.sqrt((batch or 1) * share * (1 - share))
        self.rows = 0 if batch is None else min(batch, bucket(int(np.ceil(wanted))))

    def enough_for(self, most: int) -> int:
        self.rows = max(self.rows, bucket(int(told(np.array(most)).max())))
        return self.rows


class _Picked(NamedTuple):
    """A device's rows of an epoch: their batch, slot, number on the device, and position in the batch."""

    step: np.ndarray
    slot: np.ndarray
    row: np.ndarray
    place: np.ndarray
    most: int  # in one batch


def _picked(order: np.ndarray, shares: Shares, device: int, batch: int, steps: int) -> _Picked:
    begin = shares.first[device]
    at = np.flatnonzero((order >= begin) & (order < begin + shares.counts[device]))
    step, place = np.divmod(at, batch)
    begins = np.searchsorted(step, np.arange(steps + 1))
    slot = np.arange(len(at)) - begins[step]
    return _Picked(step, slot, order[at] - begin, place, int(np.diff(begins).max(initial=0)))


@lru_cache(maxsize=PROGRAMS)
def batch_program(shape: TrainingSettings, batch: int, divided: bool = False) -> Any:
    """The compiled loop over mini-batches.

    (begin, data, held, rows, places, now, sums, span, arguments) -> state, sums, rows of the history.
    """

    def run(
        begin: State,
        data: Table,
        held: Table | None,
        rows: Array,
        places: Array,
        now: State,
        sums: Sums,
        span: Span,
        arguments: tuple[Any, ...],
    ) -> tuple[State, Sums, Array]:
        import jax.numpy as jnp

        how, data, rows, places = filled_settings(shape, arguments), _own(data), rows[0], places[0]
        steps = jnp.int32(rows.shape[1])
        there = data.weights[rows] * (places >= 0)  # (epochs, steps, room)
        totals = _added_up(jnp.sum(there, axis=(1, 2)))

        def batches_of(old: State, i: Array) -> Batches:
            def evaluated(k: Array, params: Params) -> tuple[Evaluated, Array]:
                some = rows[i, k]
                kept = keep(how.network, how.dropout, old.seed, old.epoch + 1, k, batch, data.X.dtype)
                table = Table(data.X[some], data.Y[some], there[i, k])
                return evaluated_together(how.network, params, table, _of_places(kept, places[i, k]))

            return Batches(evaluated, totals[i], steps)

        total = _added_up(jnp.sum(data.weights))
        validated = partial(_validated, how.network, held=_own(held) if held else None)
        at = Moment(begin, now, sums, 0)
        return looped_over_batches(how, batches_of, validated, at, total, len(rows), span, divided)

    return _over_mesh(run, n_apart=2, n_same=4)


@lru_cache(maxsize=PROGRAMS)
def whole_program(shape: TrainingSettings, n_rows: int) -> Any:
    """The compiled loop with one update per epoch.

    (state, data, held, first rows of the devices, span, arguments) -> state, sums, rows of the history.
    """

    def run(
        state: State, data: Table, held: Table | None, first: Array, span: Span, arguments: tuple[Any, ...]
    ) -> tuple[State, Sums, Array]:
        import jax.numpy as jnp

        how = filled_settings(shape, arguments)

        def evaluate(params: Params, epoch: Array) -> Evaluated:
            return _evaluated_whole(how, n_rows, params, _own(data), first[0], state.seed, epoch)

        total = _added_up(jnp.sum(data.weights))
        validated = partial(_validated, how.network, held=_own(held) if held else None)
        return looped_over_table(how, evaluate, validated, state, total, EPOCHS_PER_DISPATCH, span)

    return _over_mesh(run, n_apart=1, n_same=2)


def _first_of_whole_table(shape: TrainingSettings, n_rows: int) -> Any:
    """Cost and gradient at the initial parameters: (state, data, held, first rows of the devices, arguments)."""

    def run(state: State, data: Table, held: Table | None, first: Array, arguments: tuple[Any, ...]) -> Evaluated:
        how = filled_settings(shape, arguments)
        return _evaluated_whole(how, n_rows, state.params, _own(data), first[0], state.seed, 1)

    return _over_mesh(run, n_apart=1, n_same=1)


def _over_mesh(run: Callable[..., Any], n_apart: int, n_same: int) -> Any:
    """Compile with a replicated state, sharded data and held; then `n_apart` sharded, `n_same` replicated arguments."""
    import jax

    same, apart = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(AXIS)
    specs = (same, apart, apart, *[apart] * n_apart, *[same] * n_same)
    return compiled(jax.shard_map(run, mesh=mesh(), in_specs=specs, out_specs=same))


def _own(table: Table) -> Table:
    return Table(*(x[0] for x in table))


def _of_places(kept: tuple[Any, ...], places: Array) -> tuple[Any, ...]:
    """Dropout masks of the rows at these positions of the batch."""
    return tuple(None if k is None else k[places] for k in kept)


def _added_up(tree: Any) -> Any:
    """The sums over all devices, in one reduction."""
    import jax
    from jax.flatten_util import ravel_pytree

    flat, unflatten = ravel_pytree(tree)
    return unflatten(jax.lax.psum(flat, AXIS))


def evaluated_together(network: Network, params: Params, rows: Table, kept: Any) -> tuple[Evaluated, Array]:
    """Cost (without the penalty) and gradient of a batch distributed over all devices, and the weight of its rows."""
    import jax
    import jax.numpy as jnp

    sums = replace(network, cost=rows_alone(network.cost), reduction="sum", l2=0.0)
    fwd = forward(sums, params, rows.X, kept)
    S, gradient = cost(sums, fwd, rows.Y, rows.weights), backward(sums, params, fwd, rows.Y, rows.weights).gradient
    S, weight, gradient = _added_up((S, jnp.sum(rows.weights), gradient))
    divisor = jnp.maximum(weight, jnp.finfo(weight.dtype).tiny) if network.reduction == "mean" else 1
    scale = network.cost.outer_derivative(S / divisor) / divisor
    gradient = jax.tree.map(lambda g: scale * g, gradient)
    if network.penalised:
        decayed = zip(gradient, params, network.masks, strict=True)
        gradient = tuple(Layer(g.W + network.l2 * masked(p.W, mask), g.b) for g, p, mask in decayed)
    return Evaluated(network.cost.outer(S / divisor), gradient), weight


def _evaluated_whole(
    how: TrainingSettings, n_rows: int, params: Params, data: Table, first: Array, seed: Array, epoch: Any
) -> Evaluated:
    import jax.numpy as jnp

    network = how.network
    kept = keep(network, how.dropout, seed, epoch, 0, n_rows, data.X.dtype)
    places = jnp.minimum(first + jnp.arange(len(data.X)), n_rows - 1)  # rows beyond the last are padding
    here, _ = evaluated_together(network, params, data, _of_places(kept, places))
    return here._replace(cost=here.cost + penalty(network, params)) if network.penalised else here


def _validated(network: Network, params: Params, held: Table | None) -> Sequence[Array]:
    """Cost and metric of the held-out rows of all devices."""
    import jax.numpy as jnp

    if held is None:
        return [jnp.array(jnp.nan)] * 2
    fwd = forward(network, params, held.X)
    c, _ = costs_and_shares(network, fwd, held.Y, held.weights)
    sums = [jnp.sum(held.weights * x) for x in (c, per_row_metric(network, fwd.a[-1], held.Y))]
    costs, metric, weight = _added_up((*sums, jnp.sum(held.weights)))
    C = network.cost.outer(costs / weight if network.reduction == "mean" else costs)
    return C, metric_of_mean(network, metric / weight)

"""Training on rows that stay on disk: the same updates as in memory, one block of batches at a time.

Rows are read once, distributed over files (see `shards`), and read from there in every epoch. While the device trains
on one block, a thread reads the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array
from chainrule.network import Network, Params, costs_and_shares, forward
from chainrule.scaling.shards import Shards, ShardWriter, plain_blocks, scatter, shuffled_blocks
from chainrule.training.arguments import arguments_of, filled_settings, shape_of_settings
from chainrule.training.batches import Table, checked_table, no_rows
from chainrule.training.compiling import PROGRAMS, compiled
from chainrule.training.dropout import keep
from chainrule.training.memory import Looked, three
from chainrule.training.program import ended_epoch, evaluated_batch, judged, metric_of_mean, per_row_metric, updated
from chainrule.training.settings import TrainingSettings
from chainrule.training.state import Evaluated, Moment, Span, State, Sums, first_state

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_NUMBERS = 2**21  # approximate size of a block, which is transferred to the device at once
SHARDS_OF_UNKNOWN = 256  # files, if the number of rows is not known in advance
AHEAD = 2  # blocks that are read in advance


class InFiles(NamedTuple):
    """Training and validation rows in files."""

    rows: Shards
    held: Shards | None = None


def is_names(Y: Any) -> bool:
    """Whether targets are given as column names, that is, for record batches."""
    return isinstance(Y, str) or (isinstance(Y, list | tuple) and len(Y) > 0 and all(isinstance(y, str) for y in Y))


def check_streamable(settings: TrainingSettings, order: Any, checkpoint: Any, together: bool) -> None:
    """Raise a ValueError for settings that streaming does not support."""
    if settings.batch_size is None:
        raise ValueError("streaming trains in mini-batches: set batch_size")
    given = {"sample": settings.sample != "permutation", "order": order is not None}
    given |= {"checkpoint": checkpoint is not None, "together": together}
    for name in (name for name, there in given.items() if there):
        raise ValueError(f"{name}: not supported for streaming")


@contextmanager
def scattered(
    settings: TrainingSettings,
    batches: Iterable[pa.RecordBatch],
    targets: str | Sequence[str],
    weights: str | None,
    validation: tuple[Array, ...] | None,
) -> Iterator[tuple[Shards, Shards | None]]:
    """Write the rows of Arrow record batches, and the validation rows, to a temporary folder (in `TMPDIR`).

    `targets` and `weights` are column names; the other columns are the inputs, in their order.
    """
    network, dtype, seed = settings.network, settings.dtype, settings.seed
    targets = [targets] if isinstance(targets, str) else list(targets)
    with TemporaryDirectory(prefix="chainrule-") as folder:
        tables = _tables(network, batches, targets, weights, dtype)
        shape = (network.layers[0], network.layers[-1], dtype)
        rows = scatter(tables, ShardWriter(Path(folder, "rows"), SHARDS_OF_UNKNOWN, seed, *shape))
        if not rows.n:
            raise ValueError("expected record batches with one or more rows, got none")
        held = None
        if validation is not None:
            table = checked_table(network, *three(validation), dtype, "validation")
            held = scatter([table], ShardWriter(Path(folder, "held"), 1, seed, *shape))
        yield rows, held


def _tables(
    network: Network, batches: Iterable[Any], targets: Sequence[str], weights: str | None, dtype: str
) -> Iterator[Table]:
    """Inputs, targets and weights of record batches (or tables), with the columns of the first batch."""
    tables: Iterable[Any] = [batches] if hasattr(batches, "to_batches") else batches
    names: list[str] = []
    for table in tables:
        for batch in table.to_batches() if hasattr(table, "to_batches") else [table]:
            names = names or batch.schema.names
            if set(names) - set(batch.schema.names):
                raise ValueError(f"record batches: expected columns {names} as in the first, got {batch.schema.names}")
            yield _table_of(network, batch.select(names), targets, weights, dtype)


def _table_of(
    network: Network, batch: pa.RecordBatch, targets: Sequence[str], weights: str | None, dtype: str
) -> Table:
    """Convert the columns of a record batch to inputs, targets and weights."""
    names = batch.schema.names
    for name in (*targets, *([] if weights is None else [weights])):
        if name not in names:
            raise ValueError(f"record batches: expected a column {name!r}; they have {', '.join(map(repr, names))}")
    apart = {*targets, weights}

    def columns(chosen: Iterable[str]) -> np.ndarray:
        arrays = [_numbers(batch, name) for name in chosen]
        return np.column_stack(arrays) if arrays else np.empty((batch.num_rows, 0))

    X, Y = columns(name for name in names if name not in apart), columns(targets)
    w = None if weights is None else _numbers(batch, weights)
    return checked_table(network, X, Y, w, dtype, "record batches") if batch.num_rows else no_rows(network, dtype)


def _numbers(batch: pa.RecordBatch, name: str) -> np.ndarray:
    column = batch.column(name)
    if column.null_count:
        raise ValueError(f"record batches: column {name!r}: expected numbers, got {column.null_count:,} missing values")
    values = column.to_numpy(zero_copy_only=False)
    try:
        return values.astype(float) if values.dtype == object else values
    except (TypeError, ValueError):
        raise ValueError(
            f"record batches: column {name!r}: expected numbers, got values of type {column.type}"
        ) from None


class InShards:
    """The executor for rows in files: one epoch per dispatch, one block of batches at a time. See `Executor`.

    The order of the rows is that of `shards.shuffled_blocks`.
    """

    together, room = False, 1

    def __init__(self, settings: TrainingSettings, params: Params, rows: Shards, held: Shards | None = None):
        layers = settings.network.layers
        if settings.batch_size is None:
            raise ValueError("streaming trains in mini-batches: set batch_size")
        if (rows.n_in, rows.n_out) != (layers[0], layers[-1]):
            raise ValueError(
                f"expected rows of {layers[0]} inputs and {layers[-1]} targets, got {rows.n_in} and {rows.n_out}"
            )
        self.settings, self.params, self.shards, self.held = settings, params, rows, held
        self.rows = rows.n
        self.batch = min(int(settings.batch_size), rows.n)
        blocks = min(max(1, BLOCK_NUMBERS // (rows.width * self.batch)), -(-rows.n // self.batch))
        self.block_rows = blocks * self.batch

    def first(self) -> State:
        return first_state(self.settings, self.params, self.held is not None)

    def run(self, at: Moment, span: Span, settings: TrainingSettings) -> tuple[State, Sums, Array]:
        """Make the updates of an epoch, or a part of it."""
        import jax

        shape, arguments = shape_of_settings(settings), arguments_of(settings)
        learn = block_program(shape, self.batch)
        epoch, steps = int(at.begin.epoch) + 1, -(-self.rows // self.batch)
        last = steps if span.epochs else span.last
        now, sums, done, total = at.now, at.sums, 0, 0.0
        with closing(read_ahead(shuffled_blocks(self.shards, self.block_rows, settings.seed, epoch))) as blocks:
            for block, there in blocks:
                total += float(block[:, -1].sum(dtype=np.float64))
                first, end = (min(max(x - done, 0), -(-there // self.batch)) for x in (span.first, last))
                before = sums
                now, sums = learn(now, sums, np.int32(epoch), block, *map(np.int32, (done, first, end)), arguments)
                jax.block_until_ready(before)  # so that at most two blocks are queued on the device
                done += -(-there // self.batch)
        if not span.epochs:
            return now, sums, np.empty((0, 5))
        validated = self._validated(now.answering) if self.held else (np.nan, np.nan)
        numbers = (np.asarray(x, self.shards.dtype) for x in (total, *validated))
        state, row = epoch_end(shape)(at.begin, now, sums, np.int32(steps), *numbers, arguments)
        return state, sums, row[None]

    def _validated(self, params: Params) -> tuple[float, float]:
        """Cost and metric of the validation rows, one block at a time."""
        assert self.held is not None
        network, sums, total = replace(self.settings.network, l2=0.0), np.zeros(2), 0.0
        with closing(read_ahead(plain_blocks(self.held, self.block_rows))) as blocks:
            for block, _ in blocks:
                sums += np.asarray(_held_sums(network)(params, block), np.float64)
                total += float(block[:, -1].sum(dtype=np.float64))
        costs, metric = sums
        C = network.cost.outer(np.float64(costs / total if network.reduction == "mean" else costs))
        return float(C), float(metric_of_mean(network, np.float64(metric / total)))

    def digest(self) -> str:
        return self.shards.digest + (self.held.digest if self.held else "")

    def agreed(self, looked: Looked) -> Looked:
        return looked


@lru_cache(maxsize=PROGRAMS)
def block_program(shape: TrainingSettings, batch: int) -> Callable[..., tuple[State, Sums]]:
    """The compiled updates of one block.

    (now, sums, epoch, block, updates before, first, last, arguments) -> now, sums. `first` and `last` are relative to
    the block.
    """
    from jax import lax

    n_in = shape.network.layers[0]

    def run(
        now: State,
        sums: Sums,
        epoch: Array,
        block: Array,
        before: Array,
        first: Array,
        last: Array,
        arguments: tuple[Any, ...],
    ) -> tuple[State, Sums]:
        how = filled_settings(shape, arguments)

        def evaluated(i: Array, params: Params) -> tuple[Evaluated, Array]:
            packed = lax.dynamic_slice_in_dim(block, i * batch, batch)
            some = Table(packed[:, :n_in], packed[:, n_in:-1], packed[:, -1])
            kept = keep(how.network, how.dropout, now.seed, epoch, before + i, batch, block.dtype)
            return evaluated_batch(how.network, params, some, kept)

        return updated(how, evaluated, now, sums, first, last)

    return compiled(run)


@lru_cache(maxsize=PROGRAMS)
def epoch_end(shape: TrainingSettings) -> Callable[..., Any]:
    """The compiled end of an epoch: its state and its row of the history."""

    def run(
        begin: State,
        now: State,
        sums: Sums,
        steps: Array,
        total: Array,
        held: Array,
        metric: Array,
        arguments: tuple[Any, ...],
    ) -> tuple[State, Array]:
        how = filled_settings(shape, arguments)
        C, norm = ended_epoch(how, now, sums, total, steps)
        return judged(how, begin, now, C, norm, total, held, metric)

    return compiled(run)


@lru_cache(maxsize=PROGRAMS)
def _held_sums(network: Network) -> Callable[..., Any]:
    import jax.numpy as jnp

    n_in = network.layers[0]

    def run(params: Params, block: Array) -> Array:
        X, Y, w = block[:, :n_in], block[:, n_in:-1], block[:, -1]
        fwd = forward(network, params, X)
        costs, _ = costs_and_shares(network, fwd, Y, w)
        return jnp.stack([jnp.sum(w * costs), jnp.sum(w * per_row_metric(network, fwd.a[-1], Y))])

    return compiled(run)


def read_ahead(blocks: Iterator[Any]) -> Generator[Any]:
    """Read blocks in a thread; its errors are raised here."""
    ready: Queue[Any] = Queue(AHEAD)
    unwanted, end = Event(), object()

    def read() -> None:
        last: Any = end
        try:
            for block in blocks:
                ready.put(block)
                if unwanted.is_set():
                    return
        except BaseException as error:
            last = error
        ready.put(last)

    thread = Thread(target=read, daemon=True)
    thread.start()
    try:
        while (block := ready.get()) is not end:
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        unwanted.set()
        while thread.is_alive():
            if not ready.empty():
                ready.get()
            thread.join(0.01)

"""Training on rows that stay on disk: the same updates as `training`, a block of batches at a time.

Rows are read once, scattered over files (see `shards`), and read from there in every epoch. While the device learns
from one block, a thread reads the next ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Network, Params, costs_and_shares, forward
from chainrule.scaling.shards import Shards, ShardWriter, plain_blocks, scatter, shuffled_blocks
from chainrule.training.averaging import check_decay
from chainrule.training.batches import Table, checked_table, no_rows
from chainrule.training.checkpoints import Resumable, Safe, design_digest, resumed, safe_in
from chainrule.training.dropout import check_rate, keep
from chainrule.training.goals import MaxSeconds, Stop
from chainrule.training.history import NO_ROWS, appended
from chainrule.training.interrupts import Keyboard, interruptible
from chainrule.training.program import (
    DIVERGED,
    RUNNING,
    Learning,
    State,
    about_to_learn,
    ended_epoch,
    evaluated_batch,
    first_state,
    judged,
    learnt,
    measures_gradients,
    metric_name,
    per_row_metric,
)
from chainrule.training.result import Fit, Progress, Terminated, checked, finished, reason_name
from chainrule.training.rules import Rule

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_NUMBERS = 2**21  # of rows that are handed to the device together, about
SHARDS_OF_UNKNOWN = 256  # files of rows whose number is not known before
AHEAD = 2  # blocks that are read before they are asked for


def is_names(Y: Any) -> bool:
    """Whether targets are told by the names of their columns, and so are in record batches."""
    return isinstance(Y, str) or (isinstance(Y, list | tuple) and len(Y) > 0 and all(isinstance(y, str) for y in Y))


def train_batches(
    network: Network,
    params: Params,
    batches: Iterable[pa.RecordBatch],
    targets: str | Sequence[str],
    *,
    seed: int = 0,
    dtype: str = "float32",
    weights: str | None = None,
    validation: tuple[Array, ...] | None = None,
    **settings: Any,
) -> Fit:
    """Train on Arrow record batches, whose rows go to a temporary folder first (of `TMPDIR`).

    `targets` and `weights` are names of columns; the others are the inputs, in their order. Further settings are
    those of `train_shards`.
    """
    targets = [targets] if isinstance(targets, str) else list(targets)
    with TemporaryDirectory(prefix="chainrule-") as folder:
        tables = _tables(network, batches, targets, weights, dtype)
        shape = (network.layers[0], network.layers[-1], dtype)
        rows = scatter(tables, ShardWriter(Path(folder, "rows"), SHARDS_OF_UNKNOWN, seed, *shape))
        if not rows.n:
            raise ValueError("expected record batches with one row or more, got none")
        held = None
        if validation is not None:
            X, Y, *w = validation
            table = checked_table(network, X, Y, w[0] if w else None, dtype, "validation")
            held = scatter([table], ShardWriter(Path(folder, "held"), 1, seed, *shape))
        return train_shards(network, params, rows, seed=seed, validation=held, **settings)


def _tables(
    network: Network, batches: Iterable[Any], targets: Sequence[str], weights: str | None, dtype: str
) -> Iterator[Table]:
    """Inputs, targets and weights of record batches (or whole tables), columns by the names of the first."""
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
    """The columns of a record batch as inputs, targets and weights."""
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


def train_shards(
    network: Network,
    params: Params,
    rows: Shards,
    *,
    rule: Rule,
    batch_size: int,
    epochs: int = 100,
    stop: Sequence[Stop] = (),
    seed: int = 0,
    validation: Shards | None = None,
    dropout: float = 0.0,
    average: float = 0.0,
    progress: Callable[[Progress], None] | None = None,
    resumable: Resumable | str | None = None,
) -> Fit:
    """Train as `train` does, on rows in files.

    Parameters are those of `train`; rows and updates are the same in number, their order is that of
    `shards.shuffled_blocks`.

    Raises
    ------
    DivergedError, InputError, ValueError
        As `train`.
    """
    import jax

    check_rate(dropout)
    check_decay(average)
    shapes.check_params(network.layers, params)
    if (rows.n_in, rows.n_out) != (network.layers[0], network.layers[-1]):
        raise ValueError(
            f"expected rows of {network.layers[0]} inputs and {network.layers[-1]} targets, got {rows.n_in} and "
            f"{rows.n_out}"
        )
    how = (batch_size, tuple(stop), seed, rows.dtype, dropout, average)
    digests = {
        "design": design_digest(network, params, rule, *how),
        "data": rows.digest + (validation.digest if validation else ""),
    }
    goals, batch = tuple(stop), min(batch_size, rows.n)
    with jax.enable_x64(rows.dtype == "float64"), interruptible(terminable=resumable is not None) as keyboard:
        first = first_state(network, rule, params, None, validation is not None, np.uint32(seed % 2**32), 0.0, average)
        learn = block_program(network, rule, batch, dropout, average, measures_gradients(goals))
        end = epoch_end(network, rule, goals)
        with nullcontext() if resumable is None else safe_in(resumable, digests) as safe:
            state, history = resumed(safe, first) if safe else (first, NO_ROWS)
            one_pass = partial(_pass, network, rows, validation, batch, seed, learn, end)
            state, history, stopped_by = _drive(one_pass, state, history, epochs, goals, keyboard, progress, safe)
    return checked(finished(state, history, stopped_by, network, batch))


def _pass(
    network: Network,
    rows: Shards,
    held: Shards | None,
    batch: int,
    seed: int,
    learn: Callable[..., Learning],
    end: Callable[..., Any],
    state: State,
) -> tuple[State, Array]:
    """One pass over the rows: the state after it, and its row of the history."""
    import jax

    epoch, size = int(state.epoch) + 1, _block_rows(rows, batch)
    now, done, total = about_to_learn(state), 0, 0.0
    with closing(read_ahead(shuffled_blocks(rows, size, seed, epoch))) as blocks:
        for block, there in blocks:
            total += float(block[:, -1].sum(dtype=np.float64))
            before, now = now, learn(now, state.seed, np.int32(epoch), np.int32(done // batch), block, np.int32(there))
            jax.block_until_ready(before)  # so that no more than two blocks wait for the device
            done += there
    validated = held_cost(network, state_params(now), held, size) if held else (np.nan, np.nan)
    numbers = (np.asarray(x, rows.dtype) for x in (total, *validated))
    return end(state, now, np.int32(-(-rows.n // batch)), *numbers)


def _block_rows(rows: Shards, batch: int) -> int:
    """How many rows go to the device together: whole batches, and no more than there are."""
    return min(max(1, BLOCK_NUMBERS // (rows.width * batch)), -(-rows.n // batch)) * batch


def state_params(now: Learning) -> Params:
    """The parameters that are validated."""
    return now.average.params if now.average else now.params


@lru_cache(maxsize=128)
def block_program(
    network: Network, rule: Rule, batch: int, dropout: float, average: float, measures: bool
) -> Callable[..., Learning]:
    """The compiled updates of one block: (learning, seed, epoch, updates before, block, rows in it) -> learning."""
    import jax
    from jax import lax

    n_in = network.layers[0]

    def run(now: Learning, seed: Array, epoch: Array, before: Array, block: Array, there: Array) -> Learning:
        def step(i: Array, now: Learning) -> Learning:
            packed = lax.dynamic_slice_in_dim(block, i * batch, batch)
            some = Table(packed[:, :n_in], packed[:, n_in:-1], packed[:, -1])
            kept = keep(network, dropout, seed, epoch, before + i, batch, block.dtype)
            return learnt(network, rule, average, measures, now, *evaluated_batch(network, now.params, some, kept))

        return lax.fori_loop(0, (there + batch - 1) // batch, step, now)

    return jax.jit(run)


@lru_cache(maxsize=128)
def epoch_end(network: Network, rule: Rule, stops: tuple[Stop, ...]) -> Callable[..., Any]:
    """The compiled look at an epoch that has ended: the state after it, and its row of the history."""
    import jax

    def run(old: State, now: Learning, steps: Array, total: Array, held: Array, metric: Array) -> tuple[State, Array]:
        new, C, norm = ended_epoch(network, old, now, total, steps)
        return judged(network, rule, stops, old, new, C, norm, total, held, metric)

    return jax.jit(run)


def held_cost(network: Network, params: Params, held: Shards, block_rows: int) -> tuple[float, float]:
    """The cost of the validation rows and their metric, a block at a time."""
    sums, total = np.zeros(2), 0.0
    with closing(read_ahead(plain_blocks(held, block_rows))) as blocks:
        for block, _ in blocks:
            sums += np.asarray(_held_sums(network)(params, block), np.float64)
            total += float(block[:, -1].sum(dtype=np.float64))
    costs, metric = sums
    C = network.cost.outer(np.float64(costs / total if network.reduction == "mean" else costs))
    return float(C), float(np.sqrt(metric / total) if metric_name(network) == "rmse" else metric / total)


@lru_cache(maxsize=128)
def _held_sums(network: Network) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    n_in = network.layers[0]

    def run(params: Params, block: Array) -> Array:
        X, Y, w = block[:, :n_in], block[:, n_in:-1], block[:, -1]
        fwd = forward(network, params, X)
        costs, _ = costs_and_shares(network, fwd, Y, w)
        return jnp.stack([jnp.sum(w * costs), jnp.sum(w * per_row_metric(network, fwd.a[-1], Y))])

    return jax.jit(run)


def read_ahead(blocks: Iterator[Any]) -> Generator[Any]:
    """The same, read by a thread; what goes wrong there is raised here."""
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


def _drive(
    one_pass: Callable[[State], tuple[State, Array]],
    state: State,
    rows: np.ndarray,
    epochs: int,
    stop: Sequence[Stop],
    keyboard: Keyboard,
    progress: Callable[[Progress], None] | None,
    safe: Safe | None,
) -> tuple[State, np.ndarray, str]:
    """Pass after pass, until a goal, the clock or the keyboard says stop."""
    done, reason, seconds = int(state.epoch), int(state.reason), rows[-1, -1] if len(rows) else 0.0
    limit = min((goal.seconds for goal in stop if isinstance(goal, MaxSeconds)), default=np.inf)
    began = time.perf_counter() - seconds
    while done < epochs and reason == RUNNING and not keyboard.pressed and seconds < limit:
        state, row = one_pass(state)
        reason, seconds = int(state.reason), time.perf_counter() - began
        if reason != DIVERGED:
            done += 1
            rows = appended(rows, np.array([[done, *np.asarray(row, np.float64), seconds]]))
            if progress:
                progress(Progress(done, epochs, rows[-1, 1], rows[-1, 2], seconds))
        if safe and safe.is_due(done):
            safe.keep(state, rows)
    if safe and safe.epoch < done:
        safe.keep(state, rows)
    if keyboard.terminated and done < epochs and reason == RUNNING:
        raise Terminated(safe.epoch if safe else 0)
    return state, rows, reason_name(reason, stop, seconds >= limit, keyboard.pressed and done < epochs)

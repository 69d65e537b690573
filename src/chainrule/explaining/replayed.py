"""Explain updates of a run, by replaying it, and its predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.driver import Driver
from chainrule.errors import InputError, UsageError, nearest
from chainrule.explaining.story import Course, Opened, Story, Working
from chainrule.explaining.trace import Names, Trace, names_of, trace_prediction, trace_step
from chainrule.network import forward
from chainrule.replay import Before, go_to, next_update, order_at
from chainrule.tables.columns import KINDS, NUMBER, TEXT
from chainrule.tables.fit import TableModel, rows_of
from chainrule.tables.kinds import value_sql
from chainrule.tables.plan import Plan
from chainrule.tables.predict import check_source
from chainrule.tables.prepare import Prepared, prepare
from chainrule.tables.reading import fetch, open_table
from chainrule.tables.reading.once import forget, read_once
from chainrule.tables.recorded import Named, table_again
from chainrule.tables.request import MOST_LAYERS
from chainrule.tables.run_folder import (
    HISTORY,
    checkpoint_epochs,
    load_table_model,
    plan_of_run,
    read_checkpoint,
    read_history,
    read_metrics,
)
from chainrule.tables.target import decode
from chainrule.training.memory import Rows
from chainrule.training.rules import rule_words
from chainrule.training.state import State

if TYPE_CHECKING:
    import pyarrow as pa


HERE = Named()
MOST_FRAMES = 8  # updates in a story, besides the requested one
MOST_ROWS = 4096  # of an update; with more, a story holds the requested update only


class Replayed(NamedTuple):
    """A run's training, ready to be replayed."""

    run: str
    model: TableModel
    prepared: Prepared
    driver: Driver
    rows: Rows
    last: int  # epoch

    @property
    def numbers(self) -> np.ndarray:
        """The row numbers of the training rows in the table, from 1."""
        return self.prepared.numbers[self.prepared.split.train]


def open_step(
    run: str | os.PathLike[str],
    epoch: int,
    batch: int | None = None,
    row: int | None = None,
    named: Named = HERE,
) -> Opened:
    """Replay a run up to an update and record that update.

    Parameters
    ----------
    run : str or os.PathLike
        The run folder.
    epoch : int
        The epoch, from 1.
    batch : int, optional
        The batch within the epoch, from 1; by default the one that contains `row`, or the first.
    row : int, optional
        A row of the table, from 1.
    named : Named
        The table of the run, if it has moved or comes from a query.

    Returns
    -------
    Opened
        The trace of the update, with the raw columns of its rows.

    Raises
    ------
    InputError
        If the table is missing or has changed, or if there is no such epoch, batch or row.
    """
    return _step(_replayed(run, named), epoch, batch, row)


def open_story(
    run: str | os.PathLike[str],
    epoch: int,
    batch: int | None = None,
    row: int | None = None,
    named: Named = HERE,
) -> Story:
    """The update, updates with the same row after other checkpoints, and the cost history."""
    replayed = _replayed(run, named)
    asked = _step(replayed, epoch, batch, row)
    told = asked.trace.rows[0] if row is None else row
    wide = len(asked.trace.rows) > MOST_ROWS
    others = [] if wide else [e + 1 for e in checkpoint_epochs(run) if e + 1 != epoch and e < replayed.last]
    spread = np.unique(np.linspace(0, len(others) - 1, min(MOST_FRAMES, len(others))).round().astype(int))
    frames = {others[i]: _step(replayed, others[i], None, told) for i in spread} | {epoch: asked}
    epochs = sorted(frames)
    return Story(tuple(frames[e] for e in epochs), epochs.index(epoch), course_of(run))


def course_of(run: str | os.PathLike[str]) -> Course:
    """The cost history of a run."""
    history, metrics = read_history(run), read_metrics(run)
    last = int(history["epoch"][-1]) if len(history["epoch"]) else 0
    if last != metrics.epochs:
        raise InputError(f"{run}: its {HISTORY} ends with epoch {last}, but the run ended with epoch {metrics.epochs}")
    return Course(
        history["epoch"].astype(int),
        history["cost"],
        history["validation_cost"],
        metrics.history_cost_is,
        metrics.best_epoch,
    )


def _replayed(run: str | os.PathLike[str], named: Named) -> Replayed:
    model = load_table_model(run)
    plan = plan_of_run(run, model.network)
    hidden = len(model.network.layers) - 2
    if hidden > MOST_LAYERS:
        raise InputError(f"{run}: has {hidden:,} hidden layers; runs of chainrule train have at most {MOST_LAYERS}")
    prepared = _prepared_again(run, plan, model, named)
    rows, last = rows_of(prepared, plan.balanced), read_metrics(run).epochs
    try:
        driver = Driver(plan.settings, model.params, rows)
        driver.begin_from(read_checkpoint(run, 0, driver.at.begin))
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"{run}: its plan is not valid: {error}") from error
    return Replayed(str(run), model, prepared, driver, rows, last)


def _step(replayed: Replayed, epoch: int, batch: int | None, row: int | None) -> Opened:
    run, model, prepared, driver, rows, last = replayed
    numbers, size = replayed.numbers, driver.executor.batch or driver.executor.rows
    if epoch > last:
        raise InputError(f"--epoch {epoch}: the run ended after epoch {last}")
    if row is not None and row not in numbers:
        raise InputError(
            f"--row {row}: not one of the {len(numbers):,} training rows of the run: {_other(prepared, row)}"
        )
    try:
        if batch is None and row is not None:
            batch = int(np.flatnonzero(numbers[order_at(driver, epoch)] == row)[0]) // size + 1
        batch = 1 if batch is None else batch
        go_to(driver, epoch, batch, _nearest_checkpoint(run, epoch, driver.at.begin))
        before = next_update(driver)
    except ValueError as error:
        raise InputError(f"{run}: {error}") from error
    shown = numbers[before.rows]
    if row is not None and row not in shown:
        raise InputError(f"--row {row}: not in batch {batch} of epoch {epoch}; omit --batch to find its batch")
    trace = trace_next(driver, before, rows, shown, _names(model), run=run)
    table = prepared.table.take(prepared.split.train[before.rows])
    targets = {name: [_text(x, "") for x in table.column(name).to_pylist()] for name in model.target.names}
    return Opened(trace, {**_raw(table, model), **targets}, _workings(table, model))


def trace_next(driver: Driver, before: Before, data: Rows, numbers: np.ndarray, names: Names, **about: Any) -> Trace:
    """Make and record the next update; `before` is the state it starts from, `numbers` its row numbers."""
    some, rule = before.rows, driver.settings.rule
    place = {"epoch": driver.epochs + 1, "batch": driver.at.updates + 1, "batches": before.updates}
    return trace_step(
        driver.settings.network,
        before.params,
        data.X[some],
        data.Y[some],
        rule=rule,
        rule_state=before.rule_state,
        weights=None if data.weights is None else data.weights[some],
        keep=before.keep,
        rows=numbers.tolist(),
        names=names,
        about={**place, "rule": rule_words(rule), **about},
    )


def open_prediction(
    run: str | os.PathLike[str], files: Sequence[str], row: int = 1, output: str | None = None
) -> Opened:
    """Explain the prediction for a row of a table.

    Parameters
    ----------
    run : str or os.PathLike
        The run folder or model file.
    files : sequence of str
        The files of the table.
    row : int
        The row, from 1.
    output : str, optional
        The class or target that is traced back to the inputs; by default the predicted class, or the first target.

    Returns
    -------
    Opened
        The trace of the prediction, with the raw columns of the row.

    Raises
    ------
    InputError
        If the table lacks a column of the model, or has no such row.
    """
    model, source = load_table_model(run), open_table(list(files))
    check_source(model, source)
    table = fetch(source, [(column.name, value_sql(source, column)) for column in model.encoding.read_as])
    if not 1 <= row <= table.num_rows:
        raise InputError(f"--row {row}: expected a row from 1 to {table.num_rows:,} of {source.name}")
    one = table.slice(row - 1, 1)
    X = model.encoding.encode(one, np.float64)
    names = _names(model)
    last = np.asarray(forward(model.network, model.params, X).a[-1])
    told, answers = decode(model.target, last)
    place = _place_of_output(model, names, output, int(told[0]) if model.target.task == "multiclass" else 0)
    about = {"run": str(run), "file": source.name}
    trace = trace_prediction(model.network, model.params, X, output=place, rows=[row], names=names, about=about)
    return Opened(trace, _raw(one, model), _workings(one, model), tuple(_answer(model, last[0], answers[0])))


def _place_of_output(model: TableModel, names: Names, name: str | None, otherwise: int) -> int:
    if name is None:
        return otherwise
    if name in names.outputs:
        return names.outputs.index(name)
    if name in model.target.classes:
        other = names.outputs[0]
        raise UsageError(
            f"--output {name}: the only output is {other}; effects on {name} are the same with the opposite sign"
        )
    raise UsageError(f"--output {name}: expected one of {', '.join(names.outputs)}{nearest(name, names.outputs)}")


def _answer(model: TableModel, last: np.ndarray, answers: np.ndarray) -> list[str]:
    """The prediction in words: a class with probabilities, or numbers in the units of the targets."""
    target = model.target
    if target.task != "regression":
        likely = np.argsort(-answers, kind="stable")[:5]
        listed = ", ".join(f"{target.classes[k]} {answers[k]:.4g}" for k in likely)
        return [f"predicted: {target.classes[likely[0]]} (probabilities: {listed})"]
    if not target.scaled:
        return [f"predicted: {name} = {value:.6g}" for name, value in zip(target.names, answers, strict=True)]
    told = zip(target.names, target.mean, target.std, last, answers, strict=True)
    return [f"predicted: {n} = {mean:.6g} + {std:.6g} * {a:.4g} = {value:.6g}" for n, mean, std, a, value in told]


def _workings(table: pa.Table, model: TableModel) -> dict[str, Working]:
    """How the inputs are computed from the raw columns of the rows."""
    workings = {}
    for column in model.encoding.columns:
        values, inputs = table.column(column.name).to_pylist(), column.inputs
        workings |= {inputs[place]: Working(column, place, values) for place in column.worked_out}
    return workings


def _prepared_again(run: Any, plan: Plan, model: TableModel, named: Named) -> Prepared:
    """Read, split and encode the table of the run as for its training."""
    source = read_once(table_again(run, named))
    prepared = prepare(source, **vars(plan.preparing))
    forget(source)
    if prepared.encoding != model.encoding or prepared.target != model.target:
        raise InputError(
            f"{run}: its table has changed: its encoding differs from the one that the run was trained with"
        )
    return prepared


def _nearest_checkpoint(run: str, epoch: int, like: State) -> list[State]:
    """The last checkpoint before an epoch, if there is one."""
    known = [e for e in checkpoint_epochs(run) if e < epoch]
    return [read_checkpoint(run, known[-1], like)] if known else []


def _names(model: TableModel) -> Names:
    return names_of(model.network, model.encoding.inputs, model.target.outputs)


def _other(prepared: Prepared, row: int) -> str:
    """Why a row is not a training row."""
    for part, rows in (("validation", prepared.split.validation), ("test", prepared.split.test)):
        if row in prepared.numbers[rows]:
            return f"it is a {part} row"
    return f"the table has {prepared.n_rows:,} rows" if row > prepared.n_rows else "it has no target"


def _raw(table: pa.Table, model: TableModel) -> dict[str, list[str]]:
    """The raw columns of the model, formatted for display."""
    return {
        column.name: [_text(x, column.kind) for x in table.column(column.name).to_pylist()]
        for column in model.encoding.columns
    }


def _text(value: Any, kind: str) -> str:
    """A raw value for display; without a kind (targets), the type of the value decides."""
    read_as = kind or (TEXT if isinstance(value, str) else NUMBER).name
    return KINDS[read_as].shown(value)

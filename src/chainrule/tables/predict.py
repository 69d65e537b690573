"""Apply a trained model to new rows, with its own encoding, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import InputError, UsageError, nearest
from chainrule.tables.fit import TableModel, add_rows, numbers_of_a_row, outputs, scorer_of
from chainrule.tables.kinds import check_values, value_sql
from chainrule.tables.memory import NUMBER, rows_at_once
from chainrule.tables.metrics import Scores
from chainrule.tables.reading import Source, batches, fetch, quoted
from chainrule.tables.target import decode, encode_target, truth_of
from chainrule.tables.writing import FORMATS, writer

if TYPE_CHECKING:
    import pyarrow as pa

SOME_ROWS = 1000  # from which the size of a row is estimated
AS_TEXT = 4  # doubles: the size of a number as text, by itself and in its line


def predict_to(model: TableModel, source: Source, out: str) -> int:
    """Write the columns of a table, followed by the predictions, in the order of the rows.

    Parameters
    ----------
    model : TableModel
        The trained model.
    source : Source
        The table.
    out : str
        The output file, whose suffix selects the format and which is written atomically; "-" for standard output.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    UsageError
        If the suffix of `out` is unknown.
    InputError
        If the table lacks a column of the model, contains a value that cannot be read as its kind, or already has a
        column with the name of a prediction; or if `out` cannot be written.
    """
    if out != "-" and Path(out).suffix.lower() not in FORMATS:
        raise UsageError(f"-o {out}: expected a file name ending in {', '.join(FORMATS)}, or - for standard output")
    if Path(out).exists() and any(Path(out).samefile(path) for path in source.files):
        raise InputError(f"-o {out}: is an input file; choose another name")
    check_source(model, source)
    names = prediction_names(model)
    taken = [name for name in names if name in source.types]
    if taken:
        raise InputError(f"{source.name}: already has a column {taken[0]!r}; rename or drop it first")
    rows = 0
    with writer(out) as write:
        for answered in _answers(model, source, names):
            write(answered)
            rows += answered.num_rows
        if not rows:
            raise InputError(f"{source.name}: has a header but no rows of data")
    return rows


def predicted(model: TableModel, source: Source) -> pa.Table:
    """Predict the rows of a table.

    Parameters
    ----------
    model : TableModel
        The trained model.
    source : Source
        The table.

    Returns
    -------
    pyarrow.Table
        The predictions, one row per row of the source, with the columns of `prediction_names`.

    Raises
    ------
    InputError
        If the table lacks a column of the model, or contains a value that cannot be read as its kind.
    """
    import pyarrow as pa

    check_source(model, source)
    read = [(column.name, value_sql(source, column)) for column in model.encoding.read_as]
    names, answers = prediction_names(model), []
    for batch in batches(source, read, _rows_at_once(model, source, read)):
        X = model.encoding.encode(pa.Table.from_batches([batch]))
        answers.append(pa.table(_answer_columns(model, X), names))
    if not answers:
        raise InputError(f"{source.name}: has a header but no rows of data")
    return pa.concat_tables(answers)


def evaluate(model: TableModel, source: Source) -> tuple[Scores, int]:
    """Score the rows of a table that have a target, in bounded memory.

    Parameters
    ----------
    model : TableModel
        The trained model.
    source : Source
        The table.

    Returns
    -------
    scores : Scores
        The scores on the rows with a target.
    without : int
        The number of rows without a target.
    """
    import pyarrow as pa

    check_source(model, source, with_target=True)
    scored, n, without, read = scorer_of(model), 0, 0, _read(model, source)
    for batch in batches(source, read, _rows_at_once(model, source, read)):
        table = _having_targets(model, pa.Table.from_batches([batch]))
        add_rows(scored, model, model.encoding.encode(table), truth_of(model.target, table, before=n))
        n, without = n + table.num_rows, without + batch.num_rows - table.num_rows
    if not n:
        raise _no_targets(model, source)
    return scored.scores(), without


def rows_with_targets(model: TableModel, source: Source) -> tuple[np.ndarray, pa.Table, int]:
    """The encoded rows with a target, their columns, and the number of rows without a target."""
    table, without = _with_targets(model, source)
    return model.encoding.encode(table), table, without


def encoded_rows(model: TableModel, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """X and Y of the rows with a target, in float64."""
    table, _ = _with_targets(model, source)
    return model.encoding.encode(table, np.float64), encode_target(model.target, table)


def _with_targets(model: TableModel, source: Source) -> tuple[pa.Table, int]:
    """The model's columns for the rows with a target, and the number of rows without a target."""
    check_source(model, source, with_target=True)
    table = fetch(source, _read(model, source))
    there = _having_targets(model, table)
    if not there.num_rows:
        raise _no_targets(model, source)
    return there, table.num_rows - there.num_rows


def _read(model: TableModel, source: Source) -> list[tuple[str, str]]:
    """The model's columns and the SQL that reads them."""
    columns = [*model.encoding.read_as, *model.target.columns]
    return [(column.name, value_sql(source, column)) for column in columns]


def _having_targets(model: TableModel, table: pa.Table) -> pa.Table:
    for name in model.target.names:
        table = table.filter(table.column(name).is_valid())
    return table


def _no_targets(model: TableModel, source: Source) -> InputError:
    return InputError(f"{source.name}: no row has a value in {', '.join(map(repr, model.target.names))}")


def check_source(model: TableModel, source: Source, with_target: bool = False) -> None:
    """Check that the source has the columns of the model, in any order, with values of the right kinds."""
    needed = [*model.encoding.read_as, *(model.target.columns if with_target else ())]
    absent = [column.name for column in needed if column.name not in source.types]
    if absent:
        listed = ", ".join(map(repr, absent[:5])) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise InputError(
            f"{source.name}: lacks a column that the model needs: {listed}{nearest(absent[0], source.types)}"
        )
    check_values(source, needed)


def prediction_names(model: TableModel) -> list[str]:
    """The names of prediction columns: `prediction` and one probability per class, or one number per target."""
    if model.target.task == "regression":
        several = len(model.target.names) > 1
        return [f"prediction {name}" for name in model.target.names] if several else ["prediction"]
    return ["prediction", *(f"probability {label}" for label in model.target.classes)]


def _answers(model: TableModel, source: Source, names: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of the source in batches, with the raw columns and the predictions."""
    import pyarrow as pa

    raw = [(name, quoted(name)) for name in source.types]
    read = [(f"input {i}", value_sql(source, column)) for i, column in enumerate(model.encoding.read_as)]
    at_once = _rows_at_once(model, source, [*raw, *read], AS_TEXT * len(names))
    for batch in batches(source, [*raw, *read], at_once):
        columns = batch.columns  # by position: the table may have any column names
        inputs = pa.table(columns[len(raw) :], [column.name for column in model.encoding.read_as])
        answers = _answer_columns(model, model.encoding.encode(inputs))
        yield pa.table([*columns[: len(raw)], *answers], [*source.types, *names])


def _answer_columns(model: TableModel, X: np.ndarray) -> list[pa.Array]:
    import pyarrow as pa

    told, answers = decode(model.target, outputs(model, X))
    numbers = [pa.array(column) for column in np.ascontiguousarray(answers.T)]
    return numbers if model.target.task == "regression" else [pa.array(model.target.classes).take(told), *numbers]


def _rows_at_once(model: TableModel, source: Source, columns: list[tuple[str, str]], more: int = 0) -> int:
    """Rows per batch, from the size of the first rows, the numbers the network computes per row, and `more`."""
    some = source._replace(sql=f"(SELECT * FROM {source.sql} LIMIT {SOME_ROWS})")
    table = fetch(some, columns)
    return rows_at_once(table.nbytes / max(1, table.num_rows) / NUMBER + numbers_of_a_row(model) + more)

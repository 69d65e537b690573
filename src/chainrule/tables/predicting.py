"""A trained model on new rows: read with the model's own encoding, any number of rows, a bounded number at a time."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import InputError, UsageError
from chainrule.names import nearest
from chainrule.storage.files import written_aside
from chainrule.tables.fitting import TableModel, outputs, score_outputs
from chainrule.tables.kinds import check_values, value_sql
from chainrule.tables.metrics import Scores
from chainrule.tables.reading import Source, batches, fetch, quoted
from chainrule.tables.target import decode, encode_target, truth_of

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")


def predict_to(model: TableModel, source: Source, out: str) -> int:
    """Write the source's columns, then the predictions, to a file (by its suffix) or, for "-", to standard output.

    Rows keep their order. Returns their number. A file is written whole or not at all.

    Raises
    ------
    InputError
        If the source lacks a column of the model, holds a value that cannot be read as its kind, or already has
        a column of a prediction's name; or if `out` cannot be written.
    """
    if out != "-" and Path(out).suffix.lower() not in FORMATS:
        raise UsageError(f"-o {out}: expected a name that ends in {', '.join(FORMATS)}, or - for standard output")
    if Path(out).exists() and any(Path(out).samefile(path) for path in source.files):
        raise InputError(f"-o {out}: is the input itself; name another file")
    check_source(model, source)
    names = prediction_names(model)
    taken = [name for name in names if name in source.types]
    if taken:
        raise InputError(f"{source.name}: already has a column {taken[0]!r}; rename or drop it first")
    rows = 0
    with _writer(out) as write:
        for answered in _answers(model, source, names):
            write(answered)
            rows += answered.num_rows
        if not rows:
            raise InputError(f"{source.name}: there is a header but no row of data")
    return rows


def evaluate(model: TableModel, source: Source) -> tuple[Scores, int]:
    """Scores on the rows that have a target, and the number of rows that have none.

    A table of any size: of each row only the outputs and the target are kept.
    """
    import pyarrow as pa

    check_source(model, source, with_target=True)
    told, truth, n = [], [], 0
    for batch in batches(source, _read(model, source)):
        n += batch.num_rows
        table = _having_targets(model, pa.Table.from_batches([batch]))
        truth.append(truth_of(model.target, table, before=sum(map(len, truth))))
        told.append(outputs(model, model.encoding.encode(table)))
    answered = np.concatenate(told) if told else np.empty((0, model.target.n_outputs))
    if not len(answered):
        raise _no_targets(model, source)
    return score_outputs(model, answered, np.concatenate(truth)), n - len(answered)


def rows_with_targets(model: TableModel, source: Source) -> tuple[np.ndarray, pa.Table, int]:
    """The encoded rows that have a target, their columns, and the number of rows that have none."""
    table, without = _with_targets(model, source)
    return model.encoding.encode(table), table, without


def encoded_rows(model: TableModel, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """X and Y of the rows that have a target, in float64."""
    table, _ = _with_targets(model, source)
    return model.encoding.encode(table, np.float64), encode_target(model.target, table)


def _with_targets(model: TableModel, source: Source) -> tuple[pa.Table, int]:
    """The model's columns in the rows that have a target, and the number of rows that have none."""
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
    """The source has the model's columns (in any order, among others), and their values are of its kinds."""
    needed = [*model.encoding.read_as, *(model.target.columns if with_target else ())]
    absent = [column.name for column in needed if column.name not in source.types]
    if absent:
        listed = ", ".join(map(repr, absent[:5])) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise InputError(
            f"{source.name}: the model needs a column that is not there: {listed}{nearest(absent[0], source.types)}"
        )
    check_values(source, needed)


def prediction_names(model: TableModel) -> list[str]:
    """The columns that predictions add: `prediction` and one probability per class, or one number per target."""
    if model.target.task == "regression":
        several = len(model.target.names) > 1
        return [f"prediction {name}" for name in model.target.names] if several else ["prediction"]
    return ["prediction", *(f"probability {label}" for label in model.target.classes)]


def _answers(model: TableModel, source: Source, names: list[str]) -> Iterator[pa.Table]:
    """The source's rows, a batch at a time, with its raw columns and the predictions."""
    import pyarrow as pa

    raw = [(name, quoted(name)) for name in source.types]
    read = [(f"input {i}", value_sql(source, column)) for i, column in enumerate(model.encoding.read_as)]
    for batch in batches(source, [*raw, *read]):
        whole = pa.Table.from_batches([batch])  # columns by place: the table may have any names
        inputs = whole.select(range(len(raw), len(raw) + len(read)))
        inputs = inputs.rename_columns([column.name for column in model.encoding.read_as])
        table = whole.select(range(len(raw)))
        for name, column in zip(names, _answer_columns(model, model.encoding.encode(inputs)), strict=True):
            table = table.append_column(name, pa.array(column))
        yield table


def _answer_columns(model: TableModel, X: np.ndarray) -> list[Any]:
    told, answers = decode(model.target, outputs(model, X))
    if model.target.task == "regression":
        return list(answers.T)
    return [np.array(model.target.classes, dtype=object)[told], *answers.T]


@contextmanager
def _writer(out: str) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes Arrow tables, one after the other, in the format of the name."""
    if out == "-":
        sys.stdout.flush()
        yield _delimited(sys.stdout.buffer, ",")
        sys.stdout.flush()
        return
    with written_aside(out) as aside, open(aside, "wb") as file:
        suffix = Path(out).suffix.lower()
        if suffix == ".parquet":
            with _parquet(file) as write:
                yield write
        elif suffix == ".jsonl":
            yield partial(_write_json_lines, file)
        else:
            yield _delimited(file, "\t" if suffix == ".tsv" else ",")


def _delimited(file: IO[bytes], delimiter: str) -> Callable[[pa.Table], None]:
    """CSV with quotes only where they are needed; a missing value is left empty."""
    header_due = True

    def write(table: pa.Table) -> None:
        nonlocal header_due
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        if header_due:
            writer.writerow(table.column_names)
            header_due = False
        writer.writerows(zip(*map(_texts, table.columns), strict=True))
        file.write(text.getvalue().encode())

    return write


def _texts(column: pa.ChunkedArray) -> Iterable[Any]:
    """Values as csv writes them; float32 in as few digits as tell it apart."""
    return column.to_numpy().astype(str) if str(column.type) == "float" else column.to_pylist()


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Callable[[pa.Table], None]]:
    from pyarrow.parquet import ParquetWriter

    writers: list[ParquetWriter] = []  # one, made when the first table tells the schema

    def write(table: pa.Table) -> None:
        if not writers:
            writers.append(ParquetWriter(file, table.schema))
        writers[0].write_table(table)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


def _write_json_lines(file: IO[bytes], table: pa.Table) -> None:
    for row in table.to_pylist():
        file.write((json.dumps(row, ensure_ascii=False, default=str) + "\n").encode())

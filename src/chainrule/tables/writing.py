"""Write Arrow tables, batch by batch, as CSV, TSV, Parquet or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from chainrule.errors import PRINTABLE, InputError
from chainrule.storage.files import written_aside

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")
VALUES_AT_ONCE = 2**17  # values converted to Python objects at a time


@contextmanager
def writer(out: str) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that writes tables of the same columns; the suffix of `out` selects the format.

    "-" stands for standard output, as CSV.
    """
    if out == "-":
        if sys.stdout is None:
            raise InputError("standard output is closed; use -o FILE")
        sys.stdout.flush()
        yield _delimited(_Terminal() if sys.stdout.isatty() else sys.stdout.buffer, ",")
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


class _Terminal:
    """A terminal as the output: control characters are replaced. A pipe receives the values unchanged."""

    def write(self, data: bytes | memoryview) -> None:
        sys.stdout.write(str(data, "utf-8").translate(PRINTABLE))


def _delimited(file: IO[bytes] | _Terminal, delimiter: str) -> Callable[[pa.Table], None]:
    """A writer of CSV that quotes only where needed and leaves missing values empty."""
    header_due = True

    def write(table: pa.Table) -> None:
        nonlocal header_due
        if header_due:
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(table.column_names)
            file.write(text.getvalue().encode())
            header_due = False
        file.write(_lines(table, delimiter))

    return write


def _lines(table: pa.Table, delimiter: str) -> bytes | memoryview:
    """The rows as text, built column by column, because there may be thousands of columns."""
    compute = _compute()
    texts = [_texts(column.combine_chunks(), delimiter) for column in table.columns]
    texts[-1] = _joined([texts[-1], "\n"], "")
    rows = _joined(texts, delimiter)
    length = compute.sum(compute.binary_length(rows)).as_py()
    return memoryview(rows.buffers()[2])[:length] if length else b""


def _texts(column: pa.Array, delimiter: str) -> pa.Array:
    """Values as text, NULL where missing; float32 in its shortest exact form, other types as `str` gives them."""
    import pyarrow as pa
    import pyarrow.types as types

    kind = column.type
    if types.is_integer(kind) or types.is_float32(kind):
        return column.cast(pa.large_string())
    if types.is_string(kind) or types.is_large_string(kind):
        return _quoted(column.cast(pa.large_string()), delimiter)
    shown = [None if value is None else str(value) for value in column.to_pylist()]
    return _quoted(pa.array(shown, pa.large_string()), delimiter)


def _quoted(texts: pa.Array, delimiter: str) -> pa.Array:
    compute = _compute()
    special = compute.match_substring_regex(texts, f'[{delimiter}"\r\n]')
    if not compute.any(special).as_py():
        return texts
    return compute.if_else(special, _joined(['"', compute.replace_substring(texts, '"', '""'), '"'], ""), texts)


def _joined(parts: list[Any], between: str) -> pa.Array:
    import pyarrow as pa

    parts = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in (*parts, between)]
    return _compute().binary_join_element_wise(*parts, null_handling="replace", null_replacement="")


def _compute() -> Any:
    """`pyarrow.compute`, whose functions are generated at import, so that type checkers cannot see them."""
    import pyarrow.compute

    return pyarrow.compute


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Callable[[pa.Table], None]]:
    from pyarrow.parquet import ParquetWriter

    writers: list[ParquetWriter] = []  # at most one, created from the schema of the first table

    def write(table: pa.Table) -> None:
        if not writers:
            writers.append(ParquetWriter(file, table.schema))
        writers[0].write_table(table)

    try:
        yield write
    finally:
        for one in writers:
            one.close()


def _write_json_lines(file: IO[bytes], table: pa.Table) -> None:
    for some in table.to_batches(max_chunksize=max(1, VALUES_AT_ONCE // table.num_columns)):
        for row in some.to_pylist():
            file.write((json.dumps(row, ensure_ascii=False, default=str) + "\n").encode())

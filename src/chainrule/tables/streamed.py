"""Tables that stay on disk: the encoding comes from a sample and sums over all rows; rows are distributed over files.

Hashes of the row number decide whether a row is for training, validation or testing, and whether it is in the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.errors import InputError, UsageError
from chainrule.scaling.shards import ShardWriter, bytes_of, check_room, shards_for, told_of_room
from chainrule.scaling.streaming import InFiles
from chainrule.storage.files import make_folder, written_aside
from chainrule.tables import preset
from chainrule.tables.columns import KINDS
from chainrule.tables.encoding import Encoding
from chainrule.tables.kinds import kinds_of, value_sql
from chainrule.tables.memory import free_memory, rows_at_once
from chainrule.tables.prepare import Prepared, prepare
from chainrule.tables.reading import Source, batches, count_rows, fetch, first_row, open_table, quoted
from chainrule.tables.request import Request
from chainrule.tables.target import Target, encode_target
from chainrule.training.batches import Table

if TYPE_CHECKING:
    import pyarrow as pa

    from chainrule.tables.columns import Column

SAMPLE = 200_000  # approximate number of rows, of all parts together
NUMBER, PART = "the row's\nnumber", "the row's\npart"  # names that no column has
QUERY = "query.parquet"  # the saved rows of a query, in the run folder
TRAIN, VALIDATION, TEST = 0, 1, 2
PURPOSES = ("test", "validation", "sample")
SHARE_OF_MEMORY = 0.7  # fraction of the free memory above which a table is streamed
READ_COPIES, COPIES = 2, 3  # copies of a raw and of an encoded row while a table is prepared in memory
FIRST_ROWS = 1000  # from which the size of a row is estimated
MEMORY_OF_DUCKDB = "400MB"


class Sample(NamedTuple):
    """The prepared sample, to which the encoding is fitted; all rows with their numbers and parts; their count."""

    prepared: Prepared
    numbered: Source
    n_rows: int


class Streamed(NamedTuple):
    """The prepared sample, and the files with all training and validation rows."""

    prepared: Prepared
    rows: InFiles
    n_rows: int


def streams(request: Request, source: Source) -> bool:
    """Whether the rows stay on disk: as requested, or if they would not fit in memory."""
    if request.stream is not None:
        return request.stream
    ranked = request.quantiles and request.normalize
    return would_not_fit(source, request.target, quantiles=ranked, dtype=request.dtype)


def would_not_fit(
    source: Source, targets: Sequence[str] = (), *, quantiles: bool = True, dtype: str = "float32"
) -> bool:
    """Whether preparing the table in memory would take more than `SHARE_OF_MEMORY` of the free memory."""
    free = free_memory(jax_to_come=True)
    return free is not None and _bytes_in_memory(source, targets, quantiles, dtype) > SHARE_OF_MEMORY * free


def _bytes_in_memory(source: Source, targets: Sequence[str], quantiles: bool, dtype: str) -> float:
    """An estimate of the memory needed to read, encode, split and train on the table, from its first rows."""
    n, columns = count_rows(source), [(name, quoted(name)) for name in source.types]
    first = source._replace(sql=f"(SELECT * FROM {source.sql} LIMIT {FIRST_ROWS})")
    table = fetch(first, columns)
    read = n * table.nbytes / max(1, table.num_rows)
    inputs = kinds_of(first, [name for name in source.types if name not in targets])
    n_inputs = _inputs_of(table, inputs, n, quantiles)
    return READ_COPIES * read + COPIES * n * (n_inputs + _outputs_of(source, targets)) * np.dtype(dtype).itemsize


def _inputs_of(table: pa.Table, columns: Sequence[Column], n: int, quantiles: bool) -> int:
    """An estimate of the number of inputs; `table` holds the first rows."""
    kinds = [KINDS[column.kind] for column in columns]
    n_ranked = sum(kind.ranked for kind in kinds)
    pieces = preset.pieces(n, n_ranked) if quantiles and n_ranked else 0
    told = zip(columns, kinds, strict=True)
    return sum(kind.inputs_expected(table.column(column.name), pieces) for column, kind in told)


def _outputs_of(source: Source, targets: Sequence[str]) -> int:
    """An estimate of the number of outputs: one per target, or one per distinct value of a non-numeric target."""
    known = [name for name in targets if name in source.types]
    if len(known) != 1 or KINDS[kinds_of(source, known)[0].kind].is_numeric:
        return max(1, len(known))
    return int(first_row(source, f"SELECT approx_count_distinct({quoted(known[0])}) FROM {source.sql}")[0])


def prepare_sample(source: Source, targets: Sequence[str], *, balanced: bool, **preparing: Any) -> Sample:
    """Prepare a sample, and correct the encoding with sums over all training rows.

    Parameters
    ----------
    source : Source
        The table.
    targets : sequence of str
        The target columns.
    balanced : bool
        Whether classes have equal weight.
    **preparing
        The other arguments of `prepare`.

    Returns
    -------
    Sample
        The prepared sample, and all rows with their numbers and parts.

    Raises
    ------
    InputError
        In the cases in which `prepare` raises one, or if a class that needs a weight is not in the sample.
    """
    source.connection.execute(f"SET memory_limit = '{MEMORY_OF_DUCKDB}'")
    seed, n = preparing["seed"], count_rows(source)
    if n == 0:
        raise InputError(f"{source.name}: has a header but no rows of data")
    numbered = with_parts(_numbered(source), seed, preparing["test_size"], preparing["validation_size"])
    some = numbered._replace(sql=f"(SELECT * FROM {numbered.sql} WHERE {_hashed(seed, 'sample')} < {SAMPLE / n})")
    prepared = prepare(some, targets, whole=source, part=PART, **preparing)
    if balanced:
        _check_balance(prepared)
    if preparing["normalize"]:
        encoding = _exact(prepared.encoding, prepared.target, numbered)
        prepared = prepared._replace(encoding=encoding, X=encoding.encode(prepared.table, preparing["dtype"]))
    return Sample(prepared, numbered, n)


def _check_balance(prepared: Prepared) -> None:
    if prepared.target.task == "regression":
        raise UsageError("--balanced requires classes, but the target is numeric")
    for label, share in zip(prepared.target.classes, prepared.frequencies, strict=True):
        if not share:
            raise InputError(
                f"--balanced: class {label!r} has no training row in the sample that determines the class weights"
            )


def kept_query(source: Source, folder: Path) -> Source:
    """Save the rows of a query to a file, because their order may change; files are returned unchanged."""
    if source.files:
        return source
    make_folder(folder)
    with written_aside(folder / QUERY) as aside:
        _write_parquet(source, aside)
    return open_table([str(folder / QUERY)])._replace(name=source.name)


def kept_rows(folder: Path) -> Source | None:
    """The saved rows of a query, or None."""
    path = folder / QUERY
    return open_table([str(path)])._replace(name="query") if path.is_file() else None


def _write_parquet(source: Source, path: Path) -> None:
    from pyarrow.parquet import ParquetWriter

    writer = None
    try:
        for batch in batches(source, [(name, quoted(name)) for name in source.types]):
            writer = writer or ParquetWriter(path, batch.schema)
            writer.write_batch(batch)
    finally:
        if writer:
            writer.close()
    if not writer:
        raise InputError(f"{source.name}: returned no rows")


def prepare_streamed(sample: Sample, folder: Path, *, balanced: bool, seed: int, dtype: str) -> Streamed:
    """Encode all rows and write them to files in `folder`."""
    prepared, numbered, n = sample
    rows = _scattered(prepared, numbered, folder, n, seed, dtype, balanced)
    return Streamed(prepared, rows, n)


def _numbered(source: Source) -> Source:
    """The source with a column of row numbers, from 1."""
    sql = f"(SELECT *, row_number() OVER () AS {quoted(NUMBER)} FROM {source.sql})"
    return source._replace(sql=sql, types={**source.types, NUMBER: "BIGINT"})


def with_parts(numbered: Source, seed: int, test: float, validation: float) -> Source:
    """The numbered rows with a column for their part."""
    u, v = _hashed(seed, "test"), _hashed(seed, "validation")
    part = f"CASE WHEN {u} < {test} THEN {TEST} WHEN {v} < {validation} THEN {VALIDATION} ELSE {TRAIN} END"
    sql = f"(SELECT *, {part} AS {quoted(PART)} FROM {numbered.sql})"
    return numbered._replace(sql=sql, types={**numbered.types, PART: "INTEGER"})


def _hashed(seed: int, what: str) -> str:
    """SQL for a uniform number from 0 to 1, a hash of the row number, the seed and the purpose.

    They are combined into one integer, because DuckDB's hashes of several values are correlated.
    """
    begin = (seed % 2**20) * 2**42 + PURPOSES.index(what)
    return f"(hash({quoted(NUMBER)} * {len(PURPOSES)} + {begin}) / 18446744073709551616.0)"


def _exact(encoding: Encoding, target: Target, numbered: Source) -> Encoding:
    """The encoding with means, standard deviations and missing values from all training rows."""
    sums = [column.sums(value_sql(numbered, column.read_as)) for column in encoding.columns]
    if not any(sums):
        return encoding
    wanted = ", ".join(one for some in sums for one in some)
    there = "".join(f" AND {value_sql(numbered, column)} IS NOT NULL" for column in target.columns)
    told = iter(first_row(numbered, f"SELECT {wanted} FROM {numbered.sql} WHERE {quoted(PART)} = {TRAIN}{there}"))
    exact = [column.with_sums([next(told) for _ in some]) for column, some in zip(encoding.columns, sums, strict=True)]
    return encoding._replace(columns=tuple(exact))


def _scattered(
    prepared: Prepared, numbered: Source, folder: Path, n: int, seed: int, dtype: str, balanced: bool
) -> InFiles:
    """Write all rows with a target, encoded, to files: training rows and validation rows."""
    n_in, n_out = len(prepared.encoding.inputs), prepared.target.n_outputs
    files, needed = shards_for(n, n_in + n_out + 1, dtype), _bytes_needed(prepared, n, dtype)
    with (
        told_of_room(folder, needed),
        ShardWriter(folder / "train", files, seed, n_in, n_out, dtype) as train,
        ShardWriter(folder / "validation", files, seed, n_in, n_out, dtype) as validation,
    ):
        check_room(folder, needed)
        class_weights = prepared.class_weights if balanced else None
        for part, table in encoded(prepared.encoding, prepared.target, numbered, dtype, class_weights):
            for writer, of in ((train, part == TRAIN), (validation, part == VALIDATION)):
                writer.add(Table(*(x[of] for x in table)))
    rows, held = train.shards(), validation.shards()
    return InFiles(rows, held if held.n else None)


def _bytes_needed(prepared: Prepared, n: int, dtype: str) -> int:
    """The disk space for training and validation rows, estimated from their fraction of the sample."""
    kept = len(prepared.split.train) + len(prepared.split.validation)
    width = len(prepared.encoding.inputs) + prepared.target.n_outputs + 1
    return bytes_of(round(n * kept / prepared.n_rows), width, dtype)


def encoded(
    encoding: Encoding, target: Target, numbered: Source, dtype: str, class_weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, Table]]:
    """Yield the rows with a target in batches: their parts, and the encoded table."""
    import pyarrow as pa

    wanted = [*encoding.read_as, *target.columns]
    columns = [(c.name, value_sql(numbered, c)) for c in wanted] + [(PART, quoted(PART))]
    at_once = rows_at_once(2 * (len(columns) + len(encoding.inputs) + target.n_outputs))  # raw and encoded
    for batch in batches(numbered, columns, at_once):
        table = pa.Table.from_batches([batch])
        for name in target.names:
            table = table.filter(table.column(name).is_valid())
        X, Y = encoding.encode(table, dtype), encode_target(target, table).astype(dtype)
        w = np.ones(len(X), dtype)
        if class_weights is not None:
            w = class_weights[(Y[:, 0] > 0.5).astype(int) if Y.shape[1] == 1 else Y.argmax(axis=1)].astype(dtype)
        yield table.column(PART).to_numpy(), Table(X, Y, w)

"""A table shared by several processes: one prepares it, each reads its own range of rows.

The rows of the source are divided, in order, into one contiguous range per process. As for streamed rows, a hash of the
row number decides whether a row is for training, validation or testing, so that the split does not depend on the
number of processes. The encoding is fitted to a sample and to sums over all training rows.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.scaling.processes import all_tell, first_tells, is_first, one_fate, told
from chainrule.tables.encoding import encoding_from_json
from chainrule.tables.prepare import Prepared
from chainrule.tables.reading import PARQUET_SUFFIXES, Source, first_row, literal, quoted
from chainrule.tables.splitting import Split
from chainrule.tables.streamed import (
    NUMBER,
    TRAIN,
    VALIDATION,
    encoded,
    prepare_sample,
    with_parts,
)
from chainrule.tables.target import target_from_json
from chainrule.training.batches import Table
from chainrule.training.memory import Rows

FILE_ROW_NUMBER = "file_row_number"  # DuckDB's name for a row's place in a Parquet file
COMPARED = ("chainrule", "jax", "numpy", "duckdb")  # packages whose versions must agree in all processes
LOOKED_AT = 2**20  # bytes hashed at the beginning, in the middle and at the end of a file


class Shared(NamedTuple):
    """The rows of this process, and facts common to all; only process 0 holds the rows of the sample."""

    prepared: Prepared
    rows: Rows  # without validation rows if no process has any
    n_rows: int  # in the source, over all processes
    n_train: int  # training rows, over all processes


def prepare_shared(source: Source, *, balanced: bool, **preparing: Any) -> Shared:
    """Prepare the table in process 0, then read the rows of each process.

    Parameters
    ----------
    source : Source
        The table, from files.
    balanced : bool
        Whether classes have equal weight.
    **preparing
        The arguments of `prepare`.

    Returns
    -------
    Shared
        The rows of this process.

    Raises
    ------
    InputError
        In the cases in which `prepare` raises one, in all processes.
    """
    import jax

    sample, known = None, b""
    with one_fate():
        if not source.files:
            raise InputError(
                "--sql cannot be used with several processes: save the rows first, with COPY (...) TO 'rows.parquet'"
            )
        facts = {
            "files": [fingerprint(path) for path in source.files],
            "settings": repr((preparing, balanced)),
            "versions": {name: version(name) for name in COMPARED},
        }
    check_alike(facts)
    with one_fate():
        if is_first():
            sample = prepare_sample(source, balanced=balanced, **preparing)
            weights = sample.prepared.class_weights.tolist() if balanced else None
            known = json.dumps(_to_json(sample.prepared, sample.n_rows, weights)).encode()
    known = json.loads(first_tells(known))
    prepared = sample.prepared if sample else _from_json(known, preparing["dtype"])
    n, me, processes = known["n_rows"], jax.process_index(), jax.process_count()
    with one_fate():
        begin, end = (n * k // processes for k in (me, me + 1))
        chances = preparing["seed"], preparing["test_size"], preparing["validation_size"]
        mine = with_parts(rows_between(source, begin, end), *chances)
        weights = None if known["class_weights"] is None else np.array(known["class_weights"])
        rows, held = _read(prepared, mine, preparing["dtype"], weights)
        if not len(rows.X):
            raise InputError(f"rows {begin + 1:,} to {end:,} contain no training row; use fewer processes")
    n_train, n_held = told(np.array([len(rows.X), len(held.X)])).sum(axis=0).tolist()
    return Shared(prepared, Rows(*rows, held if n_held else None), n, n_train)


def fingerprint(path: str) -> str:
    """A digest of the size and some of the bytes of a file, to detect other versions without reading all of it."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        found = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size // 2 - LOOKED_AT // 2), max(0, size - LOOKED_AT)):
            file.seek(start)
            found.update(file.read(LOOKED_AT))
    return found.hexdigest()


def check_alike(mine: dict[str, Any]) -> None:
    """Check that all processes have the same files, settings and package versions.

    Parameters
    ----------
    mine : dict
        The facts of this process, by name.

    Raises
    ------
    InputError
        In all processes, if they differ.
    """
    everyones = [json.loads(message) for message in all_tell(json.dumps(mine).encode())]
    for process, theirs in enumerate(everyones):
        for what in (what for what in mine if theirs[what] != everyones[0][what]):
            raise InputError(
                f"process {process} has different {what} from process 0; they must be the same in all processes"
            )


def _to_json(prepared: Prepared, n_rows: int, class_weights: list[float] | None) -> dict[str, Any]:
    return {
        "encoding": prepared.encoding.to_json(),
        "target": prepared.target.to_json(),
        "sample": [len(rows) for rows in prepared.split],
        "n_rows": n_rows,
        "class_weights": class_weights,
    }


def _from_json(known: dict[str, Any], dtype: str) -> Prepared:
    """The table as process 0 prepared it, without the rows of its sample."""
    import pyarrow as pa

    encoding, target = encoding_from_json(known["encoding"]), target_from_json(known["target"])
    X, Y = np.empty((0, len(encoding.inputs)), dtype), np.empty((0, target.n_outputs), dtype)
    split = Split(*map(np.arange, known["sample"]))
    return Prepared(encoding, target, split, X, Y, pa.table({}), np.empty(0, int), known["n_rows"], ())


def rows_between(source: Source, begin: int, end: int) -> Source:
    """Rows `begin` + 1 to `end`, with their numbers; only these are read from Parquet files."""
    numbered = all(path.lower().endswith(PARQUET_SUFFIXES) for path in source.files)
    if numbered and FILE_ROW_NUMBER not in (name.lower() for name in source.types):
        sql = (
            " UNION ALL ".join(_of_parquet(source, begin, end)) or f"SELECT *, 0 AS {quoted(NUMBER)} FROM {source.sql}"
        )
    else:
        some = f"(SELECT * FROM {source.sql} LIMIT {end - begin} OFFSET {begin})"
        sql = f"SELECT *, {begin} + row_number() OVER () AS {quoted(NUMBER)} FROM {some}"
    return source._replace(sql=f"({sql})", types={**source.types, NUMBER: "BIGINT"})


def _of_parquet(source: Source, begin: int, end: int) -> Iterator[str]:
    """A query for each file with rows in the range; row counts come from the file footers."""
    before = 0  # columns by name, with the types of the first file: their order may differ between files
    columns = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in source.types.items())
    for path in source.files:
        file = f"[{literal(glob.escape(path))}]"
        (n,) = first_row(source, f"SELECT num_rows FROM parquet_file_metadata({file})")
        low, high = max(begin - before, 0), min(end - before, n)
        if low < high:
            yield (
                f"SELECT {columns}, {before + 1} + {FILE_ROW_NUMBER} AS {quoted(NUMBER)} "
                f"FROM read_parquet({file}, {FILE_ROW_NUMBER} = true) "
                f"WHERE {FILE_ROW_NUMBER} BETWEEN {low} AND {high - 1}"
            )
        before += n


def _read(prepared: Prepared, mine: Source, dtype: str, class_weights: np.ndarray | None) -> tuple[Table, Table]:
    """The training rows and the validation rows of this process, encoded."""
    pieces = list(encoded(prepared.encoding, prepared.target, mine, dtype, class_weights))
    parts = np.concatenate([part for part, _ in pieces]) if pieces else np.empty(0, int)
    whole = [np.concatenate(columns) for columns in zip(*(table for _, table in pieces), strict=True)]
    rows, held = (Table(*(x[parts == part] for x in whole)) for part in (TRAIN, VALIDATION))
    return rows, held

"""A table that several processes train on together: one prepares it, each reads the rows that are its own.

The rows of the source, in their order, are cut into as many ranges as there are processes. Which part a row belongs to
(training, validation, test) is a hash of its number, as it is of rows that are streamed, so that it does not depend on
how many processes there are. The encoding comes from a sample and from sums over all training rows.
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
COMPARED = ("chainrule", "jax", "numpy", "duckdb")  # packages whose versions all processes have to share
LOOKED_AT = 2**20  # bytes at the beginning, in the middle and at the end of a file


class Shared(NamedTuple):
    """The rows of this process, and what all know; the sample, prepared, has rows in the first process alone."""

    prepared: Prepared
    rows: Rows  # without validation rows where no process has any
    n_rows: int  # of all processes: in the source,
    n_train: int  # and to train on


def prepare_shared(source: Source, *, balanced: bool, **preparing: Any) -> Shared:
    """Prepare in the first process, then read in all; `preparing` are the arguments of `prepare`.

    Raises
    ------
    InputError
        As `prepare`, in all processes.
    """
    import jax

    sample, known = None, b""
    with one_fate():
        if not source.files:
            raise InputError(
                "--processes: expected files of this machine; write the rows to one: COPY (...) TO 'rows.parquet'"
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
            raise InputError(f"rows {begin + 1:,} to {end:,}: none of them is to train on; use fewer processes")
    n_train, n_held = told(np.array([len(rows.X), len(held.X)])).sum(axis=0).tolist()
    return Shared(prepared, Rows(*rows, held if n_held else None), n, n_train)


def fingerprint(path: str) -> str:
    """What tells a file from another version of it, without reading all of it: its size and some of its bytes."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        found = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size // 2 - LOOKED_AT // 2), max(0, size - LOOKED_AT)):
            file.seek(start)
            found.update(file.read(LOOKED_AT))
    return found.hexdigest()


def check_alike(mine: dict[str, Any]) -> None:
    """All processes read the same files, prepare them in the same way, with the same programs.

    Raises
    ------
    InputError
        In all processes, if one does not.
    """
    everyones = [json.loads(message) for message in all_tell(json.dumps(mine).encode())]
    for process, theirs in enumerate(everyones):
        for what in (what for what in mine if theirs[what] != everyones[0][what]):
            raise InputError(f"process {process} has other {what} than process 0: all of them need the same ones")


def _to_json(prepared: Prepared, n_rows: int, class_weights: list[float] | None) -> dict[str, Any]:
    return {
        "encoding": prepared.encoding.to_json(),
        "target": prepared.target.to_json(),
        "sample": [len(rows) for rows in prepared.split],
        "n_rows": n_rows,
        "class_weights": class_weights,
    }


def _from_json(known: dict[str, Any], dtype: str) -> Prepared:
    """What the first process prepared, without the rows of its sample."""
    import pyarrow as pa

    encoding, target = encoding_from_json(known["encoding"]), target_from_json(known["target"])
    X, Y = np.empty((0, len(encoding.inputs)), dtype), np.empty((0, target.n_outputs), dtype)
    split = Split(*map(np.arange, known["sample"]))
    return Prepared(encoding, target, split, X, Y, pa.table({}), np.empty(0, int), known["n_rows"], ())


def rows_between(source: Source, begin: int, end: int) -> Source:
    """The rows numbered `begin` + 1 to `end`, with their numbers; of Parquet files no others are read."""
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
    """A query for each file that has rows of the range; numbers of rows are in the files' own footers."""
    before = 0  # columns by their names, as types of the first file: in others they may be ordered otherwise
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
    """The rows of this process, encoded: those to train on, and those that choose the epoch."""
    pieces = list(encoded(prepared.encoding, prepared.target, mine, dtype, class_weights))
    parts = np.concatenate([part for part, _ in pieces]) if pieces else np.empty(0, int)
    whole = [np.concatenate(columns) for columns in zip(*(table for _, table in pieces), strict=True)]
    rows, held = (Table(*(x[parts == part] for x in whole)) for part in (TRAIN, VALIDATION))
    return rows, held

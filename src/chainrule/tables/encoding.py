"""Encode columns as network inputs: Z-scores, one-hot values, missing-value indicators; fitted to training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.tables.columns import EMPTY, FITTED, KINDS, Column, InputColumn

if TYPE_CHECKING:
    import pyarrow as pa


class Encoding(NamedTuple):
    """The columns that become inputs, in order, and the dropped columns with the reasons.

    The reasons are part of saved models and are compared when a run is replayed.
    """

    columns: tuple[InputColumn, ...]
    dropped: tuple[tuple[str, str], ...]

    @property
    def inputs(self) -> list[str]:
        return [name for column in self.columns for name in column.inputs]

    @property
    def read_as(self) -> list[Column]:
        return [column.read_as for column in self.columns]

    def encode(self, table: pa.Table | pa.RecordBatch, dtype: Any = np.float32) -> np.ndarray:
        """Encode a table with these columns, read with `kinds.value_sql`, as X (rows, len(inputs))."""
        X, start = np.empty((table.num_rows, len(self.inputs)), dtype), 0
        for column in self.columns:
            stop = start + len(column.inputs)
            column.encode(_one_chunk(table.column(column.name)), X[:, start:stop])
            start = stop
        return X

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [column.to_json() for column in self.columns],
            "dropped": [list(pair) for pair in self.dropped],
        }


def encoding_from_json(data: dict[str, Any]) -> Encoding:
    """The inverse of `Encoding.to_json`."""
    columns = tuple(FITTED[entry["class"]].from_json(entry) for entry in data["columns"])
    return Encoding(columns, tuple((str(name), str(why)) for name, why in data["dropped"]))


def fit_encoding(table: pa.Table, columns: Sequence[Column], normalize: bool = True, pieces: int = 0) -> Encoding:
    """Fit the encoding to training rows.

    Parameters
    ----------
    table : pyarrow.Table
        The training rows.
    columns : sequence of Column
        The columns to encode.
    normalize : bool
        Whether numbers become Z-scores; otherwise they are used as they are.
    pieces : int
        The number of additional quantile inputs per numeric column: see `chainrule.tables.quantiles`.

    Returns
    -------
    Encoding
        The fitted columns, and the dropped ones.
    """
    kept, dropped = [], []
    for column in columns:
        fitted = _fit(column, _one_chunk(table.column(column.name)), normalize, pieces)
        if isinstance(fitted, str):
            dropped.append((column.name, fitted))
        else:
            kept.append(fitted)
    return Encoding(tuple(kept), tuple(dropped))


def _fit(column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
    """The fitted column, or why it is dropped."""
    kind = KINDS[column.kind]
    if kind.refused:
        return kind.refused
    return EMPTY.refused if values.null_count == len(values) else kind.fit(column, values, normalize, pieces)


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if hasattr(column, "combine_chunks") else column

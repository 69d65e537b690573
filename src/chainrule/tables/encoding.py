"""From columns to network inputs: Z-scores, one-hot values, indicators of what is missing. Fitted on training rows.

Each kind of column has a frozen dataclass that knows its input names, encodes values, and is plain JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.tables.kinds import Column, Kind
from chainrule.tables.preset import FEW
from chainrule.tables.quantiles import Quantiles, fit_quantiles, quantiles_from_json

if TYPE_CHECKING:
    import pyarrow as pa

RARE = 5  # a value in fewer training rows than this goes to the bucket of rare values
MOST_VALUES = 100  # the most frequent values of a column keep an input of their own
SECONDS_PER_DAY = 86_400.0
DAYS_PER_YEAR = 365.2425
CYCLES: dict[str, tuple[str, ...]] = {
    "date": ("year", "week"),
    "timestamp": ("year", "week", "day"),
    "time": ("day",),
}


@dataclass(frozen=True)
class NumberColumn:
    """A number (or boolean, 0 and 1) as its Z-score; a missing one as the mean, 0, and an indicator.

    With quantiles, its place among the training rows too.
    """

    name: str
    kind: Kind
    mean: float
    std: float
    missing: bool
    date_format: str | None = None
    quantiles: Quantiles | None = None

    @property
    def inputs(self) -> list[str]:
        placed = self.quantiles.names(self.name) if self.quantiles else []
        return [self.name, *placed, *([f"{self.name} missing"] if self.missing else [])]

    def encode(self, values: pa.Array, out: np.ndarray) -> None:
        """Write the inputs of `values`: (n,) doubles, into `out`: (n, len(inputs))."""
        numbers = _doubles(values)
        out[:, 0] = np.nan_to_num((numbers - self.mean) / self.std)
        if self.quantiles:
            out[:, 1 : 1 + self.quantiles.n_inputs] = np.nan_to_num(self.quantiles.encode(numbers))
        if self.missing:
            out[:, -1] = np.isnan(numbers)


@dataclass(frozen=True)
class TimeColumn:
    """A date, date and time, or time of day: its Z-score on the line (but for times), and its place in each cycle."""

    name: str
    kind: Kind
    mean: float
    std: float
    missing: bool
    date_format: str | None = None

    @property
    def cycles(self) -> list[str]:
        return [f"{self.name} {part}" for cycle in CYCLES[self.kind] for part in (f"{cycle} sin", f"{cycle} cos")]

    @property
    def inputs(self) -> list[str]:
        line = [] if self.kind == "time" else [self.name]
        return [*line, *self.cycles, *([f"{self.name} missing"] if self.missing else [])]

    def encode(self, values: pa.Array, out: np.ndarray) -> None:
        """Write the inputs of `values`: (n,) seconds, into `out`: (n, len(inputs))."""
        seconds = _doubles(values)
        columns = [] if self.kind == "time" else [(seconds - self.mean) / self.std]
        for cycle in CYCLES[self.kind]:
            angle = 2 * np.pi * _turns(seconds, cycle)
            columns += [np.sin(angle), np.cos(angle)]
        for i, column in enumerate(columns):
            out[:, i] = np.nan_to_num(column)
        if self.missing:
            out[:, -1] = np.isnan(seconds)


@dataclass(frozen=True)
class TextColumn:
    """Text as one-hot inputs: one per frequent value, one for rare values together, one for a missing value.

    The inputs for rare and for missing values are there if training rows had them. A value that training rows
    never had counts as rare; without that input it is all zeros.
    """

    name: str
    values: tuple[str, ...]
    rare: bool
    missing: bool
    kind: Kind = "text"
    date_format: str | None = None

    @property
    def inputs(self) -> list[str]:
        buckets = [("(rare)", self.rare), ("(missing)", self.missing)]
        return [f"{self.name}={value}" for value in (*self.values, *(b for b, there in buckets if there))]

    def encode(self, values: pa.Array, out: np.ndarray) -> None:
        """Write the inputs of `values`: (n,) strings, into `out`: (n, len(inputs))."""
        coded = values.dictionary_encode()
        place_of = {value: place for place, value in enumerate(self.values)}
        places = np.array([*(place_of.get(value, -1) for value in coded.dictionary.to_pylist()), -1])
        place = places[coded.indices.fill_null(len(places) - 1).to_numpy()]
        known, absent = place >= 0, values.is_null().to_numpy(zero_copy_only=False)
        out[:] = 0
        out[np.flatnonzero(known), place[known]] = 1
        if self.rare:
            out[:, len(self.values)] = ~known & ~absent
        if self.missing:
            out[:, -1] = absent


InputColumn = NumberColumn | TimeColumn | TextColumn
_CLASSES: dict[str, type[Any]] = {c.__name__: c for c in (NumberColumn, TimeColumn, TextColumn)}


class Encoding(NamedTuple):
    """The columns that become inputs, in order, and those that were dropped, each with the reason."""

    columns: tuple[InputColumn, ...]
    dropped: tuple[tuple[str, str], ...]

    @property
    def inputs(self) -> list[str]:
        return [name for column in self.columns for name in column.inputs]

    @property
    def read_as(self) -> list[Column]:
        return [Column(c.name, c.kind, c.date_format) for c in self.columns]

    def encode(self, table: pa.Table | pa.RecordBatch, dtype: Any = np.float32) -> np.ndarray:
        """Inputs X: (rows, len(inputs)) of a table that has these columns, read with `kinds.value_sql`."""
        X, start = np.empty((table.num_rows, len(self.inputs)), dtype), 0
        for column in self.columns:
            stop = start + len(column.inputs)
            column.encode(_one_chunk(table.column(column.name)), X[:, start:stop])
            start = stop
        return X

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [{"class": type(c).__name__, **asdict(c)} for c in self.columns],
            "dropped": [list(pair) for pair in self.dropped],
        }


def encoding_from_json(data: dict[str, Any]) -> Encoding:
    """The inverse of `Encoding.to_json`."""
    columns = []
    for entry in data["columns"]:
        fields = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items() if key != "class"}
        if "quantiles" in fields:
            fields["quantiles"] = quantiles_from_json(fields["quantiles"])
        columns.append(_checked(_CLASSES[entry["class"]](**fields)))
    return Encoding(tuple(columns), tuple((str(name), str(why)) for name, why in data["dropped"]))


def fit_encoding(table: pa.Table, columns: Sequence[Column], normalize: bool = True, pieces: int = 0) -> Encoding:
    """Means, deviations and values from the rows of `table`, which are the training rows.

    With `normalize` off, numbers enter as they are (a missing one still as the mean). With `pieces` they enter by
    their quantiles too, in so many inputs: see `chainrule.tables.quantiles`.
    """
    kept, dropped = [], []
    for column in columns:
        fitted = (
            _fit(column, _one_chunk(table.column(column.name)), normalize, pieces)
            if column.kind in _FITS
            else _NO_KIND[column.kind]
        )
        if isinstance(fitted, str):
            dropped.append((column.name, fitted))
        else:
            kept.append(fitted)
    return Encoding(tuple(kept), tuple(dropped))


def _checked(column: InputColumn) -> InputColumn:
    """A column from a file, if its numbers can be computed with."""
    if isinstance(column, TextColumn):
        sound = column.kind == "text" and all(isinstance(value, str) for value in column.values)
    else:
        numbers = (column.mean, column.std)
        kinds = CYCLES if isinstance(column, TimeColumn) else ("number", "boolean")
        sound = column.kind in kinds and all(isinstance(x, float) and isfinite(x) for x in numbers) and column.std > 0
    sound = sound and isinstance(column.date_format, str | None)
    if not (sound and isinstance(column.name, str) and isinstance(column.missing, bool)):
        raise ValueError(f"encoding: column {column.name!r} cannot be computed with")
    return column


_NO_KIND = {
    "empty": "every value is missing",
    "other": "neither number, text, date nor boolean",
}
_FITS = ("number", "boolean", "date", "timestamp", "time", "text")


def _fit(column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
    """The fitted column, or why it is dropped."""
    if values.null_count == len(values):
        return "every value is missing"
    if column.kind == "text":
        return _fit_text(column.name, values)
    numbers = _doubles(values)
    there = numbers[~np.isnan(numbers)]
    constant = there.min() == there.max()
    missing = len(there) < len(numbers)
    if constant and not missing:
        return f"constant: always {there[0]:g}" if column.kind == "number" else "constant"
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(there.mean()), 1.0 if constant else float(there.std(ddof=1))
        reach = float(np.abs((there - mean) / std).max()) if std else np.inf
    if not (isfinite(mean) and isfinite(std) and isfinite(reach)):
        raise InputError(
            f"column {column.name!r}: its values are too large or too close together to scale; use other units"
        )
    if not normalize:
        mean, std = 0.0, 1.0
    if column.kind in CYCLES:
        return TimeColumn(column.name, column.kind, mean, std, missing, column.date_format)
    quantiles = fit_quantiles(there, pieces, FEW) if pieces else None
    return NumberColumn(column.name, column.kind, mean, std, missing, column.date_format, quantiles)


def _fit_text(name: str, values: pa.Array) -> TextColumn | str:
    counted = sorted(((c["counts"], c["values"]) for c in values.drop_null().value_counts().to_pylist()), reverse=True)
    missing = values.null_count > 0
    if counted[0][0] == 1 and len(counted) > 1:
        return "identifies rows: every value is different"
    if len(counted) == 1 and not missing:
        return f"constant: always {counted[0][1]!r}"
    frequent = [value for count, value in counted[:MOST_VALUES] if count >= RARE or len(counted) == 2]
    rare = len(counted) > len(frequent)
    if not frequent and not missing:
        return f"every value is in fewer than {RARE} training rows"
    return TextColumn(name, tuple(sorted(frequent)), rare, missing)


def _turns(seconds: np.ndarray, cycle: str) -> np.ndarray:
    """Where in the cycle, from 0 to 1: days since 1970-01-01, a Thursday."""
    days = seconds / SECONDS_PER_DAY
    return np.mod({"year": days / DAYS_PER_YEAR, "week": (days + 3) / 7, "day": days}[cycle], 1)


def _doubles(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(np.float64)


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if hasattr(column, "combine_chunks") else column

"""Columns as they are read, and the interface of columns fitted to training rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa


class Column(NamedTuple):
    """A column and how to read it: its kind, and the format of dates other than 2026-01-31."""

    name: str
    kind: str
    date_format: str | None = None


class Scale(NamedTuple):
    """The scale of an input, which is (value - mean) / std."""

    column: str
    mean: float
    std: float


class Summary(NamedTuple):
    """A summary of values of a column: number of rows, fraction missing, range and counts.

    `low` and `high` are None if values are unordered or all missing; `counts` is empty for values that are not counted.
    """

    rows: int
    missing: float
    low: float | None = None
    high: float | None = None
    counts: dict[str, int] = {}  # noqa: RUF012


class Graph(Protocol):
    """A builder of an ONNX graph, passed to columns by `chainrule.onnx`; results are referred to by name."""

    def input(self, name: str, dtype: Any, *shape: Any) -> str:
        """Add an input to the graph."""
        ...

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant."""
        ...

    def cast(self, x: str, dtype: Any) -> str:
        """Convert a result to another dtype."""
        ...

    def zero_if_missing(self, values: str, result: str) -> str:
        """Replace the result by 0 where a value is NaN."""
        ...

    def __call__(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node."""
        ...


class InputColumn(ABC):
    """A column fitted to training rows. Subclasses are frozen dataclasses whose fields are plain JSON."""

    name: str
    kind: str
    missing: bool
    date_format: str | None

    @property
    @abstractmethod
    def inputs(self) -> list[str]:
        """The names of its inputs."""

    @abstractmethod
    def encode(self, values: pa.Array, out: np.ndarray) -> None:
        """Write the inputs for `values` (n,), read with the kind's SQL, to `out` (n, len(inputs))."""

    @abstractmethod
    def checked(self) -> Self:
        """Return the column if its fields are valid, as a check of files; else raise a ValueError."""

    @abstractmethod
    def how(self) -> str:
        """A one-line description of how the column is encoded."""

    @abstractmethod
    def to_onnx(self, graph: Graph, dtype: Any) -> str:
        """Add an input for the raw values to the graph, and the nodes that encode them as (rows, len(inputs))."""

    @abstractmethod
    def summary(self, values: pa.Array) -> Summary:
        """Summarise values (n,)."""

    @property
    def read_as(self) -> Column:
        """The column as it is read."""
        return Column(self.name, self.kind, self.date_format)

    @property
    def worked_out(self) -> Sequence[int]:
        """The indices of the inputs that are computed with a formula; the others follow directly from the value."""
        return ()

    def formula(self, place: int, value: float, write: Callable[[float], str]) -> str:
        """The formula of an input for a non-missing value; `write` formats a number, in brackets if negative."""
        raise NotImplementedError(f"input {place} of {self.name}")

    def if_missing(self, place: int) -> str:
        """The value of an input if the raw value is missing, in words."""
        return "0, the mean"

    def scale(self, place: int) -> Scale | None:
        """The scale of an input that is a Z-score, else None."""
        return None

    def sums(self, value: str) -> list[str]:
        """SQL aggregates over all training rows, for a column that was fitted to a sample."""
        return []

    def with_sums(self, sums: Sequence[Any]) -> Self:
        """The column, refitted with the aggregates over all training rows."""
        return self

    def hint(self, values: pa.ChunkedArray) -> str | None:
        """A hint about suspicious values in the training rows, or None."""
        return None

    def to_json(self) -> dict[str, Any]:
        """The fields of the column and the name of its class."""
        return {"class": type(self).__name__, **asdict(self)}  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`, checked."""
        return cls(
            **{key: tuple(x) if isinstance(x, list) else x for key, x in data.items() if key != "class"}
        ).checked()


def sound(column: InputColumn, *conditions: bool) -> None:
    """Raise a ValueError unless the conditions hold, and those on the fields that every column has."""
    whole = isinstance(column.name, str) and isinstance(column.missing, bool)
    if not (whole and isinstance(column.date_format, str | None) and all(conditions)):
        raise ValueError(f"encoding: column {column.name!r} has invalid fields")

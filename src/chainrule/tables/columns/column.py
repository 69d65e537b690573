"""A column as it is read, and one that was fitted to training rows: what every fitted column answers."""

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
    """A column and how to read it: its kind, and the form of dates that are not written as 2026-01-31."""

    name: str
    kind: str
    date_format: str | None = None


class Scale(NamedTuple):
    """How a column became an input: (value - mean) / std."""

    column: str
    mean: float
    std: float


class Summary(NamedTuple):
    """Some values of a column, to compare with others: rows, the share that is missing, the range, and counts.

    `low` and `high` are None where values have no order or none is there; `counts` has the values that are counted.
    """

    rows: int
    missing: float
    low: float | None = None
    high: float | None = None
    counts: dict[str, int] = {}  # noqa: RUF012


class Graph(Protocol):
    """An ONNX graph in the making, as `chainrule.onnx` hands it to a column; results go by their names."""

    def input(self, name: str, dtype: Any, *shape: Any) -> str:
        """An input of the graph."""
        ...

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A constant."""
        ...

    def cast(self, x: str, dtype: Any) -> str:
        """The result in another dtype."""
        ...

    def zero_if_missing(self, values: str, result: str) -> str:
        """The result, 0 where a value is NaN."""
        ...

    def __call__(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node."""
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
        """Write the inputs of `values` (n,), read with the kind's SQL, into `out`: (n, len(inputs))."""

    @abstractmethod
    def checked(self) -> Self:
        """Itself, if it can be computed with; for files."""

    @abstractmethod
    def how(self) -> str:
        """How it becomes inputs, in a line for people."""

    @abstractmethod
    def to_onnx(self, graph: Graph, dtype: Any) -> str:
        """Add an input for its raw values to the graph, and the nodes that encode them: (rows, len(inputs))."""

    @abstractmethod
    def summary(self, values: pa.Array) -> Summary:
        """What these values (n,) are like."""

    @property
    def read_as(self) -> Column:
        """How it is read."""
        return Column(self.name, self.kind, self.date_format)

    @property
    def worked_out(self) -> Sequence[int]:
        """The places of the inputs that a formula works out of a value; the others are read off it."""
        return ()

    def formula(self, place: int, value: float, write: Callable[[float], str]) -> str:
        """The formula of an input for a value that is there; `write` writes a number, in brackets if negative."""
        raise NotImplementedError(f"input {place} of {self.name}")

    def if_missing(self, place: int) -> str:
        """What an input is where the value is missing, in words."""
        return "0, the mean"

    def scale(self, place: int) -> Scale | None:
        """The scale of an input that is a number's Z-score."""
        return None

    def sums(self, value: str) -> list[str]:
        """SQL aggregates of its values over all training rows, for a table of which it saw a sample."""
        return []

    def with_sums(self, sums: Sequence[Any]) -> Self:
        """Itself, fitted to all training rows instead of the sample."""
        return self

    def hint(self, values: pa.ChunkedArray) -> str | None:
        """What a careful colleague would ask about the training rows' values."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Its fields and the name of its class."""
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
        raise ValueError(f"encoding: column {column.name!r} cannot be computed with")

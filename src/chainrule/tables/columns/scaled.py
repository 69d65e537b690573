"""Shared by numeric columns, including dates and times: a mean and a standard deviation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.tables.columns.column import Graph, InputColumn, Summary, sound

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa


class Spread(NamedTuple):
    """The non-missing values of the training rows, their mean and standard deviation, and whether any are missing."""

    numbers: np.ndarray
    mean: float
    std: float
    missing: bool


def spread_of(name: str, values: pa.Array, normalize: bool) -> Spread | None:
    """Compute the spread of a column.

    Parameters
    ----------
    name : str
        The name of the column.
    values : pyarrow.Array
        The values of the training rows.
    normalize : bool
        Whether numbers become Z-scores; otherwise the mean is 0 and the standard deviation 1.

    Returns
    -------
    Spread, optional
        The spread; None if the column is constant and no value is missing.

    Raises
    ------
    InputError
        If a Z-score would overflow.
    """
    numbers = doubles(values)
    there = numbers[~np.isnan(numbers)]
    constant, missing = there.min() == there.max(), len(there) < len(numbers)
    if constant and not missing:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(there.mean()), 1.0 if constant else float(there.std(ddof=1))
        reach = float(np.abs((there - mean) / std).max()) if std else np.inf
    if not (isfinite(mean) and isfinite(std) and isfinite(reach)):
        raise InputError(f"column {name!r}: its values are too large or too close together to scale; use other units")
    return Spread(there, mean, std, missing) if normalize else Spread(there, 0.0, 1.0, missing)


def doubles(values: pa.Array) -> np.ndarray:
    """The values as float64, NaN where missing."""
    return values.to_numpy(zero_copy_only=False).astype(np.float64)


@dataclass(frozen=True)
class ScaledColumn(InputColumn):
    """A column of numbers x whose first input, if `scaled`, is (x - mean) / std, or 0 if x is missing."""

    name: str
    kind: str
    mean: float
    std: float
    missing: bool
    date_format: str | None = None

    kinds: ClassVar[tuple[str, ...]]

    @property
    def scaled(self) -> bool:
        """Whether its first input is the Z-score."""
        return True

    @property
    def inputs(self) -> list[str]:
        line = [self.name] if self.scaled else []
        return [*line, *self.other_inputs, *([f"{self.name} missing"] if self.missing else [])]

    @property
    @abstractmethod
    def other_inputs(self) -> list[str]:
        """The names of the inputs between the Z-score and the indicator of missing values."""

    @abstractmethod
    def encode_others(self, numbers: np.ndarray) -> np.ndarray:
        """Compute these inputs (n, len(other_inputs)) for numbers (n,)."""

    @abstractmethod
    def others_to_onnx(self, graph: Graph, values: str) -> list[str]:
        """Add the nodes for these inputs; their results for missing values are ignored."""

    def encode(self, values: pa.Array, out: np.ndarray) -> None:
        """Write the Z-score, the other inputs and the indicator of missing values."""
        numbers, start = doubles(values), int(self.scaled)
        if self.scaled:
            out[:, 0] = np.nan_to_num((numbers - self.mean) / self.std)
        others = self.encode_others(numbers)
        out[:, start : start + others.shape[1]] = np.nan_to_num(others)
        if self.missing:
            out[:, -1] = np.isnan(numbers)

    def checked(self) -> Self:
        numbers = (self.mean, self.std)
        finite = all(isinstance(x, float) and isfinite(x) for x in numbers)
        sound(self, self.kind in self.kinds, finite, finite and self.std > 0)
        return self

    def how(self) -> str:
        line = [f"(x - {self.mean:g}) / {self.std:g}"] if self.scaled else []
        rest = [name.removeprefix(f"{self.name} ") for name in self.inputs[len(line) :]]
        return ", ".join([*line, *rest])

    @property
    def worked_out(self) -> list[int]:
        start = int(self.scaled)
        line = [0] if self.scaled and (self.mean, self.std) != (0.0, 1.0) else []
        return [*line, *range(start, start + len(self.other_inputs))]

    def formula(self, place: int, value: float, write: Callable[[float], str]) -> str:
        if self.scaled and place == 0:
            return self.z_score(value, write)
        return self.other_formula(place - int(self.scaled), value, write)

    def z_score(self, value: float, write: Callable[[float], str]) -> str:
        """The formula of the Z-score."""
        return f"({value:.6g} - {write(self.mean)}) / {self.std:.6g}"

    @abstractmethod
    def other_formula(self, place: int, value: float, write: Callable[[float], str]) -> str:
        """The formula of one of the other inputs."""

    def sums(self, value: str) -> list[str]:
        return [f"avg({value})", f"stddev_samp({value})", f"count(*) - count({value})"]

    def with_sums(self, sums: Sequence[Any]) -> Self:
        mean, std, missing = sums
        return replace(self, mean=mean, std=std or self.std, missing=missing > 0)

    def to_onnx(self, graph: Graph, dtype: Any) -> str:
        values = graph.input(self.name, np.float64, "rows", 1)
        parts = [graph.zero_if_missing(values, part) for part in self._parts(graph, values)]
        parts += [graph.cast(graph("IsNaN", values), np.float64)] if self.missing else []
        return graph.cast(graph("Concat", *parts, axis=1), dtype)

    def _parts(self, graph: Graph, values: str) -> list[str]:
        if not self.scaled:
            return self.others_to_onnx(graph, values)
        centred = graph("Sub", values, graph.constant(self.mean, np.float64))
        line = graph("Div", centred, graph.constant(self.std, np.float64))
        return [line, *self.others_to_onnx(graph, values)]

    def summary(self, values: pa.Array) -> Summary:
        numbers = doubles(values)
        there = numbers[~np.isnan(numbers)]
        missing = 1 - len(there) / max(1, len(numbers))
        low, high = (float(there.min()), float(there.max())) if len(there) else (None, None)
        return Summary(len(numbers), missing, low, high)

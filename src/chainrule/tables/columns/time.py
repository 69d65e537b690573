"""Dates, timestamps and times of day: seconds since 1970-01-01 or midnight, as Z-scores and in cycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from chainrule.tables.columns.column import Column, Graph, InputColumn
from chainrule.tables.columns.kind import Kind, is_text
from chainrule.tables.columns.scaled import ScaledColumn, spread_of
from chainrule.tables.reading import literal

if TYPE_CHECKING:
    import pyarrow as pa

SECONDS_PER_DAY = 86_400.0
DAYS_PER_YEAR = 365.2425
CYCLES: dict[str, tuple[str, ...]] = {
    "date": ("year", "week"),
    "timestamp": ("year", "week", "day"),
    "time": ("day",),
}
DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d")
CLOCKS = (" %H:%M", " %H:%M:%S")
LONGEST = 19  # characters of the longest such date with a time


@dataclass(frozen=True)
class TimeColumn(ScaledColumn):
    """A date, timestamp or time of day: its Z-score (except for times), and its position in each cycle."""

    kinds: ClassVar[tuple[str, ...]] = tuple(CYCLES)

    @property
    def scaled(self) -> bool:
        return self.kind != "time"

    @property
    def other_inputs(self) -> list[str]:
        return [f"{self.name} {cycle} {wave}" for cycle in CYCLES[self.kind] for wave in ("sin", "cos")]

    def encode_others(self, numbers: np.ndarray) -> np.ndarray:
        angles = [2 * np.pi * _turns(numbers, cycle) for cycle in CYCLES[self.kind]]
        return np.column_stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])

    def others_to_onnx(self, graph: Graph, values: str) -> list[str]:
        def number(x: float) -> str:
            return graph.constant(x, np.float64)

        days = graph("Div", values, number(SECONDS_PER_DAY))
        turns = {
            "year": lambda: graph("Div", days, number(DAYS_PER_YEAR)),
            "week": lambda: graph("Div", graph("Add", days, number(3)), number(7)),
            "day": lambda: days,
        }
        made = []
        for cycle in CYCLES[self.kind]:
            turn = turns[cycle]()
            angle = graph("Mul", number(2 * np.pi), graph("Sub", turn, graph("Floor", turn)))
            made += [graph(wave, angle) for wave in ("Sin", "Cos")]
        return made

    def z_score(self, value: float, write: Callable[[float], str]) -> str:
        days = self.std / SECONDS_PER_DAY
        return f"({_written(value, self.kind)} - {_written(self.mean, 'timestamp')}) / {days:.6g} days"

    def other_formula(self, place: int, value: float, write: Callable[[float], str]) -> str:
        cycle, wave = CYCLES[self.kind][place // 2], ("sin", "cos")[place % 2]
        return f"{wave}(2 * pi * {write(float(_turns(np.float64(value), cycle)))} of the {cycle})"

    def if_missing(self, place: int) -> str:
        return super().if_missing(place) if self.scaled and place == 0 else "0"


class Date(Kind):
    """A date: seconds since 1970-01-01."""

    name = "date"
    words = "a date"
    exported = "float64, seconds since 1970-01-01, NaN if missing"
    fitted = TimeColumn
    forms = DATES

    def test(self, x: str, type_: str) -> str | None:
        return _moments(x, type_, "NOT")

    def might_have_form(self, value: str) -> bool:
        return value[:1].isdigit() and len(value) <= LONGEST

    def sql(self, x: str, form: str | None = None) -> str:
        return f"epoch(try_strptime({x}, {literal(form)}))" if form else f"epoch(TRY_CAST({x} AS TIMESTAMP))"

    def fit(self, column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
        spread = spread_of(column.name, values, normalize)
        if spread is None:
            return "constant"
        return TimeColumn(column.name, self.name, spread.mean, spread.std, spread.missing, column.date_format)

    def inputs_expected(self, values: pa.ChunkedArray, pieces: int) -> int:
        return 2 * len(CYCLES[self.name]) + 1

    def written(self, value: Any) -> str:
        return _written(value, self.name)


class Timestamp(Date):
    """A date with a time of day: seconds since 1970-01-01."""

    name = "timestamp"
    words = "a date and time"
    forms = tuple(f"{date}{clock}" for date in DATES for clock in CLOCKS)

    def test(self, x: str, type_: str) -> str | None:
        return _moments(x, type_, "")


class Time(Date):
    """A time of day: seconds since midnight."""

    name = "time"
    words = "a time of day"
    exported = "float64, seconds since midnight, NaN if missing"
    forms = ()

    def test(self, x: str, type_: str) -> str | None:
        if is_text(type_):
            times, moments = f"count(TRY_CAST({x} AS TIME))", f"count(TRY_CAST({x} AS TIMESTAMP))"
            return f"{times} = count({x}) AND {moments} < count({x})"
        return "true" if type_.startswith("TIME") and not type_.startswith("TIMESTAMP") else None

    def sql(self, x: str, form: str | None = None) -> str:
        return f"epoch(TRY_CAST({x} AS TIME))"


def _moments(x: str, type_: str, not_: str) -> str | None:
    """SQL for whether all values are timestamps, and some (or none) have a time of day."""
    moment = f"TRY_CAST({x} AS TIMESTAMP)" if is_text(type_) else x
    hours = f"{not_} coalesce(bool_or(epoch({moment}) % {SECONDS_PER_DAY:.0f} <> 0), false)"
    if is_text(type_):
        return f"count({moment}) = count({x}) AND {hours}"
    return hours if type_.startswith(("TIMESTAMP", "DATE")) else None


def _turns(seconds: Any, cycle: str) -> Any:
    """The position in the cycle, from 0 to 1; day 0 is 1970-01-01, a Thursday."""
    days = seconds / SECONDS_PER_DAY
    return np.mod({"year": days / DAYS_PER_YEAR, "week": (days + 3) / 7, "day": days}[cycle], 1)


def _written(seconds: float, kind: str) -> str:
    """A date, a time, or both; seconds since 1970 if the year is out of range for Python."""
    if kind == "time":
        whole = int(seconds)
        return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s"
    return f"{at:%Y-%m-%d}" if kind == "date" else f"{at:%Y-%m-%d %H:%M:%S}"

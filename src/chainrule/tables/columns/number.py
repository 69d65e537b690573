"""Numbers, and booleans as the numbers 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from chainrule.tables.columns.column import Column, Graph, InputColumn, Scale, Summary
from chainrule.tables.columns.kind import Kind, is_text
from chainrule.tables.columns.scaled import ScaledColumn, doubles, spread_of
from chainrule.tables.preset import FEW
from chainrule.tables.quantiles import Quantiles, fit_quantiles, quantiles_from_json

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa

TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
FEWEST_TO_COUNT = 20  # rows; in fewer, distinct whole numbers are no sign of an identifier


@dataclass(frozen=True)
class NumberColumn(ScaledColumn):
    """A number (or boolean, 0 or 1) as its Z-score; a missing value as the mean, 0, and an indicator.

    With quantiles, also its position among the values of the training rows.
    """

    quantiles: Quantiles | None = None

    kinds: ClassVar[tuple[str, ...]] = ("number", "boolean")

    @property
    def other_inputs(self) -> list[str]:
        return self.quantiles.names(self.name) if self.quantiles else []

    def encode_others(self, numbers: np.ndarray) -> np.ndarray:
        return self.quantiles.encode(numbers) if self.quantiles else np.empty((len(numbers), 0))

    def others_to_onnx(self, graph: Graph, values: str) -> list[str]:
        return [self.quantiles.to_onnx(graph, values)] if self.quantiles else []

    def other_formula(self, place: int, value: float, write: Callable[[float], str]) -> str:
        return self.quantiles.formula(place, value, write) if self.quantiles else ""

    def how(self) -> str:
        if not self.quantiles or self.quantiles.scores:
            return super().how()
        pieces, rest = self.other_inputs, ["missing"] if self.missing else []
        first, last = (name.removeprefix(f"{self.name} ") for name in (pieces[0], pieces[-1]))
        line = f"(x - {self.mean:g}) / {self.std:g}"
        return ", ".join([line, f"{len(pieces)} pieces: {first}, ..., {last}", *rest])

    def scale(self, place: int) -> Scale | None:
        return Scale(self.name, self.mean, self.std) if place == 0 else None

    def hint(self, values: pa.ChunkedArray) -> str | None:
        if len(values) <= FEWEST_TO_COUNT or values.null_count:
            return None
        numbers = values.to_numpy()
        whole = np.all(numbers == np.floor(numbers)) and np.ptp(numbers) < 2**53
        if not whole or len(np.unique(numbers)) < len(numbers):
            return None
        return (
            f"{self.name} has a different whole number in every row; "
            f"if it is only an identifier, leave it out: --drop {self.name}"
        )

    def summary(self, values: pa.Array) -> Summary:
        summary = super().summary(values)
        if self.kind != "boolean":
            return summary
        numbers = doubles(values)
        counts = {"false": int(np.sum(numbers == 0)), "true": int(np.sum(numbers == 1))}
        return summary._replace(counts=counts)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return super().from_json({**data, "quantiles": quantiles_from_json(data.get("quantiles"))})


class Number(Kind):
    """Numbers of any type, or numeric text."""

    name = "number"
    words = "a number"
    exported = "float64, a number, NaN if missing"
    fitted = NumberColumn
    tasks = ("regression", "binary", "multiclass")
    is_numeric = True
    ranked = True

    def test(self, x: str, type_: str) -> str | None:
        if is_text(type_):
            return f"count(TRY_CAST({x} AS DOUBLE)) = count({x})"
        return "true" if type_.removeprefix("U").startswith(TYPES) else None

    def sql(self, x: str, form: str | None = None) -> str:
        return f"nullif(TRY_CAST({x} AS DOUBLE), CAST('nan' AS DOUBLE))"

    def fit(self, column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
        spread = spread_of(column.name, values, normalize)
        if spread is None:
            return f"constant: always {doubles(values)[0]:g}"
        quantiles = fit_quantiles(spread.numbers, pieces, FEW) if pieces else None
        return NumberColumn(
            column.name, self.name, spread.mean, spread.std, spread.missing, column.date_format, quantiles
        )

    def inputs_expected(self, values: pa.ChunkedArray, pieces: int) -> int:
        return 1 + pieces


class Boolean(Kind):
    """True or false, as booleans or text; read as 1 or 0."""

    name = "boolean"
    words = "true or false"
    exported = "float64, 0 or 1, NaN if missing"
    fitted = NumberColumn
    tasks = ("regression", "binary", "multiclass")

    def test(self, x: str, type_: str) -> str | None:
        if is_text(type_):
            return f"count(*) FILTER (lower({x}) IN ('true', 'false')) = count({x})"
        return "true" if type_ == "BOOLEAN" else None

    def sql(self, x: str, form: str | None = None) -> str:
        return f"CAST(TRY_CAST({x} AS BOOLEAN) AS DOUBLE)"

    def fit(self, column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
        spread = spread_of(column.name, values, normalize)
        if spread is None:
            return "constant"
        return NumberColumn(column.name, self.name, spread.mean, spread.std, spread.missing, column.date_format)

    def written(self, value: Any) -> str:
        return "true" if value else "false"

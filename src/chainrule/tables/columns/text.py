"""Text as categories: an input for each frequent value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import in_one_line
from chainrule.tables.columns.column import Column, Graph, InputColumn, Summary, sound
from chainrule.tables.columns.kind import MISSING, Kind, is_text

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa

RARE = 5  # values in fewer training rows than this share the input for rare values
MOST_VALUES = 100  # frequent values of a column with an input of their own
MOST_INPUTS_SHOWN = 8


@dataclass(frozen=True)
class TextColumn(InputColumn):
    """Text as one-hot inputs: one per frequent value, one for all rare values, one for missing values.

    The inputs for rare and missing values exist only if the training rows contain such values. A value that is not in
    the training rows counts as rare; without an input for rare values, its inputs are all 0.
    """

    name: str
    values: tuple[str, ...]
    rare: bool
    missing: bool
    kind: str = "text"
    date_format: str | None = None

    @property
    def inputs(self) -> list[str]:
        return [f"{self.name}={label}" for label in self._labels]

    @property
    def _labels(self) -> list[str]:
        buckets = [("(rare)", self.rare), ("(missing)", self.missing)]
        return [*self.values, *(bucket for bucket, there in buckets if there)]

    def encode(self, values: pa.Array, out: np.ndarray) -> None:
        place, absent = self._places(values)
        known = place >= 0
        out[:] = 0
        out[np.flatnonzero(known), place[known]] = 1
        if self.rare:
            out[:, len(self.values)] = ~known & ~absent
        if self.missing:
            out[:, -1] = absent

    def _places(self, values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """The index of each value in `self.values` (-1 if it is not in it), and whether it is missing."""
        coded = values.dictionary_encode()
        place_of = {value: place for place, value in enumerate(self.values)}
        places = np.array([*(place_of.get(value, -1) for value in coded.dictionary.to_pylist()), -1])
        absent = values.is_null().to_numpy(zero_copy_only=False)
        indices = coded.indices.to_numpy(zero_copy_only=False)
        place = places[np.where(absent, len(places) - 1, indices).astype(int)]
        return place, absent

    def checked(self) -> Self:
        sound(self, self.kind == "text", all(isinstance(value, str) for value in self.values))
        return self

    def how(self) -> str:
        labels = self._labels
        more = f", ... ({len(labels)} in all)" if len(labels) > MOST_INPUTS_SHOWN else ""
        return "one-hot: " + ", ".join(labels[:MOST_INPUTS_SHOWN]) + more

    def to_onnx(self, graph: Graph, dtype: Any) -> str:
        """Add one-hot nodes; values without an input get an index beyond the last, and thus only zeros."""
        n = len(self.inputs)
        missing = n - 1 if self.missing else n
        places = {**dict.fromkeys(MISSING, missing), **{value: i for i, value in enumerate(self.values)}}
        place = graph(
            "LabelEncoder",
            graph.input(self.name, object, "rows", 1),
            domain="ai.onnx.ml",
            keys_strings=list(places),
            values_int64s=list(places.values()),
            default_int64=len(self.values) if self.rare else n,
        )
        hot = graph("OneHot", place, graph.constant([n], np.int64), graph.constant([0, 1], np.float32), axis=-1)
        return graph.cast(graph("Reshape", hot, graph.constant([-1, n], np.int64)), dtype)

    def summary(self, values: pa.Array) -> Summary:
        """Counts of the values that have an input; all other non-missing values count as "(rare)"."""
        place, absent = self._places(values)
        counts = np.bincount(place[place >= 0], minlength=len(self.values)).tolist()
        told = dict(zip(self.values, counts, strict=True))
        told["(rare)"] = int(np.sum((place < 0) & ~absent))
        return Summary(len(place), float(absent.mean()) if len(place) else 0.0, counts=told)


class Text(Kind):
    """Arbitrary text."""

    name = "text"
    words = "text"
    exported = 'string without leading or trailing blanks, "" if missing'
    fitted = TextColumn
    tasks = ("binary", "multiclass")
    takes_anything = True

    def test(self, x: str, type_: str) -> str | None:
        return "true" if is_text(type_) else None

    def sql(self, x: str, form: str | None = None) -> str:
        return f"CAST({x} AS VARCHAR)"

    def fit(self, column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
        counts = values.drop_null().value_counts().to_pylist()
        counted = sorted(((c["counts"], c["values"]) for c in counts), reverse=True)
        missing = values.null_count > 0
        if counted[0][0] == 1 and len(counted) > 1:
            return "identifies rows: every value is different"
        if len(counted) == 1 and not missing:
            return f"constant: always {counted[0][1]!r}"
        frequent = [value for count, value in counted[:MOST_VALUES] if count >= RARE or len(counted) == 2]
        if not frequent and not missing:
            return f"every value is in fewer than {RARE} training rows"
        return TextColumn(column.name, tuple(sorted(frequent)), len(counted) > len(frequent), missing)

    def inputs_expected(self, values: pa.ChunkedArray, pieces: int) -> int:
        return min(MOST_VALUES, len(values.unique()))

    def written(self, value: Any) -> str:
        return in_one_line(str(value))

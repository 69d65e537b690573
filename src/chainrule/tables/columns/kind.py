"""What every kind of column answers: how its values are told from others, read, fitted and shown to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.tables.columns.column import Column, InputColumn
from chainrule.tables.reading import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")


class Kind:
    """A kind of column. `x` is SQL for a raw value, NULL where it is missing; types are DuckDB's, in capitals."""

    name: str
    words: str = ""  # what one value is
    exported: str = ""  # what an ONNX file takes for it
    fitted: type[InputColumn] | None = None  # the class of its fitted columns
    tasks: tuple[str, ...] = ()  # that it can be the target of
    is_numeric = False  # ordered numbers, of which a few whole ones may be classes
    ranked = False  # whether its place among the training rows' quantiles can become inputs too
    takes_anything = False  # whether every value reads as one of this kind
    refused = ""  # why no column of this kind becomes inputs
    forms: tuple[str, ...] = ()  # other ways of writing it, tried on text that is of no other kind

    def test(self, x: str, type_: str) -> str | None:
        """An aggregate that is true if all values of a column are of this kind; None if none of such a type is."""
        return None

    def might_have_form(self, value: str) -> bool:
        """Whether the text looks as if it were written in one of `forms`."""
        return False

    def sql(self, x: str, form: str | None = None) -> str:
        """The value as DOUBLE or VARCHAR, NULL if it cannot be read; `form` is the one that text is written in."""
        raise NotImplementedError(f"values of kind {self.name}")

    def fit(self, column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
        """The column fitted to the training rows' values, one of which is there at least; or why it is dropped."""
        return self.refused

    def inputs_expected(self, values: pa.ChunkedArray, pieces: int) -> int:
        """About how many inputs a column becomes, from raw values of its first rows."""
        return 1

    def shown(self, value: Any) -> str:
        """A value as people write it."""
        return "missing" if value is None or value != value else self.written(value)

    def written(self, value: Any) -> str:
        """A value that is there as people write it."""
        return f"{value:.6g}"


class Unreadable(Kind):
    """A column that nothing can be read from."""

    def __init__(self, name: str, refused: str) -> None:
        self.name, self.refused = name, refused


EMPTY = Unreadable("empty", "every value is missing")
OTHER = Unreadable("other", "neither number, text, date nor boolean")


def is_text(type_: str) -> bool:
    """Whether values of the type are read as text and may mean anything.

    >>> is_text("VARCHAR"), is_text("ENUM('red', 'blue')"), is_text("VARCHAR[]"), is_text("DOUBLE")
    (True, True, False, False)
    """
    return (type_.startswith("ENUM") and not type_.endswith("]")) or type_ in ("VARCHAR", "UUID", "JSON")


def present(name: str, type_: str) -> str:
    """SQL for a raw value, NULL if missing: text without blanks around it."""
    if not is_text(type_):
        return quoted(name)
    trimmed = f"trim(CAST({quoted(name)} AS VARCHAR))"
    return f"CASE WHEN {trimmed} NOT IN ({', '.join(map(literal, MISSING))}) THEN {trimmed} END"

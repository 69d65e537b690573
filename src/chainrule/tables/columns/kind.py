"""The interface of a kind of column: how its values are recognised, read, fitted and displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.tables.columns.column import Column, InputColumn
from chainrule.tables.reading import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")


class Kind:
    """A kind of column. `x` is SQL for a raw value, NULL if missing; types are DuckDB's, in upper case."""

    name: str
    words: str = ""  # what a value is called in messages
    exported: str = ""  # the input that an ONNX model takes for it
    fitted: type[InputColumn] | None = None  # the class of its fitted columns
    tasks: tuple[str, ...] = ()  # for which it can be the target
    is_numeric = False  # numbers; as a target, few distinct whole numbers may be classes
    ranked = False  # whether it can also be encoded by quantiles of the training rows
    takes_anything = False  # whether every value is valid for this kind
    refused = ""  # why columns of this kind are never inputs; stored in models, so the wording must not change
    forms: tuple[str, ...] = ()  # alternative formats, tried on text that fits no other kind

    def test(self, x: str, type_: str) -> str | None:
        """A SQL aggregate that is true if all values are of this kind; None if the type rules that out."""
        return None

    def might_have_form(self, value: str) -> bool:
        """Whether the text could be in one of `forms`."""
        return False

    def sql(self, x: str, form: str | None = None) -> str:
        """SQL for the value as DOUBLE or VARCHAR, NULL if it cannot be read; `form` is the format of text."""
        raise NotImplementedError(f"values of kind {self.name}")

    def fit(self, column: Column, values: pa.Array, normalize: bool, pieces: int) -> InputColumn | str:
        """Fit the column to the values of the training rows (not all missing), or return why it is dropped."""
        return self.refused

    def inputs_expected(self, values: pa.ChunkedArray, pieces: int) -> int:
        """An estimate of the number of inputs of a column, from the raw values of its first rows."""
        return 1

    def shown(self, value: Any) -> str:
        """A value for display."""
        return "missing" if value is None or value != value else self.written(value)

    def written(self, value: Any) -> str:
        """A non-missing value for display."""
        return f"{value:.6g}"


class Unreadable(Kind):
    """A column that cannot be used."""

    def __init__(self, name: str, refused: str) -> None:
        self.name, self.refused = name, refused


EMPTY = Unreadable("empty", "every value is missing")
OTHER = Unreadable("other", "neither number, text, date nor boolean")


def is_text(type_: str) -> bool:
    """Whether values of the DuckDB type are read as text.

    >>> is_text("VARCHAR"), is_text("ENUM('red', 'blue')"), is_text("VARCHAR[]"), is_text("DOUBLE")
    (True, True, False, False)
    """
    return (type_.startswith("ENUM") and not type_.endswith("]")) or type_ in ("VARCHAR", "UUID", "JSON")


def present(name: str, type_: str) -> str:
    """SQL for a raw value, NULL if missing; text is stripped of surrounding blanks."""
    if not is_text(type_):
        return quoted(name)
    trimmed = f"trim(CAST({quoted(name)} AS VARCHAR))"
    return f"CASE WHEN {trimmed} NOT IN ({', '.join(map(literal, MISSING))}) THEN {trimmed} END"

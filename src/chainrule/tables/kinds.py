"""What a raw column means: numbers, booleans, dates, times or text; and the SQL that reads it as such.

A value is missing if it is NULL, NaN, blank, or one of `MISSING`. Text in a column where every value that is
there reads as a number is a column of numbers, and so on: the same file means the same as CSV and as Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from chainrule.errors import InputError, shortened
from chainrule.tables.reading import COLUMNS_AT_ONCE, Source, first_row, literal, quoted

Kind = Literal["number", "boolean", "date", "timestamp", "time", "text", "empty", "other"]

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")
DATE_FORMATS = tuple(
    f"{date}{clock}"
    for date in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d")
    for clock in ("", " %H:%M", " %H:%M:%S")
)
WORDS = {
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a date and time",
    "time": "a time of day",
    "text": "text",
}


class Column(NamedTuple):
    """A column and how to read it. `date_format` is for dates that are not written as 2026-01-31."""

    name: str
    kind: Kind
    date_format: str | None = None


def kinds_of(source: Source, names: Sequence[str]) -> list[Column]:
    """The kind of each column, from all of its values."""
    if not names:
        return []
    answers = _answers(source, [_tests(source, name) for name in names])
    return [_kind(source, name, answer) for name, answer in zip(names, answers, strict=True)]


def _answers(source: Source, tests: Sequence[Sequence[str]]) -> Iterator[Sequence[Any]]:
    """What the tests of each column give over all rows; of some columns at a time."""
    for start in range(0, len(tests), COLUMNS_AT_ONCE):
        some = tests[start : start + COLUMNS_AT_ONCE]
        row = iter(first_row(source, f"SELECT {', '.join(test for of in some for test in of)} FROM {source.sql}"))
        for of in some:
            yield [next(row) for _ in of]


def strays(source: Source, columns: Sequence[Column]) -> list[str]:
    """A line for each column of text in which nine values of ten read as numbers: what keeps it from being one."""
    texts = [column.name for column in columns if column.kind == "text" and _family(source, column.name) == "text"]
    if not texts:
        return []
    tests = [[f"count({x})", f"count(TRY_CAST({x} AS DOUBLE))"] for x in (_present(source, name) for name in texts)]
    lines = []
    for name, (present, numbers) in zip(texts, _answers(source, tests), strict=True):
        if 0.9 * present <= numbers < present:
            row, value = _first_bad(source, Column(name, "number"))
            lines.append(
                f"{name} is text, for {present - numbers:,} of {present:,} values are no number: {value!r} in row {row}"
            )
    return lines


def value_sql(source: Source, column: Column) -> str:
    """An expression for the column's values: DOUBLE (seconds for dates and times) or VARCHAR; NULL where missing.

    A value that is there and cannot be read as the column's kind is NULL too: `check_values` finds those.
    """
    family, present = _family(source, column.name), _present(source, column.name)
    if column.kind == "text":
        return f"CAST({present} AS VARCHAR)"
    if column.kind == "number":
        return f"nullif(TRY_CAST({present} AS DOUBLE), CAST('nan' AS DOUBLE))"
    if column.kind == "boolean":
        return f"CAST(TRY_CAST({present} AS BOOLEAN) AS DOUBLE)"
    if column.kind == "time":
        return f"epoch(TRY_CAST({present} AS TIME))"
    if family == "text" and column.date_format:
        return f"epoch(try_strptime({present}, {literal(column.date_format)}))"
    return f"epoch(TRY_CAST({present} AS TIMESTAMP))"


def check_values(source: Source, columns: Sequence[Column]) -> None:
    """Raise an InputError for the first value that is not of its column's kind, or infinite."""
    checked = [c for c in columns if c.kind != "text"]
    if not checked:
        return
    counts = [[f"count(*) FILTER ({_is_bad(source, column)})"] for column in checked]
    for column, (bad,) in zip(checked, _answers(source, counts), strict=True):
        if bad:
            number, value = _first_bad(source, column)
            more = f" ({bad:,} such values)" if bad > 1 else ""
            infinite = value.lower().lstrip("+-") in ("inf", "infinity")
            fix = (
                "replace or remove infinite values"
                if infinite
                else "correct the value, or leave it empty if it is unknown"
            )
            raise InputError(
                f"{source.name}: column {column.name!r}, row {number}: expected {WORDS[column.kind]}, "
                f"got {shortened(value)!r}{more}; {fix}"
            )


def _family(source: Source, name: str) -> str:
    type_ = source.types[name].upper()
    if type_.startswith("ENUM") or type_ in ("VARCHAR", "UUID", "JSON"):
        return "text"
    if type_.startswith(("TIMESTAMP", "DATE")):
        return "timestamp"
    if type_.startswith("TIME"):
        return "time"
    if type_ == "BOOLEAN":
        return "boolean"
    numbers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
    whole = not type_.endswith("]")
    return "number" if whole and type_.removeprefix("U").startswith(numbers) else "other"


def _present(source: Source, name: str) -> str:
    """The raw value, NULL if missing."""
    if _family(source, name) != "text":
        return quoted(name)
    trimmed = f"trim(CAST({quoted(name)} AS VARCHAR))"
    return f"CASE WHEN {trimmed} NOT IN ({', '.join(map(literal, MISSING))}) THEN {trimmed} END"


def _is_bad(source: Source, column: Column) -> str:
    value = value_sql(source, column)
    nan = f"AND NOT isnan({quoted(column.name)})" if source.types[column.name] in ("FLOAT", "DOUBLE") else ""
    return f"({_present(source, column.name)} IS NOT NULL {nan} AND {value} IS NULL) OR isinf({value})"


def _first_bad(source: Source, column: Column) -> tuple[int, str]:
    row = quoted("row " + " ".join(source.types))  # a name that no column has
    numbered = f"SELECT *, row_number() OVER () AS {row} FROM {source.sql}"
    found = first_row(
        source,
        f"SELECT {row}, CAST({quoted(column.name)} AS VARCHAR) FROM ({numbered}) "
        f"WHERE {_is_bad(source, column)} ORDER BY {row} LIMIT 1",
    )
    return int(found[0]), str(found[1])


def _tests(source: Source, name: str) -> list[str]:
    """How many values there are, and how many read as a number, a boolean, a timestamp, a time; and has it hours?"""
    if _family(source, name) == "other":
        return ["0"] * 6
    present = _present(source, name)
    if _family(source, name) != "text":
        hours = f"epoch({present}) % 86400 <> 0" if _family(source, name) == "timestamp" else "false"
        return [f"count({present})", "0", "0", "0", "0", f"coalesce(bool_or({hours}), false)"]
    stamp = f"TRY_CAST({present} AS TIMESTAMP)"
    return [
        f"count({present})",
        f"count(TRY_CAST({present} AS DOUBLE))",
        f"count(*) FILTER (lower({present}) IN ('true', 'false'))",
        f"count({stamp})",
        f"count(TRY_CAST({present} AS TIME))",
        f"coalesce(bool_or(epoch({stamp}) % 86400 <> 0), false)",
    ]


def _kind(source: Source, name: str, tests: Sequence[Any]) -> Column:
    present, numbers, booleans, stamps, times, hours = tests
    family = _family(source, name)
    if family == "other":
        return Column(name, "other")
    if not present:
        return Column(name, "empty")
    if family == "timestamp":
        return Column(name, "timestamp" if hours else "date")
    if family != "text":
        return Column(name, family)  # pyright: ignore[reportArgumentType]
    if numbers == present:
        return Column(name, "number")
    if booleans == present:
        return Column(name, "boolean")
    if times == present and stamps < present:
        return Column(name, "time")
    if stamps == present:
        return Column(name, "timestamp" if hours else "date")
    return _other_date(source, name, present)


def _other_date(source: Source, name: str, present: int) -> Column:
    """A column of text, unless one of the usual ways of writing a date fits all of its values."""
    value = _present(source, name)
    (some,) = first_row(source, f"SELECT {value} FROM {source.sql} WHERE {value} IS NOT NULL LIMIT 1")
    if not (some[:1].isdigit() and len(some) <= 19):
        return Column(name, "text")
    counts = ", ".join(f"count(try_strptime({value}, {literal(form)}))" for form in DATE_FORMATS)
    row = first_row(source, f"SELECT {counts} FROM {source.sql}")
    for form, count in zip(DATE_FORMATS, row, strict=True):
        if count == present:
            return Column(name, "timestamp" if "%H" in form else "date", form)
    return Column(name, "text")

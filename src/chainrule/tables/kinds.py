"""The kind of each raw column, inferred from all of its values, and the SQL that reads it.

A value is missing if it is NULL, NaN, blank, or one of `columns.kind.MISSING`. A text column whose non-missing values
are all numeric is a column of numbers, and so on, so that CSV and Parquet files are interpreted alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from chainrule.errors import InputError, shortened
from chainrule.tables.columns import EMPTY, IN_ORDER, KINDS, NUMBER, OTHER, Column, Kind
from chainrule.tables.columns.kind import is_text, present
from chainrule.tables.reading import COLUMNS_AT_ONCE, Source, first_row, quoted


def kinds_of(source: Source, names: Sequence[str]) -> list[Column]:
    """The kind of each column, inferred from all of its values."""
    if not names:
        return []
    candidates = [_candidates(source, name) for name in names]
    tests = [[f"count({_present(source, name)})", *some.values()] for name, some in zip(names, candidates, strict=True)]
    answers = _answers(source, tests)
    return [_decided(source, *told) for told in zip(names, candidates, answers, strict=True)]


def strays(source: Source, columns: Sequence[Column]) -> list[str]:
    """A hint for each text column of which at least nine values in ten are numeric: the first that is not."""
    texts = [column.name for column in columns if KINDS[column.kind].takes_anything and _is_text(source, column.name)]
    if not texts:
        return []
    tests = [[f"count({x})", f"count({NUMBER.sql(x)})"] for x in (_present(source, name) for name in texts)]
    lines = []
    for name, (there, numbers) in zip(texts, _answers(source, tests), strict=True):
        if 0.9 * there <= numbers < there:
            row, value = _first_bad(source, Column(name, NUMBER.name))
            lines.append(f"{name} is read as text: {_not_numeric(there - numbers, there)}, {value!r} in row {row}")
    return lines


def _not_numeric(strays: int, present: int) -> str:
    """How many of the values are not numeric, in words."""
    verb = "is" if strays == 1 else "are"
    return f"{strays:,} of {present:,} values {verb} not numeric"


def value_sql(source: Source, column: Column) -> str:
    """A SQL expression for the column's values: DOUBLE (seconds for dates and times) or VARCHAR; NULL if missing.

    A value that cannot be read as the column's kind is NULL as well; `check_values` finds those.
    """
    form = column.date_format if _is_text(source, column.name) else None
    return KINDS[column.kind].sql(_present(source, column.name), form)


def check_values(source: Source, columns: Sequence[Column]) -> None:
    """Check that all values are finite and of the kind of their column.

    Parameters
    ----------
    source : Source
        The table.
    columns : sequence of Column
        The columns to check.

    Raises
    ------
    InputError
        If one is not, with the first such value and its row.
    """
    checked = [column for column in columns if not KINDS[column.kind].takes_anything]
    if not checked:
        return
    counts = [[f"count(*) FILTER ({_is_bad(source, column)})"] for column in checked]
    for column, (bad,) in zip(checked, _answers(source, counts), strict=True):
        if bad:
            raise _bad_value(source, column, bad)


def _bad_value(source: Source, column: Column, count: int) -> InputError:
    number, value = _first_bad(source, column)
    more = f" ({count:,} such values)" if count > 1 else ""
    infinite = value.lower().lstrip("+-") in ("inf", "infinity")
    fix = "replace or remove infinite values" if infinite else "correct the value, or leave it empty if it is unknown"
    return InputError(
        f"{source.name}: column {column.name!r}, row {number}: expected {KINDS[column.kind].words}, "
        f"got {shortened(value)!r}{more}; {fix}"
    )


def _answers(source: Source, tests: Sequence[Sequence[str]]) -> Iterator[Sequence[Any]]:
    """Evaluate the tests of each column over all rows, several columns per query."""
    for start in range(0, len(tests), COLUMNS_AT_ONCE):
        some = tests[start : start + COLUMNS_AT_ONCE]
        row = iter(first_row(source, f"SELECT {', '.join(test for of in some for test in of)} FROM {source.sql}"))
        for of in some:
            yield [next(row) for _ in of]


def _type(source: Source, name: str) -> str:
    return source.types[name].upper()


def _is_text(source: Source, name: str) -> bool:
    return is_text(_type(source, name))


def _present(source: Source, name: str) -> str:
    """The raw value, NULL if missing."""
    return present(name, _type(source, name))


def _candidates(source: Source, name: str) -> dict[Kind, str]:
    """The kinds possible for the column's type, each with its test; none for lists."""
    type_, x = _type(source, name), _present(source, name)
    tests = {} if type_.endswith("]") else {kind: kind.test(x, type_) for kind in IN_ORDER}
    return {kind: test for kind, test in tests.items() if test}


def _decided(source: Source, name: str, candidates: dict[Kind, str], answers: Sequence[Any]) -> Column:
    there, *passed = answers
    if not candidates:
        return Column(name, OTHER.name)
    if not there:
        return Column(name, EMPTY.name)
    kind = next(kind for kind, all_are in zip(candidates, passed, strict=True) if all_are)
    return (kind.takes_anything and _in_another_form(source, name)) or Column(name, kind.name)


def _in_another_form(source: Source, name: str) -> Column | None:
    """The column as a kind with an alternative format that fits all of its values, or None."""
    x = _present(source, name)
    (some,) = first_row(source, f"SELECT {x} FROM {source.sql} WHERE {x} IS NOT NULL LIMIT 1")
    forms = [(kind, form) for kind in IN_ORDER if kind.might_have_form(some) for form in kind.forms]
    if not forms:
        return None
    fits = ", ".join(f"count({kind.sql(x, form)}) = count({x})" for kind, form in forms)
    fitting = zip(forms, first_row(source, f"SELECT {fits} FROM {source.sql}"), strict=True)
    return next((Column(name, kind.name, form) for (kind, form), all_are in fitting if all_are), None)


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

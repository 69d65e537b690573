"""Dates and times as inputs, in words and in formulas."""

import numpy as np
import pyarrow as pa
import pytest

from chainrule.tables.columns import KINDS

JANUARY, FEBRUARY, LATER = 1_769_817_600.0, 1_769_947_200.0, 1_780_000_000.0  # 2026-01-31, 02-01 12:00, 05-28 20:26:40


def test_a_date_is_its_place_in_time_in_the_year_and_in_the_week(fit):
    monday, thursday = 1_768_780_800.0, 1_769_040_000.0  # 2026-01-19 and 2026-01-22
    table, encoding = fit([monday, thursday, monday + 7 * 86_400], "date")
    assert encoding.inputs == ["x", "x year sin", "x year cos", "x week sin", "x week cos"]
    X = encoding.encode(table, np.float64)
    assert np.allclose(X[0, 3:], X[2, 3:])  # a week later is the same day of the week
    assert np.allclose(X[0, 3:], [0, 1], atol=1e-9)  # weeks begin on Monday
    assert X[0, 0] < X[1, 0] < X[2, 0]


def test_midnight_is_next_to_the_minute_before_it(fit):
    table, encoding = fit([0.0, 86_340.0, 43_200.0], "time")
    midnight, before, noon = encoding.encode(table, np.float64)
    assert np.linalg.norm(midnight - before) < 0.01 < np.linalg.norm(midnight - noon)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("date", [JANUARY, JANUARY + 86_400, JANUARY + 40 * 86_400]),
        ("timestamp", [JANUARY, FEBRUARY, LATER]),
        ("time", [0.0, 37_800.0, 86_399.0]),
    ],
)
def test_a_formula_gives_the_input(fit, worked_out, kind, values):
    column = fit(values, kind)[1].columns[0]
    for value in values:
        told = worked_out(column, value)
        assert list(told) == list(range(len(column.inputs)))
        row = np.empty((1, len(column.inputs)))
        column.encode(pa.array([value]), row)
        np.testing.assert_allclose(list(told.values()), row[0], rtol=1e-4, atol=1e-4)


def test_a_missing_date_is_in_no_part_of_a_cycle(fit):
    column = fit([JANUARY, FEBRUARY, None], "timestamp")[1].columns[0]
    assert [column.if_missing(place) for place in (0, 1)] == ["0, the mean", "0"]


@pytest.mark.parametrize(
    ("kind", "seconds", "shown"),
    [
        ("date", JANUARY, "2026-01-31"),
        ("timestamp", FEBRUARY, "2026-02-01 12:00:00"),
        ("time", 37_805.0, "10:30:05"),
        ("date", None, "missing"),
        ("date", 1e15, "1000000000000000 s"),
    ],
)
def test_a_moment_as_people_write_it(kind, seconds, shown):
    assert KINDS[kind].shown(seconds) == shown


def test_a_summary_has_the_first_and_the_last(fit):
    column = fit([JANUARY, FEBRUARY], "timestamp")[1].columns[0]
    assert column.summary(pa.array([FEBRUARY, None, JANUARY, None])) == (4, 0.5, JANUARY, FEBRUARY, {})

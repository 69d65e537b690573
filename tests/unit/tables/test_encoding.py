"""Columns as inputs, fitted on training rows."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import InputError
from chainrule.tables.columns import Column
from chainrule.tables.columns.text import MOST_VALUES, RARE
from chainrule.tables.encoding import encoding_from_json, fit_encoding


def fit(values, kind="number", normalize=True):
    table = pa.table({"x": values})
    return table, fit_encoding(table, [Column("x", kind)], normalize)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40).filter(lambda x: np.std(x) > 1e-3))
def test_numbers_become_z_scores_with_the_sample_deviation(values):
    table, encoding = fit(values)
    expected = (np.array(values) - np.mean(values)) / np.std(values, ddof=1)
    assert np.allclose(encoding.encode(table, np.float64)[:, 0], expected)


def test_a_missing_number_is_the_mean_and_an_indicator():
    table, encoding = fit([1.0, None, 3.0])
    assert encoding.inputs == ["x", "x missing"]
    assert np.allclose(encoding.encode(table), [[-np.sqrt(0.5), 0], [0, 1], [np.sqrt(0.5), 0]])


def test_missing_values_that_training_never_saw_are_the_mean():
    _, encoding = fit([1.0, 2.0, 3.0])
    assert encoding.encode(pa.table({"x": pa.array([None], pa.float64())})).tolist() == [[0.0]]


def test_a_constant_column_with_missing_values_keeps_only_their_indicator_informative():
    table, encoding = fit([5.0, None, 5.0])
    assert encoding.encode(table).tolist() == [[0, 0], [0, 1], [0, 0]]


def test_without_normalizing_numbers_enter_as_they_are():
    table, encoding = fit([1.0, 2.5, 4.0], normalize=False)
    assert encoding.encode(table)[:, 0].tolist() == [1.0, 2.5, 4.0]


def test_text_is_one_hot_with_inputs_for_rare_and_missing_values():
    table, encoding = fit(["red"] * 5 + ["blue"] * 6 + ["mauve"] + [None], "text")
    assert encoding.inputs == ["x=blue", "x=red", "x=(rare)", "x=(missing)"]
    X = encoding.encode(table)
    assert X[[0, 5, 11, 12]].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (X.sum(axis=1) == 1).all()


@pytest.mark.parametrize(("rare", "expected"), [(["mauve"], [0, 0, 1]), ([], [0, 0])])
def test_an_unseen_value_is_rare_or_nothing(rare, expected):
    _, encoding = fit(["red"] * 5 + ["blue"] * 6 + rare, "text")
    assert encoding.encode(pa.table({"x": ["green"]})).tolist() == [expected]


def test_only_the_most_frequent_values_get_an_input():
    values = [f"v{i:03}" for i in range(MOST_VALUES + 20) for _ in range(RARE + (i < MOST_VALUES))]
    _, encoding = fit(values, "text")
    assert len(encoding.inputs) == MOST_VALUES + 1
    assert encoding.inputs[-1] == "x=(rare)"


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([2.0, 2.0], "number", "constant: always 2"),
        (["a", "a"], "text", "constant: always 'a'"),
        (["a", "b", "c"], "text", "identifies rows"),
        (["a", "a", "b", "b", "c", "c"], "text", "fewer than 5 training rows"),
        (pa.array([None, None], pa.float64()), "number", "every value is missing"),
    ],
)
def test_columns_that_tell_nothing_are_dropped_with_the_reason(values, kind, why):
    _, encoding = fit(values, kind)
    assert encoding.columns == ()
    assert why in encoding.dropped[0][1]


def test_a_date_is_its_place_in_time_in_the_year_and_in_the_week():
    monday, thursday = 1_768_780_800.0, 1_769_040_000.0  # 2026-01-19 and 2026-01-22
    table, encoding = fit([monday, thursday, monday + 7 * 86_400], "date")
    assert encoding.inputs == ["x", "x year sin", "x year cos", "x week sin", "x week cos"]
    X = encoding.encode(table, np.float64)
    assert np.allclose(X[0, 3:], X[2, 3:])  # a week later is the same day of the week
    assert np.allclose(X[0, 3:], [0, 1], atol=1e-9)  # weeks begin on Monday
    assert X[0, 0] < X[1, 0] < X[2, 0]


def test_midnight_is_next_to_the_minute_before_it():
    table, encoding = fit([0.0, 86_340.0, 43_200.0], "time")
    midnight, before, noon = encoding.encode(table, np.float64)
    assert np.linalg.norm(midnight - before) < 0.01 < np.linalg.norm(midnight - noon)


@pytest.mark.parametrize("values", [[1e300, -1e300, 1e299], [0.0, 5e-324, 1e-323]])
def test_values_that_cannot_be_scaled_are_refused_by_name(values):
    with pytest.raises(InputError, match="column 'x': its values are too large or too close"):
        fit(values)


@pytest.mark.parametrize("change", [{"kind": "zzz"}, {"std": "a"}, {"std": 0.0}, {"mean": float("nan")}, {"name": 5}])
def test_an_encoding_that_cannot_be_computed_with_is_refused(change):
    data = fit([1.0, 2.0, 4.0])[1].to_json()
    data["columns"][0].update(change)
    with pytest.raises(ValueError, match="encoding: column"):
        encoding_from_json(data)


def test_an_encoding_survives_json():
    table = pa.table({"n": [1.0, None, 3.0], "t": ["a", "a", None], "d": [0.0, 86_400.0, 1e6]})
    columns = [Column("n", "number"), Column("t", "text"), Column("d", "date", "%d/%m/%Y"), Column("e", "empty")]
    encoding = fit_encoding(table.append_column("e", pa.nulls(3)), columns)
    back = encoding_from_json(json.loads(json.dumps(encoding.to_json())))
    assert back == encoding
    assert np.array_equal(back.encode(table), encoding.encode(table))

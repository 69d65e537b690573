"""Numbers and booleans as inputs, in words and in formulas."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule.errors import InputError
from chainrule.tables.columns import KINDS, NumberColumn, Scale

SKEWED = np.round(np.exp(np.random.default_rng(0).normal(size=500)), 2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40).filter(lambda x: np.std(x) > 1e-3))
def test_numbers_become_z_scores_with_the_sample_deviation(fit, values):
    table, encoding = fit(values)
    expected = (np.array(values) - np.mean(values)) / np.std(values, ddof=1)
    assert np.allclose(encoding.encode(table, np.float64)[:, 0], expected)


def test_a_missing_number_is_the_mean_and_an_indicator(fit):
    table, encoding = fit([1.0, None, 3.0])
    assert encoding.inputs == ["x", "x missing"]
    assert np.allclose(encoding.encode(table), [[-np.sqrt(0.5), 0], [0, 1], [np.sqrt(0.5), 0]])


def test_missing_values_that_training_never_saw_are_the_mean(fit):
    _, encoding = fit([1.0, 2.0, 3.0])
    assert encoding.encode(pa.table({"x": pa.array([None], pa.float64())})).tolist() == [[0.0]]


def test_a_constant_column_with_missing_values_keeps_only_their_indicator_informative(fit):
    table, encoding = fit([5.0, None, 5.0])
    assert encoding.encode(table).tolist() == [[0, 0], [0, 1], [0, 0]]


def test_without_normalizing_numbers_enter_as_they_are(fit):
    table, encoding = fit([1.0, 2.5, 4.0], normalize=False)
    assert encoding.encode(table)[:, 0].tolist() == [1.0, 2.5, 4.0]


@pytest.mark.parametrize("values", [[1e300, -1e300, 1e299], [0.0, 5e-324, 1e-323]])
def test_values_that_cannot_be_scaled_are_refused_by_name(fit, values):
    with pytest.raises(InputError, match="column 'x': its values are too large or too close"):
        fit(values)


@pytest.mark.parametrize("pieces", [0, 1, 5])
@pytest.mark.parametrize("value", [-3.0, 0.11, 1.5, 2.25, 400.0])
def test_a_formula_gives_the_input(fit, worked_out, pieces, value):
    column = fit(SKEWED, pieces=pieces)[1].columns[0]
    told = worked_out(column, value)
    assert list(told) == list(range(len(column.inputs)))
    row = np.empty((1, len(column.inputs)))
    column.encode(pa.array([value]), row)
    np.testing.assert_allclose(list(told.values()), row[0], rtol=1e-4, atol=1e-4)


def test_a_number_that_enters_as_it_is_needs_no_formula(fit):
    column = fit([1.0, 2.0, None], normalize=False)[1].columns[0]
    assert (column.worked_out, column.how()) == ([], "(x - 0) / 1, missing")


def test_only_the_z_score_has_a_scale(fit):
    column = fit(SKEWED, pieces=1)[1].columns[0]
    assert column.scale(0) == Scale("x", column.mean, column.std)
    assert column.scale(1) is None


def test_how_a_number_enters_in_words(fit):
    assert fit([1.0, 3.0, None, 5.0])[1].columns[0].how() == "(x - 3) / 2, missing"
    told = fit(SKEWED, pieces=5)[1].columns[0].how()
    assert told.split(", ")[1].startswith("5 pieces: ")


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [("number", 12.5, "12.5"), ("number", None, "missing"), ("boolean", 1.0, "true"), ("boolean", 0.0, "false")],
)
def test_a_value_as_people_write_it(kind, value, shown):
    assert KINDS[kind].shown(value) == shown


def test_a_different_whole_number_in_every_row_is_asked_about():
    column = NumberColumn("x", "number", 0.0, 1.0, False)
    assert "--drop x" in column.hint(pa.chunked_array([np.arange(30.0)]))
    assert column.hint(pa.chunked_array([np.arange(30.0) / 2])) is None
    assert column.hint(pa.chunked_array([np.arange(20.0)])) is None


def test_sums_over_all_rows_replace_those_of_the_sample(fit):
    column = fit([1.0, 2.0, 3.0])[1].columns[0]
    assert len(column.sums("v")) == 3
    exact = column.with_sums([5.0, 2.5, 7])
    assert (exact.mean, exact.std, exact.missing) == (5.0, 2.5, True)
    assert column.with_sums([5.0, None, 0]).std == column.std


def test_a_summary_has_the_range_and_what_is_missing(fit):
    column = fit([1.0, 2.0, 4.0])[1].columns[0]
    told = column.summary(pa.array([3.0, None, -1.0, 8.0]))
    assert told == (4, 0.25, -1.0, 8.0, {})
    assert column.summary(pa.array([], pa.float64())) == (0, 1.0, None, None, {})


def test_a_summary_counts_booleans(fit):
    column = fit([0.0, 1.0, None], "boolean")[1].columns[0]
    assert column.summary(pa.array([1.0, 1.0, 0.0, None])).counts == {"false": 1, "true": 2}

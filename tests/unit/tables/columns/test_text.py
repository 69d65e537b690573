"""Text as categories, in words and counted."""

import pyarrow as pa
import pytest

from chainrule.tables.columns import KINDS
from chainrule.tables.columns.text import MOST_INPUTS_SHOWN, MOST_VALUES, RARE


def test_text_is_one_hot_with_inputs_for_rare_and_missing_values(fit):
    table, encoding = fit(["red"] * 5 + ["blue"] * 6 + ["mauve"] + [None], "text")
    assert encoding.inputs == ["x=blue", "x=red", "x=(rare)", "x=(missing)"]
    X = encoding.encode(table)
    assert X[[0, 5, 11, 12]].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (X.sum(axis=1) == 1).all()


@pytest.mark.parametrize(("rare", "expected"), [(["mauve"], [0, 0, 1]), ([], [0, 0])])
def test_an_unseen_value_is_rare_or_nothing(fit, rare, expected):
    _, encoding = fit(["red"] * 5 + ["blue"] * 6 + rare, "text")
    assert encoding.encode(pa.table({"x": ["green"]})).tolist() == [expected]


def test_only_the_most_frequent_values_get_an_input(fit):
    values = [f"v{i:03}" for i in range(MOST_VALUES + 20) for _ in range(RARE + (i < MOST_VALUES))]
    _, encoding = fit(values, "text")
    assert len(encoding.inputs) == MOST_VALUES + 1
    assert encoding.inputs[-1] == "x=(rare)"


def test_how_text_enters_in_words(fit):
    column = fit(["red"] * 5 + ["blue"] * 6 + [None], "text")[1].columns[0]
    assert column.how() == "one-hot: blue, red, (missing)"
    many = fit([f"v{i}" for i in range(20) for _ in range(RARE)], "text")[1].columns[0]
    assert many.how().endswith(", ... (20 in all)")
    assert many.how().count(",") == MOST_INPUTS_SHOWN


def test_text_is_read_off_its_inputs(fit):
    column = fit(["red"] * 5 + ["blue"] * 6, "text")[1].columns[0]
    assert list(column.worked_out) == []
    assert column.sums("v") == []


def test_a_value_stays_in_its_line():
    assert "\n" not in KINDS["text"].shown("two\nlines")
    assert KINDS["text"].shown(None) == "missing"


def test_a_summary_counts_the_values_that_have_an_input(fit):
    column = fit(["red"] * 5 + ["blue"] * 6, "text")[1].columns[0]
    told = column.summary(pa.array(["red", "green", None, "red"]))
    assert (told.rows, told.missing, told.low, told.high) == (4, 0.25, None, None)
    assert told.counts == {"blue": 0, "red": 2, "(rare)": 1}

"""Scores of outputs that cannot be scored are left out, not made up and no error."""

import numpy as np
import pytest

from chainrule.tables.kinds import Column
from chainrule.tables.metrics import score_classes, score_numbers
from chainrule.tables.target import Target

NUMBER = Target((Column("y", "number"),), "regression", mean=(1.0,), std=(1.0,))
CLASSES = Target((Column("y", "text"),), "binary", classes=("no", "yes"))


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e200])
def test_numbers_beyond_all(value):
    scores = score_numbers(NUMBER, np.array([[value], [1.0]]), np.array([[1.0], [2.0]]))
    assert scores.network["rmse"] is None
    assert scores.baseline["rmse"] == pytest.approx(np.sqrt(0.5))


def test_probabilities_that_are_none():
    scores = score_classes(CLASSES, np.array([[np.nan, np.nan], [0.0, 1.0]]), np.array([0, 1]), np.array([0.5, 0.5]))
    assert scores.network["accuracy"] == 1
    assert np.isfinite(scores.network["log_loss"])

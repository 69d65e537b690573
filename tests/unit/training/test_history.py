import numpy as np
import pytest

from chainrule.training import history
from chainrule.training.history import NO_ROWS, appended, history_of


def rows_of(last, rng):
    rows = rng.normal(size=(last, NO_ROWS.shape[1]))
    rows[:, 0] = np.arange(1, last + 1)
    return rows


def test_a_short_course_is_kept_whole():
    rows = rows_of(100, np.random.default_rng(0))
    np.testing.assert_array_equal(appended(rows[:40], rows[40:]), rows)


@pytest.mark.parametrize("pieces", [[999], [1, 5, 400], list(range(1, 1000)), [16, 17, 33, 34]])
def test_what_is_kept_does_not_depend_on_the_pieces(monkeypatch, pieces):
    monkeypatch.setattr(history, "MOST_ROWS", 16)
    rows, kept, start = rows_of(1000, np.random.default_rng(1)), NO_ROWS, 0
    for end in (*pieces, 1000):
        kept, start = appended(kept, rows[start:end]), end
    np.testing.assert_array_equal(kept, appended(NO_ROWS, rows))
    assert len(kept) <= 18


def test_the_last_epoch_and_the_best_are_kept(monkeypatch):
    monkeypatch.setattr(history, "MOST_ROWS", 16)
    rows = rows_of(1001, np.random.default_rng(2))
    kept = history_of(appended(NO_ROWS, rows))
    assert kept.epoch[-1] == 1001
    assert np.argmin(rows[:, 2]) + 1 in kept.epoch


def test_a_million_epochs_take_bounded_room():
    kept = NO_ROWS
    for start in range(0, 1_000_000, 50_000):
        block = np.zeros((50_000, NO_ROWS.shape[1]))
        block[:, 0] = np.arange(start + 1, start + 50_001)
        kept = appended(kept, block)
    assert len(kept) <= history.MOST_ROWS + 2

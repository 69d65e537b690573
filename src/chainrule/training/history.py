"""The history of a training: one row per epoch, thinned for long trainings to bound its memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_ROWS = 2**17
VALIDATION_COST = 2  # column


class History(NamedTuple):
    """The course of a training, one row per epoch; values that were not measured are NaN.

    For trainings of more than 131,072 epochs, only every second, fourth, eighth, ... epoch is kept, in addition to the
    last and the one with the lowest validation cost.

    Attributes
    ----------
    epoch : array of shape (n_epochs,)
        Epoch numbers, from 1.
    cost, validation_cost, validation_metric, gradient_norm, learning_rate : array of shape (n_epochs,)
        `Fit` describes what is measured.
    seconds : array of shape (n_epochs,)
        Time from the start of the training to the end of the epoch.
    """

    epoch: np.ndarray
    cost: np.ndarray
    validation_cost: np.ndarray
    validation_metric: np.ndarray
    gradient_norm: np.ndarray
    learning_rate: np.ndarray
    seconds: np.ndarray

    def __repr__(self) -> str:
        return f"History({len(self.epoch):,} rows; {course_words(self)})"


def course_words(history: History) -> str:
    """The first and last cost, the lowest validation cost and the duration, as text."""
    if not len(history.epoch):
        return "no epoch"
    told = f"cost {history.cost[0]:.4g} to {history.cost[-1]:.4g}"
    if not np.isnan(history.validation_cost).all():
        told += f", validation cost down to {np.nanmin(history.validation_cost):.4g}"
    return f"{told}; {history.seconds[-1]:.3g} s"


NO_ROWS = np.empty((0, len(History._fields)))


def appended(rows: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Append rows of shape (epochs, 7) and thin them; which are kept depends on the last epoch alone.

    >>> rows = np.column_stack([np.arange(1.0, 2**18 + 2), np.zeros((2**18 + 1, 6))])
    >>> appended(rows[:10], rows[10:])[:3, 0].tolist()
    [1.0, 4.0, 8.0]
    """
    rows = np.concatenate([rows, more])
    if not len(rows) or rows[-1, 0] <= MOST_ROWS:
        return rows
    stride = 1
    while rows[-1, 0] / stride > MOST_ROWS:
        stride *= 2
    kept = rows[:, 0] % stride == 0
    kept[-1] = True
    kept[np.argmin(np.nan_to_num(rows[:, VALIDATION_COST], nan=np.inf))] = True
    return rows[kept]


def history_of(rows: np.ndarray) -> History:
    """Convert rows to named columns."""
    epoch, *columns = rows.T
    return History(epoch.astype(int), *columns)

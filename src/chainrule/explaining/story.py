"""What is told: one update or prediction opened, and the epochs of its training around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.explaining.trace import Prediction, Trace


class Scale(NamedTuple):
    """How a column became an input: (value - mean) / std."""

    column: str
    mean: float
    std: float


class Opened(NamedTuple):
    """A trace and the raw columns behind its rows: for each row the column's values as text, targets last.

    `scales` has the inputs that are Z-scores, `answer` what a prediction comes to, line by line.
    """

    trace: Trace | Prediction
    raw: dict[str, list[str]]
    scales: dict[str, Scale] = {}  # noqa: RUF012
    answer: tuple[str, ...] = ()


class Course(NamedTuple):
    """Costs over the epochs of a training; `cost_is` says when in an epoch they are taken.

    `validation_cost` is NaN where there were no validation rows, `best_epoch` then the last.
    """

    epoch: np.ndarray
    cost: np.ndarray
    validation_cost: np.ndarray
    cost_is: str
    best_epoch: int


class Story(NamedTuple):
    """Updates of one training in the order of their epochs, `at` the one to begin with; or one prediction alone."""

    frames: tuple[Opened, ...]
    at: int = 0
    course: Course | None = None

    @property
    def opened(self) -> Opened:
        """The one to begin with."""
        return self.frames[self.at]

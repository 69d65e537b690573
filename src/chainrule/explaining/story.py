"""What is told: one update or prediction opened, and the epochs of its training around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.explaining.trace import Prediction, Trace

if TYPE_CHECKING:
    from chainrule.tables.columns import InputColumn, Scale


class Working(NamedTuple):
    """How an input is worked out: of which column it is which input, and the column's value in each row."""

    column: InputColumn
    place: int
    values: Sequence[Any]

    def formula(self, row: int, write: Callable[[float], str]) -> str | None:
        """The formula of the input in a row; None where the value is missing."""
        value = self.values[row]
        return None if value is None or value != value else self.column.formula(self.place, value, write)

    @property
    def if_missing(self) -> str:
        """What the input is where the value is missing, and why."""
        return f"{self.column.if_missing(self.place)}: {self.column.name} is missing"


class Opened(NamedTuple):
    """A trace and the raw columns behind its rows: for each row the column's values as text, targets last.

    `workings` has the inputs that a formula works out of a value, `answer` what a prediction comes to, line by line.
    """

    trace: Trace | Prediction
    raw: dict[str, list[str]]
    workings: dict[str, Working] = {}  # noqa: RUF012
    answer: tuple[str, ...] = ()

    @property
    def scales(self) -> dict[str, Scale]:
        """The inputs that are Z-scores of numbers, and their scales."""
        told = ((name, working.column.scale(working.place)) for name, working in self.workings.items())
        return {name: scale for name, scale in told if scale}


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

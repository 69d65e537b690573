"""What an explanation shows: one update or prediction, and other epochs of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.explaining.trace import Prediction, Trace

if TYPE_CHECKING:
    from chainrule.tables.columns import InputColumn, Scale


class Working(NamedTuple):
    """How an input is computed: its column, its index among the inputs of the column, and the value in each row."""

    column: InputColumn
    place: int
    values: Sequence[Any]

    def formula(self, row: int, write: Callable[[float], str]) -> str | None:
        """The formula of the input in a row; None if the value is missing."""
        value = self.values[row]
        return None if value is None or value != value else self.column.formula(self.place, value, write)

    @property
    def if_missing(self) -> str:
        """The value of the input if the raw value is missing, with the reason."""
        return f"{self.column.if_missing(self.place)}: {self.column.name} is missing"


class Opened(NamedTuple):
    """A trace with the raw columns of its rows, as text, targets last.

    `workings` holds the inputs that are computed with a formula, `answer` the lines that state a prediction.
    """

    trace: Trace | Prediction
    raw: dict[str, list[str]]
    workings: dict[str, Working] = {}  # noqa: RUF012
    answer: tuple[str, ...] = ()

    @property
    def scales(self) -> dict[str, Scale]:
        """The scales of the inputs that are Z-scores of numbers."""
        told = ((name, working.column.scale(working.place)) for name, working in self.workings.items())
        return {name: scale for name, scale in told if scale}


class Course(NamedTuple):
    """The cost history of a training; `cost_is` says when within an epoch the cost is measured.

    Without validation rows, `validation_cost` is NaN and `best_epoch` the last epoch.
    """

    epoch: np.ndarray
    cost: np.ndarray
    validation_cost: np.ndarray
    cost_is: str
    best_epoch: int


class Story(NamedTuple):
    """Updates of one training in order of epoch, of which `at` is shown first; or a single prediction."""

    frames: tuple[Opened, ...]
    at: int = 0
    course: Course | None = None

    @property
    def opened(self) -> Opened:
        """The update or prediction that is shown first."""
        return self.frames[self.at]

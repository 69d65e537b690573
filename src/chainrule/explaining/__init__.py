"""A step of a training or a prediction, opened: read from a run; written as text, JSON or a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from chainrule.explaining.runs import Opened, open_prediction, open_step, place_of_output
from chainrule.trace import Prediction, Trace


class Explanation(NamedTuple):
    """An update or a prediction, opened: every number is in `trace`; raw columns of its rows in `raw`."""

    trace: Trace | Prediction
    raw: dict[str, list[str]]
    row: int  # the place, from 0, of the row that is worked through

    def __str__(self) -> str:
        from chainrule.explaining.text import View, prediction_lines, step_lines

        lines = step_lines if isinstance(self.trace, Trace) else prediction_lines
        return "\n".join(lines(Opened(self.trace, self.raw), View(self.row)))

    def to_json(self) -> dict[str, Any]:
        """The document of docs/trace.schema.json."""
        from chainrule.explaining.document import to_json

        return to_json(Opened(self.trace, self.raw))

    def to_html(self, digits: int = 3) -> str:
        """One self-contained page, of an update."""
        from chainrule.explaining.page import to_html

        return to_html(Opened(self.trace, self.raw), self.row, digits)


def explain(
    run: str | os.PathLike[str],
    epoch: int = 1,
    batch: int | None = None,
    row: int | None = None,
    *,
    predict: str | None = None,
    output: str | None = None,
    data: Sequence[str] = (),
) -> Explanation:
    """Open an update of a run of `chainrule train`, replayed bit for bit; or a prediction.

    Parameters
    ----------
    epoch, batch, row : int
        Which update, from 1, and the row of the table to work through; without `batch` the first, or the row's.
    predict : str
        A file: open the prediction of its row `row` (1) instead, for the class or target `output`.
    data
        The run's table, if it is no longer where it was.

    Raises
    ------
    InputError
        If the run, its table, or the epoch, batch or row are not there.

    Examples
    --------
    ::

        step = cr.explain("runs/churn-1", epoch=12, row=17)
        print(step)
        step.trace.backward.delta[0]
        Path("step.html").write_text(step.to_html())
    """
    if predict is not None:
        opened = open_prediction(run, [predict], row or 1, place_of_output(run, output))
        return Explanation(*opened, row=0)
    opened = open_step(run, epoch, batch, row, data)
    return Explanation(*opened, row=opened.trace.rows.index(row) if row else 0)

"""A step of a training or a prediction, opened: read from a run; written as text, JSON or a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.errors import UsageError
from chainrule.explaining.replayed import open_prediction, open_story
from chainrule.explaining.story import Opened, Story
from chainrule.explaining.trace import Prediction, Trace, names_of, trace_step
from chainrule.tables.recorded import Named
from chainrule.training.rules import check_gradient_alone, rule_words

if TYPE_CHECKING:
    from jaxtyping import Float

    from chainrule.maths.arrays import Array
    from chainrule.network import Network, Params
    from chainrule.training.rules import Rule


class Explanation(NamedTuple):
    """An update or a prediction, opened: every number is in `trace`; raw columns of its rows in `raw`."""

    story: Story
    row: int = 0  # the place, from 0, of the row that is worked through

    @property
    def trace(self) -> Trace | Prediction:
        return self.story.opened.trace

    @property
    def raw(self) -> dict[str, list[str]]:
        return self.story.opened.raw

    def __str__(self) -> str:
        from chainrule.explaining.text import View, prediction_lines, step_lines

        lines = step_lines if isinstance(self.trace, Trace) else prediction_lines
        return "\n".join(lines(self.story.opened, View(self.row)))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from chainrule.explaining.notebook import framed

        return framed(self.to_html(), str(self))

    def widget(self, digits: int = 3) -> Any:
        """The page as an anywidget; `train(..., checkpoint=widget.follow)` lets it go along with a training.

        Raises
        ------
        UsageError
            If the package anywidget is not installed: `pip install 'chainrule[notebook]'`.
        """
        from chainrule.explaining.notebook import widget

        return widget(self.story, self.row, digits)

    def to_json(self) -> dict[str, Any]:
        """The document of docs/trace.schema.json."""
        from chainrule.explaining.document import to_json

        return to_json(self.story.opened, self.row, self.story.course)

    def to_html(self, digits: int = 3) -> str:
        """One self-contained page; of a run's update, with other recorded epochs to step to."""
        from chainrule.explaining.page import to_html

        return to_html(self.story, self.row, digits)


def explain(
    run: str | os.PathLike[str],
    epoch: int | None = None,
    batch: int | None = None,
    row: int | None = None,
    *,
    predict: str | None = None,
    output: str | None = None,
    data: Sequence[str] = (),
    sql: str | None = None,
    database: str | None = None,
    trust: bool = False,
) -> Explanation:
    """Open an update of a run of `chainrule train`, replayed bit for bit; or a prediction.

    Parameters
    ----------
    epoch, batch, row : int
        Which update, from 1 (epoch 1), and the row of the table to work through; without `batch` the first, or the
        row's.
    predict : str
        A file: open the prediction of its row `row` (1) instead, and follow the class or target `output` to the
        inputs (the predicted class, or the first target).
    data, sql, database
        The run's table, if it is no longer where it was: files, or a query, and the database that it reads.
    trust : bool
        Whether a query that is recorded in the run may be run; it can read any file that you can read.

    Raises
    ------
    InputError
        If the run, its table, or the epoch, batch or row are not there; if its table comes from a recorded query, and
        `trust` is off.
    UsageError
        If what is asked for does not go together.

    Examples
    --------
    ::

        step = cr.explain("runs/churn-1", epoch=12, row=17)
        print(step)
        step.trace.backward.delta[0]
        Path("step.html").write_text(step.to_html())
    """
    if predict is not None:
        if epoch is not None or batch is not None or data or sql is not None or database is not None:
            raise UsageError("explain: predict opens a prediction, epoch, batch and data an update: one of the two")
        return Explanation(Story((open_prediction(run, [predict], 1 if row is None else row, output),)))
    if output is not None:
        raise UsageError("explain: output is what a prediction is followed from: it needs predict=FILE")
    return explain_update(run, 1 if epoch is None else epoch, batch, row, Named(data, sql, trust, database=database))


def explain_update(
    run: str | os.PathLike[str], epoch: int, batch: int | None, row: int | None, named: Named
) -> Explanation:
    """An update of a run, with the table that the caller names: see `explain`."""
    story = open_story(run, epoch, batch, row, named)
    return Explanation(story, 0 if row is None else story.opened.trace.rows.index(row))


def explain_step(
    network: Network,
    params: Params,
    X: Float[Array, "batch n_in"],
    Y: Float[Array, "batch n_out"],
    *,
    rule: Rule,
    row: int = 1,
    weights: Float[Array, " batch"] | None = None,
    names: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Explanation:
    """Open the update that `rule` makes of some parameters on the rows of X and Y.

    Parameters
    ----------
    row
        The row, from 1, that is worked through.
    names, targets
        What the inputs and the outputs are called.

    Examples
    --------
    >>> from chainrule.examples.lecture import lecture_setting
    >>> network, params, X, Y, rule = lecture_setting()
    >>> step = explain_step(network, params, X, Y, rule=rule)
    >>> print(str(step).splitlines()[0])
    one update: 10 rows; gradient_descent, learning rate 0.5
    """
    if not 1 <= row <= len(X):
        raise ValueError(f"row: expected 1 to {len(X)}, got {row}")
    check_gradient_alone(rule)
    called = names_of(network, names, targets)
    trace = trace_step(
        network, params, X, Y, rule=rule, weights=weights, names=called, about={"rule": rule_words(rule)}
    )
    return Explanation(Story((Opened(trace, {}),)), row - 1)

"""Explanations: an update or a prediction with every number, from a run or from arrays, as text, JSON or a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.errors import UsageError
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
    """An update or a prediction with every number.

    Attributes
    ----------
    story : Story
        The update or prediction, and other recorded epochs of its training.
    row : int
        The index, from 0, of the row that is worked through.
    trace : Trace or Prediction
        All arrays.
    raw : dict
        The raw columns of the rows.
    """

    story: Story
    row: int = 0

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
        """Show the page as an anywidget; with `train(..., checkpoint=widget.follow)` it follows a training live.

        Parameters
        ----------
        digits : int
            The number of decimal places.

        Returns
        -------
        anywidget.AnyWidget
            The widget.

        Raises
        ------
        UsageError
            If the package anywidget is not installed: `pip install 'chainrule[notebook]'`.
        """
        from chainrule.explaining.notebook import widget

        return widget(self.story, self.row, digits)

    def to_json(self) -> dict[str, Any]:
        """Convert to the document described by docs/trace.schema.json."""
        from chainrule.explaining.document import to_json

        return to_json(self.story.opened, self.row, self.story.course)

    def to_html(self, digits: int = 3) -> str:
        """Convert to a self-contained page, which for an update of a run includes other recorded epochs."""
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
    """Explain an update of a run of `chainrule train`, replayed bit for bit, or a prediction.

    Parameters
    ----------
    run : str or os.PathLike
        The run folder.
    epoch : int, optional
        The epoch of the update, from 1; 1 by default.
    batch : int, optional
        The batch within the epoch, from 1; by default the one that contains `row`, or the first.
    row : int, optional
        The row of the table to work through, from 1.
    predict : str, optional
        A file: explain the prediction for its row `row` (by default 1) instead.
    output : str, optional
        With `predict`, the class or target that is traced back to the inputs; by default the predicted class, or the
        first target.
    data : sequence of str
        The files of the training table, if they have moved.
    sql : str, optional
        A query for the training table.
    database : str, optional
        The database that the query reads: a DuckDB or SQLite file, or the URL of a PostgreSQL database.
    trust : bool
        Whether a query recorded in the run may be run; it can read any file that you can read.

    Returns
    -------
    Explanation
        The update or prediction with every number.

    Raises
    ------
    InputError
        If the run, its table, or the epoch, batch or row does not exist; or if the table comes from a recorded query
        and `trust` is False.
    UsageError
        If the arguments cannot be combined.

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
            raise UsageError(
                "explain: predict cannot be combined with epoch, batch, data, sql or database, which select an update"
            )
        from chainrule.explaining.replayed import open_prediction

        return Explanation(Story((open_prediction(run, [predict], 1 if row is None else row, output),)))
    if output is not None:
        raise UsageError("explain: output requires predict=FILE")
    return explain_update(run, 1 if epoch is None else epoch, batch, row, Named(data, sql, trust, database=database))


def explain_update(
    run: str | os.PathLike[str], epoch: int, batch: int | None, row: int | None, named: Named
) -> Explanation:
    """Explain an update of a run, with a table specified by the caller: see `explain`."""
    from chainrule.explaining.replayed import open_story

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
    """Explain the update that a rule makes to parameters, given rows of inputs and targets.

    Parameters
    ----------
    network : Network
        The network.
    params : Params
        Its parameters before the update.
    X, Y : ndarray
        Inputs (batch, n_in) and targets (batch, n_out).
    rule : Rule
        The update rule.
    row : int
        The row to work through, from 1.
    weights : ndarray, optional
        Observation weights (batch,).
    names, targets : sequence of str
        The names of the inputs and of the outputs.

    Returns
    -------
    Explanation
        The update with every number.

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

"""`chainrule explain`: an update of a run, or a prediction, opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from chainrule.cli.common import Json, Trust, answer, app, confirmed, option, terminal_width
from chainrule.cli.pages import Digits, digits_of, write_page
from chainrule.errors import UsageError


@app.command(
    epilog="Example: chainrule explain runs/churn-1 --epoch 12 --row 17\n\n"
    "Example: chainrule explain runs/churn-1 --predict new.csv --row 17"
)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.")],
    epoch: Annotated[int | None, option("--epoch", "N", "The epoch to open [1].")] = None,
    batch: Annotated[int | None, option("--batch", "N", "The update of that epoch [1, or the row's].")] = None,
    row: Annotated[int | None, option("--row", "N", "The row of the table to work through.")] = None,
    predict: Annotated[str | None, option("--predict", "FILE", "Open the prediction of a row of FILE.")] = None,
    output: Annotated[str | None, option("--output", "NAME", "The class or target to follow to the inputs.")] = None,
    layer: Annotated[int | None, option("--layer", "N", "All nodes of this layer; inputs are layer 0.")] = None,
    node: Annotated[str | None, option("--node", "NAME", "This node alone, such as H1 or ON.")] = None,
    digits: Digits = None,
    data: Annotated[list[str] | None, option("--data", "FILE", "The run's table, if it has moved.")] = None,
    sql: Annotated[str | None, option("--sql", "QUERY", "The same, from a query.")] = None,
    trust: Trust = False,
    html: Annotated[str | None, option("--html", "FILE", "Write a page for the browser.")] = None,
    as_json: Json = False,
) -> None:
    """Open an update of a run, or a prediction: every number.

    The update is replayed from the nearest checkpoint.
    """
    from chainrule.explaining.document import to_json
    from chainrule.explaining.page import to_html
    from chainrule.explaining.replayed import course_of, open_prediction, open_step, open_story
    from chainrule.explaining.story import Story
    from chainrule.explaining.text import View, check_node, prediction_lines, step_lines
    from chainrule.tables.recorded import Named

    digits = digits_of(digits, html is not None)
    if html is not None and (as_json or layer is not None or node is not None):
        raise UsageError("--html writes the whole page: it goes with none of --json, --layer and --node")
    if output is not None and predict is None:
        raise UsageError("--output is what a prediction is followed from: it needs --predict FILE")
    if predict is not None:
        if epoch is not None or batch is not None:
            raise UsageError("--predict opens a prediction, --epoch and --batch an update: one of the two")
        if data or sql is not None or trust:
            raise UsageError("--data, --sql and --trust are of the training's table; --predict names the file itself")
        opened = open_prediction(run, [predict], 1 if row is None else row, output)
        view = View(0, layer, node, digits, terminal_width())
        check_node(opened.trace, view)
        if html is not None:
            write_page(html, to_html(opened, 0, digits))
            return
        _answer(to_json(opened) if as_json else None, lambda: prediction_lines(opened, view))
        return
    at = (run, 1 if epoch is None else epoch, batch, row)

    def read(trusts: bool) -> Story:
        named = Named(data or (), sql, trusts)
        return open_story(*at, named) if html is not None else Story((open_step(*at, named),), course=course_of(run))

    story = confirmed(read, trust)
    opened = story.opened
    view = View(0 if row is None else opened.trace.rows.index(row), layer, node, digits, terminal_width())
    check_node(opened.trace, view)
    if html is not None:
        write_page(html, to_html(story, view.row, digits))
        return
    _answer(to_json(opened, view.row, story.course) if as_json else None, lambda: step_lines(opened, view))


def _answer(document: dict[str, Any] | None, lines: Callable[[], list[str]]) -> None:
    """The document if there is one; else the lines, which are made only then."""
    answer(document, document is not None, [] if document is not None else lines())

"""`chainrule explain`: every number of an update or of a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from chainrule.cli.common import Database, Json, Trust, answer, app, confirmed, option, terminal_width
from chainrule.cli.pages import Digits, digits_of, write_page
from chainrule.errors import UsageError


@app.command(
    epilog="Example: chainrule explain runs/churn-1 --epoch 12 --row 17\n\n"
    "Example: chainrule explain runs/churn-1 --predict new.csv --row 17"
)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.")],
    epoch: Annotated[int | None, option("--epoch", "N", "Epoch of the update [1].")] = None,
    batch: Annotated[int | None, option("--batch", "N", "Batch within the epoch [1, or that of --row].")] = None,
    row: Annotated[int | None, option("--row", "N", "Row of the table to work through.")] = None,
    predict: Annotated[str | None, option("--predict", "FILE", "Explain the prediction for a row of FILE.")] = None,
    output: Annotated[str | None, option("--output", "NAME", "Class or target to trace back to the inputs.")] = None,
    layer: Annotated[int | None, option("--layer", "N", "Show all nodes of layer N, counted from 1.")] = None,
    node: Annotated[str | None, option("--node", "NAME", "Show only this node, such as H1 or ON.")] = None,
    digits: Digits = None,
    data: Annotated[list[str] | None, option("--data", "FILE", "The training table, if it has moved.")] = None,
    sql: Annotated[str | None, option("--sql", "QUERY", "The training table, as a DuckDB query.")] = None,
    database: Database = None,
    trust: Trust = False,
    html: Annotated[str | None, option("--html", "FILE", "Write an HTML page.")] = None,
    as_json: Json = False,
) -> None:
    """Show every number of an update or of a prediction.

    Updates are replayed from the nearest checkpoint.
    """
    from chainrule.explaining.document import to_json
    from chainrule.explaining.page import to_html
    from chainrule.explaining.replayed import course_of, open_prediction, open_step, open_story
    from chainrule.explaining.story import Story
    from chainrule.explaining.text import View, check_node, prediction_lines, step_lines
    from chainrule.tables.recorded import Named

    digits = digits_of(digits, html is not None)
    if html is not None and (as_json or layer is not None or node is not None):
        raise UsageError("--html cannot be combined with --json, --layer or --node")
    if output is not None and predict is None:
        raise UsageError("--output requires --predict FILE")
    if predict is not None:
        if epoch is not None or batch is not None:
            raise UsageError("--predict cannot be combined with --epoch or --batch, which select an update")
        if data or sql is not None or database is not None or trust:
            raise UsageError(
                "--data, --sql, --database and --trust select the training table and cannot be combined with --predict"
            )
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
        named = Named(data or (), sql, trusts, database=database)
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
    """Print the document if there is one, else the lines, which are built only then."""
    answer(document, document is not None, [] if document is not None else lines())

"""`chainrule examples`: work through published examples."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.common import app, flag, option, print_lines
from chainrule.cli.pages import Digits, digits_of, write_page
from chainrule.errors import UsageError

MOST_EPOCHS = 1_000_000


@app.command(epilog="Example: chainrule examples mazur\n\nExample: chainrule examples my.json --exercise")
def examples(
    name: Annotated[str | None, typer.Argument(help="Example name or JSON file; omit to list them.")] = None,
    epochs: Annotated[int | None, option("--epochs", "N", "Train the lecture example for N epochs.")] = None,
    row: Annotated[int, option("--row", "N", "Row to work through [1].")] = 1,
    digits: Digits = None,
    html: Annotated[str | None, option("--html", "FILE", "Write the steps as an HTML page.")] = None,
    exercise: Annotated[bool, flag("--exercise", "Print an exercise with blanks, then the solution.")] = False,
) -> None:
    """Work through a published example.

    Shows its steps, its published numbers next to computed ones, and its errata.
    """
    from chainrule.examples.shown import example_lines, exercise_lines, story_of
    from chainrule.examples.worked import compare, example_named, known_examples, trace_of
    from chainrule.explaining.page import to_html

    if name is None:
        known = known_examples()
        width = max(map(len, known))
        print_lines([f"{key.ljust(width)}   {document['title']}" for key, document in known.items()])
        return
    if html is not None and (exercise or epochs is not None):
        raise UsageError("--html cannot be combined with --exercise or --epochs")
    if epochs is not None:
        _train_the_lecture(name, epochs)
        return
    digits = digits_of(digits, html is not None)
    example = example_named(name)
    if not 1 <= row <= len(example.X):
        raise UsageError(f"--row {row}: expected 1 to {len(example.X)}")
    if html is not None:
        write_page(html, to_html(story_of(example), row - 1, digits))
        return
    trace = trace_of(example)
    lines = exercise_lines(example, trace, row - 1, digits) if exercise else []
    print_lines([*lines, *example_lines(example, trace, compare(example), row - 1, digits)])


def _train_the_lecture(name: str, epochs: int) -> None:
    """The lecture's parameter tables after 1, 10, 100 and the last epoch."""
    from chainrule.driver import train as train_network
    from chainrule.examples.lecture import lecture_setting
    from chainrule.explaining import console
    from chainrule.network import cost, forward

    if name != "lecture":
        raise UsageError("--epochs: only the example 'lecture' can be trained")
    if not 1 <= epochs <= MOST_EPOCHS:
        raise UsageError(f"--epochs: expected 1 to {MOST_EPOCHS:,}, got {epochs}")
    network, first, X, Y, rule = lecture_setting()
    before = float(cost(network, forward(network, first, X), Y))
    print_lines(["before training", "", *console.parameter_lines(network, first)])
    for n in sorted({n for n in (1, 10, 100) if n < epochs} | {epochs}):
        fit = train_network(network, first, X, Y, rule=rule, epochs=n, dtype="float64")
        inside, after = [before, *fit.history.cost][-2:]
        title = f"epoch {n:,}: sum of costs {inside:.4f} in the forward pass, {after:.4f} after the update"
        print_lines(["", title, "", *console.parameter_lines(network, fit.params)])

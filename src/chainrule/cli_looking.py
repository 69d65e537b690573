"""Commands that look and train nothing that is kept: export, explain, check, count, examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.command_line import (
    Json,
    Run,
    Trust,
    answer,
    app,
    confirmed,
    flag,
    option,
    print_lines,
    terminal_width,
    use_compilation_cache,
    wrong_use,
)
from chainrule.errors import UsageError
from chainrule.names import shortened

if TYPE_CHECKING:
    from chainrule.network import Network

LONGEST_SIZE = 9  # digits
MOST_EPOCHS = 1_000_000  # of the lecture
NARROW = 100  # columns of a terminal, below which numbers have a digit less

Digits = Annotated[int | None, option("--digits", "N", "After the decimal point [4; narrow or on a page, 3].")]


@app.command(epilog="Example: chainrule export runs/churn-1 churn.onnx")
def export(
    run: Run,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The ONNX file to write.")],
    quiet: Annotated[bool, flag("-q", "--quiet", "Say nothing.")] = False,
) -> None:
    """Write a trained network, encoding included, as ONNX.

    The file takes the raw columns.
    """
    from chainrule import console
    from chainrule.onnx_export import to_onnx
    from chainrule.tables.runs import load_table_model

    if not out.endswith(".onnx"):
        raise UsageError(f"{out}: expected a name that ends in .onnx")
    model = load_table_model(run)
    to_onnx(model, out)
    if not quiet:
        print_lines(console.export_lines(model, out))


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
    from chainrule.explaining.runs import course_of, open_prediction, open_step, open_story
    from chainrule.explaining.story import Story
    from chainrule.explaining.text import View, check_node, prediction_lines, step_lines
    from chainrule.tables.recorded import Named

    digits = _digits(digits, html is not None)
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
            _write_page(html, to_html(opened, 0, digits))
            return
        _answer(to_json(opened) if as_json else None, lambda: prediction_lines(opened, view))
        return
    use_compilation_cache()
    at = (run, 1 if epoch is None else epoch, batch, row)

    def read(trusts: bool) -> Story:
        named = Named(data or (), sql, trusts)
        return open_story(*at, named) if html is not None else Story((open_step(*at, named),), course=course_of(run))

    story = confirmed(read, trust)
    opened = story.opened
    view = View(0 if row is None else opened.trace.rows.index(row), layer, node, digits, terminal_width())
    check_node(opened.trace, view)
    if html is not None:
        _write_page(html, to_html(story, view.row, digits))
        return
    _answer(to_json(opened, view.row, story.course) if as_json else None, lambda: step_lines(opened, view))


def _answer(document: dict[str, Any] | None, lines: Callable[[], list[str]]) -> None:
    """The document if there is one; else the lines, which are made only then."""
    answer(document, document is not None, [] if document is not None else lines())


def _digits(wanted: int | None, on_a_page: bool) -> int:
    """As many as are wanted; else three on a page and in a narrow terminal, four where there is room."""
    if wanted is None:
        return 3 if on_a_page or (terminal_width() or NARROW) < NARROW else 4
    if not 1 <= wanted <= 17:
        raise UsageError(f"--digits: expected 1 to 17, got {wanted}")
    return wanted


def _write_page(path: str, page: str) -> None:
    from chainrule.storage.files import write_text

    write_text(path, lambda file: file.write(page))
    print_lines([f"{path}: open it in a browser"])


@app.command(
    epilog="Example: chainrule check 4 5 3 --activation tanh,softmax\n\nExample: chainrule check runs/churn-1 churn.csv"
)
def check(
    what: Annotated[list[str], typer.Argument(metavar="LAYERS | RUN FILES", help="Layer sizes, or a run and data.")],
    activation: Annotated[str, option("--activation", "NAME", "One name, or one per layer: a,b,c.")] = "sigmoid",
    cost: Annotated[str, option("--cost", "NAME", "Such as rmse or huber:1.5.")] = "half_squared_error",
    seed: Annotated[int, option("--seed", "N", "For random parameters and rows [0].")] = 0,
    as_json: Json = False,
) -> None:
    """Check the gradients of a network.

    The backward pass against central differences in float64, layer by layer.
    """
    from chainrule.gradcheck import check_gradients

    if _is_size(what[0]):
        network, params, X, Y = _random_case(_layers(what), activation, cost, seed)
    else:
        network, params, X, Y = _case_of_run(what[0], what[1:])
    checked = check_gradients(network, params, X, Y)
    document = {"passed": checked.passed, "worst": checked.worst, "layers": [c._asdict() for c in checked.layers]}
    answer(document, as_json, [f"{len(X)} rows, {network.cost.name}", *str(checked).splitlines()])
    if not checked.passed:
        raise typer.Exit(1)


@app.command(epilog="Example: chainrule count 400 14 8 2")
def count(
    layers: Annotated[list[str], typer.Argument(metavar="LAYERS", help="Nodes per layer, inputs first.")],
    as_json: Json = False,
) -> None:
    """Count the weights and biases of a design."""
    from chainrule import console

    network = _network(_layers(layers))
    document = {"weights": network.n_weights, "biases": network.n_biases, "parameters": network.n_parameters}
    answer(document, as_json, console.count_lines(network))


@app.command(epilog="Example: chainrule examples mazur\n\nExample: chainrule examples my.json --exercise")
def examples(
    name: Annotated[str | None, typer.Argument(help="An example's name, or a file; without it, a list.")] = None,
    epochs: Annotated[int | None, option("--epochs", "N", "The lecture's: train so long.")] = None,
    row: Annotated[int, option("--row", "N", "The observation to work through [1].")] = 1,
    digits: Digits = None,
    html: Annotated[str | None, option("--html", "FILE", "Write the steps as a page for the browser.")] = None,
    exercise: Annotated[bool, flag("--exercise", "Leave the numbers blank; the solution follows.")] = False,
) -> None:
    """Work through a published example.

    Its steps, its printed numbers beside ours, and its errata.
    """
    from chainrule.examples.worked import compare, example_named, known_examples, trace_of
    from chainrule.explaining.examples import example_lines, exercise_lines, story_of
    from chainrule.explaining.page import to_html

    if name is None:
        known = known_examples()
        width = max(map(len, known))
        print_lines([f"{key.ljust(width)}   {document['title']}" for key, document in known.items()])
        return
    if html is not None and (exercise or epochs is not None):
        raise UsageError("--html writes the page of the solution: it goes neither with --exercise nor with --epochs")
    if epochs is not None:
        _train_the_lecture(name, epochs)
        return
    digits = _digits(digits, html is not None)
    example = example_named(name)
    if not 1 <= row <= len(example.X):
        raise UsageError(f"--row {row}: expected 1 to {len(example.X)}")
    if html is not None:
        _write_page(html, to_html(story_of(example), row - 1, digits))
        return
    trace = trace_of(example)
    lines = exercise_lines(example, trace, row - 1, digits) if exercise else []
    print_lines([*lines, *example_lines(example, trace, compare(example), row - 1, digits)])


def _train_the_lecture(name: str, epochs: int) -> None:
    """The lecture's parameter tables after 1, 10, 100 and the last epoch."""
    from chainrule import console
    from chainrule.examples.lecture import lecture_setting
    from chainrule.network import cost, forward
    from chainrule.training import train as train_network

    if name != "lecture":
        raise UsageError("--epochs: only the example 'lecture' is trained; without it, every example shows its steps")
    if not 1 <= epochs <= MOST_EPOCHS:
        raise UsageError(f"--epochs: expected 1 to {MOST_EPOCHS:,}, got {epochs}")
    network, first, X, Y, rule = lecture_setting()
    before = float(cost(network, forward(network, first, X), Y))
    print_lines(["before training", "", *console.parameter_lines(network, first)])
    for n in sorted({n for n in (1, 10, 100) if n < epochs} | {epochs}):
        fit = train_network(network, first, X, Y, rule=rule, epochs=n, dtype="float64")
        inside, after = [before, *fit.history.cost][-2:]
        title = f"epoch {n:,}: sum of costs {inside:.4f} in its forward pass, {after:.4f} after its update"
        print_lines(["", title, "", *console.parameter_lines(network, fit.params)])


def _layers(words: Sequence[str]) -> list[int]:
    for word in words:
        if not _is_size(word):
            raise UsageError(f"expected whole numbers of nodes per layer, such as 400 14 8 2; got {shortened(word)!r}")
    return [int(word) for word in words]


def _is_size(word: str) -> bool:
    """Whether it is a number of nodes: ASCII digits, as no file is called, and not more than there can be."""
    return word.isascii() and word.isdigit() and len(word) <= LONGEST_SIZE


def _network(layers: list[int], activation: str = "sigmoid", cost: str = "half_squared_error") -> Network:
    from chainrule.network import Network

    names = activation.replace("-", "_").split(",")
    with wrong_use():
        return Network(layers, names[0] if len(names) == 1 else names, cost.replace("-", "_"))


def _random_case(layers: list[int], activation: str, cost: str, seed: int) -> tuple[Network, Any, Any, Any]:
    """A random network with random rows whose targets suit every cost: shares that sum to 1."""
    import numpy as np

    from chainrule.network import initialize
    from chainrule.tables.recipe import check_room

    if seed < 0:
        raise UsageError(f"--seed: expected 0 or more, got {seed}")
    network, rng = _network(layers, activation, cost), np.random.default_rng(seed)
    check_room(network)
    Y = rng.dirichlet(np.ones(layers[-1]), 16) if layers[-1] > 1 else rng.uniform(0, 1, (16, 1))
    return network, initialize(network, "glorot", seed), rng.normal(0, 1, (16, layers[0])), Y


def _case_of_run(run: str, data: list[str]) -> tuple[Network, Any, Any, Any]:
    """The network of a run, on the first rows of a table."""
    from chainrule.tables.predicting import encoded_rows
    from chainrule.tables.reading import open_table
    from chainrule.tables.runs import load_table_model

    if not data:
        raise UsageError(f"check {run}: name a data file too, or layer sizes such as: chainrule check 4 5 3")
    model = load_table_model(run)
    X, Y = encoded_rows(model, open_table(data))
    return model.network, model.params, X[:64], Y[:64]

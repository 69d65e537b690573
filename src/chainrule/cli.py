"""The command line: train, predict, evaluate, export, check ... Nothing heavy is imported to say --help."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.errors import InputError, UsageError

if TYPE_CHECKING:
    from chainrule.network import Network
    from chainrule.tables.fitting import TableModel
    from chainrule.tables.metrics import Scores
    from chainrule.tables.plan import Plan
    from chainrule.tables.preparing import Prepared
    from chainrule.tables.reading import Source
    from chainrule.tables.recipe import Recipe, Wishes
    from chainrule.training import Fit

app = typer.Typer(
    help="Train feedforward networks by backpropagation, on tables.\n\n"
    "Start with:  chainrule train churn.csv --target churn",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _option(*words: str) -> Any:
    """An option from its flags, its metavar and its help."""
    *flags, metavar, text = words
    return typer.Option(*flags, metavar=metavar, help=text, show_default=False)


def _flag(*words: str) -> Any:
    *flags, text = words
    return typer.Option(*flags, help=text, show_default=False)


Files = Annotated[list[str] | None, typer.Argument(metavar="FILES", help="CSV, TSV, Parquet or JSON lines; globs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Run folder or model file.")]
Sql = Annotated[str | None, _option("--sql", "QUERY", "Read a DuckDB query instead of files.")]
Json = Annotated[bool, _flag("--json", "Print one JSON document.")]


@app.command(epilog="Example: chainrule train churn.csv --target churn -o runs/churn")
def train(
    data: Files = None,
    target: Annotated[
        list[str] | None, _option("-t", "--target", "COL", "Column to predict (repeat for several).")
    ] = None,
    out: Annotated[str | None, _option("-o", "--out", "RUN", "Folder to write [runs/NAME-1, -2 ...].")] = None,
    sql: Sql = None,
    task: Annotated[str | None, _option("--task", "TASK", "binary, multiclass or regression.")] = None,
    drop: Annotated[list[str] | None, _option("--drop", "COL", "Leave a column out (repeat).")] = None,
    test_size: Annotated[float, _option("--test-size", "SHARE", "Rows held out for the scores [0.2].")] = 0.2,
    test_file: Annotated[str | None, _option("--test-file", "FILE", "Score on this file instead.")] = None,
    validation_size: Annotated[float, _option("--validation-size", "SHARE", "Of the rest, to stop early [0.2].")] = 0.2,
    normalize: Annotated[bool, _flag("--normalize/--no-normalize", "Z-score numbers [yes].")] = True,
    quantiles: Annotated[bool, _flag("--quantiles/--no-quantiles", "Numbers by rank, too [from 2,000 rows].")] = True,
    balanced: Annotated[bool, _flag("--balanced", "Give every class the same weight.")] = False,
    hidden: Annotated[str | None, _option("--hidden", "N,N", "Nodes per hidden layer; 0 for none.")] = None,
    activation: Annotated[
        str | None, _option("--activation", "NAME", "Hidden layers', or one per layer: a,b,c.")
    ] = None,
    cost: Annotated[str | None, _option("--cost", "NAME", "Cost to minimise, such as huber:1.5.")] = None,
    reduction: Annotated[str, _option("--reduction", "NAME", "mean or sum over rows [mean].")] = "mean",
    l2: Annotated[float | None, _option("--l2", "X", "Penalty on squared weights.")] = None,
    dropout: Annotated[float | None, _option("--dropout", "X", "Share of hidden nodes left out at a time.")] = None,
    initial: Annotated[str | None, _option("--initial", "NAME", "uniform, gaussian, he ... or FILE.json.")] = None,
    rule: Annotated[str | None, _option("--rule", "NAME", "gradient_descent, momentum, nesterov, adam ...")] = None,
    learning_rate: Annotated[float | None, _option("--learning-rate", "X", "Size of a step.")] = None,
    schedule: Annotated[
        str | None, _option("--schedule", "SPEC", "step:0.5:100, inverse_time:0.01, cosine ...")
    ] = None,
    average: Annotated[float | None, _option("--average", "X", "Decay of averaged parameters; 0 for none.")] = None,
    batch_size: Annotated[str | None, _option("--batch-size", "N", "Rows per update, or all.")] = None,
    epochs: Annotated[int | None, _option("--epochs", "N", "At most so many passes.")] = None,
    patience: Annotated[int | None, _option("--patience", "N", "Epochs without a lower validation cost.")] = None,
    cost_goal: Annotated[float | None, _option("--cost-goal", "X", "Stop below this training cost.")] = None,
    min_gradient: Annotated[float | None, _option("--min-gradient", "X", "Stop below this gradient norm.")] = None,
    unchanged: Annotated[float | None, _option("--unchanged", "X", "Stop when no parameter moves by more.")] = None,
    max_seconds: Annotated[float | None, _option("--max-seconds", "X", "Stop after so long.")] = None,
    keep_every: Annotated[int | None, _option("--keep-every", "N", "Checkpoints every N epochs, too.")] = None,
    dtype: Annotated[str, _option("--dtype", "NAME", "float32 or float64 [float32].")] = "float32",
    seed: Annotated[int, _option("--seed", "N", "Of split, parameters and order [0].")] = 0,
    show_parameters: Annotated[bool, _flag("--show-parameters", "Print weights and biases.")] = False,
    dry_run: Annotated[bool, _flag("--dry-run", "Show encoding and network; train nothing.")] = False,
    quiet: Annotated[bool, _flag("-q", "--quiet", "Print only the run folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network on a table and write a run folder."""
    from chainrule import console
    from chainrule.tables.plan import plan_of
    from chainrule.tables.preparing import prepare
    from chainrule.tables.reading import open_table
    from chainrule.tables.recipe import BOUNDED_COSTS, COSTS_OF_NUMBERS, Wishes
    from chainrule.tables.runs import free_run_path

    _check_flags(target, task, drop, seed, dtype)
    say = _nothing if quiet or as_json else _print_lines
    source = open_table(data or [], sql)
    test = None if test_file is None else open_table([test_file])
    path = free_run_path(out, _run_name(data, target or []))
    wishes = Wishes(
        hidden=_whole_numbers("--hidden", hidden),
        activation=activation.replace("-", "_").split(",") if activation else None,
        cost=cost.replace("-", "_") if cost else None,
        reduction=reduction,
        l2=l2,
        initial=_initial(initial),
        rule=rule,
        learning_rate=learning_rate,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        patience=patience,
        cost_goal=cost_goal,
        min_gradient=min_gradient,
        unchanged=unchanged,
        max_seconds=max_seconds,
        dropout=dropout,
        average=average,
    )
    preparing: dict[str, Any] = {
        "targets": target or [],
        "task": task or ("regression" if wishes.cost and wishes.cost.split(":")[0] in COSTS_OF_NUMBERS else None),
        "drop": drop or [],
        "normalize": normalize,
        "quantiles": quantiles,
        "normalize_target": wishes.cost not in BOUNDED_COSTS,
        "test_size": 0.0 if test else test_size,
        "validation_size": validation_size,
        "seed": seed,
        "dtype": dtype,
    }
    prepared = prepare(source, **preparing)
    recipe = _recipe(prepared, wishes, seed, dtype)
    say([*console.preparation_lines(source, prepared), *console.recipe_lines(recipe, seed)])
    if dry_run:
        _answer(
            {"encoding": prepared.encoding.to_json(), "target": prepared.target.to_json()},
            as_json,
            ["", *console.encoding_lines(prepared.encoding)],
        )
        return
    if test:
        _check_test_file(prepared, test)
    plan = plan_of(recipe, preparing, balanced, seed, dtype)
    _train_and_write(source, test, prepared, recipe, plan, path, keep_every, show_parameters, quiet, as_json)


@app.command(epilog="Example: chainrule predict runs/churn-1 new.csv -o predictions.csv")
def predict(
    run: Run,
    data: Files = None,
    out: Annotated[str, _option("-o", "--out", "FILE", ".csv, .tsv, .parquet or .jsonl; - prints [-].")] = "-",
    sql: Sql = None,
    quiet: Annotated[bool, _flag("-q", "--quiet", "Say nothing.")] = False,
) -> None:
    """Add predictions to the columns of a table.

    Rows keep their order; classes come with their probabilities.
    """
    from chainrule.tables.predicting import predict_to
    from chainrule.tables.reading import open_table
    from chainrule.tables.runs import load_table_model

    rows = predict_to(load_table_model(run), open_table(data or [], sql), out)
    if out != "-" and not quiet:
        typer.echo(f"{rows:,} rows predicted: {out}")


@app.command(epilog="Example: chainrule evaluate runs/churn-1 labelled.csv")
def evaluate(
    run: Run,
    data: Files = None,
    sql: Sql = None,
    as_json: Json = False,
) -> None:
    """Score a trained network on rows with known targets."""
    from chainrule import console
    from chainrule.tables import predicting
    from chainrule.tables.reading import open_table
    from chainrule.tables.runs import load_table_model, trained_on

    model, source = load_table_model(run), open_table(data or [], sql)
    scores, without = predicting.evaluate(model, source)
    notes = [f"left out {without:,} rows without a target", ""] if without else []
    if trained_on(run, source):
        notes += ["this is the file that the run was trained on: its training rows are among those scored", ""]
    _answer(scores.to_json(), as_json, [*notes, *console.score_lines(scores, model.target.classes, "given")])


@app.command(epilog="Example: chainrule export runs/churn-1 churn.onnx")
def export(
    run: Run,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The ONNX file to write.")],
    quiet: Annotated[bool, _flag("-q", "--quiet", "Say nothing.")] = False,
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
        _print_lines(console.export_lines(model, out))


@app.command(
    epilog="Example: chainrule explain runs/churn-1 --epoch 12 --row 17\n\n"
    "Example: chainrule explain runs/churn-1 --predict new.csv --row 17"
)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.")],
    epoch: Annotated[int | None, _option("--epoch", "N", "The epoch to open [1].")] = None,
    batch: Annotated[int | None, _option("--batch", "N", "The update of that epoch [1, or the row's].")] = None,
    row: Annotated[int | None, _option("--row", "N", "The row of the table to work through.")] = None,
    predict: Annotated[str | None, _option("--predict", "FILE", "Open the prediction of a row of FILE.")] = None,
    output: Annotated[str | None, _option("--output", "NAME", "The class or target to follow to the inputs.")] = None,
    layer: Annotated[int | None, _option("--layer", "N", "All nodes of this layer; inputs are layer 0.")] = None,
    node: Annotated[str | None, _option("--node", "NAME", "This node alone, such as H1 or ON.")] = None,
    digits: Annotated[int, _option("--digits", "N", "After the decimal point [4].")] = 4,
    data: Annotated[list[str] | None, _option("--data", "FILE", "The run's table, if it has moved.")] = None,
    html: Annotated[str | None, _option("--html", "FILE", "Write the update as a page for the browser.")] = None,
    as_json: Json = False,
) -> None:
    """Open an update of a run, or a prediction: every number.

    The update is replayed from the nearest checkpoint.
    """
    from chainrule.artifacts import write_text
    from chainrule.explaining.document import to_json
    from chainrule.explaining.page import to_html
    from chainrule.explaining.runs import open_prediction, open_step, place_of_output
    from chainrule.explaining.text import View, check_node, prediction_lines, step_lines

    if not 1 <= digits <= 17:
        raise UsageError(f"--digits: expected 1 to 17, got {digits}")
    if predict is not None:
        if html is not None:
            raise UsageError("--html shows an update; a prediction is shown as text or --json")
        if epoch is not None or batch is not None:
            raise UsageError("--predict opens a prediction, --epoch and --batch an update: one of the two")
        opened = open_prediction(run, [predict], row or 1, place_of_output(run, output))
        view = View(0, layer, node, digits)
        check_node(opened.trace, view)
        _answer(to_json(opened) if as_json else {}, as_json, prediction_lines(opened, view))
        return
    opened = open_step(run, 1 if epoch is None else epoch, batch, row, data or [])
    view = View(opened.trace.rows.index(row) if row else 0, layer, node, digits)
    check_node(opened.trace, view)
    if html is not None:
        write_text(html, lambda file: file.write(to_html(opened, view.row, digits)))
        typer.echo(f"{html}: open it in a browser")
        return
    _answer(to_json(opened) if as_json else {}, as_json, step_lines(opened, view))


@app.command(
    epilog="Example: chainrule check 4 5 3 --activation tanh,softmax\n\nExample: chainrule check runs/churn-1 churn.csv"
)
def check(
    what: Annotated[list[str], typer.Argument(metavar="LAYERS | RUN FILES", help="Layer sizes, or a run and data.")],
    activation: Annotated[str, _option("--activation", "NAME", "One name, or one per layer: a,b,c.")] = "sigmoid",
    cost: Annotated[str, _option("--cost", "NAME", "Such as rmse or huber:1.5.")] = "half_squared_error",
    seed: Annotated[int, _option("--seed", "N", "For random parameters and rows [0].")] = 0,
    as_json: Json = False,
) -> None:
    """Check the gradients of a network.

    The backward pass against central differences in float64, layer by layer.
    """
    from chainrule.gradcheck import check_gradients

    if what[0].isdigit():
        network, params, X, Y = _random_case(_layers(what), activation, cost, seed)
    else:
        network, params, X, Y = _case_of_run(what[0], what[1:])
    checked = check_gradients(network, params, X, Y)
    document = {"passed": checked.passed, "worst": checked.worst, "layers": [c._asdict() for c in checked.layers]}
    _answer(document, as_json, [f"{len(X)} rows, {network.cost.name}", str(checked)])
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
    _answer(document, as_json, console.count_lines(network))


@app.command(epilog="Example: chainrule examples mazur\n\nExample: chainrule examples my.json --exercise")
def examples(
    name: Annotated[str | None, typer.Argument(help="An example's name, or a file; without it, a list.")] = None,
    epochs: Annotated[int | None, _option("--epochs", "N", "The lecture's: train so long.")] = None,
    row: Annotated[int, _option("--row", "N", "The observation to work through [1].")] = 1,
    digits: Annotated[int, _option("--digits", "N", "After the decimal point [4].")] = 4,
    html: Annotated[str | None, _option("--html", "FILE", "Write the steps as a page for the browser.")] = None,
    exercise: Annotated[bool, _flag("--exercise", "Leave the numbers blank; the solution follows.")] = False,
) -> None:
    """Work through a published example.

    Its steps, its printed numbers beside ours, and its errata.
    """
    from chainrule.artifacts import write_text
    from chainrule.examples.worked import compare, example_named, known_examples, trace_of
    from chainrule.explaining.examples import example_lines, exercise_lines
    from chainrule.explaining.page import to_html
    from chainrule.explaining.runs import Opened

    if name is None:
        known = known_examples()
        width = max(map(len, known))
        _print_lines([f"{key.ljust(width)}   {document['title']}" for key, document in known.items()])
        return
    if epochs is not None:
        _train_the_lecture(name, epochs)
        return
    if not 1 <= digits <= 17:
        raise UsageError(f"--digits: expected 1 to 17, got {digits}")
    example = example_named(name)
    if not 1 <= row <= len(example.X):
        raise UsageError(f"--row {row}: expected 1 to {len(example.X)}")
    trace = trace_of(example)
    if html is not None:
        write_text(html, lambda file: file.write(to_html(Opened(trace, {}), row - 1, digits)))
        typer.echo(f"{html}: open it in a browser")
        return
    lines = exercise_lines(example, trace, row - 1, digits) if exercise else []
    _print_lines([*lines, *example_lines(example, trace, compare(example), row - 1, digits)])


def _train_the_lecture(name: str, epochs: int) -> None:
    """The lecture's parameter tables after 1, 10, 100 and the last epoch."""
    from chainrule import console
    from chainrule.examples.lecture import lecture_setting
    from chainrule.network import cost, forward
    from chainrule.training import train as train_network

    if name != "lecture":
        raise UsageError("--epochs: only the example 'lecture' is trained; without it, every example shows its steps")
    if epochs < 1:
        raise UsageError(f"--epochs: expected 1 or more, got {epochs}")
    network, first, X, Y, rule = lecture_setting()
    before = float(cost(network, forward(network, first, X), Y))
    _print_lines(["before training", "", *console.parameter_lines(network, first)])
    for n in sorted({n for n in (1, 10, 100) if n < epochs} | {epochs}):
        fit = train_network(network, first, X, Y, rule=rule, epochs=n, dtype="float64")
        inside, after = [before, *fit.history.cost][-2:]
        title = f"epoch {n:,}: sum of costs {inside:.4f} in its forward pass, {after:.4f} after its update"
        _print_lines(["", title, "", *console.parameter_lines(network, fit.params)])


def main() -> None:
    """Run the command line: 0 done, 1 failed, 2 wrong use; bad input never ends in a traceback."""
    try:
        app(prog_name="chainrule")
    except UsageError as error:
        _fail(error, 2)
    except InputError as error:
        _fail(error, 1)
    except MemoryError as error:
        _fail(error or "out of memory: train on fewer rows", 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has seen enough
        sys.exit(1)
    except OSError as error:
        _fail(error, 1)
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "interrupted" not in str(error).lower():
            raise
        _fail("interrupted; nothing is written", 130)


def _fail(error: object, code: int) -> None:
    sys.stdout.flush()
    typer.echo(f"chainrule: {error}", err=True)
    sys.exit(code)


def _train_and_write(
    source: Source,
    test: Source | None,
    prepared: Prepared,
    recipe: Recipe,
    plan: Plan,
    path: Path,
    keep_every: int | None,
    show_parameters: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from chainrule import console
    from chainrule.tables.fitting import fit_table, model_of
    from chainrule.tables.runs import write_run
    from chainrule.training import DivergedError

    _use_compilation_cache()
    diverged, checkpoints = None, []
    with console.progress_bar(recipe.epochs, not (quiet or as_json)) as progress:
        try:
            fit = fit_table(
                prepared,
                recipe,
                seed=plan.seed,
                dtype=plan.dtype,
                balanced=plan.balanced,
                progress=progress,
                checkpoint=checkpoints.append,
                keep_every=keep_every,
            )
        except DivergedError as error:
            fit, diverged = error.fit, error
    model = model_of(prepared, recipe, fit, _about(plan.seed, plan.dtype, len(prepared.split.train)))
    which, scores = _scores(model, prepared, test)
    metrics = _metrics_document(fit, which, scores)
    write_run(path, model, fit, metrics, _command_document(source), plan, checkpoints)
    say = _nothing if quiet or as_json else _print_lines
    say(["", console.fit_line(fit), "", *console.score_lines(scores, model.target.classes, which)])
    if show_parameters:
        say(["", *console.parameter_lines(model.network, model.params)])
    _answer({"run": str(path), **metrics}, as_json, [str(path)] if quiet else _next_lines(path))
    if diverged:
        raise InputError(f"{diverged}; they are in {path}")


def _next_lines(path: Path) -> list[str]:
    return [
        "",
        f"run folder: {path} (model.safetensors, history.csv, metrics.json, command.json)",
        f"next: chainrule predict {path} NEW.csv -o predictions.csv",
    ]


def _scores(model: TableModel, prepared: Prepared, test: Source | None) -> tuple[str, Scores]:
    """Scores on held-out rows; on training rows, and said so, if none were held out."""
    from chainrule.tables.fitting import score_table
    from chainrule.tables.predicting import evaluate

    if test:
        return "test", evaluate(model, test)[0]
    rows = prepared.split.test if len(prepared.split.test) else prepared.split.train
    which = "test" if len(prepared.split.test) else "training"
    return which, score_table(model, prepared.X[rows], prepared.table.take(rows))


def _metrics_document(fit: Fit, which: str, scores: Scores) -> dict[str, Any]:
    return {
        "stopped_by": fit.stopped_by,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "seconds": float(fit.history.seconds[-1]) if fit.epochs else 0.0,
        "history_cost_is": fit.cost_is,
        "history_validation_metric_is": fit.metric,
        f"{which}_scores": scores.to_json(),
    }


def _command_document(source: Source) -> dict[str, Any]:
    """How this run was made: to read, and to make it again."""
    import platform
    from datetime import UTC, datetime

    stats = [(path, Path(path).stat()) for path in source.files]
    return {
        "command": ["chainrule", *sys.argv[1:]],
        "folder": str(Path.cwd()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": _versions(),
        "files": [{"path": path, "bytes": s.st_size, "modified": int(s.st_mtime)} for path, s in stats],
    }


def _about(seed: int, dtype: str, rows: int) -> dict[str, Any]:
    return {"versions": _versions(), "seed": seed, "dtype": dtype, "training_rows": rows}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("chainrule", "jax", "numpy")}


def _recipe(prepared: Prepared, wishes: Wishes, seed: int, dtype: str) -> Recipe:
    from chainrule.tables.recipe import recipe_for

    with _wrong_use():
        return recipe_for(prepared, wishes, seed, dtype)


def _check_test_file(prepared: Prepared, test: Source) -> None:
    """Before training, not after it: the test file has all columns, readable."""
    from chainrule.tables.kinds import check_values, value_sql
    from chainrule.tables.reading import check_columns, fetch
    from chainrule.tables.target import class_places

    needed = [*prepared.encoding.read_as, *prepared.target.columns]
    check_columns([column.name for column in needed], list(test.types), f"{test.name}: the model needs")
    check_values(test, needed)
    if prepared.target.task != "regression":
        answers = fetch(test, [(column.name, value_sql(test, column)) for column in prepared.target.columns])
        class_places(prepared.target, answers.drop_null())


def _check_flags(target: list[str] | None, task: str | None, drop: list[str] | None, seed: int, dtype: str) -> None:
    if not target:
        raise UsageError("--target is missing: name the column to predict, such as --target churn")
    if task not in (None, "binary", "multiclass", "regression"):
        raise UsageError(f"--task: expected binary, multiclass or regression, got {task}")
    if len(set(target)) < len(target) or set(target) & set(drop or ()):
        raise UsageError("--target: a column is named twice, or dropped as well")
    if seed < 0:
        raise UsageError(f"--seed: expected 0 or more, got {seed}")
    if dtype not in ("float32", "float64"):
        raise UsageError(f"--dtype: expected float32 or float64, got {dtype}")


def _run_name(data: list[str] | None, target: Sequence[str]) -> str:
    stem = Path(data[0]).name.split(".")[0].strip("*?[] ") if data else "query"
    return stem or "-".join(target)


def _initial(given: str | None) -> Any:
    """A scheme's name, or the layers of a JSON file: {"W1": [[...]], "b1": [...], "W2": ...}."""
    if given is None or not given.endswith(".json"):
        return given
    import json

    try:
        data = json.loads(Path(given).read_text(encoding="utf-8"))
        n = sum(key.startswith("W") for key in data)
        return [(data[f"W{i}"], data[f"b{i}"]) for i in range(1, n + 1)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'--initial {given}: expected JSON such as {{"W1": [[...]], "b1": [...], ...}}: {error!r}'
        ) from None


def _whole_numbers(flag: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.replace("-", ",").split(",")]
    except ValueError:
        raise UsageError(f"{flag}: expected whole numbers such as 64,32; got {text!r}") from None
    return [] if numbers == [0] else numbers


def _layers(words: Sequence[str]) -> list[int]:
    if not all(word.isdigit() for word in words):
        raise UsageError(f"expected whole numbers of nodes per layer, such as 400 14 8 2; got {' '.join(words)}")
    return [int(word) for word in words]


def _network(layers: list[int], activation: str = "sigmoid", cost: str = "half_squared_error") -> Network:
    from chainrule.network import Network

    names = activation.replace("-", "_").split(",")
    with _wrong_use():
        return Network(layers, names[0] if len(names) == 1 else names, cost.replace("-", "_"))


def _random_case(layers: list[int], activation: str, cost: str, seed: int) -> tuple[Network, Any, Any, Any]:
    """A random network with random rows whose targets suit every cost: shares that sum to 1."""
    import numpy as np

    from chainrule.network import initialize

    network, rng = _network(layers, activation, cost), np.random.default_rng(seed)
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


def _use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that the next run of the same design starts at once."""
    import os

    import jax
    from platformdirs import user_cache_path

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(user_cache_path("chainrule") / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextmanager
def _wrong_use() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def _answer(document: Any, as_json: bool, lines: Sequence[str]) -> None:
    import json

    _print_lines([json.dumps(document, ensure_ascii=False)] if as_json else lines)


def _print_lines(lines: Sequence[str]) -> None:
    typer.echo("\n".join(lines))


def _nothing(lines: Sequence[str]) -> None:
    pass


if __name__ == "__main__":
    main()

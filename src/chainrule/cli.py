"""The command line: train, predict, evaluate; the others are in `cli_looking`. Saying --help imports nothing heavy."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from chainrule.command_line import (
    Files,
    Json,
    Run,
    Sql,
    answer,
    app,
    flag,
    nothing,
    option,
    print_lines,
    use_compilation_cache,
    wrong_use,
)
from chainrule.errors import InputError, UsageError

if TYPE_CHECKING:
    from chainrule.loop import State
    from chainrule.outcome import Fit
    from chainrule.tables.fitting import TableModel
    from chainrule.tables.metrics import Scores
    from chainrule.tables.plan import Plan
    from chainrule.tables.preparing import Prepared
    from chainrule.tables.reading import Source
    from chainrule.tables.recipe import Recipe, Wishes


class Shown(NamedTuple):
    """What is printed when a run has ended."""

    parameters: bool
    quiet: bool
    as_json: bool


GOING_ON: ContextVar[str | None] = ContextVar("GOING_ON", default=None)  # the run that --resume names


@app.command(epilog="Example: chainrule train churn.csv --target churn -o runs/churn")
def train(
    data: Files = None,
    target: Annotated[
        list[str] | None, option("-t", "--target", "COL", "Column to predict (repeat for several).")
    ] = None,
    out: Annotated[str | None, option("-o", "--out", "RUN", "Folder to write [runs/NAME-1, -2 ...].")] = None,
    sql: Sql = None,
    task: Annotated[str | None, option("--task", "TASK", "binary, multiclass or regression.")] = None,
    drop: Annotated[list[str] | None, option("--drop", "COL", "Leave a column out (repeat).")] = None,
    test_size: Annotated[float, option("--test-size", "SHARE", "Rows held out for the scores [0.2].")] = 0.2,
    test_file: Annotated[str | None, option("--test-file", "FILE", "Score on this file instead.")] = None,
    validation_size: Annotated[float, option("--validation-size", "SHARE", "Of the rest, to stop early [0.2].")] = 0.2,
    normalize: Annotated[bool, flag("--normalize/--no-normalize", "Z-score numbers [yes].")] = True,
    quantiles: Annotated[bool, flag("--quantiles/--no-quantiles", "Numbers by rank, too [from 2,000 rows].")] = True,
    balanced: Annotated[bool, flag("--balanced", "Give every class the same weight.")] = False,
    hidden: Annotated[str | None, option("--hidden", "N,N", "Nodes per hidden layer; 0 for none.")] = None,
    activation: Annotated[
        str | None, option("--activation", "NAME", "Hidden layers', or one per layer: a,b,c.")
    ] = None,
    cost: Annotated[str | None, option("--cost", "NAME", "Cost to minimise, such as huber:1.5.")] = None,
    reduction: Annotated[str, option("--reduction", "NAME", "mean or sum over rows [mean].")] = "mean",
    l2: Annotated[float | None, option("--l2", "X", "Penalty on squared weights.")] = None,
    dropout: Annotated[float | None, option("--dropout", "X", "Share of hidden nodes left out at a time.")] = None,
    initial: Annotated[str | None, option("--initial", "NAME", "uniform, gaussian, he ... or FILE.json.")] = None,
    rule: Annotated[str | None, option("--rule", "NAME", "gradient_descent, momentum, nesterov, adam ...")] = None,
    learning_rate: Annotated[float | None, option("--learning-rate", "X", "Size of a step.")] = None,
    schedule: Annotated[str | None, option("--schedule", "SPEC", "step:0.5:100, inverse_time:0.01, cosine ...")] = None,
    average: Annotated[float | None, option("--average", "X", "Decay of averaged parameters; 0 for none.")] = None,
    batch_size: Annotated[str | None, option("--batch-size", "N", "Rows per update, or all.")] = None,
    epochs: Annotated[int | None, option("--epochs", "N", "At most so many passes.")] = None,
    patience: Annotated[int | None, option("--patience", "N", "Epochs without a lower validation cost.")] = None,
    cost_goal: Annotated[float | None, option("--cost-goal", "X", "Stop below this training cost.")] = None,
    min_gradient: Annotated[float | None, option("--min-gradient", "X", "Stop below this gradient norm.")] = None,
    unchanged: Annotated[float | None, option("--unchanged", "X", "Stop when no parameter moves by more.")] = None,
    max_seconds: Annotated[float | None, option("--max-seconds", "X", "Stop after so long.")] = None,
    keep_every: Annotated[int | None, option("--keep-every", "N", "Checkpoints every N epochs, too.")] = None,
    stream: Annotated[bool | None, flag("--stream/--no-stream", "Keep rows on disk [if need be].")] = None,
    resume: Annotated[str | None, option("--resume", "RUN", "Go on with a run that was cut off.")] = None,
    save_every: Annotated[str | None, option("--save-every", "N", "For that: every N epochs, or Ns seconds.")] = None,
    changed_data: Annotated[bool, typer.Option("--changed-data", hidden=True)] = False,  # the refusal tells of it
    dtype: Annotated[str, option("--dtype", "NAME", "float32 or float64 [float32].")] = "float32",
    seed: Annotated[int, option("--seed", "N", "Of split, parameters and order [0].")] = 0,
    show_parameters: Annotated[bool, flag("--show-parameters", "Print weights and biases.")] = False,
    dry_run: Annotated[bool, flag("--dry-run", "Show encoding and network; train nothing.")] = False,
    quiet: Annotated[bool, flag("-q", "--quiet", "Print only the run folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network on a table and write a run folder."""
    from chainrule import console
    from chainrule.resuming import Resumable
    from chainrule.tables.fitting import fit_table
    from chainrule.tables.plan import plan_of
    from chainrule.tables.preparing import prepare
    from chainrule.tables.reading import open_table
    from chainrule.tables.recipe import BOUNDED_COSTS, COSTS_OF_NUMBERS, Wishes
    from chainrule.tables.runs import RESUME, ROWS, begin_run, claimed, free_run_path
    from chainrule.tables.streamed import fit_streamed, kept_query, prepare_sample, prepare_streamed, would_not_fit

    if resume is not None:
        _go_on(resume)
        return
    _check_flags(target, task, drop, seed, dtype)
    say = nothing if quiet or as_json else print_lines
    source = open_table(data or [], sql)
    test = None if test_file is None else open_table([test_file])
    going_on = GOING_ON.get()
    path = Path(going_on) if going_on else free_run_path(out, _run_name(data, target or []))
    keeping = Resumable(path / RESUME, _save_every(save_every), changed_data)
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
    streams = would_not_fit(source) if stream is None else stream
    if streams and keep_every is not None:
        raise UsageError("--keep-every: updates of rows that are streamed cannot be replayed; leave it out")
    shown = Shown(show_parameters, quiet, as_json)
    with nullcontext() if dry_run else claimed(path, going_on is not None):
        command = _command_document(source, sql, streams)
        if not dry_run:
            begin_run(path, command)
        streamed = None
        if streams:
            rows = source if dry_run else kept_query(source, path / ROWS)
            sample = prepare_sample(rows, balanced=balanced, **preparing)
            prepared, n_train = sample.prepared, None
            if not dry_run:
                streamed = prepare_streamed(sample, path / ROWS, balanced=balanced, seed=seed, dtype=dtype)
                n_train = streamed.rows.n
                lines = console.streamed_lines(source, streamed)
            else:
                lines = console.preparation_lines(source, prepared)
        else:
            prepared, n_train = prepare(source, **preparing), None
            lines = console.preparation_lines(source, prepared)
        recipe = _recipe(prepared, wishes, seed, dtype, n_train)
        say([*lines, *console.recipe_lines(recipe, seed)])
        if dry_run:
            encoding = {"encoding": prepared.encoding.to_json(), "target": prepared.target.to_json()}
            answer(encoding, as_json, ["", *console.encoding_lines(prepared.encoding)])
            return
        if test:
            _check_test_file(prepared, test)
        if streamed is not None:
            plan, training = None, partial(fit_streamed, streamed, recipe, seed=seed, resumable=keeping)
        else:
            plan = plan_of(recipe, preparing, balanced, seed, dtype)
            training = partial(
                fit_table,
                prepared,
                recipe,
                seed=seed,
                dtype=dtype,
                balanced=balanced,
                checkpoint=partial(_kept_for_replay, path),
                keep_every=keep_every,
                resumable=keeping,
            )
        about = _about(seed, dtype, n_train or len(prepared.split.train))
        _train_and_write(training, command, test, prepared, recipe, about, plan, path, shown)


@app.command(epilog="Example: chainrule predict runs/churn-1 new.csv -o predictions.csv")
def predict(
    run: Run,
    data: Files = None,
    out: Annotated[str, option("-o", "--out", "FILE", ".csv, .tsv, .parquet or .jsonl; - prints [-].")] = "-",
    sql: Sql = None,
    quiet: Annotated[bool, flag("-q", "--quiet", "Say nothing.")] = False,
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
    answer(scores.to_json(), as_json, [*notes, *console.score_lines(scores, model.target.classes, "given")])


import chainrule.cli_looking  # noqa: E402, F401  registers its commands, after those above


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
        _fail("interrupted", 130)


def _fail(error: object, code: int) -> NoReturn:
    sys.stdout.flush()
    typer.echo(f"chainrule: {error}", err=True)
    sys.exit(code)


def _train_and_write(
    training: Callable[..., Fit],
    command: dict[str, Any],
    test: Source | None,
    prepared: Prepared,
    recipe: Recipe,
    about: dict[str, Any],
    plan: Plan | None,
    path: Path,
    shown: Shown,
) -> None:
    from chainrule import console
    from chainrule.explaining.report import Reported, report_html
    from chainrule.explaining.story import Course
    from chainrule.outcome import DivergedError, Terminated
    from chainrule.tables.fitting import model_of, score_table
    from chainrule.tables.importance import importance_of
    from chainrule.tables.runs import finish_run

    use_compilation_cache()
    show_parameters, quiet, as_json = shown
    diverged = None
    with console.progress_bar(recipe.epochs, not (quiet or as_json)) as progress, _warning_in_lines():
        try:
            fit = training(progress=progress)
        except DivergedError as error:
            fit, diverged = error.fit, error
        except Terminated as error:
            _fail(f"terminated after epoch {error.epoch:,}; {_to_go_on(path)}", int(error.code or 0))
        except KeyboardInterrupt:
            _fail(f"interrupted; {_to_go_on(path)}", 130)
    model = model_of(prepared, recipe, fit, about)
    which, X, table = _scored_rows(model, prepared, test)
    scores = score_table(model, X, table)
    metrics, command = _metrics_document(fit, which, scores), {**command, "finished": _now()}
    course = Course(fit.history.epoch, fit.history.cost, fit.history.validation_cost, fit.cost_is, fit.best_epoch)
    importance = importance_of(model, X, table, about["seed"])
    told = Reported(str(path), model, course, console.fit_line(fit), scores, which, X, table, importance, command)
    try:
        finish_run(path, model, fit, metrics, command, plan, report_html(told))
    except InputError as error:
        raise InputError(f"{error}; when that is mended, {_to_go_on(path)}") from error
    say = nothing if quiet or as_json else print_lines
    say(["", console.fit_line(fit), "", *console.score_lines(scores, model.target.classes, which)])
    if show_parameters:
        say(["", *console.parameter_lines(model.network, model.params)])
    answer({"run": str(path), **metrics}, as_json, [str(path)] if quiet else _next_lines(path))
    if diverged:
        raise InputError(f"{diverged}; they are in {path}")


def _go_on(run: str) -> None:
    """Call the run's own command again, with what was said beside --resume added to it."""
    import os

    from chainrule.tables.runs import forget_how_to_resume, is_finished, read_command, read_metrics

    place = sys.argv.index("--resume") if "--resume" in sys.argv else sys.argv.index(f"--resume={run}")
    added = [*sys.argv[2:place], *sys.argv[place + (1 if "=" in sys.argv[place] else 2) :]]
    made = read_command(run)
    if is_finished(run):
        ended = read_metrics(run)
        forget_how_to_resume(Path(run))  # it may have been killed before it did
        told = f"{run} is finished: {ended['epochs']:,} epochs, ended by {ended['stopped_by']}"
        if set(added) - {"--json", "-q", "--quiet"}:
            raise UsageError(f"{told}; it cannot go on: train another")
        answer({"run": run, **ended}, "--json" in added, [told])
        return
    recorded, folder = made["command"][1:], Path(made["folder"])
    if recorded[:1] != ["train"] or any(word.startswith("--resume") for word in recorded):
        raise InputError(f"{run}: its command cannot be called again: {' '.join(made['command'])}")
    if not folder.is_dir():
        raise InputError(f"{run}: was begun in {folder}, which is no longer there: its files cannot be found")
    path = run if folder.samefile(Path.cwd()) else str(Path(run).absolute())
    os.chdir(folder)
    if not {"--stream", "--no-stream"} & {*recorded, *added}:
        added.append("--stream" if made.get("streamed") else "--no-stream")
    end = recorded.index("--") if "--" in recorded else len(recorded)
    words = [*recorded[:end], *added, *recorded[end:]]
    sys.argv = ["chainrule", *(word for word in words if word != "--changed-data")]  # what command.json will tell
    token = GOING_ON.set(path)
    try:
        app(args=words, prog_name="chainrule", standalone_mode=False)
    finally:
        GOING_ON.reset(token)


def _save_every(given: str | None) -> int | float | None:
    """Epochs, or seconds with an s."""
    if given is None:
        return None
    try:
        every = float(given[:-1]) if given.endswith("s") else int(given)
    except ValueError:
        every = 0
    if not every > 0:
        raise UsageError(f"--save-every: expected epochs or seconds above 0, such as 100 or 30s; got {given!r}")
    return every


def _to_go_on(path: Path) -> str:
    return f"go on with: chainrule train --resume {path}"


def _kept_for_replay(path: Path, state: State) -> None:
    """Write the state, or warn: an update that cannot be replayed is no reason to end a training."""
    from chainrule.tables.runs import write_checkpoint

    try:
        write_checkpoint(path, state)
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)


@contextmanager
def _warning_in_lines() -> Iterator[None]:
    """Warnings of the training as lines on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: typer.echo(f"chainrule: {message}", err=True)
        yield


def _next_lines(path: Path) -> list[str]:
    return [
        "",
        f"run folder: {path} (report.html, model.safetensors, history.csv, metrics.json, ...)",
        f"next: chainrule predict {path} NEW.csv -o predictions.csv",
    ]


def _scored_rows(model: TableModel, prepared: Prepared, test: Source | None) -> tuple[str, Any, Any]:
    """The held-out rows, or the training rows if none were held out: what they are, X, and their columns."""
    from chainrule.tables.predicting import rows_with_targets

    if test:
        return "test", *rows_with_targets(model, test)[:2]
    rows = prepared.split.test if len(prepared.split.test) else prepared.split.train
    which = "test" if len(prepared.split.test) else "training"
    return which, prepared.X[rows], prepared.table.take(rows)


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


def _command_document(source: Source, sql: str | None, streams: bool) -> dict[str, Any]:
    """How this run was made: to read, and to make it again."""
    import platform

    stats = [(path, Path(path).stat()) for path in source.files]
    return {
        "command": ["chainrule", *sys.argv[1:]],
        "sql": sql,
        "streamed": streams,
        "folder": str(Path.cwd()),
        "began": _now(),
        "python": platform.python_version(),
        "versions": _versions(),
        "files": [{"path": path, "bytes": s.st_size, "modified": int(s.st_mtime)} for path, s in stats],
    }


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")


def _about(seed: int, dtype: str, rows: int) -> dict[str, Any]:
    return {"versions": _versions(), "seed": seed, "dtype": dtype, "training_rows": rows}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("chainrule", "jax", "numpy")}


def _recipe(prepared: Prepared, wishes: Wishes, seed: int, dtype: str, n_train: int | None = None) -> Recipe:
    from chainrule.tables.recipe import recipe_for

    with wrong_use():
        return recipe_for(prepared, wishes, seed, dtype, n_train)


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


if __name__ == "__main__":
    main()

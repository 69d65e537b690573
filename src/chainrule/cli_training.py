"""A training that the command line has understood: done, written to its run folder, and told."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer

from chainrule.command_line import answer, nothing, print_lines, wrong_use
from chainrule.errors import InputError

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


def train_and_write(
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

    show_parameters, quiet, as_json = shown
    diverged = None
    with console.progress_bar(recipe.epochs, not (quiet or as_json)) as progress, _warning_in_lines():
        try:
            fit = training(progress=progress)
        except DivergedError as error:
            fit, diverged = error.fit, error
        except Terminated as error:
            fail(f"terminated after epoch {error.epoch:,}; {_to_go_on(path)}", int(error.code or 0))
        except KeyboardInterrupt:
            fail(f"interrupted; {_to_go_on(path)}", 130)
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
    say(["", console.fit_line(fit), "", *console.score_lines(scores, which)])
    if show_parameters:
        say(["", *console.parameter_lines(model.network, model.params)])
    answer({"run": str(path), **metrics}, as_json, [str(path)] if quiet else _next_lines(path))
    if diverged:
        raise InputError(f"{diverged}; they are in {path}")


def _to_go_on(path: Path) -> str:
    return f"go on with: chainrule train --resume {path}"


def kept_for_replay(path: Path, state: State) -> None:
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


def command_document(source: Source, sql: str | None, streams: bool) -> dict[str, Any]:
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


def about_of(seed: int, dtype: str, rows: int) -> dict[str, Any]:
    return {"versions": _versions(), "seed": seed, "dtype": dtype, "training_rows": rows}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("chainrule", "jax", "numpy")}


def recipe_of(prepared: Prepared, wishes: Wishes, seed: int, dtype: str, n_train: int | None = None) -> Recipe:
    from chainrule.tables.recipe import recipe_for

    with wrong_use():
        return recipe_for(prepared, wishes, seed, dtype, n_train)


def check_test_file(prepared: Prepared, test: Source) -> None:
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


def fail(error: object, code: int) -> NoReturn:
    sys.stdout.flush()
    typer.echo(f"chainrule: {error}", err=True)
    sys.exit(code)

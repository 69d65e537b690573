"""A training that has begun: done, scored, written to its run folder, and reported."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.cli.common import answer, fail, nothing, print_lines, use_compilation_cache, wrong_use
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.tables.fit import TableModel
    from chainrule.tables.metrics import Scores
    from chainrule.tables.plan import Plan
    from chainrule.tables.prepare import Prepared
    from chainrule.tables.reading import Source
    from chainrule.tables.recipe import Recipe
    from chainrule.tables.recorded import Recorded
    from chainrule.tables.request import Request
    from chainrule.tables.run_folder import Metrics
    from chainrule.training.checkpoints import Resumable
    from chainrule.training.program import State
    from chainrule.training.result import Fit


class Shown(NamedTuple):
    """What is printed when a run has ended."""

    parameters: bool
    quiet: bool
    as_json: bool

    @property
    def talks(self) -> bool:
        """Whether people read what is printed."""
        return not (self.quiet or self.as_json)

    @property
    def say(self) -> Callable[[list[str]], None]:
        return print_lines if self.talks else nothing


class Begun(NamedTuple):
    """A training that is about to be done: what is asked for, what its folder records, its tables."""

    path: Path
    request: Request
    recorded: Recorded
    command: tuple[str, ...]  # that makes the run again
    source: Source
    test: Source | None
    keeping: Resumable


def train_and_write(
    begun: Begun,
    training: Callable[..., Fit],
    prepared: Prepared,
    recipe: Recipe,
    plan: Plan | None,
    n_train: int,
    shown: Shown,
) -> None:
    """Train, score, write the run and its report, and say how it went."""
    from chainrule.explaining import console
    from chainrule.explaining.report import Reported, report_html
    from chainrule.explaining.story import Course
    from chainrule.tables.fit import model_of, score_table
    from chainrule.tables.importance import importance_of
    from chainrule.tables.run_folder import finish_run

    path, request = begun.path, begun.request
    if begun.test:
        with console.reading_line(begun.test, shown.talks):
            check_test_file(prepared, begun.test)
    use_compilation_cache()
    fit, diverged = _trained(training, recipe.epochs, path, shown)
    about = {"versions": versions(), "seed": request.seed, "dtype": request.dtype, "training_rows": n_train}
    model = model_of(prepared, recipe, fit, about)
    which, X, table = _scored_rows(model, prepared, begun.test)
    scores = score_table(model, X, table)
    metrics = _metrics(fit, which, scores)
    course = Course(fit.history.epoch, fit.history.cost, fit.history.validation_cost, fit.cost_is, fit.best_epoch)
    importance = importance_of(model, X, table, request.seed)
    made = (begun.command, begun.recorded, now())
    told = Reported(str(path), model, course, console.fit_line(fit), scores, which, X, table, importance, *made)
    try:
        finish_run(path, model, fit, metrics, plan, report_html(told))
    except InputError as error:
        raise InputError(f"{error}; when that is mended, {_to_go_on(path)}") from error
    shown.say(["", console.fit_line(fit), "", *console.score_lines(scores, which)])
    if shown.parameters:
        shown.say(["", *console.parameter_lines(model.network, model.params)])
    last = [str(path)] if shown.quiet else _next_lines(path)
    answer({"run": str(path), **metrics.to_json()}, shown.as_json, last)
    if diverged:
        raise InputError(f"{diverged}; they are in {path}")


def _trained(training: Callable[..., Fit], epochs: int, path: Path, shown: Shown) -> tuple[Fit, ArithmeticError | None]:
    """The fit, and the error if it diverged; a training that was cut off ends the process."""
    from chainrule.explaining import console
    from chainrule.training.result import DivergedError, Terminated

    with console.progress_bar(epochs, shown.talks) as progress, _warning_in_lines():
        try:
            return training(progress=progress), None
        except DivergedError as error:
            return error.fit, error
        except Terminated as error:
            fail(f"terminated after epoch {error.epoch:,}; {_to_go_on(path)}", int(error.code or 0))
        except KeyboardInterrupt:
            fail(f"interrupted; {_to_go_on(path)}", 130)


def _to_go_on(path: Path) -> str:
    from chainrule.tables.run_folder import how_to_resume

    return how_to_resume(path)


def kept_for_replay(path: Path, state: State) -> None:
    """Write the state, or warn: an update that cannot be replayed is no reason to end a training."""
    from chainrule.tables.run_folder import write_checkpoint

    try:
        write_checkpoint(path, state)
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)


@contextmanager
def _warning_in_lines() -> Iterator[None]:
    """Warnings of the training as lines on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"chainrule: {message}", file=sys.stderr)
        yield


def _next_lines(path: Path) -> list[str]:
    return [
        "",
        f"run folder: {path} (report.html, model.safetensors, history.csv, metrics.json, ...)",
        f"next: chainrule predict {shlex.quote(str(path))} NEW.csv -o predictions.csv",
    ]


def _scored_rows(model: TableModel, prepared: Prepared, test: Source | None) -> tuple[str, Any, Any]:
    """The held-out rows, or the training rows if none were held out: what they are, X, and their columns."""
    from chainrule.tables.predict import rows_with_targets

    if test:
        return "test", *rows_with_targets(model, test)[:2]
    rows = prepared.split.test if len(prepared.split.test) else prepared.split.train
    which = "test" if len(prepared.split.test) else "training"
    return which, prepared.X[rows], prepared.table.take(rows)


def _metrics(fit: Fit, which: str, scores: Scores) -> Metrics:
    from chainrule.tables.run_folder import Metrics

    return Metrics(
        stopped_by=fit.stopped_by,
        epochs=fit.epochs,
        best_epoch=fit.best_epoch,
        seconds=float(fit.history.seconds[-1]) if fit.epochs else 0.0,
        history_cost_is=fit.cost_is,
        history_validation_metric_is=fit.metric,
        **{f"{which}_scores": scores.to_json()},
    )


def now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("chainrule", "jax", "numpy")}


def recipe_of(prepared: Prepared, request: Request, n_train: int | None = None) -> Recipe:
    from chainrule.tables.recipe import recipe_for

    with wrong_use():
        return recipe_for(prepared, request, n_train)


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

"""The stages of a session: read, prepare, train, score and write. Nothing here prints or exits."""

from __future__ import annotations

import os
import platform
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.driver import train_on
from chainrule.errors import InputError
from chainrule.explaining.console import fit_line
from chainrule.explaining.report import Reported, report_html
from chainrule.explaining.story import Course
from chainrule.scaling.streaming import InFiles
from chainrule.tables.fit import TableModel, model_of, rows_of, score_table
from chainrule.tables.importance import importance_of
from chainrule.tables.metrics import Scores
from chainrule.tables.plan import Plan
from chainrule.tables.predict import rows_with_targets
from chainrule.tables.prepare import Prepared, prepare
from chainrule.tables.reading import Source, check_rows
from chainrule.tables.reading.once import forget, read_once
from chainrule.tables.recipe import Recipe, preparing_of, recipe_for
from chainrule.tables.recorded import Recorded, files_of
from chainrule.tables.request import Request
from chainrule.tables.run_folder import Metrics, finish_run, write_checkpoint
from chainrule.tables.shared import Shared, prepare_shared
from chainrule.tables.streamed import Streamed, kept_query, prepare_sample, prepare_streamed
from chainrule.training.memory import Rows
from chainrule.training.result import Fit
from chainrule.training.state import State


class Ready(NamedTuple):
    """A training that is ready to start: the prepared table, its recipe and its rows, in memory or in files.

    `plan` is None if updates cannot be replayed.
    """

    prepared: Prepared
    recipe: Recipe
    rows: Rows | InFiles
    n_train: int
    plan: Plan | None = None
    together: bool = False


def ready_in_memory(prepared: Prepared, request: Request) -> Ready:
    """Training on a table in memory."""
    recipe = recipe_for(prepared, request)
    plan = Plan(preparing_of(request), request.balanced, recipe.settings)
    return Ready(prepared, recipe, rows_of(prepared, request.balanced), len(prepared.split.train), plan)


def ready_streamed(streamed: Streamed, request: Request) -> Ready:
    """Training on a table whose rows are in files."""
    n = streamed.rows.rows.n
    return Ready(streamed.prepared, recipe_for(streamed.prepared, request, n), streamed.rows, n)


def ready_shared(shared: Shared, request: Request) -> Ready:
    """Training on the rows of several processes."""
    recipe = recipe_for(shared.prepared, request, shared.n_train)
    return Ready(shared.prepared, recipe, shared.rows, shared.n_train, together=True)


def rows_read(source: Source, request: Request, most: int | None = None) -> Source:
    """Read the rows once, at most `most` of them; not for streamed queries, which use a file, nor for processes.

    Raises
    ------
    InputError
        If the rows cannot be read, or exceed `most`.
    """
    if not source.files and (request.stream or request.processes):
        check_rows(source, most)
        return source
    return read_once(source, most)


def prepared_in_memory(source: Source, request: Request) -> Prepared:
    """Prepare the table of a request, then release the rows that were read, as the functions below do."""
    prepared = prepare(source, **asdict(preparing_of(request)))
    forget(source)
    return prepared


def streamed_to(folder: Path, source: Source, request: Request) -> Streamed:
    """Prepare the table of a request with its rows in files under `folder`."""
    how = {"balanced": request.balanced}
    sample = prepare_sample(kept_query(source, folder), **how, **asdict(preparing_of(request)))
    streamed = prepare_streamed(sample, folder, **how, seed=request.seed, dtype=request.dtype)
    forget(source)
    return streamed


def shared_by_all(source: Source, request: Request) -> Shared:
    """Prepare the table of a request, each process with its own rows."""
    shared = prepare_shared(source, balanced=request.balanced, **asdict(preparing_of(request)))
    forget(source)
    return shared


def trained(ready: Ready, folder: Path | None = None, **run: Any) -> Fit:
    """Train, with checkpoints in the run folder if updates can be replayed; `run` are arguments of `Driver.run`."""
    recipe = ready.recipe
    keeping = {"checkpoint": partial(_kept_for_replay, folder)} if folder and ready.plan else {}
    return train_on(recipe.settings, recipe.params, ready.rows, together=ready.together, **keeping, **run)


def _kept_for_replay(folder: Path, state: State) -> None:
    """Write a checkpoint, or warn: training should not fail because an update cannot be replayed later."""
    try:
        write_checkpoint(folder, state)
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)


class Scored(NamedTuple):
    """A trained model and its scores on the rows named by `which`: "test" or "training"."""

    model: TableModel
    fit: Fit
    which: str
    scores: Scores
    X: Any
    table: Any  # the columns of the rows that were scored

    @property
    def metrics(self) -> Metrics:
        """The metrics for the run folder."""
        fit = self.fit
        return Metrics(
            stopped_by=fit.stopped_by,
            epochs=fit.epochs,
            best_epoch=fit.best_epoch,
            seconds=float(fit.history.seconds[-1]) if fit.epochs else 0.0,
            history_cost_is=fit.cost_is,
            history_validation_metric_is=fit.metric,
            **{f"{self.which}_scores": self.scores.to_json()},
        )


def scored(ready: Ready, fit: Fit, test: Source | None = None) -> Scored:
    """The model of a fit, scored on a test table, else on held-out rows, else on the training rows."""
    settings, prepared = ready.recipe.settings, ready.prepared
    about = {"versions": versions(), "seed": settings.seed, "dtype": settings.dtype, "training_rows": ready.n_train}
    model = model_of(prepared, settings.network, fit, about)
    if test:
        which, (X, table, *_) = "test", rows_with_targets(model, test)
    else:
        which = "test" if len(prepared.split.test) else "training"
        rows = prepared.split.test if len(prepared.split.test) else prepared.split.train
        X, table = prepared.X[rows], prepared.table.take(rows)
    return Scored(model, fit, which, score_table(model, X, table), X, table)


def write_run(path: Path, done: Scored, plan: Plan | None, recorded: Recorded, command: tuple[str, ...]) -> None:
    """Write the model, history, plan, report and metrics into the run folder."""
    fit, seed = done.fit, recorded.request.seed
    course = Course(fit.history.epoch, fit.history.cost, fit.history.validation_cost, fit.cost_is, fit.best_epoch)
    importance = importance_of(done.model, done.X, done.table, seed)
    made = (command, recorded, now())
    told = Reported(
        str(path), done.model, course, fit_line(fit), done.scores, done.which, done.X, done.table, importance, *made
    )
    finish_run(path, done.model, fit, done.metrics, plan, report_html(told))


def recorded_of(
    request: Request,
    source: Source,
    test: Source | None,
    command: tuple[str, ...],
    streamed: bool = False,
    shared: bool = False,
) -> Recorded:
    """The record of a new run, for its folder."""
    return Recorded(
        request=request,
        files=files_of(source),
        test_files=files_of(test),
        streamed=streamed,
        shared=shared,
        folder=os.getcwd(),
        command=command,
        began=now(),
        python=platform.python_version(),
        versions=versions(),
    )


def now() -> str:
    """The current time in UTC, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of the packages that the numbers of a run depend on."""
    return {name: version(name) for name in ("chainrule", "jax", "numpy")}

"""A table in one call: read, prepared, trained, scored and written. Nothing here prints or exits.

`chainrule train` says each step to people; `fit_table` takes them one after the other.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.driver import InFiles, train_on
from chainrule.explaining.console import fit_line
from chainrule.explaining.report import Reported, report_html
from chainrule.explaining.story import Course
from chainrule.tables.fit import TableModel, model_of, rows_of, score_table
from chainrule.tables.importance import importance_of
from chainrule.tables.metrics import Scores
from chainrule.tables.plan import Plan
from chainrule.tables.predict import rows_with_targets
from chainrule.tables.prepare import Prepared, prepare
from chainrule.tables.reading import Source
from chainrule.tables.recipe import Recipe, preparing_of, recipe_for
from chainrule.tables.recorded import Recorded
from chainrule.tables.request import Request
from chainrule.tables.run_folder import Metrics, finish_run
from chainrule.tables.shared import Shared, prepare_shared
from chainrule.tables.streamed import Streamed, kept_query, prepare_sample, prepare_streamed
from chainrule.training.memory import Rows
from chainrule.training.result import Fit


class Ready(NamedTuple):
    """A training that is about to begin: the table, prepared; its recipe; its rows, wherever they are.

    `plan` is there where updates can be replayed.
    """

    prepared: Prepared
    recipe: Recipe
    rows: Rows | InFiles
    n_train: int
    plan: Plan | None = None
    together: bool = False


def ready_in_memory(prepared: Prepared, request: Request) -> Ready:
    """The training of a table that was read as a whole."""
    recipe = recipe_for(prepared, request)
    plan = Plan(preparing_of(request), request.balanced, recipe.settings)
    return Ready(prepared, recipe, rows_of(prepared, request.balanced), len(prepared.split.train), plan)


def ready_streamed(streamed: Streamed, request: Request) -> Ready:
    """The training of a table whose rows are in files."""
    n = streamed.rows.rows.n
    return Ready(streamed.prepared, recipe_for(streamed.prepared, request, n), streamed.rows, n)


def ready_shared(shared: Shared, request: Request) -> Ready:
    """The training of the rows of several processes."""
    recipe = recipe_for(shared.prepared, request, shared.n_train)
    return Ready(shared.prepared, recipe, shared.rows, shared.n_train, together=True)


def prepared_in_memory(source: Source, request: Request) -> Prepared:
    """The table of a request, read and prepared."""
    return prepare(source, **asdict(preparing_of(request)))


def streamed_to(folder: Path, source: Source, request: Request) -> Streamed:
    """The table of a request, its rows in files under `folder`."""
    how = {"balanced": request.balanced}
    sample = prepare_sample(kept_query(source, folder), **how, **asdict(preparing_of(request)))
    return prepare_streamed(sample, folder, **how, seed=request.seed, dtype=request.dtype)


def shared_by_all(source: Source, request: Request) -> Shared:
    """The table of a request, each process with its own rows."""
    return prepare_shared(source, balanced=request.balanced, **asdict(preparing_of(request)))


def trained(ready: Ready, **run: Any) -> Fit:
    """The fit; `run` are the arguments of `Driver.run`."""
    recipe = ready.recipe
    return train_on(recipe.settings, recipe.params, ready.rows, together=ready.together, **run)


class Scored(NamedTuple):
    """A trained model and its scores, on the rows that `which` names: "test" or "training"."""

    model: TableModel
    fit: Fit
    which: str
    scores: Scores
    X: Any
    table: Any  # the columns of the rows that were scored

    @property
    def metrics(self) -> Metrics:
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
    """The model of a fit, scored on a test table, on the rows held out, or, where there are none, on those it knows."""
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
    """Write model, history, plan, report and metrics into the folder of a run."""
    fit, seed = done.fit, recorded.request.seed
    course = Course(fit.history.epoch, fit.history.cost, fit.history.validation_cost, fit.cost_is, fit.best_epoch)
    importance = importance_of(done.model, done.X, done.table, seed)
    made = (command, recorded, now())
    told = Reported(
        str(path), done.model, course, fit_line(fit), done.scores, done.which, done.X, done.table, importance, *made
    )
    finish_run(path, done.model, fit, done.metrics, plan, report_html(told))


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of the packages whose numbers a run depends on."""
    return {name: version(name) for name in ("chainrule", "jax", "numpy")}

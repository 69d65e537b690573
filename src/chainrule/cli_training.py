"""A training that was asked for on the command line: begun or gone on with, written to its run folder, and reported."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.cli_together import Among, supervised, train_together
from chainrule.command_line import (
    answer,
    confirmed,
    fail,
    filter_output,
    nothing,
    print_lines,
    use_compilation_cache,
    wrong_use,
)
from chainrule.errors import InputError, UsageError

if TYPE_CHECKING:
    from chainrule.loop import State
    from chainrule.outcome import Fit
    from chainrule.resuming import Resumable
    from chainrule.supervising import Told
    from chainrule.tables.fitting import TableModel
    from chainrule.tables.metrics import Scores
    from chainrule.tables.plan import Plan
    from chainrule.tables.preparing import Prepared
    from chainrule.tables.reading import Source
    from chainrule.tables.recipe import Recipe
    from chainrule.tables.recorded import Recorded
    from chainrule.tables.request import Request
    from chainrule.tables.runs import Metrics


class Shown(NamedTuple):
    """What is printed when a run has ended."""

    parameters: bool
    quiet: bool
    as_json: bool

    @property
    def say(self) -> Callable[[list[str]], None]:
        return nothing if self.quiet or self.as_json else print_lines


class Wanted(NamedTuple):
    """What is typed: the fields of a request, the run to go on with, and how."""

    given: dict[str, Any]
    out: str | None
    resume: str | None
    dry_run: bool
    changed_data: bool
    trust: bool
    among: Among


class Begun(NamedTuple):
    """A training that is about to be done: what is asked for, what its folder records, its tables."""

    path: Path
    going_on: bool
    request: Request
    recorded: Recorded
    command: tuple[str, ...]  # that makes the run again
    source: Source
    test: Source | None
    keeping: Resumable


def train_here(wanted: Wanted, shown: Shown) -> None:
    """Train as it was asked for: a new run or one that goes on, in this process or in several."""
    from chainrule.supervising import told_by_supervisor

    if wanted.resume is not None:
        going_on = _going_on(wanted, wanted.resume, shown)
        if going_on is None:
            return
        request, recorded = going_on
    else:
        request, recorded = _new(wanted), None
    told = None if wanted.dry_run else told_by_supervisor()
    filter_output()  # of the streams that the supervisor has given, too
    among = wanted.among.of(request.processes, recorded is not None and recorded.shared)
    if told or among.is_asked_for():
        _train_with_others(wanted, request, recorded, told, among, shown)
    elif wanted.dry_run:
        _dry_run(request, shown)
    else:
        _train_alone(wanted, request, recorded, shown)


def _new(wanted: Wanted) -> Request:
    from chainrule.tables.request import Request

    request = Request(**wanted.given)
    if not request.target:
        raise UsageError("--target is missing: name the column to predict, such as --target churn")
    if wanted.dry_run and request.processes is not None:
        raise UsageError("--dry-run: shows what one process would do, whose split is another; leave --processes out")
    return request


def _going_on(wanted: Wanted, run: str, shown: Shown) -> tuple[Request, Recorded] | None:
    """The request of a run that was cut off, with what is said beside --resume; None if the run is finished."""
    from chainrule.storage.files import check_own
    from chainrule.tables.recorded import read_recorded
    from chainrule.tables.request import resumed
    from chainrule.tables.runs import is_finished

    if wanted.out is not None or wanted.dry_run:
        raise UsageError("--resume goes on in the run's own folder: leave --out and --dry-run out")
    check_own(Path(run))
    if is_finished(run):
        _report_finished(run, bool(wanted.given), shown)
        return None
    recorded = read_recorded(run)
    most, began = max(8, os.cpu_count() or 1), recorded.request.processes or 1
    if began > most and wanted.among.processes is None:
        raise UsageError(f"{run}: began with {began:,} processes: say how many now, --processes {most} at most")
    given = {name: value for name, value in wanted.given.items() if (name, value) != ("stream", recorded.streamed)}
    return resumed(recorded.request, given), recorded


def _report_finished(run: str, would_change: bool, shown: Shown) -> None:
    from chainrule.tables.runs import forget_how_to_resume, read_metrics

    ended = read_metrics(run)
    forget_how_to_resume(Path(run))  # it may have been killed before it did
    told = f"{run} is finished: {ended.epochs:,} epochs, ended by {ended.stopped_by}"
    if would_change:
        raise UsageError(f"{told}; it cannot go on: train another")
    answer({"run": run, **ended.to_json()}, shown.as_json, [told])


def _dry_run(request: Request, shown: Shown) -> None:
    """Show the encoding and the network; write nothing."""
    from dataclasses import asdict

    from chainrule import console
    from chainrule.tables.preparing import prepare
    from chainrule.tables.reading import open_table
    from chainrule.tables.recipe import preparing_of
    from chainrule.tables.streamed import prepare_sample, would_not_fit

    source = open_table(request.data, request.sql)
    preparing = asdict(preparing_of(request))
    if would_not_fit(source) if request.stream is None else request.stream:
        prepared = prepare_sample(source, balanced=request.balanced, **preparing).prepared
    else:
        prepared = prepare(source, **preparing)
    recipe = recipe_of(prepared, request)
    shown.say([*console.preparation_lines(source, prepared), *console.recipe_lines(recipe, request.seed)])
    encoding = {"encoding": prepared.encoding.to_json(), "target": prepared.target.to_json()}
    answer(encoding, shown.as_json, ["", *console.encoding_lines(prepared.encoding)])


def _train_alone(wanted: Wanted, request: Request, recorded: Recorded | None, shown: Shown) -> None:
    from chainrule.tables.runs import claimed
    from chainrule.tables.streamed import would_not_fit

    source, test = _tables(wanted, request, recorded)
    if recorded is None:
        streams = would_not_fit(source) if request.stream is None else request.stream
        recorded = _recorded(request, source, test, streamed=streams)
    if recorded.streamed and request.keep_every is not None:
        raise UsageError("--keep-every: updates of rows that are streamed cannot be replayed; leave it out")
    path = run_folder(wanted, request)
    with claimed(path, wanted.resume is not None):
        begun = begin(wanted, path, request, recorded, source, test)
        training = _streamed if recorded.streamed else _in_memory
        train_and_write(begun, *training(begun, shown), shown)


def _train_with_others(
    wanted: Wanted, request: Request, recorded: Recorded | None, told: Told | None, among: Among, shown: Shown
) -> None:
    if request.stream:
        raise UsageError("--stream: each of several processes has its rows in memory: use more of them, or one")
    if request.keep_every is not None:
        raise UsageError("--keep-every: updates of several processes cannot be replayed; leave it out")
    if told is None:
        run = run_folder(wanted, request) if among.is_first() else Path(".")
        supervised(among, run, wanted.resume is not None)
    train_together(told, partial(_train_one_of_several, told, wanted, request, recorded, shown))


def _train_one_of_several(
    told: Told, wanted: Wanted, request: Request, recorded: Recorded | None, shown: Shown
) -> None:
    """What each of the processes does; the first one writes and speaks."""
    from contextlib import ExitStack
    from dataclasses import asdict

    import jax

    from chainrule import console
    from chainrule.cli_together import follow, then_parting
    from chainrule.processes import is_first, one_fate
    from chainrule.tables.recipe import preparing_of
    from chainrule.tables.runs import claimed
    from chainrule.tables.shared import fit_shared, prepare_shared

    path = Path(told.run)
    with ExitStack() as stack:
        with one_fate():
            source, test = _tables(wanted, request, recorded)
            recorded = recorded or _recorded(request, source, test, shared=True)
            if is_first():
                stack.enter_context(claimed(path, told.goes_on))
            begun = begin(wanted, path, request, recorded, source, test, writes=is_first())
        shared = prepare_shared(source, balanced=request.balanced, **asdict(preparing_of(request)))
        with one_fate():
            recipe = recipe_of(shared.prepared, request, shared.n_train)
            if test and is_first():
                check_test_file(shared.prepared, test)  # here, so that all processes hear of it
        how = {"seed": request.seed, "dtype": request.dtype, "resumable": begun.keeping}
        training = partial(then_parting, partial(fit_shared, shared, recipe, **how))
        if not is_first():
            follow(training)
            return
        lines = console.shared_lines(source, shared, jax.process_count())
        shown.say([*lines, *console.recipe_lines(recipe, request.seed)])
        train_and_write(begun, training, shared.prepared, recipe, None, shared.n_train, shown)


def run_folder(wanted: Wanted, request: Request) -> Path:
    """The folder of the run that goes on, or one for a new run."""
    from chainrule.tables.runs import new_run_folder

    if wanted.resume is not None:
        return Path(wanted.resume)
    stem = Path(request.data[0]).name.split(".")[0].strip("*?[] ") if request.data else "query"
    return new_run_folder(wanted.out, stem or "-".join(request.target))


def _tables(wanted: Wanted, request: Request, recorded: Recorded | None) -> tuple[Source, Source | None]:
    """The rows to learn from, and those of --test-file; of a run that goes on, those that it began with."""
    from chainrule.tables.reading import open_table
    from chainrule.tables.recorded import Named, found_again, table_again
    from chainrule.tables.runs import ROWS
    from chainrule.tables.streamed import kept_rows

    given = wanted.given
    if recorded is None:
        return open_table(request.data, request.sql), _test_file(request)
    run = wanted.resume or "."
    hint = f"bring it back, or go on with other rows: chainrule train FILES --resume {run} --changed-data"
    named = Named(given.get("data", ()), given.get("sql"), wanted.trust)
    kept = kept_rows(Path(run) / ROWS) if recorded.streamed and not (named.data or named.sql) else None
    source = kept or confirmed(lambda trusts: table_again(run, named._replace(trust=trusts), hint), wanted.trust)
    if "test_file" in given or not recorded.test_files:
        return source, _test_file(request)
    hint = f"bring it back, or name it: chainrule train --resume {run} --test-file FILE"
    return source, open_table([found_again(run, file, hint) for file in recorded.test_files])


def _test_file(request: Request) -> Source | None:
    from chainrule.tables.reading import open_table

    return None if request.test_file is None else open_table([request.test_file])


def _recorded(
    request: Request, source: Source, test: Source | None, streamed: bool = False, shared: bool = False
) -> Recorded:
    """What the folder of a new run records of it."""
    import platform

    from chainrule.tables.recorded import Recorded, files_of

    return Recorded(
        request=request,
        files=files_of(source),
        test_files=files_of(test),
        streamed=streamed,
        shared=shared,
        folder=os.getcwd(),
        command=("chainrule", *sys.argv[1:]),
        began=_now(),
        python=platform.python_version(),
        versions=_versions(),
    )


def begin(
    wanted: Wanted,
    path: Path,
    request: Request,
    recorded: Recorded,
    source: Source,
    test: Source | None,
    writes: bool = True,
) -> Begun:
    """Record a new run in its folder, which the caller has claimed; one that goes on stays as it is recorded."""
    from chainrule.resuming import Resumable
    from chainrule.tables.request import MAY_CHANGE, flag_of
    from chainrule.tables.runs import REQUEST, RESUME, begin_run

    if writes and not (path / REQUEST).is_file():
        begin_run(path, recorded)
    anew = {name: value for name, value in wanted.given.items() if wanted.resume and name in MAY_CHANGE[3:]}
    words = [word for name, value in anew.items() for word in (flag_of(name), str(value))]
    keeping = Resumable(path / RESUME, request.save_every, wanted.changed_data)
    return Begun(path, wanted.resume is not None, request, recorded, (*recorded.command, *words), source, test, keeping)


Training = tuple[Callable[..., "Fit"], "Prepared", "Recipe", "Plan | None", int]


def _in_memory(begun: Begun, shown: Shown) -> Training:
    """The training of a table that is read as a whole."""
    from dataclasses import asdict

    from chainrule import console
    from chainrule.tables.fitting import fit_table
    from chainrule.tables.plan import plan_of
    from chainrule.tables.preparing import prepare
    from chainrule.tables.recipe import preparing_of

    request = begun.request
    prepared = prepare(begun.source, **asdict(preparing_of(request)))
    recipe = recipe_of(prepared, request)
    shown.say([*console.preparation_lines(begun.source, prepared), *console.recipe_lines(recipe, request.seed)])
    training = partial(
        fit_table,
        prepared,
        recipe,
        seed=request.seed,
        dtype=request.dtype,
        balanced=request.balanced,
        checkpoint=partial(kept_for_replay, begun.path),
        keep_every=request.keep_every,
        resumable=begun.keeping,
    )
    return training, prepared, recipe, plan_of(recipe, request), len(prepared.split.train)


def _streamed(begun: Begun, shown: Shown) -> Training:
    """The training of a table whose rows stay on disk."""
    from dataclasses import asdict

    from chainrule import console
    from chainrule.tables.recipe import preparing_of
    from chainrule.tables.runs import ROWS
    from chainrule.tables.streamed import fit_streamed, kept_query, prepare_sample, prepare_streamed

    request, folder = begun.request, begun.path / ROWS
    sample = prepare_sample(
        kept_query(begun.source, folder), balanced=request.balanced, **asdict(preparing_of(request))
    )
    streamed = prepare_streamed(sample, folder, balanced=request.balanced, seed=request.seed, dtype=request.dtype)
    recipe = recipe_of(sample.prepared, request, streamed.rows.n)
    shown.say([*console.streamed_lines(begun.source, streamed), *console.recipe_lines(recipe, request.seed)])
    training = partial(fit_streamed, streamed, recipe, seed=request.seed, resumable=begun.keeping)
    return training, sample.prepared, recipe, None, streamed.rows.n


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
    from chainrule import console
    from chainrule.explaining.report import Reported, report_html
    from chainrule.explaining.story import Course
    from chainrule.tables.fitting import model_of, score_table
    from chainrule.tables.importance import importance_of
    from chainrule.tables.runs import finish_run

    path, request = begun.path, begun.request
    if begun.test:
        check_test_file(prepared, begun.test)
    use_compilation_cache()
    fit, diverged = _trained(training, recipe.epochs, path, shown)
    about = {"versions": _versions(), "seed": request.seed, "dtype": request.dtype, "training_rows": n_train}
    model = model_of(prepared, recipe, fit, about)
    which, X, table = _scored_rows(model, prepared, begun.test)
    scores = score_table(model, X, table)
    metrics = _metrics(fit, which, scores)
    course = Course(fit.history.epoch, fit.history.cost, fit.history.validation_cost, fit.cost_is, fit.best_epoch)
    importance = importance_of(model, X, table, request.seed)
    made = (begun.command, begun.recorded, _now())
    told = Reported(str(path), model, course, console.fit_line(fit), scores, which, X, table, importance, *made)
    try:
        finish_run(path, model, fit, metrics, plan, report_html(told))
    except InputError as error:
        raise InputError(f"{error}; when that is mended, {_to_go_on(path)}") from error
    shown.say(["", console.fit_line(fit), "", *console.score_lines(scores, model.target.classes, which)])
    if shown.parameters:
        shown.say(["", *console.parameter_lines(model.network, model.params)])
    last = [str(path)] if shown.quiet else _next_lines(path)
    answer({"run": str(path), **metrics.to_json()}, shown.as_json, last)
    if diverged:
        raise InputError(f"{diverged}; they are in {path}")


def _trained(training: Callable[..., Fit], epochs: int, path: Path, shown: Shown) -> tuple[Fit, ArithmeticError | None]:
    """The fit, and the error if it diverged; a training that was cut off ends the process."""
    from chainrule import console
    from chainrule.outcome import DivergedError, Terminated

    with console.progress_bar(epochs, shown.say is not nothing) as progress, _warning_in_lines():
        try:
            return training(progress=progress), None
        except DivergedError as error:
            return error.fit, error
        except Terminated as error:
            fail(f"terminated after epoch {error.epoch:,}; {_to_go_on(path)}", int(error.code or 0))
        except KeyboardInterrupt:
            fail(f"interrupted; {_to_go_on(path)}", 130)


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
        warnings.showwarning = lambda message, *_: print(f"chainrule: {message}", file=sys.stderr)
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


def _metrics(fit: Fit, which: str, scores: Scores) -> Metrics:
    from chainrule.tables.runs import Metrics

    return Metrics(
        stopped_by=fit.stopped_by,
        epochs=fit.epochs,
        best_epoch=fit.best_epoch,
        seconds=float(fit.history.seconds[-1]) if fit.epochs else 0.0,
        history_cost_is=fit.cost_is,
        history_validation_metric_is=fit.metric,
        **{f"{which}_scores": scores.to_json()},
    )


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
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

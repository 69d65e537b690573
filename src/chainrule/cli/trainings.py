"""Run the requested training: new or resumed, in one process or several, in memory or streamed."""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.cli.common import answer, confirmed, filter_output, wrong_use
from chainrule.cli.together import Among, supervised, train_together
from chainrule.cli.writing import (
    Begun,
    Shown,
    check_test_file,
    train_and_write,
)
from chainrule.errors import InputError, UsageError

if TYPE_CHECKING:
    from chainrule.scaling.supervisor import Told
    from chainrule.session.stages import Ready
    from chainrule.tables.reading import Source
    from chainrule.tables.recorded import Recorded
    from chainrule.tables.request import Request


FEW_PROCESSES = 8


class Wanted(NamedTuple):
    """The options of the command: the fields of a request, the run to resume, and how to run."""

    given: dict[str, Any]
    out: str | None
    resume: str | None
    dry_run: bool
    changed_data: bool
    trust: bool
    max_rows: int | None
    among: Among


def train_here(wanted: Wanted, shown: Shown) -> None:
    """Start or resume a run, in this process or in several."""
    from chainrule.scaling.supervisor import told_by_supervisor

    if wanted.resume is not None:
        going_on = _going_on(wanted, wanted.resume, shown)
        if going_on is None:
            return
        request, recorded = going_on
    else:
        request, recorded = _new(wanted), None
    told = None if wanted.dry_run else told_by_supervisor()
    filter_output()  # includes the streams that the supervisor has replaced
    among = wanted.among.of(request.processes, recorded is not None and recorded.shared)
    if told or among.is_asked_for():
        _train_with_others(wanted, request, recorded, told, among, shown)
    elif wanted.dry_run:
        _dry_run(wanted, request, shown)
    else:
        _train_alone(wanted, request, recorded, shown)


def _new(wanted: Wanted) -> Request:
    from chainrule.tables.request import Request

    request = Request(**wanted.given)
    if not request.target:
        raise UsageError("--target is missing: name the column to predict, such as --target churn")
    if wanted.dry_run and request.processes is not None:
        raise UsageError("--dry-run cannot be combined with --processes: several processes split the rows differently")
    return request


def _going_on(wanted: Wanted, run: str, shown: Shown) -> tuple[Request, Recorded] | None:
    """The request of an interrupted run, with the options given with --resume; None if the run is finished."""
    from chainrule.storage.files import check_own
    from chainrule.tables.recorded import read_recorded
    from chainrule.tables.request import resumed
    from chainrule.tables.run_folder import is_finished

    if wanted.out is not None or wanted.dry_run:
        raise UsageError("--resume cannot be combined with --out or --dry-run")
    check_own(Path(run))
    if is_finished(run):
        _report_finished(run, bool(wanted.given), shown)
        return None
    recorded = read_recorded(run)
    _check_processes(run, recorded.request.processes or 1, wanted.given)
    given = {name: value for name, value in wanted.given.items() if (name, value) != ("stream", recorded.streamed)}
    return resumed(recorded.request, given), recorded


def _check_processes(run: str, began: int, given: dict[str, Any]) -> None:
    """Start no more processes than this machine can bear just because a run folder says so."""
    most = max(FEW_PROCESSES, os.cpu_count() or 1)
    if began > most and "processes" not in given:
        raise UsageError(f"{run}: was started with {began:,} processes; set --processes to resume it")


def _report_finished(run: str, would_change: bool, shown: Shown) -> None:
    from chainrule.tables.run_folder import forget_how_to_resume, read_metrics

    ended = read_metrics(run)
    forget_how_to_resume(Path(run))  # the run may have been killed before it did so
    told = f"{run} is already finished: {ended.epochs:,} epochs, stopped by {ended.stopped_by}"
    if would_change:
        raise UsageError(f"{told}; start a new run to change its settings")
    answer({"run": run, **ended.to_json()}, shown.as_json, [told])


def _dry_run(wanted: Wanted, request: Request, shown: Shown) -> None:
    """Show the encoding and the network without writing anything."""
    from dataclasses import asdict

    from chainrule.explaining import console
    from chainrule.tables.prepare import prepare
    from chainrule.tables.reading import open_table
    from chainrule.tables.recipe import preparing_of, recipe_for
    from chainrule.tables.streamed import prepare_sample, streams

    source = open_table(request.data, request.sql, database=request.database)
    preparing = asdict(preparing_of(request))
    with console.reading_line(source, shown.talks):
        source, _ = _read_both(wanted, request, source, None)
        if streams(request, source):
            prepared = prepare_sample(source, balanced=request.balanced, **preparing).prepared
        else:
            prepared = prepare(source, **preparing)
    with wrong_use():
        settings = recipe_for(prepared, request).settings
    shown.say([*console.preparation_lines(source, prepared), *console.settings_lines(settings)])
    encoding = {"encoding": prepared.encoding.to_json(), "target": prepared.target.to_json()}
    answer(encoding, shown.as_json, ["", *console.encoding_lines(prepared.encoding)])


def _train_alone(wanted: Wanted, request: Request, recorded: Recorded | None, shown: Shown) -> None:
    from chainrule.explaining import console
    from chainrule.session.stages import recorded_of, trained
    from chainrule.tables.run_folder import claimed
    from chainrule.tables.streamed import streams

    source, test = _tables(wanted, request, recorded)
    with console.reading_line(source, shown.talks):
        source, test = _read_both(wanted, request, source, test)
        if recorded is None:
            recorded = recorded_of(request, source, test, _typed(), streamed=streams(request, source))
    if recorded.streamed and request.keep_every is not None:
        raise UsageError("--keep-every cannot be used with streamed rows, whose updates cannot be replayed")
    path = run_folder(wanted, request)
    with claimed(path, wanted.resume is not None):
        begun = begin(wanted, path, request, recorded, source, test)
        ready = (_streamed if recorded.streamed else _in_memory)(begun, shown)
        training = partial(trained, ready, path, keep_every=request.keep_every, resumable=begun.keeping)
        train_and_write(begun, ready, training, shown)


def _train_with_others(
    wanted: Wanted, request: Request, recorded: Recorded | None, told: Told | None, among: Among, shown: Shown
) -> None:
    if request.stream:
        raise UsageError(
            "--stream cannot be used with several processes: they keep their rows in memory; use more processes, or one"
        )
    if request.keep_every is not None:
        raise UsageError("--keep-every cannot be used with several processes, whose updates cannot be replayed")
    if told is None:
        run = run_folder(wanted, request) if among.is_first() else Path(".")
        supervised(among, run, wanted.resume is not None)
    train_together(told, partial(_train_one_of_several, told, wanted, request, recorded, shown))


def _train_one_of_several(
    told: Told, wanted: Wanted, request: Request, recorded: Recorded | None, shown: Shown
) -> None:
    """What each process does; only the first one writes files and prints."""
    from contextlib import ExitStack

    import jax

    from chainrule.cli.together import follow, then_parting
    from chainrule.explaining import console
    from chainrule.scaling.processes import is_first, one_fate
    from chainrule.session.stages import ready_shared, recorded_of, shared_by_all, trained
    from chainrule.tables.run_folder import claimed

    path = Path(told.run)
    with ExitStack() as stack:
        with one_fate():
            source, test = _tables(wanted, request, recorded)
            recorded = recorded or recorded_of(request, source, test, _typed(), shared=True)
            if is_first():
                source, test = _read_both(wanted, request, source, test)
                stack.enter_context(claimed(path, told.goes_on))
            begun = begin(wanted, path, request, recorded, source, test, writes=is_first())
        with console.reading_line(source, is_first() and shown.talks):
            shared = shared_by_all(source, request)
        with one_fate(), wrong_use():
            ready = ready_shared(shared, request)
            if test and is_first():
                check_test_file(shared.prepared, test)  # here, so that all processes fail together
        training = partial(then_parting, partial(trained, ready, path, resumable=begun.keeping))
        if not is_first():
            follow(training)
            return
        lines = console.shared_lines(source, shared, jax.process_count())
        shown.say([*lines, *console.settings_lines(ready.recipe.settings)])
        train_and_write(begun, ready, training, shown)


def run_folder(wanted: Wanted, request: Request) -> Path:
    """The folder of the resumed run, or a folder for a new run."""
    from chainrule.tables.run_folder import new_run_folder

    if wanted.resume is not None:
        return Path(wanted.resume)
    stem = Path(request.data[0]).name.split(".")[0].strip("*?[] ") if request.data else "query"
    return new_run_folder(wanted.out, stem or "-".join(request.target))


def _tables(wanted: Wanted, request: Request, recorded: Recorded | None) -> tuple[Source, Source | None]:
    """The rows to train on, and those of --test-file; for a resumed run, those recorded in it."""
    from chainrule.tables.reading import open_table
    from chainrule.tables.recorded import Named, found_again, table_again
    from chainrule.tables.run_folder import ROWS
    from chainrule.tables.streamed import kept_rows

    given = wanted.given
    if recorded is None:
        return open_table(request.data, request.sql, database=request.database), _test_file(request)
    run = wanted.resume or "."
    hint = f"restore it, or resume with other rows: chainrule train FILES --resume {shlex.quote(run)} --changed-data"
    named = Named(given.get("data", ()), given.get("sql"), wanted.trust, database=given.get("database"))
    kept = kept_rows(Path(run) / ROWS) if recorded.streamed else None
    anew = bool(named.data or named.sql or named.database)
    if kept and anew and not wanted.changed_data:
        raise UsageError(
            "the run has saved the rows of its query and resumes with those: leave out files, --sql and --database, or "
            "add --changed-data to resume with other rows"
        )
    source = kept if kept and not anew else None
    source = source or confirmed(lambda trusts: table_again(run, named._replace(trust=trusts), hint), wanted.trust)
    if "test_file" in given:
        return source, _test_file(request)
    if not recorded.test_files:
        return source, None
    hint = f"restore it, or give its new path: chainrule train --resume {shlex.quote(run)} --test-file FILE"
    return source, open_table([found_again(run, file, hint) for file in recorded.test_files])


def _read_both(wanted: Wanted, request: Request, source: Source, test: Source | None) -> tuple[Source, Source | None]:
    from chainrule.session.stages import rows_read
    from chainrule.tables.reading.once import read_once

    return rows_read(source, request, wanted.max_rows), test and read_once(test, wanted.max_rows)


def _test_file(request: Request) -> Source | None:
    from chainrule.tables.reading import open_table

    return None if request.test_file is None else open_table([request.test_file])


def _typed() -> tuple[str, ...]:
    return ("chainrule", *sys.argv[1:])


def begin(
    wanted: Wanted,
    path: Path,
    request: Request,
    recorded: Recorded,
    source: Source,
    test: Source | None,
    writes: bool = True,
) -> Begun:
    """Record a new run in its folder, which the caller has claimed; the record of a resumed run is not changed."""
    from chainrule.tables.request import COURSE, flag_of
    from chainrule.tables.run_folder import REQUEST, RESUME, begin_run
    from chainrule.training.checkpoints import Resumable

    if writes and not (path / REQUEST).is_file():
        begin_run(path, recorded)
    anew = {name: value for name, value in wanted.given.items() if wanted.resume and name in COURSE}
    words = [
        word
        for name, value in anew.items()
        for word in (flag_of(name), f"{value}s" if isinstance(value, float) else str(value))
    ]
    keeping = Resumable(path / RESUME, request.save_every, wanted.changed_data)
    return Begun(path, request, recorded, (*recorded.command, *words), source, test, keeping)


def _in_memory(begun: Begun, shown: Shown) -> Ready:
    """Prepare the training of a table that is held in memory."""
    from chainrule.explaining import console
    from chainrule.session.stages import prepared_in_memory, ready_in_memory

    with console.reading_line(begun.source, shown.talks):
        prepared = prepared_in_memory(begun.source, begun.request)
    with wrong_use():
        ready = ready_in_memory(prepared, begun.request)
    lines = console.preparation_lines(begun.source, prepared)
    shown.say([*lines, *console.settings_lines(ready.recipe.settings)])
    return ready


def _streamed(begun: Begun, shown: Shown) -> Ready:
    """Prepare the training of a table whose rows stay on disk."""
    from chainrule.explaining import console
    from chainrule.session.stages import ready_streamed, streamed_to
    from chainrule.tables.run_folder import ROWS

    with console.reading_line(begun.source, shown.talks):
        streamed = streamed_to(begun.path / ROWS, begun.source, begun.request)
    with wrong_use():
        ready = ready_streamed(streamed, begun.request)
    if ready.recipe.settings.batch_size is None:
        raise InputError("--batch-size all: streamed rows need mini-batches; give a number of rows")
    lines = console.streamed_lines(begun.source, streamed)
    shown.say([*lines, *console.settings_lines(ready.recipe.settings)])
    return ready

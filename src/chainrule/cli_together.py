"""Training with several processes: what starts them, and what each of them does."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer

from chainrule.cli_training import (
    Shown,
    about_of,
    check_test_file,
    command_document,
    fail,
    recipe_of,
    train_and_write,
)
from chainrule.command_line import nothing, print_lines, use_compilation_cache
from chainrule.errors import UsageError

if TYPE_CHECKING:
    from chainrule.outcome import Fit
    from chainrule.processes import Place
    from chainrule.resuming import Resumable
    from chainrule.supervising import Told
    from chainrule.tables.recipe import Wishes

MAX_RESTARTS = 3
CHANGED_DATA = "--changed-data"


class Among(NamedTuple):
    """Which processes are asked for: so many on this machine, or one of several that meet at the coordinator."""

    processes: int | None
    coordinator: str | None
    num_processes: int | None
    process_id: int | None
    max_restarts: int

    def is_asked_for(self) -> bool:
        """Whether there are others, or said to be by a launcher; a UsageError for half a place."""
        from chainrule.processes import launched_as

        place = (self.coordinator, self.num_processes, self.process_id)
        if self.processes is not None and place != (None, None, None):
            raise UsageError("--processes starts all processes on this machine; leave --coordinator and its like out")
        if place != (None, None, None) and None in place:
            raise UsageError("one of several processes needs --coordinator, --num-processes and --process-id")
        for name, value, least in (
            ("--processes", self.processes, 1),
            ("--num-processes", self.num_processes, 1),
            ("--max-restarts", self.max_restarts, 0),
        ):
            if value is not None and value < least:
                raise UsageError(f"{name}: expected {least} or more, got {value}")
        if self.num_processes is not None and not 0 <= (self.process_id or 0) < self.num_processes:
            raise UsageError(f"--process-id: expected 0 to {self.num_processes - 1}, got {self.process_id}")
        if self.coordinator is not None and not _is_address(self.coordinator):
            raise UsageError(f"--coordinator: expected HOST:PORT of the first process, got {self.coordinator!r}")
        return self.processes is not None or self.coordinator is not None or launched_as() is not None

    def is_first(self) -> bool:
        """Whether the first process, which writes the run, is among those that are started here."""
        from chainrule.processes import launched_as

        return self.processes is not None or (self.process_id if self.coordinator else launched_as()) == 0

    def places(self) -> list[Place | None]:
        """Those of the processes that are started here; None is for the launcher to say."""
        from chainrule.processes import Place

        if self.processes is not None:
            port = _free_port()
            return [Place(f"127.0.0.1:{port}", self.processes, i) for i in range(self.processes)]
        if self.coordinator is None:
            return [None]
        return [Place(self.coordinator, self.num_processes or 1, self.process_id or 0)]


def _is_address(given: str) -> bool:
    host, _, port = given.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def with_places_of(recorded: list[str], added: list[str]) -> tuple[list[str], list[str]]:
    """A shared run's words and those added to go on with it, whose processes count; without any, as many as it had.

    What was begun on several hosts, or by a launcher, goes on in one process unless it is told otherwise.
    """
    from chainrule.processes import launched_as

    by_hand = ("--coordinator", "--num-processes", "--process-id")
    is_told = any(word.partition("=")[0] in ("--processes", *by_hand) for word in added) or launched_as() is not None
    kept, words = [], iter(recorded)
    for word in words:
        name, _, value = word.partition("=")
        if name in by_hand or (is_told and name == "--processes"):
            if not value:
                next(words, None)
        else:
            kept.append(word)
    if not is_told and not any(word.partition("=")[0] == "--processes" for word in kept):
        added = [*added, "--processes", "1"]
    return kept, added


def supervised(among: Among, run: Path, goes_on: bool, changed_data: bool) -> NoReturn:
    """Start the processes with this command, watch them, and end as they do."""
    from chainrule.supervising import LOST_OTHERS, supervise
    from chainrule.tables.runs import RESUME

    def say(message: str) -> None:
        typer.echo(f"chainrule: {message}", err=True)

    words = [*sys.argv[1:2], *([CHANGED_DATA] if changed_data else []), *sys.argv[2:]]
    command = [sys.executable, "-m", "chainrule.cli", *words]
    status = supervise(command, among.places, str(run), goes_on, among.max_restarts, say)
    if status == LOST_OTHERS and any((run / RESUME).glob("epoch-*")):
        say(f"go on with: chainrule train --resume {run}")
    sys.exit(status)


def train_together(told: Told, training: Callable[[], None]) -> None:
    """Meet the others, and train; where they are lost, end at once."""
    from chainrule.processes import has_lost_others, join
    from chainrule.supervising import LOST_OTHERS, tell_supervisor_of_meeting

    try:
        join(told.place)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # JAX has put a handler of its own there, which waits
        tell_supervisor_of_meeting()
        use_compilation_cache()
        training()
    except (RuntimeError, ValueError) as error:
        if not has_lost_others(error):
            raise
        print(error, file=sys.__stderr__, flush=True)
        os._exit(LOST_OTHERS)  # at once: to part from the others in good order is no longer possible


def train_one_of_several(
    told: Told,
    data: list[str],
    sql: str | None,
    max_rows: int | None,
    test_file: str | None,
    wishes: Wishes,
    preparing: dict[str, Any],
    balanced: bool,
    keeping: Resumable,
    shown: Shown,
) -> None:
    """What each of the processes does; the first one writes and speaks."""
    import jax

    from chainrule import console
    from chainrule.processes import is_first, one_fate
    from chainrule.tables.reading import check_rows, open_table
    from chainrule.tables.runs import begin_run, claimed
    from chainrule.tables.shared import fit_shared, prepare_shared

    seed, dtype, path = preparing["seed"], preparing["dtype"], Path(told.run)
    with ExitStack() as stack:
        with one_fate():
            source, test = open_table(data, sql), None if test_file is None else open_table([test_file])
            command = {**command_document(source, sql, False), "shared": True}
            if is_first():
                for table in (source, test) if test else (source,):
                    check_rows(table, max_rows)
                stack.enter_context(claimed(path, told.goes_on))
                begin_run(path, command)
        with console.reading_line(source, is_first() and not (shown.quiet or shown.as_json)):
            shared = prepare_shared(source, balanced=balanced, **preparing)
        with one_fate():
            recipe = recipe_of(shared.prepared, wishes, seed, dtype, shared.n_train)
            if test and is_first():
                check_test_file(shared.prepared, test)
        training = partial(
            _then_parting, partial(fit_shared, shared, recipe, seed=seed, dtype=dtype, resumable=keeping)
        )
        if not is_first():
            _follow(training)
            return
        say = nothing if shown.quiet or shown.as_json else print_lines
        lines = console.shared_lines(source, shared, jax.process_count())
        say([*lines, *console.recipe_lines(recipe, seed)])
        about = about_of(seed, dtype, shared.n_train)
        train_and_write(training, command, test, shared.prepared, recipe, about, None, path, shown)


def _then_parting(training: Callable[..., Fit], **settings: Any) -> Fit:
    """Train; the processes part when all have done so, however it ended."""
    from chainrule.outcome import DivergedError, Terminated
    from chainrule.processes import leave

    try:
        fit = training(**settings)
    except (DivergedError, Terminated):
        leave()
        raise
    leave()
    return fit


def _follow(training: Callable[..., Fit]) -> None:
    """Train along; what came of it is for the first process to tell."""
    from chainrule.outcome import DivergedError, Terminated

    try:
        training()
    except DivergedError:
        pass
    except Terminated as error:
        fail("terminated", int(error.code or 0))

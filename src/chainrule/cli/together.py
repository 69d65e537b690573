"""Training with several processes: starting them, and what each of them does."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from chainrule.cli.common import fail
from chainrule.errors import UsageError

if TYPE_CHECKING:
    from chainrule.scaling.processes import Place
    from chainrule.scaling.supervisor import Told
    from chainrule.training.result import Fit

MAX_RESTARTS = 3


class Among(NamedTuple):
    """The requested processes: several on this machine, or one of several that connect to a coordinator."""

    processes: int | None
    coordinator: str | None
    num_processes: int | None
    process_id: int | None
    max_restarts: int

    def of(self, processes: int | None, shared: bool) -> Among:
        """Take the number of processes from a request, unless it is given in another way.

        A `shared` run that is resumed without any of these options continues in one process.
        """
        from chainrule.scaling.processes import launched_as

        if self.processes is not None or self.coordinator is not None or launched_as() is not None:
            return self
        return self._replace(processes=1 if shared and processes is None else processes)

    def is_asked_for(self) -> bool:
        """Whether several processes are requested, by an option or a launcher; a UsageError if options are missing."""
        from chainrule.scaling.processes import launched_as

        place = (self.coordinator, self.num_processes, self.process_id)
        if self.processes is not None and place != (None, None, None):
            raise UsageError(
                "--processes starts all processes on this machine: it cannot be combined with --coordinator, "
                "--num-processes or --process-id"
            )
        if place != (None, None, None) and None in place:
            raise UsageError("--coordinator, --num-processes and --process-id must be given together")
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
            raise UsageError(f"--coordinator: expected HOST:PORT of process 0, got {self.coordinator!r}")
        return self.processes is not None or self.coordinator is not None or launched_as() is not None

    def is_first(self) -> bool:
        """Whether process 0, which writes the run folder, is started here."""
        from chainrule.scaling.processes import launched_as

        return self.processes is not None or (self.process_id if self.coordinator else launched_as()) == 0

    def places(self) -> list[Place | None]:
        """The places of the processes that are started here; None if the launcher assigns them."""
        from chainrule.scaling.processes import Place

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


def supervised(among: Among, run: Path, goes_on: bool) -> NoReturn:
    """Start the processes with this command, supervise them, and exit with their status."""
    from chainrule.scaling.supervisor import LOST_OTHERS, supervise
    from chainrule.tables.run_folder import RESUME, how_to_resume

    def say(message: str) -> None:
        print(f"chainrule: {message}", file=sys.stderr)

    command = [sys.executable, "-m", "chainrule.cli", *sys.argv[1:]]
    status = supervise(command, among.places, str(run), goes_on, among.max_restarts, say)
    if status == LOST_OTHERS and any((run / RESUME).glob("epoch-*")):
        say(how_to_resume(run))
    sys.exit(status)


def train_together(told: Told, training: Callable[[], None]) -> None:
    """Connect to the other processes and train; exit at once if a process is lost."""
    from chainrule.scaling.processes import has_lost_others, join
    from chainrule.scaling.supervisor import LOST_OTHERS, tell_supervisor_of_meeting

    try:
        join(told.place)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # replaces the handler of JAX, which waits
        tell_supervisor_of_meeting()
        training()
    except (RuntimeError, ValueError) as error:
        if not has_lost_others(error):
            raise
        print(error, file=sys.__stderr__, flush=True)
        os._exit(LOST_OTHERS)  # an orderly disconnection is no longer possible


def then_parting(training: Callable[..., Fit], **settings: Any) -> Fit:
    """Train, then disconnect once all processes have finished, however training ended."""
    from chainrule.scaling.processes import leave
    from chainrule.training.result import DivergedError, Terminated

    try:
        fit = training(**settings)
    except (DivergedError, Terminated):
        leave()
        raise
    leave()
    return fit


def follow(training: Callable[..., Fit]) -> None:
    """Train in a process other than the first, which reports the result."""
    from chainrule.training.result import DivergedError, Terminated

    try:
        training()
    except DivergedError:
        pass
    except Terminated as error:
        fail("terminated", int(error.code or 0))

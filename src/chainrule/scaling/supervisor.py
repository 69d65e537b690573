"""Starts and monitors processes that train together; if one fails, all are restarted from the last checkpoint.

A process has failed if a signal ended it, if it was suspended for `processes.LOST_AFTER` seconds, or if it lost its
connection to the others. There is no restart if the training is complete, if its input was invalid, if it was
interrupted by the user, or if the processes never connected.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from chainrule.scaling.processes import JOIN_WITHIN, LOST_AFTER, Place, launched_as

WHERE = "CHAINRULE_PROCESS"  # environment variable with the settings of a process
LOST_OTHERS = 75  # exit status of a process that lost its connection to the others: EX_TEMPFAIL of sysexits.h
ABORTED = (-signal.SIGABRT, LOST_OTHERS)  # statuses after a lost connection, where JAX may abort the process
GRACE = 5  # seconds for the other processes to exit after one has failed
PAUSE = 2  # seconds before a restart, so that processes on other hosts have exited, too
LOOK_EVERY = 0.05
NOT_MET = "check that all of them were started, and that the coordinator is the address of the first, with a free port"
MET = b"chainrule: met\n"
NO_NEWS = (b"[Gloo] Rank ", MET, b"\n")  # output about established connections


class Told(NamedTuple):
    """The settings that a supervisor passes to a process."""

    place: Place | None  # None: set by the launcher
    run: str  # the run folder
    goes_on: bool  # whether to resume from a checkpoint there
    out: int  # file descriptors of the terminal; its own receive the output of libraries
    err: int


class Ended(NamedTuple):
    """How the processes ended: number and exit status of the one that failed, and whether a restart may help."""

    process: int
    status: int
    lost: bool
    met: bool = True  # whether it had connected to the others


class Signals(NamedTuple):
    """Termination signals received, and the process to forward them to, which informs the others."""

    heard: list[int]
    first: list[subprocess.Popen[bytes]]

    def take(self, number: int, frame: Any) -> None:
        self.heard.append(number)
        for child in self.first:
            child.send_signal(number)


def told_by_supervisor() -> Told | None:
    """Read the settings passed by a supervisor, if one started this process, and end when the supervisor does."""
    if WHERE not in os.environ:
        return None
    place, *others = json.loads(os.environ[WHERE])
    told = Told(None if place is None else Place(*place), *others)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1) for fd in (told.out, told.err))
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return told


def tell_supervisor_of_meeting() -> None:
    """Report to the supervisor, which reads the output, that this process is connected to the others."""
    os.write(1, b"\n" + MET)


def _end_with_supervisor() -> None:
    while os.read(0, 1):  # nothing is ever written: read returns when the supervisor ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def supervise(
    command: Sequence[str],
    places: Callable[[], Sequence[Place | None]],
    run: str,
    goes_on: bool,
    max_restarts: int,
    say: Callable[[str], None],
) -> int:
    """Run the command once for each place, with restarts until all succeed; returns the exit status.

    `places` is called for every start, because a port may no longer be free.
    """
    with _listening() as signals:
        restart = 0
        while True:
            with ExitStack() as stack:
                before = goes_on or restart > 0
                ended = _run_once(stack, command, places(), run, before, restart == max_restarts, signals)
            if signals.heard and ended.status:
                return ended.status if not ended.lost else 128 + signals.heard[0]
            if not ended.lost:
                return ended.status
            if ended.status in ABORTED and not ended.met and restart == 0:
                say(f"process {ended.process} did not connect to the others within {JOIN_WITHIN} seconds: {NOT_MET}")
                return 1
            if restart == max_restarts:
                say(f"{_told(ended)}; maximum number of restarts ({max_restarts}) reached")
                return LOST_OTHERS
            say(f"{_told(ended)}; restarting all processes from the last checkpoint ({restart + 1}/{max_restarts})")
            time.sleep(PAUSE)
            if signals.heard:
                return 128 + signals.heard[0]
            restart += 1


def _run_once(
    stack: ExitStack,
    command: Sequence[str],
    places: Sequence[Place | None],
    run: str,
    goes_on: bool,
    is_last: bool,
    signals: Signals,
) -> Ended:
    children, logs = [], []
    for place in places:
        log = stack.enter_context(_log())
        told = Told(place, run, goes_on, *_terminal(stack, speaks=not children))
        children.append(_start(command, told, log))
        logs.append(log)
    signals.first[:] = children[:1]
    if signals.heard:
        children[0].send_signal(signals.heard[0])
    ended = _watched(children)
    signals.first.clear()
    log = logs[ended.process]
    log.seek(0)
    lines = log.readlines()
    ended = ended._replace(met=MET in lines)
    if (ended.process and ended.status and not ended.lost) or (ended.lost and ended.met and is_last):
        # its output did not reach the terminal, or JAX aborted it
        sys.stderr.writelines(x.decode(errors="replace") for x in lines if not x.startswith(NO_NEWS))
    place = places[ended.process]
    return ended._replace(process=place.process if place else launched_as() or 0)


@contextmanager
def _log() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as log:
        yield log


def _terminal(stack: ExitStack, speaks: bool) -> tuple[int, int]:
    """The output descriptors of a process: those of the terminal, or of the null device."""
    if speaks:
        return 1, 2
    nowhere = os.open(os.devnull, os.O_WRONLY)
    stack.callback(os.close, nowhere)
    return nowhere, nowhere


def _start(command: Sequence[str], told: Told, log: IO[bytes]) -> subprocess.Popen[bytes]:
    out, err = os.dup(told.out), os.dup(told.err)
    environment = {**os.environ, WHERE: json.dumps(told._replace(out=out, err=err))}
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(out, err),
            start_new_session=True,  # so that Ctrl-C reaches only the supervisor, which forwards it
        )
    finally:
        os.close(out)
        os.close(err)


@contextmanager
def _listening() -> Iterator[Signals]:
    """Record Ctrl-C and SIGTERM, and forward them to the first process while it runs."""
    signals = Signals([], [])
    usual = {number: signal.signal(number, signals.take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _watched(children: Sequence[subprocess.Popen[bytes]]) -> Ended:
    """Wait for the processes, end those that hang or are left over, and return how they ended."""
    since: dict[int, float] = {}  # when a process was first seen suspended
    stopped: set[int] = set()
    ended_at = None
    try:
        while True:
            statuses = [child.poll() for child in children]
            now = time.monotonic()
            if all(status is not None for status in statuses):
                break
            if any(statuses):
                ended_at = ended_at or now
                if now - ended_at > GRACE:
                    break
            for i in (i for i, status in enumerate(statuses) if status is None):
                if not _stands_still(children[i].pid):
                    since.pop(i, None)
                elif now - since.setdefault(i, now) > LOST_AFTER:
                    stopped.add(i)
                    children[i].kill()
            time.sleep(LOOK_EVERY)
    finally:
        for child in children:
            child.kill()
            child.wait()
            assert child.stdin is not None
            child.stdin.close()
    return _to_blame(statuses, stopped | {i for i in since if statuses[i] is None})


def _stands_still(pid: int) -> bool:
    """Whether a process is suspended by a signal."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def _to_blame(statuses: Sequence[int | None], stopped: set[int]) -> Ended:
    """Find the process whose failure ended the others; the status of a process that did not end is None."""
    number = dict(enumerate(statuses))
    answers = [i for i, status in number.items() if status is not None and status > 0 and status not in ABORTED]
    if answers:  # invalid input, an interrupt or a bug: a restart would not help
        return Ended(answers[0], number[answers[0]] or 0, lost=False)
    killed = [i for i, status in number.items() if status is not None and status < 0 and status not in ABORTED]
    if number[0] == 0:  # the first process exits when everything is written
        return Ended(0, 0, lost=False)
    others = [i for i, status in number.items() if status]
    for i in (*sorted(stopped), *killed, *others):
        return Ended(i, -signal.SIGSTOP if i in stopped else number[i] or 0, lost=True)
    return Ended(0, 0, lost=False)


def _told(ended: Ended) -> str:
    if ended.status == -signal.SIGSTOP:
        return f"process {ended.process} was suspended"
    if ended.status in ABORTED:
        return f"process {ended.process} lost its connection to the others"
    return f"process {ended.process} was ended by {signal.Signals(-ended.status).name}"

"""Processes that train together, started and watched: when one is lost, all begin anew from the last state kept.

A process is lost when a signal ends it, when it stands still for `processes.LOST_AFTER` seconds, or when it loses the
others. Nothing is started anew when the training ended, when it was refused, when somebody interrupted it, or when the
processes did not meet in the first place.
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

WHERE = "CHAINRULE_PROCESS"  # the environment's name for what a process is told of itself
LOST_OTHERS = 75  # what a process ends with that lost the others: sysexits' EX_TEMPFAIL
ABORTED = (-signal.SIGABRT, LOST_OTHERS)  # how processes end that lost the others; JAX aborts them
GRACE = 5  # seconds that others have to end by themselves when one has ended
PAUSE = 2  # seconds before the next start, so that processes of other hosts have ended, too
LOOK_EVERY = 0.05
NOT_MET = "have all been started, and is the coordinator the first one's address, with a port that is free?"
MET = b"chainrule: met\n"
NO_NEWS = (b"[Gloo] Rank ", MET, b"\n")  # that all are connected


class Told(NamedTuple):
    """What a process is told by its supervisor."""

    place: Place | None  # None: the launcher says it
    run: str  # the run folder
    goes_on: bool  # from what is in it
    out: int  # file descriptors of the terminal: its own are for what libraries say
    err: int


class Ended(NamedTuple):
    """How the processes ended: the number and exit status of the one to blame, and whether another start may help."""

    process: int
    status: int
    lost: bool
    met: bool = True  # whether it had met the others


class Signals(NamedTuple):
    """The signals that asked to end, and the process to pass them on to, which tells the others."""

    heard: list[int]
    first: list[subprocess.Popen[bytes]]

    def take(self, number: int, frame: Any) -> None:
        self.heard.append(number)
        for child in self.first:
            child.send_signal(number)


def told_by_supervisor() -> Told | None:
    """What this process was told, if a supervisor started it; it ends with the supervisor then."""
    if WHERE not in os.environ:
        return None
    place, *others = json.loads(os.environ[WHERE])
    told = Told(None if place is None else Place(*place), *others)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1) for fd in (told.out, told.err))
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return told


def tell_supervisor_of_meeting() -> None:
    """Let the supervisor know that this process has met the others: it reads what a process writes."""
    os.write(1, b"\n" + MET)


def _end_with_supervisor() -> None:
    while os.read(0, 1):  # nothing is ever written: reading ends when the supervisor does
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
    """Run the command once for each of the places, until all have ended well; its exit status.

    `places` is asked anew for every start: a port that was free may not be any more.
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
                say(f"process {ended.process} did not meet the others, who had {JOIN_WITHIN} seconds: {NOT_MET}")
                return 1
            if restart == max_restarts:
                say(f"{_told(ended)}, and that was the last start")
                return LOST_OTHERS
            say(f"{_told(ended)}; all start anew from the last state kept ({restart + 1} of {max_restarts} times)")
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
        # it had no terminal to write to, or JAX ended it
        sys.stderr.writelines(x.decode(errors="replace") for x in lines if not x.startswith(NO_NEWS))
    place = places[ended.process]
    return ended._replace(process=place.process if place else launched_as() or 0)


@contextmanager
def _log() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as log:
        yield log


def _terminal(stack: ExitStack, speaks: bool) -> tuple[int, int]:
    """The descriptors that a process writes to: those of the terminal, or nowhere."""
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
            start_new_session=True,  # so that Ctrl-C reaches the supervisor alone, which passes it on
        )
    finally:
        os.close(out)
        os.close(err)


@contextmanager
def _listening() -> Iterator[Signals]:
    """Ctrl-C and SIGTERM are kept, and passed on to the first process while there is one."""
    signals = Signals([], [])
    usual = {number: signal.signal(number, signals.take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _watched(children: Sequence[subprocess.Popen[bytes]]) -> Ended:
    """How they ended, none of them running any more."""
    since: dict[int, float] = {}  # when a process was first seen standing still
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
    """Whether a process was stopped by a signal, and not continued."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def _to_blame(statuses: Sequence[int | None], stopped: set[int]) -> Ended:
    """Of the processes the one that the others ended for; None is the status of one that did not end."""
    number = dict(enumerate(statuses))
    answers = [i for i, status in number.items() if status is not None and status > 0 and status not in ABORTED]
    if answers:  # a refusal, an interruption or a defect: the same would happen again
        return Ended(answers[0], number[answers[0]] or 0, lost=False)
    killed = [i for i, status in number.items() if status is not None and status < 0 and status not in ABORTED]
    if number[0] == 0:  # the first one ends when all is written
        return Ended(0, 0, lost=False)
    others = [i for i, status in number.items() if status]
    for i in (*sorted(stopped), *killed, *others):
        return Ended(i, -signal.SIGSTOP if i in stopped else number[i] or 0, lost=True)
    return Ended(0, 0, lost=False)


def _told(ended: Ended) -> str:
    if ended.status == -signal.SIGSTOP:
        return f"process {ended.process} stood still"
    if ended.status in ABORTED:
        return f"process {ended.process} lost the others"
    return f"process {ended.process} was ended by {signal.Signals(-ended.status).name}"

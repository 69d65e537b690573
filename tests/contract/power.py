"""What a power cut leaves of a command's files: its calls recorded, and any prefix of them replayed on a strict disk.

    python tests/contract/power.py JOURNAL ROOT train table.csv ...

runs a command and writes down what it does below ROOT. The disk that is simulated keeps the bytes of a file as of its
last fsync, and an entry of a folder once that folder was flushed; what was not flushed may be there or not.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Event(NamedTuple):
    """create, mkdir, rename, unlink, rmdir, fsync, flush (a folder's fsync), or say; `data` as of an fsync."""

    what: str
    path: str
    other: str = ""
    data: bytes = b""


def record(root: str, words: list[str]) -> list[Event]:
    """Run a command in this process; what it did below the root, in order."""
    events: list[Event] = []

    def below(path: Any) -> str | None:
        whole = os.path.realpath(os.fsdecode(path))
        return os.path.relpath(whole, root) if (whole + os.sep).startswith(root + os.sep) else None

    def watched(real: Callable[..., Any], what: str) -> Callable[..., Any]:
        def call(path: Any, *others: Any, **more: Any) -> Any:
            result = real(path, *others, **more)
            if (name := below(path)) is not None:
                events.append(Event(what, name, (below(others[0]) or "") if what == "rename" else ""))
            return result

        return call

    def opened(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *others: Any, **more: Any) -> Any:
            name = None if isinstance(path, int) else below(path)
            was_there = name is None or os.path.exists(path)
            result = real(path, *others, **more)
            if not was_there:
                events.append(Event("create", str(name)))
            return result

        return call

    def synced(fd: int) -> None:
        real_fsync(fd)
        name = below(f"/proc/self/fd/{fd}")
        if name is not None and os.path.isdir(Path(root, name)):
            events.append(Event("flush", name))
        elif name is not None:
            events.append(Event("fsync", name, data=Path(root, name).read_bytes()))

    real_fsync, os.fsync = os.fsync, synced
    for name, what in {"replace": "rename", "rename": "rename", "mkdir": "mkdir", "rmdir": "rmdir"}.items():
        setattr(os, name, watched(getattr(os, name), what))
    os.unlink = os.remove = watched(os.unlink, "unlink")
    os.open, builtins.open = opened(os.open), opened(builtins.open)
    io.open = builtins.open

    class Heard:
        def __init__(self, stream: Any):
            self.stream = stream

        def write(self, text: str) -> int:
            events.append(Event("say", text))
            return self.stream.write(text)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

    from chainrule import cli

    sys.argv, sys.stdout = ["chainrule", *words], Heard(sys.stdout)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code:
            raise
    return events


class Disk:
    """The files of a prefix of events: as a process sees them, and as they would be found after a power cut."""

    def __init__(self) -> None:
        self.live: dict[str, int] = {"": 0}  # path -> number of the file or folder
        self.safe: dict[str, int] = {"": 0}
        self.pending: list[Event] = []
        self.bytes: dict[int, bytes] = {}
        self.folders = {0}
        self.made = 0

    def take(self, event: Event) -> None:
        """What an event changes."""
        if event.what == "fsync":
            self.bytes[self.live[event.path]] = event.data
        elif event.what == "flush":
            folder = "" if event.path == "." else event.path
            for pending in [e for e in self.pending if os.path.dirname(e.path) == folder]:
                self.pending.remove(pending)
                self._apply(self.safe, pending)
        elif event.what != "say":
            if event.what in ("create", "mkdir"):
                self.made += 1
                event = event._replace(other=str(self.made))
                self.folders |= {self.made} if event.what == "mkdir" else set()
            elif event.what == "rename":
                event = event._replace(data=str(self.live[event.path]).encode())
            self._apply(self.live, event)
            self.pending.append(event)

    def _apply(self, names: dict[str, int], event: Event) -> None:
        if event.what in ("create", "mkdir"):
            names[event.path] = int(event.other)
        elif event.what == "rename":
            names.pop(event.path, None)
            names[event.other] = int(event.data)
        else:
            names.pop(event.path, None)

    def after_power_cut(self, survives: Callable[[], bool]) -> Iterator[tuple[str, bytes | None]]:
        """Paths and bytes that are found again, None for a folder; `survives` decides of what was not flushed."""
        names = dict(self.safe)
        for event in self.pending:
            if survives():
                self._apply(names, event)
        for path in sorted(names):
            parents = [str(p) for p in Path(path).parents if str(p) != "."]
            if path and all(names.get(p) in self.folders for p in parents):
                number = names[path]
                yield path, None if number in self.folders else self.bytes.get(number, b"")


def disks(events: list[Event]) -> Iterator[tuple[Disk, str]]:
    """The disk after every prefix that changes something, and all that was said by then."""
    disk, said = Disk(), ""
    yield disk, said
    for event in events:
        disk.take(event)
        said += event.path if event.what == "say" else ""
        yield disk, said


def chances(seed: int) -> list[Callable[[], bool]]:
    """Nothing that was not flushed is found again; all of it; some of it."""
    rng = random.Random(seed)
    return [lambda: False, lambda: True, lambda: rng.random() < 0.5]


if __name__ == "__main__":
    journal, root, *words = sys.argv[1:]
    events = record(os.path.realpath(root), words)
    with builtins.open(journal, "wb") as file:
        pickle.dump([tuple(event) for event in events], file)

"""The request recorded in a run folder, and locating the table of the run again.

A folder may come from anyone. A file is read again, from its recorded path or next to the run folder, only if its size
and digest match the recorded ones. A recorded query is run only if the caller trusts it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.errors import InputError
from chainrule.storage.documents import newer, read_document, save_json
from chainrule.tables.reading import Source, open_table
from chainrule.tables.request import Request

REQUEST, FORMAT = "request.json", 1


@dataclass(frozen=True)
class TableFile:
    """A file that a run was trained on, with the size and digest that identify it."""

    path: str  # absolute
    bytes: int
    digest: str


@dataclass(frozen=True)
class Recorded:
    """The request with which a run began, and the files it was made on; never changed afterwards."""

    request: Request
    files: tuple[TableFile, ...]
    test_files: tuple[TableFile, ...]
    streamed: bool
    shared: bool  # by several processes
    folder: str  # relative paths in a query refer to it
    command: tuple[str, ...]  # informative only: it is never run
    began: str
    python: str
    versions: dict[str, str]
    format: int = FORMAT


class Untrusted(InputError):
    """Raised for a query that is recorded in a run folder and that the caller has not trusted."""

    def __init__(self, run: Any, query: str, folder: str, hint: str):
        super().__init__(
            f"{run}: its rows come from a query recorded in it: {query!r}, in {folder}; if you trust the query, pass "
            f"--trust (trust=True); otherwise {hint}"
        )
        self.query, self.folder = query, folder


def write_recorded(run: Path, recorded: Recorded) -> None:
    """Write the record of a request to a run folder."""
    save_json(run / REQUEST, asdict(recorded))


def read_recorded(run: str | os.PathLike[str]) -> Recorded:
    """Read the request of a run.

    Parameters
    ----------
    run : str or os.PathLike
        The run folder.

    Returns
    -------
    Recorded
        The request and its files.

    Raises
    ------
    InputError
        If the folder contains no request, or an invalid one.
    """
    path = Path(run) / REQUEST
    if not Path(run).is_dir():
        raise InputError(f"{run}: no such run folder")
    if not path.is_file():
        older = (Path(run) / "command.json").is_file()
        why = (
            "it was written by Chainrule 0.1, whose runs cannot be resumed; name its table with --data, or train again"
            if older
            else f"its training never began; start it with: chainrule train FILES --target COLUMN -o {run}"
        )
        raise InputError(f"{run}: it contains no {REQUEST}: {why}")
    recorded = read_document(path, Recorded)
    if recorded.format > FORMAT:
        raise newer(path)
    return recorded


def files_of(source: Source | None) -> tuple[TableFile, ...]:
    """The files of a source, with sizes and digests."""
    return () if source is None else tuple(_file(path) for path in source.files)


def _file(path: str) -> TableFile:
    absolute = os.path.abspath(path)
    return TableFile(absolute, os.path.getsize(absolute), digest_of(absolute))


def digest_of(path: str) -> str:
    """The BLAKE2 digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


class Named(NamedTuple):
    """How the caller specifies the table of a run: files, a query or an open table, or trust in a recorded query."""

    data: Sequence[str] = ()
    sql: str | None = None
    trust: bool = False
    source: Source | None = None


def table_again(run: str | os.PathLike[str], named: Named, hint: str = "name it with --data or --sql") -> Source:
    """Open the table of a run: the one that the caller specifies, else the recorded one.

    Parameters
    ----------
    run : str or os.PathLike
        The run folder.
    named : Named
        How the caller specifies the table.
    hint : str
        How to specify a file, for error messages.

    Returns
    -------
    Source
        The table.

    Raises
    ------
    Untrusted
        If a recorded query would have to be run, and the caller does not trust it.
    InputError
        If a recorded file is missing or has changed.
    """
    if named.source is not None:
        return named.source
    if named.data or named.sql is not None:
        return open_table(named.data, named.sql)
    recorded = read_recorded(run)
    if recorded.request.sql is None:
        if not recorded.files:
            raise InputError(f"{run}: was trained on a table in memory, which is not saved; {hint}")
        return open_table([found_again(run, file, hint) for file in recorded.files])
    if not named.trust:
        raise Untrusted(run, recorded.request.sql, recorded.folder, hint)
    return open_table([], recorded.request.sql, recorded.folder)


def found_again(run: str | os.PathLike[str], file: TableFile, hint: str) -> str:
    """The path of an unchanged file that a run was trained on: its recorded path, or next to the run folder.

    Parameters
    ----------
    run : str or os.PathLike
        The run folder.
    file : TableFile
        The file as recorded.
    hint : str
        How to specify a file, for error messages.

    Returns
    -------
    str
        The path.

    Raises
    ------
    InputError
        If it is in neither place.
    """
    name = os.path.basename(file.path)
    places = [file.path, os.path.join(run, os.pardir, name)]
    for path in places:
        if _is(path, file):
            return path
    if any(os.path.isfile(path) for path in places):
        raise InputError(f"{file.path}: has changed since the run was trained on it; {hint}")
    raise InputError(f"{file.path}: not found; {hint}")


def _is(path: str, file: TableFile) -> bool:
    try:
        found = os.stat(path)
        same = (
            stat.S_ISREG(found.st_mode) and found.st_size == file.bytes > 0
        )  # files in /proc have size 0 but may be endless
        return same and digest_of(path) == file.digest
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False

"""The request of a run as its folder keeps it, and the table of the run found again.

A folder may come from anyone. A file is read again where it was, or beside the run, if it is the very one: its size
and its digest are those that were recorded. A recorded query runs only where the caller trusts it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple
from weakref import finalize

from chainrule.errors import InputError
from chainrule.storage.documents import newer, read_document, save_json
from chainrule.tables.reading import Source, open_table
from chainrule.tables.reading.databases import is_file
from chainrule.tables.request import Request

REQUEST, FORMAT = "request.json", 1


@dataclass(frozen=True)
class TableFile:
    """A file that a run was trained on, and what tells it from another."""

    path: str  # absolute
    bytes: int
    digest: str


@dataclass(frozen=True)
class Recorded:
    """What was asked for when a run began, and of what; it is never changed afterwards."""

    request: Request
    files: tuple[TableFile, ...]
    test_files: tuple[TableFile, ...]
    streamed: bool
    shared: bool  # by several processes
    folder: str  # in which a query finds its files
    command: tuple[str, ...]  # for people: it is never run
    began: str
    python: str
    versions: dict[str, str]
    format: int = FORMAT


class Untrusted(InputError):
    """A query that was recorded in a run folder, and that nobody has vouched for."""

    def __init__(self, run: Any, recorded: Recorded, hint: str):
        query, database = recorded.request.sql or "", recorded.request.database
        where = f"in {recorded.folder}" if database is None else f"of the database {database}"
        super().__init__(
            f"{run}: its rows come from a query that is recorded in it: {query!r}, {where}; if you trust it, say "
            f"--trust (trust=True); or {hint}"
        )
        self.query = query if database is None else f"{query}\n(of the database {database})"


def write_recorded(run: Path, recorded: Recorded) -> None:
    """Record a request in a run folder."""
    save_json(run / REQUEST, asdict(recorded))


def read_recorded(run: str | os.PathLike[str]) -> Recorded:
    """The request of a run.

    Raises
    ------
    InputError
        If the folder holds none, or one that makes no sense.
    """
    path = Path(run) / REQUEST
    if not Path(run).is_dir():
        raise InputError(f"{run}: no such run folder")
    if not path.is_file():
        older = (Path(run) / "command.json").is_file()
        why = (
            "it was written by Chainrule 0.1, whose runs cannot go on; name its table with --data, or train again"
            if older
            else f"its training never began; begin it with: chainrule train FILES --target COLUMN -o {run}"
        )
        raise InputError(f"{run}: there is no {REQUEST} in it: {why}")
    recorded = read_document(path, Recorded)
    if recorded.format > FORMAT:
        raise newer(path)
    return recorded


def files_of(source: Source | None) -> tuple[TableFile, ...]:
    """The files behind a source, to be known again: its own, or that of its database."""
    if source is None:
        return ()
    if source.database is None:
        return tuple(_file(path) for path in source.files)
    file = open(source.database, "rb")  # noqa: SIM115
    finalize(source.connection, file.close)  # not before: it would take DuckDB's lock away, which is the process's
    return (_file(source.database, file),)


def _file(path: str, file: IO[bytes] | None = None) -> TableFile:
    absolute = os.path.abspath(path)
    return TableFile(absolute, os.path.getsize(absolute), _digest(file) if file else digest_of(absolute))


def digest_of(path: str) -> str:
    """The BLAKE2 digest of a file's bytes."""
    with open(path, "rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()  # pyright: ignore


class Named(NamedTuple):
    """The table of a run as the caller names it: files, a query (of a database), an open table.

    `trust` says whether a recorded query may run.
    """

    data: Sequence[str] = ()
    sql: str | None = None
    trust: bool = False
    source: Source | None = None
    database: str | None = None


def table_again(run: str | os.PathLike[str], named: Named, hint: str = "name it with --data or --sql") -> Source:
    """The table of a run: the one that the caller names; else the very one that is recorded.

    `hint` says how the caller names a file.

    Raises
    ------
    Untrusted
        If a recorded query would have to run, and the caller has not said that it may.
    InputError
        If a recorded file is gone, or is another one now.
    """
    if named.source is not None:
        return named.source
    if named.data or named.sql is not None or named.database is not None:
        return open_table(named.data, named.sql, database=named.database)
    recorded = read_recorded(run)
    if recorded.request.sql is None:
        if recorded.request.data and not recorded.files:
            where = ", ".join(recorded.request.data)
            raise InputError(f"{run}: was trained on {where}, which is read again only where it is named; {hint}")
        if not recorded.files:
            raise InputError(f"{run}: was trained on a table in memory, which is not kept; {hint}")
        return open_table([found_again(run, file, hint) for file in recorded.files])
    if not named.trust:
        raise Untrusted(run, recorded, hint)
    return open_table([], recorded.request.sql, recorded.folder, _database_again(run, recorded, hint))


def _database_again(run: str | os.PathLike[str], recorded: Recorded, hint: str) -> str | None:
    """The database of a recorded query: the very file, or the URL, for which nobody has a digest."""
    database = recorded.request.database
    if database is None or not is_file(database):
        return database
    if not recorded.files:
        raise InputError(f"{run}: records no digest of {database}; {hint}")
    return found_again(run, recorded.files[0], hint)


def found_again(run: str | os.PathLike[str], file: TableFile, hint: str) -> str:
    """Where the very file is, that a run was trained on: where it was, or beside the run.

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
    raise InputError(f"{file.path}: is no longer there; {hint}")


def _is(path: str, file: TableFile) -> bool:
    try:
        found = os.stat(path)
        same = (
            stat.S_ISREG(found.st_mode) and found.st_size == file.bytes > 0
        )  # files of /proc are 0 bytes, and endless
        return same and digest_of(path) == file.digest
    except (OSError, ValueError):  # a ValueError for a null byte in the name
        return False

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

    def __init__(self, run: Any, recorded: Recorded, hint: str):
        query, database = recorded.request.sql or "", recorded.request.database
        where = f"in {recorded.folder}" if database is None else f"of the database {database}"
        super().__init__(
            f"{run}: its rows come from a query recorded in it: {query!r}, {where}; if you trust the query, pass "
            f"--trust (trust=True); otherwise {hint}"
        )
        self.query = query if database is None else f"{query}\n(of the database {database})"


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
    """The files of a source, or its database file, with sizes and digests."""
    if source is None:
        return ()
    if source.database is None:
        return tuple(_file(path) for path in source.files)
    file = open(source.database, "rb")  # noqa: SIM115
    finalize(source.connection, file.close)  # not earlier: closing any handle of the file releases DuckDB's lock
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
    """How the caller specifies the table of a run: files, a query or an open table, or trust in a recorded query.

    `database` is the database that the query reads.
    """

    data: Sequence[str] = ()
    sql: str | None = None
    trust: bool = False
    source: Source | None = None
    database: str | None = None


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
    if named.data or named.sql is not None or named.database is not None:
        return open_table(named.data, named.sql, database=named.database)
    recorded = read_recorded(run)
    if recorded.request.sql is None:
        if recorded.request.data and not recorded.files:
            where = ", ".join(recorded.request.data)
            raise InputError(f"{run}: was trained on {where}, which is read again only if you name it; {hint}")
        if not recorded.files:
            raise InputError(f"{run}: was trained on a table in memory, which is not saved; {hint}")
        return open_table([found_again(run, file, hint) for file in recorded.files])
    if not named.trust:
        raise Untrusted(run, recorded, hint)
    return open_table([], recorded.request.sql, recorded.folder, _database_again(run, recorded, hint))


def _database_again(run: str | os.PathLike[str], recorded: Recorded, hint: str) -> str | None:
    """The database of a recorded query: the file if it is unchanged, or the URL, which has no digest."""
    database = recorded.request.database
    if database is None or not is_file(database):
        return database
    if not recorded.files:
        raise InputError(f"{run}: it records no digest of {database}; {hint}")
    return found_again(run, recorded.files[0], hint)


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

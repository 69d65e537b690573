"""Files and queries as one table of raw columns, through DuckDB.

Text files are read as text; `kinds` says what the text means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.errors import InputError, UsageError, nearest, shortened
from chainrule.tables.memory import MOST_ROWS
from chainrule.tables.reading.connection import locked_connection
from chainrule.tables.reading.copies import IN_MEMORY, Place, place_of_copy
from chainrule.tables.reading.databases import attach, explained_query, is_file, needs_query
from chainrule.tables.reading.extensions import missing, missing_by
from chainrule.tables.reading.faults import explained, first_line
from chainrule.tables.reading.files import PARQUET_SUFFIXES, check_count, check_repeats, matching, scan_of
from chainrule.tables.reading.queries import one_select
from chainrule.tables.reading.remote import check_urls, load_httpfs, load_httpfs_if_there, scan_of_urls
from chainrule.tables.reading.sql import literal, quoted
from chainrule.tables.reading.urls import check_no_credential, is_remote, urls_in

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = [
    "COLUMNS_AT_ONCE",
    "PARQUET_SUFFIXES",
    "Source",
    "batches",
    "check_columns",
    "check_most",
    "check_rows",
    "count_rows",
    "explaining",
    "fetch",
    "first_row",
    "literal",
    "open_table",
    "quoted",
    "select",
    "share_read",
    "too_many_rows",
    "types_of",
]

COLUMNS_AT_ONCE = 32  # in a query, for the time that DuckDB takes to plan one grows with their square


class Source(NamedTuple):
    """A table that is still on disk: its SQL, its raw columns (name -> DuckDB type) and the files behind it.

    `copy` is where its rows may be copied to (`once.read_once`), if anywhere; `database` is the database file that a
    query reads.
    """

    connection: duckdb.DuckDBPyConnection
    sql: str
    types: dict[str, str]
    files: tuple[str, ...]
    name: str
    copy: Place | None = None
    database: str | None = None

    @property
    def copied(self) -> bool:
        """Whether its SQL reads the copy."""
        return self.copy is not None and self.sql == self.copy.table


def open_table(
    patterns: Sequence[str], sql: str | None = None, folder: str | None = None, database: str | None = None
) -> Source:
    """The table in files (paths or globs, all with the same columns), or the result of a query.

    `folder` is where a query looks for its files, if not in the current one. Files are read and nothing else is; a
    query reads whatever it names, and writes nothing. With `database`, a file or a URL, it can only read the
    tables of the database.

    Raises
    ------
    InputError
        For files that are not there, empty, of an unknown format or with unlike or repeated columns; for a query that
        is not one SELECT; for a database that cannot be opened.
    """
    if database is not None and (patterns or sql is None):
        raise needs_query(database, bool(patterns))
    if bool(patterns) == (sql is not None):
        raise UsageError("expected files, or --sql with a query: one of the two")
    if sql is not None:
        return _open_query(f"({one_select(sql)}\n)", folder, database)
    if any(map(is_remote, patterns)):
        return _open_urls(patterns)
    files = tuple(path for pattern in patterns for path in matching(pattern))
    inner, name = scan_of(files), files[0] if len(files) == 1 else f"{len(files)} files"
    place = place_of_copy(files)
    connection = locked_connection(files, aside=place.path if place else None)
    return Source(connection, inner, types_of(connection, inner, name), files, name, place)


def _open_urls(urls: Sequence[str]) -> Source:
    """Files at URLs: like the result of a query, they have no digest and may change between reads."""
    check_urls(urls)
    name = urls[0] if len(urls) == 1 else f"{len(urls)} files"
    connection = locked_connection(urls, before=partial(load_httpfs, what=name))
    inner = scan_of_urls(connection, urls)
    return Source(connection, inner, types_of(connection, inner, name), (), name, IN_MEMORY)


def _open_query(inner: str, folder: str | None, database: str | None) -> Source:
    import duckdb

    if database is None:
        urls = urls_in(inner)
        for url in urls:
            check_no_credential("--sql", url)
        connection = locked_connection(folder=folder, before=load_httpfs_if_there if urls else None)
    else:
        connection = locked_connection([], before=partial(attach, target=database))
    try:
        types = types_of(connection, inner, "the query")
    except InputError as error:
        said, cause = str(error), error.__cause__
        if not isinstance(cause, duckdb.Error):
            raise
        if database is not None:
            said = explained_query(connection, cause)
        elif extension := missing_by(cause):
            said = missing(extension, "--sql")
        raise InputError(said) from cause
    path = database if database is not None and is_file(database) else None
    return Source(connection, inner, types, (), "query", IN_MEMORY, path)


def count_rows(source: Source) -> int:
    """How many rows there are; reads every row, so that a broken one is found."""
    return int(first_row(source, f"SELECT count(*) FROM {source.sql}")[0])


def check_rows(source: Source, most: int | None) -> None:
    """A table of more rows is an InputError as soon as one too many is seen."""
    if most is None:
        return
    check_most(most)
    if first_row(source, f"SELECT count(*) FROM (SELECT 1 FROM {source.sql} LIMIT {most + 1})")[0] > most:
        raise too_many_rows(source, most)


def check_most(most: int | None) -> None:
    """The number of rows that are allowed, if it is given, is one."""
    if most is not None and most < 1:
        raise UsageError(f"--max-rows: expected 1 or more, got {most}")


def too_many_rows(source: Source, most: int) -> InputError:
    """What is said of a table of more rows than are allowed."""
    return InputError(
        f"{source.name}: has more rows than the {most:,} that --max-rows allows; raise it, or choose fewer rows with "
        "--sql"
    )


def share_read(source: Source) -> float | None:
    """How far the query is that another thread has begun: from 0 to 1; None where DuckDB cannot tell."""
    import duckdb

    try:
        percent = source.connection.query_progress()
    except duckdb.ConnectionException:  # closed after all rows were read
        return None
    return percent / 100 if 0 < percent <= 100 else None


def first_row(source: Source, sql: str) -> tuple[Any, ...]:
    """The first row of a query that has one."""
    with explaining(source):
        return source.connection.execute(sql).fetchall()[0]


def fetch(source: Source, columns: Sequence[tuple[str, str]]) -> pa.Table:
    """A whole Arrow table of (name, SQL expression) columns, rows in the order of the files."""
    at_once = COLUMNS_AT_ONCE if source.files else len(columns)  # a query may give its rows in another order each time
    with explaining(source):
        read = [
            source.connection.sql(select(source, columns[i : i + at_once])).to_arrow_table()
            for i in range(0, len(columns), at_once)
        ]
    table = read[0]
    for name, column in ((name, more.column(name)) for more in read[1:] for name in more.column_names):
        table = table.append_column(name, column)
    return table


def batches(source: Source, columns: Sequence[tuple[str, str]], rows: int | None = None) -> Iterator[pa.RecordBatch]:
    """The same in pieces of so many rows, at most `memory.MOST_ROWS`, for tables of any size."""
    with explaining(source):
        at_once = min(rows or MOST_ROWS, MOST_ROWS)
        yield from source.connection.sql(select(source, columns)).to_arrow_reader(at_once)


def select(source: Source, columns: Sequence[tuple[str, str]]) -> str:
    """The SQL that makes the named expressions from the source."""
    return f"SELECT {', '.join(f'{sql} AS {quoted(name)}' for name, sql in columns)} FROM {source.sql}"


def check_columns(names: Sequence[str], known: Sequence[str], flag: str) -> None:
    """Every name is a column; else an InputError with the nearest one."""
    for name in names:
        if name not in known:
            listed = ", ".join(map(shortened, list(known)[:20])) + (", ..." if len(known) > 20 else "")
            raise InputError(f"{flag} {name!r}: no such column{nearest(name, known)} (columns: {listed})")


def types_of(connection: duckdb.DuckDBPyConnection, inner: str, where: str) -> dict[str, str]:
    """The columns of what SQL reads, and their types; an InputError if they are too many, or names repeat."""
    import duckdb

    try:
        described = connection.execute(f"SELECT * FROM {inner} LIMIT 0").description or ()
        check_count(len(described), where)
        rows = connection.execute(f"DESCRIBE SELECT * FROM {inner}").fetchall()
    except duckdb.Error as error:
        raise InputError(f"{where}: {first_line(error)}") from error
    check_repeats([column[0] for column in described], where)
    return {row[0]: row[1] for row in rows}


@contextmanager
def explaining(source: Source) -> Iterator[None]:
    """What DuckDB says of a broken file, said again for the reader."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise InputError(explained(error, source.name)) from error

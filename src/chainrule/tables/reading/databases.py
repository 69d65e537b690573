"""Databases whose tables a query reads: attached read-only, before the connection is locked."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from chainrule.errors import InputError, UsageError, nearest, shortened
from chainrule.tables.reading.extensions import load
from chainrule.tables.reading.faults import first_line
from chainrule.tables.reading.files import absent
from chainrule.tables.reading.sql import literal, quoted
from chainrule.tables.reading.urls import check_no_credential, is_postgres, is_remote

if TYPE_CHECKING:
    import duckdb

NAME = "database"  # under which it is attached
SQLITE = b"SQLite format 3\0"  # the first bytes of a SQLite file
MOST_NAMES = 20  # of tables in an error message
OTHERS = (  # a macro with the name of a DuckDB function would replace it, also in the package's own queries
    f"SELECT function_name FROM duckdb_functions() WHERE database_name = {literal(NAME)} INTERSECT "
    "SELECT function_name FROM duckdb_functions() WHERE database_name = 'system' ORDER BY 1"
)
TABLES = (
    "SELECT table_schema, table_name, current_schema() FROM information_schema.tables WHERE table_catalog = "
    f"{literal(NAME)} AND table_schema NOT IN ('information_schema', 'pg_catalog') "
    "ORDER BY table_schema != current_schema(), 1, 2"
)


def is_file(target: str) -> bool:
    """Whether a database is a local file rather than a URL."""
    return not (is_postgres(target) or is_remote(target))


def attach_statement(target: str, extension: str | None = None) -> str:
    """The SQL that attaches a database read-only.

    >>> print(attach_statement("/data/shop.duckdb"))
    ATTACH '/data/shop.duckdb' AS "database" (TYPE duckdb, READ_ONLY)
    """
    kind = extension if extension in ("sqlite", "postgres") else "duckdb"
    return f"ATTACH {literal(target)} AS {quoted(NAME)} (TYPE {kind}, READ_ONLY)"


def attach(connection: duckdb.DuckDBPyConnection, target: str) -> None:
    """Attach a database read-only and use its tables; to be called before the connection is locked.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A connection that is not locked yet.
    target : str
        A DuckDB or SQLite file, or the URL of a database.

    Raises
    ------
    InputError
        If the database is missing, invalid, encrypted or open for writing, defines macros with the names of DuckDB
        functions, or requires an extension that is not installed.
    UsageError
        If the URL contains a credential.
    """
    import duckdb

    check_no_credential("--database", target)
    if is_file(target):
        _check_file(target)
    extension = "postgres" if is_postgres(target) else "httpfs" if is_remote(target) else None
    path = os.path.abspath(target) if is_file(target) else target
    try:
        if extension:
            load(connection, extension, target)
        try:
            connection.execute(attach_statement(path, extension))
        except duckdb.IOException as error:
            if not (is_file(target) and "not a valid DuckDB database" in str(error) and _is_sqlite(path)):
                raise
            load(connection, "sqlite", target)
            connection.execute(attach_statement(path, "sqlite"))
        if is_file(target) and os.path.exists(f"{path}.wal"):
            raise InputError(_unfinished(target))
        connection.execute(f"USE {quoted(NAME)}")
        macros = connection.execute(OTHERS).fetchall()
    except duckdb.Error as error:
        raise InputError(_explained(target, error)) from error
    if macros:
        raise InputError(
            f"{target}: defines a macro with the name of a DuckDB function, {macros[0][0]!r}; rename the macro"
        )


def tables_of(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The tables and views of the attached database, as a query names them."""
    rows = connection.execute(TABLES).fetchall()
    return [name if schema == usual else f"{schema}.{name}" for schema, name, usual in rows]


def needs_query(target: str, files: bool) -> UsageError:
    """The error for a database with files or without a query; lists the tables if the database can be opened."""
    from chainrule.tables.reading.connection import locked_connection

    check_no_credential("--database", target)
    try:
        tables = tables_of(locked_connection([], before=lambda connection: attach(connection, target)))
    except InputError:
        tables = []
    example = tables[0] if tables else "customers"
    instead = "leave out files and select" if files else "select"
    return UsageError(
        f'--database requires a query; {instead} the rows with --sql, such as --sql "select * from '
        f'{example}"{_listed(tables)}'
    )


def explained_query(connection: duckdb.DuckDBPyConnection, error: Exception) -> str:
    """The error message for a query that the database cannot answer."""
    text = str(error)
    absent = re.search(r'Table with name "?(.+?)"? does not exist', text)
    if absent:
        name, tables = absent.group(1), tables_of(connection)
        return f"--sql: the database has no table {shortened(name)!r}{nearest(name, tables)}{_listed(tables)}"
    if "file system operations are disabled" in text:
        return "--sql: with --database, a query can only read the tables of the database"
    return f"--sql: {first_line(error)}"


def _listed(tables: list[str]) -> str:
    shown = ", ".join(map(shortened, tables[:MOST_NAMES])) + (", ..." if len(tables) > MOST_NAMES else "")
    return f" (tables: {shown})" if tables else ""


def _check_file(path: str) -> None:
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; expected a DuckDB or SQLite file, or a postgresql:// URL")
    if not os.path.isfile(path):
        raise absent(path)
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: the file is empty")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read this file")


def _is_sqlite(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _unfinished(target: str) -> str:
    """The error message for changes in a write-ahead log, which the digest of the file does not include."""
    return (
        f"{target}: contains changes that are still in {target}.wal; write them to the file: "
        f'python -c "import sys, duckdb; duckdb.connect(sys.argv[1]).close()" {target}'
    )


def _explained(target: str, error: Exception) -> str:
    text = str(error)
    if "Conflicting lock" in text:
        process = re.search(r"PID (\d+)", text)
        who = f"process {process.group(1)}" if process else "another process"
        return f"{target}: {who} has it open for writing; close it there, or open it read-only there"
    if "already attached" in text:
        return (
            f"{target}: this process has it open for writing; close that connection, or pass a relation of it: "
            "fit_table(connection.sql(...))"
        )
    if "not a valid DuckDB database" in text:
        return (
            f"{target}: is not a database; expected a DuckDB or SQLite file; to read a table file, leave out --database"
        )
    if "encrypted" in text:
        return f"{target}: is encrypted; export the table: COPY customers TO 'customers.parquet'"
    return f"{target}: cannot be opened: {first_line(error)}"

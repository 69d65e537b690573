"""Files that are read over a network, through DuckDB's extension httpfs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chainrule.errors import InputError, UsageError
from chainrule.tables.reading.extensions import load
from chainrule.tables.reading.faults import first_line
from chainrule.tables.reading.files import TEXT_SUFFIXES, header_in, scan_of_text, scan_of_typed, suffix_of
from chainrule.tables.reading.sql import literal
from chainrule.tables.reading.urls import check_no_credential, is_remote

if TYPE_CHECKING:
    import duckdb

LINES = 100  # of a text file, in which its header ends


def load_httpfs(connection: duckdb.DuckDBPyConnection, what: str) -> None:
    """Load what reads URLs; see `extensions.load`."""
    load(connection, "httpfs", what)


def load_httpfs_if_there(connection: duckdb.DuckDBPyConnection) -> None:
    """The same; a query that needs it where it is not installed fails, and says so."""
    with suppress(InputError):
        load_httpfs(connection, "")


def check_urls(paths: Sequence[str]) -> None:
    """They are URLs, all of them, of one file each, and with no credential in them.

    Raises
    ------
    UsageError
        If not.
    """
    for path in paths:
        check_no_credential("FILES", path)
        if not is_remote(path):
            raise UsageError(f"{path}: expected a URL, as the other files are; read them with --sql to mix the two")
        if any(sign in urlsplit(path).path for sign in "*["):
            raise UsageError(
                f"{path}: expected the URL of one file; read several with --sql \"select * from '{path}'\""
            )


def scan_of_urls(connection: duckdb.DuckDBPyConnection, urls: Sequence[str]) -> str:
    """The DuckDB table function that reads the files; they must share one format and one set of columns."""
    suffixes = {suffix_of(urlsplit(url).path) for url in urls}
    listed = "[" + ", ".join(map(literal, urls)) + "]"
    if not suffixes <= set(TEXT_SUFFIXES):
        return scan_of_typed(listed, suffixes)
    headers = [_header(connection, url) for url in urls]
    for url, header in zip(urls, headers, strict=True):
        if header != headers[0]:
            raise InputError(f"{url}: its columns, or what is between them, are not those of {urls[0]}")
    return scan_of_text(listed, *headers[0])


def _header(connection: duckdb.DuckDBPyConnection, url: str) -> tuple[list[str], str]:
    """The names in the first line, and the delimiter: few lines are read, each as it is."""
    import duckdb

    line = (
        f"SELECT line FROM read_csv({literal(url)}, columns = {{'line': 'VARCHAR'}}, header = false, delim = '', "
        f"quote = '', escape = '', auto_detect = false, hive_partitioning = false) LIMIT {LINES}"
    )
    try:
        lines = connection.execute(line).fetchall()
    except duckdb.Error as error:
        raise InputError(f"{url}: cannot be read: {first_line(error)}") from error
    return header_in("".join(f"{line or ''}\n" for (line,) in lines).removeprefix("\ufeff"), url)

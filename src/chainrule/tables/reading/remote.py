"""Files that are read over a network, with the DuckDB extension httpfs."""

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

LINES = 100  # of a text file, which contain its header


def load_httpfs(connection: duckdb.DuckDBPyConnection, what: str) -> None:
    """Load the extension that reads URLs; see `extensions.load`."""
    load(connection, "httpfs", what)


def load_httpfs_if_there(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the extension if it is installed; otherwise, a query that requires it raises an error."""
    with suppress(InputError):
        load_httpfs(connection, "")


def check_urls(paths: Sequence[str]) -> None:
    """Check that all paths are URLs of single files, without credentials.

    Raises
    ------
    UsageError
        If a path is not a URL, contains a glob or contains a credential.
    """
    for path in paths:
        check_no_credential("FILES", path)
        if not is_remote(path):
            raise UsageError(f"{path}: expected a URL like the other files; use --sql to combine local files and URLs")
        if any(sign in urlsplit(path).path for sign in "*["):
            raise UsageError(
                f"{path}: expected the URL of a single file; to read several, use --sql \"select * from '{path}'\""
            )


def scan_of_urls(connection: duckdb.DuckDBPyConnection, urls: Sequence[str]) -> str:
    """The DuckDB table function that reads the files, which must have the same format and columns."""
    suffixes = {suffix_of(urlsplit(url).path) for url in urls}
    listed = "[" + ", ".join(map(literal, urls)) + "]"
    if not suffixes <= set(TEXT_SUFFIXES):
        return scan_of_typed(listed, suffixes)
    headers = [_header(connection, url) for url in urls]
    for url, header in zip(urls, headers, strict=True):
        if header != headers[0]:
            raise InputError(f"{url}: its columns or delimiter differ from those of {urls[0]}")
    return scan_of_text(listed, *headers[0])


def _header(connection: duckdb.DuckDBPyConnection, url: str) -> tuple[list[str], str]:
    """The column names in the first line, and the delimiter; only the first lines are read."""
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

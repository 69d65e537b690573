"""DuckDB extensions: loaded if they are installed, and never installed by the package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.tables.reading.faults import first_line

if TYPE_CHECKING:
    import duckdb


def load(connection: duckdb.DuckDBPyConnection, extension: str, what: str) -> None:
    """Load an extension.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A connection that is not locked yet.
    extension : str
        The name of the extension.
    what : str
        What requires the extension, for error messages.

    Raises
    ------
    InputError
        If the extension is not installed or cannot be loaded.
    """
    import duckdb

    try:
        connection.execute(f"LOAD {extension}")
        if extension == "httpfs":
            connection.execute("FROM duckdb_secrets()")  # read now: a locked connection cannot open their files
    except duckdb.Error as error:
        if "not found" not in str(error):
            raise InputError(
                f"{what}: the DuckDB extension {extension} cannot be loaded: {first_line(error)}"
            ) from error
        raise InputError(missing(extension, what)) from None


def missing(extension: str, what: str) -> str:
    """The error message for an extension that is not installed."""
    return (
        f"{what}: requires the DuckDB extension {extension}, which is not installed; install it once: "
        f"python -c \"import duckdb; duckdb.execute('INSTALL {extension}')\""
    )


def missing_by(error: Exception) -> str | None:
    """The extension that is missing according to an error of DuckDB, or None."""
    found = re.search(r"requires the extension (\w+) to be loaded", str(error))
    return found.group(1) if found else None

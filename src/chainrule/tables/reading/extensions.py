"""DuckDB's extensions, which are loaded where they are installed, and installed by nobody but the user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.tables.reading.faults import first_line

if TYPE_CHECKING:
    import duckdb


def load(connection: duckdb.DuckDBPyConnection, extension: str, what: str) -> None:
    """Load an extension.

    Raises
    ------
    InputError
        If it is not installed; `what` says what needs it.
    """
    import duckdb

    try:
        connection.execute(f"LOAD {extension}")
        if extension == "httpfs":
            connection.execute("FROM duckdb_secrets()")  # read here, for a locked connection may not open their files
    except duckdb.Error as error:
        if "not found" not in str(error):
            raise InputError(f"{what}: DuckDB's extension {extension} cannot be loaded: {first_line(error)}") from error
        raise InputError(missing(extension, what)) from None


def missing(extension: str, what: str) -> str:
    """What is said where an extension is not installed."""
    return (
        f"{what}: DuckDB's extension {extension} is needed, and is not installed; install it once: "
        f"python -c \"import duckdb; duckdb.execute('INSTALL {extension}')\""
    )


def missing_by(error: Exception) -> str | None:
    """The extension that DuckDB says it would need, if that is what it says."""
    found = re.search(r"requires the extension (\w+) to be loaded", str(error))
    return found.group(1) if found else None

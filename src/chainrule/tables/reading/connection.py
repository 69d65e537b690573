"""The connection that tables are read with: it reads, and nothing can talk it into more."""

from __future__ import annotations

import atexit
import glob
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from chainrule.tables.memory import memory_of_duckdb
from chainrule.tables.reading.sql import literal

if TYPE_CHECKING:
    import duckdb


def locked_connection(
    files: Sequence[str] | None = None,
    folder: str | None = None,
    aside: str | None = None,
    before: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A database that reads, and whose settings can no longer be changed; with `files`, that reads those alone.

    Extensions are neither installed nor loaded by themselves. `aside` is a file for a large copy of the rows.
    `before` is called before the connection is locked, to load an extension or attach a database.
    """
    import duckdb

    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": spill_folder(),
    }
    connection = duckdb.connect(config=settings)
    connection.execute(f"SET memory_limit = '{memory_of_duckdb()}'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar_print = false; SET enable_progress_bar = true")  # for `share_read`
    # in_clause makes a join of every list of words, slow when wide; statistics_propagation believes Parquet files
    # that leave NaN out of their statistics, and so takes every test for NaN away.
    connection.execute("SET disabled_optimizers = 'in_clause,statistics_propagation'")
    if folder is not None:
        connection.execute("SET file_search_path = ?", [folder])
    if aside is not None:
        connection.execute(f"ATTACH {literal(aside)} AS aside")
    if before is not None:
        before(connection)
    if files is not None:
        connection.execute("SET allowed_paths = ?", [sorted({*files, *map(glob.escape, files)})])
        connection.execute("SET enable_external_access = false")
    connection.execute("SET allowed_configs = ['memory_limit']")
    connection.execute("SET lock_configuration = true")
    return connection


@cache
def spill_folder() -> str:
    """Where DuckDB may put what does not fit into memory: a folder that only this user can look into."""
    folder = tempfile.mkdtemp(prefix="chainrule-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

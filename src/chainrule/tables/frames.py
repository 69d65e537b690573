"""Data frames as tables: pandas, polars and Arrow data and DuckDB relations, which DuckDB reads in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.errors import InputError
from chainrule.tables.reading import Source, quoted, types_of
from chainrule.tables.reading.connection import locked_connection
from chainrule.tables.reading.files import check_repeats

if TYPE_CHECKING:
    import pyarrow as pa

FRAME = "the frame"


def is_frame(data: Any) -> bool:
    """Whether `data` is a data frame or another table in memory."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "to_arrow_table") or _is_pandas(data)


def open_frame(frame: Any) -> Source:
    """Open a data frame as a table.

    Parameters
    ----------
    frame : DataFrame, Table or DuckDBPyRelation
        A pandas or polars DataFrame, an Arrow table, or a DuckDB relation.

    Returns
    -------
    Source
        The table.

    Raises
    ------
    InputError
        If two columns have the same name, or there are no columns.
    """
    table, connection = arrow_of(frame), locked_connection([])
    if not table.column_names:
        raise InputError(f"{FRAME}: expected columns, got none")
    check_repeats(table.column_names, FRAME)
    connection.register(FRAME, table)
    return Source(connection, quoted(FRAME), types_of(connection, quoted(FRAME), FRAME), (), FRAME)


def arrow_of(frame: Any) -> pa.Table:
    """Convert a frame to an Arrow table; numeric columns of pandas and polars are not copied."""
    import pyarrow as pa

    if hasattr(frame, "to_arrow_table"):
        return frame.to_arrow_table()
    if _is_pandas(frame):
        return pa.Table.from_pandas(frame, preserve_index=False)
    return pa.table(frame)


def like(frame: Any, table: pa.Table) -> Any:
    """Convert an Arrow table to the type of `frame`."""
    if _is_pandas(frame):
        answer = table.to_pandas()
        answer.index = frame.index
        return answer
    if type(frame).__module__.startswith("polars"):
        import polars

        return polars.from_arrow(table)
    return table


def _is_pandas(frame: Any) -> bool:
    return type(frame).__module__.startswith("pandas") and hasattr(frame, "columns")

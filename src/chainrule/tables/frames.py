"""Data frames as tables: pandas, polars, Arrow and DuckDB relations, read by DuckDB where they lie in memory."""

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
    """Whether `data` is a table in memory."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "to_arrow_table") or _is_pandas(data)


def open_frame(frame: Any) -> Source:
    """A frame as a table.

    Parameters
    ----------
    frame
        A pandas or polars DataFrame, an Arrow table, or a DuckDB relation.

    Raises
    ------
    InputError
        If two of its columns have the same name, or it has none.
    """
    table, connection = arrow_of(frame), locked_connection([])
    if not table.column_names:
        raise InputError(f"{FRAME}: expected columns, got none")
    check_repeats(table.column_names, FRAME)
    connection.register(FRAME, table)
    return Source(connection, quoted(FRAME), types_of(connection, quoted(FRAME), FRAME), (), FRAME)


def arrow_of(frame: Any) -> pa.Table:
    """The frame as an Arrow table; numbers of pandas and polars are not copied."""
    import pyarrow as pa

    if hasattr(frame, "to_arrow_table"):
        return frame.to_arrow_table()
    if _is_pandas(frame):
        return pa.Table.from_pandas(frame, preserve_index=False)
    return pa.table(frame)


def like(frame: Any, table: pa.Table) -> Any:
    """The Arrow table as a frame of the kind that `frame` is."""
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

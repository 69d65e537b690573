"""The rows of a table copied once, so that no later question has to parse its files, or run its query, again."""

from __future__ import annotations

from pathlib import Path

from chainrule.errors import InputError
from chainrule.tables.reading import Source, check_most, check_rows, count_rows, explaining, too_many_rows
from chainrule.tables.reading.copies import Place


def read_once(source: Source, most: int | None = None) -> Source:
    """The source as a copy of its rows, in their order; as it is where a copy does not pay or has no room.

    Parameters
    ----------
    most
        How many rows there may be; a table of more is refused as soon as one too many is read.

    Raises
    ------
    InputError
        If the files cannot be read, or hold more rows.
    """
    check_most(most)
    if source.copied or source.copy is None or not _copied(source, source.copy, most):
        check_rows(source, most)
        return source
    copy = source._replace(sql=source.copy.table)
    if most is not None and count_rows(copy) > most:
        forget(copy)
        raise too_many_rows(source, most)
    return copy


def _copied(source: Source, place: Place, most: int | None) -> bool:
    """Whether the rows, and no more than one above `most`, could be copied; not where memory or disk are full."""
    import duckdb

    if place.path is not None and not Path(place.path).exists():  # it has been forgotten
        return False
    limit = "" if most is None else f" LIMIT {most + 1}"
    try:
        with explaining(source):
            source.connection.execute(f"CREATE OR REPLACE TABLE {place.table} AS FROM {source.sql}{limit}")
    except InputError as error:
        if isinstance(error.__cause__, duckdb.OutOfMemoryException | duckdb.IOException):
            return False
        raise
    return True


def forget(source: Source) -> None:
    """Free the space of a copy, and close a database; the source cannot be read afterwards."""
    if source.database is not None:
        source.connection.close()  # so that other processes can write to it during the training
        return
    if not source.copied or source.copy is None:
        return
    if source.copy.path is None:
        source.connection.execute(f"DROP TABLE IF EXISTS {source.copy.table}")
    else:
        source.connection.execute(f"DETACH DATABASE IF EXISTS {source.copy.table.partition('.')[0]}")
        Path(source.copy.path).unlink(missing_ok=True)

"""Where the rows of a table are copied to, so that they are parsed once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from chainrule.tables.memory import free_memory
from chainrule.tables.reading.connection import spill_folder
from chainrule.tables.reading.files import PARQUET_SUFFIXES

DEFLATED = 10  # times its size, about, is what a compressed file holds
TIMES_IN_MEMORY, TIMES_ON_DISK = 4, 2  # the size of a file, about and at most, is what a copy of it takes
SHARE_OF_MEMORY = 1 / 16  # of what is free: so little that whether a table fits into memory does not hang on its copy
LARGE = 2**28  # bytes in memory, where nobody knows how many are free


class Place(NamedTuple):
    """The table of DuckDB that holds a copy, and the file of its database where that is not memory."""

    table: str
    path: str | None = None


IN_MEMORY = Place("memory.main.copied")


def place_of_copy(files: Sequence[str]) -> Place | None:
    """Memory for a small table, a file for a large one; None where no copy pays or fits.

    Parquet is read quickly enough as it is.
    """
    if any(path.lower().endswith(PARQUET_SUFFIXES) for path in files):
        return None
    size = sum(os.path.getsize(path) * (DEFLATED if path.endswith(".gz") else 1) for path in files)
    free = free_memory()
    if TIMES_IN_MEMORY * size <= (LARGE if free is None else SHARE_OF_MEMORY * free):
        return IN_MEMORY
    if TIMES_ON_DISK * size > shutil.disk_usage(spill_folder()).free:
        return None
    return Place("aside.main.copied", os.path.join(spill_folder(), f"{uuid4().hex}.duckdb"))

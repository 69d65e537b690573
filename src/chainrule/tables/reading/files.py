"""Files as tables: which there are, their formats, their headers, and the SQL that reads them."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import IO, NamedTuple

from chainrule.errors import InputError, is_utf8
from chainrule.tables.reading.faults import not_utf8
from chainrule.tables.reading.sql import literal

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")
MOST_COLUMNS = 10_000
USUAL_HEADER, LONGEST_HEADER = 2**13, 2**20  # characters
LONGEST_OBJECT = 2**24  # characters of JSON, as DuckDB has it
LONGEST_LINE = 2**24  # bytes


def matching(pattern: str) -> list[str]:
    found = _found(pattern)
    for path in found:
        if not is_utf8(path):
            raise InputError(f"{path}: expected a name in UTF-8; rename the file, or the folder that it is in")
    return found


def _found(pattern: str) -> list[str]:
    if os.path.isfile(pattern):
        return [pattern]
    if os.path.isdir(pattern):
        raise InputError(f"{pattern}: is a folder; name its files, such as '{pattern.rstrip('/')}/*.csv'")
    found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        raise absent(pattern)
    return found


def absent(pattern: str) -> InputError:
    """The error for a file that is not there, with the nearest name beside it."""
    folder = Path(pattern).parent
    there = [p.name for p in folder.iterdir()] if folder.is_dir() and not glob.has_magic(pattern) else []
    close = get_close_matches(Path(pattern).name, there, n=1)
    return InputError(f"{pattern}: no such file" + (f"; did you mean {folder / close[0]}?" if close else ""))


def scan_of(files: Sequence[str]) -> str:
    """The DuckDB table function that reads the files; they must share one format and one set of columns."""
    suffixes = {suffix_of(path) for path in files}
    for path in files:
        if os.path.getsize(path) == 0:
            raise InputError(f"{path}: the file is empty")
        if not os.access(path, os.R_OK):
            raise InputError(f"{path}: no permission to read this file")
    listed = "[" + ", ".join(literal(glob.escape(path)) for path in files) + "]"
    if suffixes <= set(TEXT_SUFFIXES):
        return scan_of_text(listed, *_header_of_all(files), _buffer(files))
    if suffixes <= set(PARQUET_SUFFIXES):
        check_count(_columns_of_parquet(files[0]), files[0])
    elif suffixes <= set(JSON_SUFFIXES):
        for path in files:
            check_count(_names_in_first_object(path), path)
    return scan_of_typed(listed, suffixes)


def scan_of_text(listed: str, header: Sequence[str], delimiter: str, buffer: str = "") -> str:
    """The table function that reads text files, given as a list in SQL, with these columns."""
    columns = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header) + "}"
    return (
        f"read_csv({listed}, columns = {columns}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
        f"header = true, auto_detect = false, strict_mode = true, max_line_size = {LONGEST_LINE}, "
        f"hive_partitioning = false{buffer})"
    )


def scan_of_typed(listed: str, suffixes: set[str]) -> str:
    """The same for Parquet and JSON lines, whose files name and type their columns."""
    if suffixes <= set(PARQUET_SUFFIXES):
        return f"read_parquet({listed}, hive_partitioning = false)"
    if suffixes <= set(JSON_SUFFIXES):
        format_ = "auto" if ".json" in suffixes else "newline_delimited"
        return (
            f"read_json({listed}, format = {literal(format_)}, map_inference_threshold = -1, hive_partitioning = false)"
        )
    raise InputError(f"expected files of one format, got {', '.join(sorted(suffixes))}")


def _buffer(files: Sequence[str]) -> str:
    """DuckDB reads in pieces of 16 lines of the greatest length: of 2, where no line is longer, for it holds several.

    It may pass over a line that fills a piece, without a word.
    """
    if any(path.endswith(".gz") for path in files):
        return ""
    for path in files:
        _check_lines(path)
    return f", buffer_size = {2 * LONGEST_LINE}"


def _check_lines(path: str) -> None:
    """Each `LONGEST_LINE` bytes of the file have the end of a line in them, mostly near their own end."""
    with open(path, "rb") as file:
        for end in range(LONGEST_LINE, os.path.getsize(path) + 1, LONGEST_LINE):
            for some in (2**16, LONGEST_LINE):
                file.seek(end - some)
                if {10, 13} & set(file.read(some)):
                    break
            else:
                raise InputError(f"{path}: a line has more than {LONGEST_LINE:,} bytes, the most that can be read")


def suffix_of(path: str) -> str:
    """The suffix that says in which format a file is; an InputError for another."""
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in (*TEXT_SUFFIXES, *JSON_SUFFIXES, *PARQUET_SUFFIXES):
        raise InputError(
            f"{path}: unknown format {suffix or 'without a suffix'!r}; expected .csv, .tsv, .txt, .parquet, .json or "
            ".jsonl, text also with .gz"
        )
    return suffix


def _header_of_all(files: Sequence[str]) -> tuple[list[str], str]:
    first, delimiter = _header(files[0])
    for path in files[1:]:
        other, _ = _header(path)
        if other != first:
            unlike = sorted(set(first) ^ set(other)) or "the same names in another order"
            raise InputError(f"{path}: its columns are not those of {files[0]}: {unlike}")
    return first, delimiter


def _header(path: str) -> tuple[list[str], str]:
    """The names in a text file's first line, and the delimiter that splits it into most of them."""
    try:
        with _text(path) as file:
            start = file.read(USUAL_HEADER)
            if not _is_whole(start):
                start += file.read(LONGEST_HEADER - USUAL_HEADER)
    except UnicodeDecodeError as error:
        if error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{path}: the text is UTF-16; convert it: iconv -f UTF-16 -t UTF-8") from None
        raise InputError(not_utf8(path, error.object[: error.start].count(b"\n") + 1)) from None
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    return header_in(start, path)


def header_in(start: str, path: str) -> tuple[list[str], str]:
    """The same, of the text that the file begins with."""
    if not start.strip():
        raise InputError(f"{path}: the file is empty")
    if len(start) == LONGEST_HEADER and not {"\n", "\r"} & set(start):
        raise InputError(
            f"{path}: its first line, which names the columns, has more than {LONGEST_HEADER:,} characters"
        )
    split = {delimiter: _first_record(start, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda d: len(split[d].fields))
    _check_record(split[delimiter], path)
    names = [name.strip() or f"column_{i + 1}" for i, name in enumerate(split[delimiter].fields)]
    check_count(len(names), path)
    check_repeats(names, path)
    return names, delimiter


def _text(path: str) -> IO[str]:
    opener = gzip.open if path.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")  # pyright: ignore[reportReturnType]


class Record(NamedTuple):
    """The first of a text file: its fields, the kinds of line ends within and after it, and its length."""

    fields: list[str]
    line_ends: set[str]
    length: int


def _first_record(start: str, delimiter: str) -> Record:
    lines = io.StringIO(start, newline="")
    try:
        fields = next(csv.reader(lines, delimiter=delimiter))
    except csv.Error:  # a name of more than 131,072 characters: split by another delimiter it may be shorter
        return Record([""], set(), len(start))
    return Record(fields, set(re.findall(r"\r\n|\r|\n", start[: lines.tell()])), lines.tell())


def _is_whole(start: str) -> bool:
    """Whether the first record ends before the text does, whatever the delimiter."""
    return bool(start.strip()) and all(_first_record(start, d).length < len(start) for d in DELIMITERS)


def _check_record(header: Record, path: str) -> None:
    if not header.fields:
        raise InputError(f"{path}: its first line, which names the columns, is blank; remove the lines above the names")
    if len(header.line_ends) > 1:  # of which DuckDB takes the first, and then finds no row
        raise InputError(
            f"{path}: a column's name has a line end in it that is not one of the file's own, as spreadsheets write "
            "it; write the name in one line"
        )


def _columns_of_parquet(path: str) -> int:
    """By the file's footer; 0 where that cannot be read, which DuckDB will say."""
    import duckdb

    try:
        root = f"SELECT num_children FROM parquet_schema([{literal(glob.escape(path))}]) LIMIT 1"
        with duckdb.connect() as connection:
            return int(connection.execute(root).fetchall()[0][0])
    except duckdb.Error:
        return 0


def _names_in_first_object(path: str) -> int:
    """If it begins in the first line; 0 where it cannot be read, which DuckDB will say."""
    try:
        with _text(path) as file:
            line = file.readline(LONGEST_OBJECT)
        return len(json.JSONDecoder().raw_decode(line, line.index("{"))[0])
    except (ValueError, RecursionError, EOFError, OSError, zlib.error):
        return 0


def check_count(columns: int, where: str) -> None:
    """Before DuckDB plans a query of them, which takes it a minute for 100,000."""
    if columns > MOST_COLUMNS:
        raise InputError(
            f"{where}: {columns:,} columns, and {MOST_COLUMNS:,} can be read at most; choose some of them, such as "
            "with --sql \"SELECT a, b FROM 'FILE'\""
        )


def check_repeats(names: Sequence[str], where: str) -> None:
    repeated = [name for name, count in Counter(name.lower() for name in names).items() if count > 1]
    if repeated:
        shown = [name for name in names if name.lower() == repeated[0]]
        raise InputError(f"{where}: column names repeat: {', '.join(map(repr, shown))}; give each column its own name")

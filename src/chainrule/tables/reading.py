"""Files and queries as one table of raw columns, through DuckDB.

Text files are read as text; `kinds` says what the text means.
"""

from __future__ import annotations

import atexit
import csv
import glob
import gzip
import io
import json
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from chainrule.errors import InputError, UsageError, is_utf8, nearest, shortened
from chainrule.tables.memory import MOST_ROWS, memory_of_duckdb

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")
MOST_COLUMNS = 10_000
COLUMNS_AT_ONCE = 32  # in a query, for the time that DuckDB takes to plan one grows with their square
LONGEST_HEADER = 2**20  # characters
LONGEST_OBJECT = 2**24  # characters of JSON, as DuckDB has it
LONGEST_LINE = 2**24  # bytes
READING_FUNCTIONS = {
    *("read_csv", "read_csv_auto", "sniff_csv", "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema"),
    *("read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto"),
    *("read_ndjson_objects", "read_text", "read_blob", "read_duckdb", "glob", "range", "generate_series", "unnest"),
    *("json_each", "json_tree", "repeat", "repeat_row", "summary"),
}


class Source(NamedTuple):
    """A table that is still on disk: its SQL, its raw columns (name -> DuckDB type) and the files behind it."""

    connection: duckdb.DuckDBPyConnection
    sql: str
    types: dict[str, str]
    files: tuple[str, ...]
    name: str


def open_table(patterns: Sequence[str], sql: str | None = None, folder: str | None = None) -> Source:
    """The table in files (paths or globs, all with the same columns), or the result of a query.

    `folder` is where a query looks for its files, if not in the current one. Files are read and nothing else is; a
    query reads whatever it names, and writes nothing.

    Raises
    ------
    InputError
        For files that are not there, empty, of an unknown format or with unlike or repeated columns; for a query that
        is not one SELECT.
    """
    if bool(patterns) == (sql is not None):
        raise UsageError("expected files, or --sql with a query: one of the two")
    if sql is not None:
        inner, files, name = f"({_one_select(sql)}\n)", (), "query"
        connection = _connection(folder=folder)
    else:
        files = tuple(path for pattern in patterns for path in _matching(pattern))
        inner, name = _scan(files), files[0] if len(files) == 1 else f"{len(files)} files"
        connection = _connection(files)
    types = _types(connection, inner, "the query" if sql is not None else name)
    return Source(connection, inner, types, files, name)


def _connection(files: Sequence[str] | None = None, folder: str | None = None) -> duckdb.DuckDBPyConnection:
    """A database that reads, and whose settings can no longer be changed; with `files`, that reads those alone.

    Extensions are neither installed nor loaded by themselves.
    """
    import duckdb

    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": _spill_folder(),
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
    if files is not None:
        connection.execute("SET allowed_paths = ?", [sorted({*files, *map(glob.escape, files)})])
        connection.execute("SET enable_external_access = false")
    connection.execute("SET allowed_configs = ['memory_limit']")
    connection.execute("SET lock_configuration = true")
    return connection


def empty_connection() -> duckdb.DuckDBPyConnection:
    """A database that reads no file, for tables that are in memory."""
    return _connection([])


@cache
def _spill_folder() -> str:
    """Where DuckDB may put what does not fit into memory: a folder that only this user can look into."""
    folder = tempfile.mkdtemp(prefix="chainrule-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _one_select(sql: str) -> str:
    """The query, if it is one statement that reads."""
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise InputError(f"--sql: {_first_line(error)}") from error
    if len(statements) != 1:
        raise InputError(f"--sql: expected one SELECT, got {len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise InputError(f"--sql: expected a SELECT, which only reads; got {statements[0].type.name}")
    query = statements[0].query.strip().rstrip(";")
    _check_functions(query)
    return query


def _check_functions(sql: str) -> None:
    """Refuse table functions but those that read: some plan a statement of their own, which may write."""
    import duckdb

    with duckdb.connect() as parser:
        (text,) = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0]
    tree = json.loads(text)
    if tree.get("error"):
        raise InputError(f"--sql: expected a SELECT that can be checked, got one that cannot: {tree['error_message']}")
    for name in _table_functions(tree):
        if name not in READING_FUNCTIONS:
            raise InputError(f"--sql: the table function {shortened(name)!r} is not one of those that only read")


def _table_functions(tree: Any) -> Iterator[str]:
    """The names of the table functions in a query that DuckDB has parsed."""
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if isinstance(tree, dict) and tree.get("type") == "TABLE_FUNCTION":
        yield str(tree["function"].get("function_name", "")).lower()
    for value in inner:
        yield from _table_functions(value)


def count_rows(source: Source) -> int:
    """How many rows there are; reads every row, so that a broken one is found."""
    return int(first_row(source, f"SELECT count(*) FROM {source.sql}")[0])


def check_rows(source: Source, most: int | None) -> None:
    """A table of more rows is an InputError as soon as one too many is seen."""
    if most is None:
        return
    if most < 1:
        raise UsageError(f"--max-rows: expected 1 or more, got {most}")
    if first_row(source, f"SELECT count(*) FROM (SELECT 1 FROM {source.sql} LIMIT {most + 1})")[0] > most:
        raise InputError(
            f"{source.name}: has more rows than the {most:,} that --max-rows allows; raise it, or choose fewer rows "
            "with --sql"
        )


def share_read(source: Source) -> float | None:
    """How far the query is that another thread has begun: from 0 to 1; None where DuckDB cannot tell."""
    percent = source.connection.query_progress()
    return percent / 100 if 0 < percent <= 100 else None


def first_row(source: Source, sql: str) -> tuple[Any, ...]:
    """The first row of a query that has one."""
    with _explaining(source):
        return source.connection.execute(sql).fetchall()[0]


def fetch(source: Source, columns: Sequence[tuple[str, str]]) -> pa.Table:
    """A whole Arrow table of (name, SQL expression) columns, rows in the order of the files."""
    at_once = COLUMNS_AT_ONCE if source.files else len(columns)  # a query may give its rows in another order each time
    with _explaining(source):
        read = [
            source.connection.sql(select(source, columns[i : i + at_once])).to_arrow_table()
            for i in range(0, len(columns), at_once)
        ]
    table = read[0]
    for name, column in ((name, more.column(name)) for more in read[1:] for name in more.column_names):
        table = table.append_column(name, column)
    return table


def batches(source: Source, columns: Sequence[tuple[str, str]], rows: int | None = None) -> Iterator[pa.RecordBatch]:
    """The same in pieces of so many rows, at most `memory.MOST_ROWS`, for tables of any size."""
    with _explaining(source):
        at_once = min(rows or MOST_ROWS, MOST_ROWS)
        yield from source.connection.sql(select(source, columns)).to_arrow_reader(at_once)


def select(source: Source, columns: Sequence[tuple[str, str]]) -> str:
    """The SQL that makes the named expressions from the source."""
    return f"SELECT {', '.join(f'{sql} AS {quoted(name)}' for name, sql in columns)} FROM {source.sql}"


def quoted(name: str) -> str:
    '''An identifier for SQL.

    >>> print(quoted('a "b"'))
    "a ""b"""
    '''
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string for SQL.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def check_columns(names: Sequence[str], known: Sequence[str], flag: str) -> None:
    """Every name is a column; else an InputError with the nearest one."""
    for name in names:
        if name not in known:
            listed = ", ".join(map(shortened, list(known)[:20])) + (", ..." if len(known) > 20 else "")
            raise InputError(f"{flag} {name!r}: no such column{nearest(name, known)} (columns: {listed})")


def _matching(pattern: str) -> list[str]:
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
        folder = Path(pattern).parent
        there = [p.name for p in folder.iterdir()] if folder.is_dir() and not glob.has_magic(pattern) else []
        close = get_close_matches(Path(pattern).name, there, n=1)
        raise InputError(f"{pattern}: no such file" + (f"; did you mean {folder / close[0]}?" if close else ""))
    return found


def _scan(files: Sequence[str]) -> str:
    """The DuckDB table function that reads the files; they must share one format and one set of columns."""
    suffixes = {_suffix(path) for path in files}
    for path in files:
        if os.path.getsize(path) == 0:
            raise InputError(f"{path}: the file is empty")
        if not os.access(path, os.R_OK):
            raise InputError(f"{path}: no permission to read this file")
    listed = "[" + ", ".join(literal(glob.escape(path)) for path in files) + "]"
    if suffixes <= set(TEXT_SUFFIXES):
        header, delimiter = _header_of_all(files)
        columns = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header) + "}"
        return (
            f"read_csv({listed}, columns = {columns}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
            f"header = true, auto_detect = false, strict_mode = true, max_line_size = {LONGEST_LINE}, "
            f"hive_partitioning = false{_buffer(files)})"
        )
    if suffixes <= set(PARQUET_SUFFIXES):
        _check_count(_columns_of_parquet(files[0]), files[0])
        return f"read_parquet({listed}, hive_partitioning = false)"
    if suffixes <= set(JSON_SUFFIXES):
        for path in files:
            _check_count(_names_in_first_object(path), path)
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


def _suffix(path: str) -> str:
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
            start = file.read(LONGEST_HEADER)
    except UnicodeDecodeError as error:
        if error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{path}: the text is UTF-16; convert it: iconv -f UTF-16 -t UTF-8") from None
        raise InputError(_not_utf8(path, error.object[: error.start].count(b"\n") + 1)) from None
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
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
    _check_count(len(names), path)
    _check_repeats(names, path)
    return names, delimiter


def _text(path: str) -> IO[str]:
    opener = gzip.open if path.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")  # pyright: ignore[reportReturnType]


class Record(NamedTuple):
    """The first of a text file: its fields, and the kinds of line ends within and after it."""

    fields: list[str]
    line_ends: set[str]


def _first_record(start: str, delimiter: str) -> Record:
    lines = io.StringIO(start, newline="")
    try:
        fields = next(csv.reader(lines, delimiter=delimiter))
    except csv.Error:  # a name of more than 131,072 characters: split by another delimiter it may be shorter
        return Record([""], set())
    return Record(fields, set(re.findall(r"\r\n|\r|\n", start[: lines.tell()])))


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


def _check_count(columns: int, where: str) -> None:
    """Before DuckDB plans a query of them, which takes it a minute for 100,000."""
    if columns > MOST_COLUMNS:
        raise InputError(
            f"{where}: {columns:,} columns, and {MOST_COLUMNS:,} can be read at most; choose some of them, such as "
            "with --sql \"SELECT a, b FROM 'FILE'\""
        )


def _check_repeats(names: Sequence[str], where: str) -> None:
    repeated = [name for name, count in Counter(name.lower() for name in names).items() if count > 1]
    if repeated:
        shown = [name for name in names if name.lower() == repeated[0]]
        raise InputError(f"{where}: column names repeat: {', '.join(map(repr, shown))}; give each column its own name")


def _types(connection: duckdb.DuckDBPyConnection, inner: str, where: str) -> dict[str, str]:
    import duckdb

    try:
        described = connection.execute(f"SELECT * FROM {inner} LIMIT 0").description or ()
        _check_count(len(described), where)
        rows = connection.execute(f"DESCRIBE SELECT * FROM {inner}").fetchall()
    except duckdb.Error as error:
        raise InputError(f"{where}: {_first_line(error)}") from error
    _check_repeats([column[0] for column in described], where)
    return {row[0]: row[1] for row in rows}


@contextmanager
def _explaining(source: Source) -> Iterator[None]:
    """What DuckDB says of a broken file, said again for the reader."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise InputError(_explained(error, source)) from error


def _explained(error: Exception, source: Source) -> str:
    text = str(error)
    line, file = re.search(r"CSV Error on Line: (\d+)", text), re.search(r"^\s*file = (.+)$", text, re.M)
    where = f"{file.group(1) if file else source.name}, line {line.group(1)}" if line else source.name
    widths = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if widths:
        return (
            f"{where}: expected {widths.group(1)} values as in the header, found {widths.group(2)}; "
            "quote values that contain the delimiter, or mend the line"
        )
    if "unterminated quote" in text:
        return f"{where}: a quote is opened and never closed"
    if "reached an invalid state" in text:
        return (
            f"{where}: the text cannot be split into lines; where some end in \\r\\n and others in \\n, make them one: "
            "sed -i 's/\\r$//' FILE"
        )
    if "utf-8" in text.lower():
        return _not_utf8(file.group(1) if file else source.name, line.group(1) if line else None)
    return f"{where}: {_first_line(error)}"


def _not_utf8(path: str, line: int | str | None) -> str:
    return (
        f"{path}{f', line {line}' if line else ''}: the text is not UTF-8; convert the file first, "
        "for example with: iconv -f LATIN1 -t UTF-8"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else repr(error)

"""A query that somebody typed, if it is one statement that reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chainrule.errors import InputError, shortened
from chainrule.tables.reading.faults import first_line

READING_FUNCTIONS = {
    *("read_csv", "read_csv_auto", "sniff_csv", "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema"),
    *("read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto"),
    *("read_ndjson_objects", "read_text", "read_blob", "read_duckdb", "glob", "range", "generate_series", "unnest"),
    *("json_each", "json_tree", "repeat", "repeat_row", "summary"),
}


def one_select(sql: str) -> str:
    """The query, if it is one statement that reads."""
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise InputError(f"--sql: {first_line(error)}") from error
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

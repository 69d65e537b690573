"""Names and values written into SQL."""

from __future__ import annotations


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

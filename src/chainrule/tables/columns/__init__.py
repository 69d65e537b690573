"""Kinds of columns, one per file: how a kind is recognised, read, fitted, encoded, explained and exported.

To add a kind, write its file and list it here. No other code depends on particular kinds: what differs between them is
an attribute or method of `Kind` (a column as it is read) or of `InputColumn` (a fitted column).
"""

from __future__ import annotations

from chainrule.tables.columns.column import Column, Graph, InputColumn, Scale, Summary
from chainrule.tables.columns.kind import EMPTY, OTHER, Kind
from chainrule.tables.columns.number import Boolean, Number, NumberColumn
from chainrule.tables.columns.text import Text, TextColumn
from chainrule.tables.columns.time import Date, Time, TimeColumn, Timestamp

TEXT = Text()  # also used for the labels of classes
NUMBER = Number()
IN_ORDER = (
    NUMBER,
    Boolean(),
    Time(),
    Date(),
    Timestamp(),
    TEXT,
)  # a column is of the first kind that fits all its values
KINDS: dict[str, Kind] = {kind.name: kind for kind in (*IN_ORDER, EMPTY, OTHER)}
FITTED: dict[str, type[InputColumn]] = {kind.fitted.__name__: kind.fitted for kind in IN_ORDER if kind.fitted}

__all__ = [
    "EMPTY",
    "FITTED",
    "IN_ORDER",
    "KINDS",
    "NUMBER",
    "OTHER",
    "TEXT",
    "Column",
    "Graph",
    "InputColumn",
    "Kind",
    "NumberColumn",
    "Scale",
    "Summary",
    "TextColumn",
    "TimeColumn",
]

"""Kinds of columns, each in a file of its own: how it is recognized, read, fitted, encoded, explained and exported.

To add a kind, write its file and name it here. Nobody else asks a column for its kind: what differs from kind to kind
is an attribute or a method, of `Kind` for a column as it is read, of `InputColumn` for one that is fitted.
"""

from __future__ import annotations

from chainrule.tables.columns.column import Column, Graph, InputColumn, Scale, Summary
from chainrule.tables.columns.kind import EMPTY, OTHER, Kind
from chainrule.tables.columns.number import Boolean, Number, NumberColumn
from chainrule.tables.columns.text import Text, TextColumn
from chainrule.tables.columns.time import Date, Time, TimeColumn, Timestamp

TEXT = Text()  # also how the labels of classes are read
NUMBER = Number()
IN_ORDER = (NUMBER, Boolean(), Time(), Date(), Timestamp(), TEXT)  # the first that all values of a column are of
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

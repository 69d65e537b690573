"""The errors that bad input gets, and the words in them: the nearest right name, nothing that steers a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar

Value = TypeVar("Value")

# What a name or a value could do to a terminal: control characters but for the tab and what ends a line or a page,
# separators of lines, and marks that turn the direction of the text.
_CONTROLS = [
    *range(9),
    0xB,
    *range(0xD, 0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
]
PRINTABLE = dict.fromkeys(_CONTROLS, "\ufffd")
IN_ONE_LINE = {**PRINTABLE, 0xA: "\ufffd", 0xC: "\ufffd"}


class InputError(ValueError):
    """What was expected, what arrived, the likely fix. The command line prints it and exits with 1."""


class UsageError(InputError):
    """A setting that is wrong whatever the data. The command line exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known name, or nothing.

    >>> nearest("sigmoyd", ["sigmoid", "tanh"])
    "; did you mean 'sigmoid'?"
    """
    known = list(known)
    lower = {k.lower(): k for k in known}
    found = get_close_matches(name.lower(), list(lower), n=1)
    return f"; did you mean {lower[found[0]]!r}?" if found else ""


def look_up(
    kind: str, name: str, known: Mapping[str, Value], elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Value:
    """`known[name]`, or a ValueError that lists what there is; `elsewhere`: what other programs call them.

    >>> look_up("activation", "sigmoyd", {"sigmoid": 1, "tanh": 2})
    Traceback (most recent call last):
    ...
    ValueError: unknown activation 'sigmoyd'; did you mean 'sigmoid'? (there are: sigmoid, tanh)
    """
    if name not in known:
        meant = nearest(elsewhere.get(name, name), known)
        raise ValueError(f"unknown {kind} {name!r}{meant} (there are: {', '.join(known)})")
    return known[name]


def in_one_line(text: str) -> str:
    r"""The text without what moves a cursor or turns its direction; each such character becomes U+FFFD.

    >>> in_one_line("a\x1b[2Jb\n") == "a\ufffd[2Jb\ufffd"
    True
    """
    return text.translate(IN_ONE_LINE)


def shortened(text: str) -> str:
    """At most 60 characters of it, for messages.

    >>> len(shortened("x" * 1000))
    60
    """
    return text if len(text) <= 60 else text[:57] + "..."


def is_utf8(text: str) -> bool:
    r"""Whether what was typed, or what the system calls a file, is text; DuckDB and JSON take no other.

    >>> is_utf8("caf\xe9"), is_utf8("caf\udce9")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

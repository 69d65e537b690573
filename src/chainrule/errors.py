"""Errors for invalid input, and text for their messages: suggestions, and removal of terminal control characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar

Value = TypeVar("Value")

# Characters that could manipulate a terminal: control characters except for tab, line feed and form feed,
# line separators, and marks that change the direction of the text.
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
    """Invalid input; the message states what was expected, what was found and a likely fix.

    The command line prints the message and exits with status 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> network = cr.Network([2, 1], abs)
    >>> cr.save((network, cr.initialize(network)), "model.safetensors")
    Traceback (most recent call last):
    ...
    chainrule.errors.InputError: activation 'abs' is your own function: it cannot be saved without code
    """


class UsageError(InputError):
    """A setting that is invalid regardless of the data. The command line prints it and exits with status 2.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.fit_table("any.csv")
    Traceback (most recent call last):
    ...
    chainrule.errors.UsageError: fit_table: name the column to predict, such as target="churn"
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name closest to `name`, as the end of an error message; "" if none is close.

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
    """Return `known[name]`, or raise a ValueError that lists the names; `elsewhere` has synonyms of other packages.

    >>> look_up("activation", "sigmoyd", {"sigmoid": 1, "tanh": 2})
    Traceback (most recent call last):
    ...
    ValueError: unknown activation 'sigmoyd'; did you mean 'sigmoid'? (expected one of: sigmoid, tanh)
    """
    if name not in known:
        meant = nearest(elsewhere.get(name, name), known)
        raise ValueError(f"unknown {kind} {name!r}{meant} (expected one of: {', '.join(known)})")
    return known[name]


def in_one_line(text: str) -> str:
    r"""Replace line breaks, control characters and direction marks by U+FFFD.

    >>> in_one_line("a\x1b[2Jb\n") == "a\ufffd[2Jb\ufffd"
    True
    """
    return text.translate(IN_ONE_LINE)


def shortened(text: str) -> str:
    """Truncate a text to 60 characters, for messages.

    >>> len(shortened("x" * 1000))
    60
    """
    return text if len(text) <= 60 else text[:57] + "..."


def is_utf8(text: str) -> bool:
    r"""Whether an argument or a file name is valid UTF-8, which DuckDB and JSON require.

    >>> is_utf8("caf\xe9"), is_utf8("caf\udce9")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

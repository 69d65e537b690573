"""Names that a user types, looked up; a wrong one is answered with the nearest right one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Value = TypeVar("Value")


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known name, or nothing.

    >>> nearest("sigmoyd", ["sigmoid", "tanh"])
    "; did you mean 'sigmoid'?"
    """
    known = list(known)
    lower = {k.lower(): k for k in known}
    found = get_close_matches(name.lower(), list(lower), n=1)
    return f"; did you mean {lower[found[0]]!r}?" if found else ""


def look_up(kind: str, name: str, known: Mapping[str, Value]) -> Value:
    """`known[name]`, or a ValueError that lists what there is.

    >>> look_up("activation", "sigmoyd", {"sigmoid": 1, "tanh": 2})
    Traceback (most recent call last):
    ...
    ValueError: unknown activation 'sigmoyd'; did you mean 'sigmoid'? (there are: sigmoid, tanh)
    """
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}{nearest(name, known)} (there are: {', '.join(known)})")
    return known[name]


def shortened(text: str) -> str:
    """At most 60 characters of it, for messages.

    >>> len(shortened("x" * 1000))
    60
    """
    return text if len(text) <= 60 else text[:57] + "..."

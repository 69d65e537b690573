"""Numbers as a board shows them, and lines as wide as the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.explaining.terms import plain


def number(x: Any, digits: int) -> str:
    """A number in so many digits after the point; a small one in as many significant ones."""
    x = float(x) + 0.0  # no minus before a zero
    if x == 0 or abs(x) >= 10.0**-digits:
        return f"{x:.{digits}f}" if abs(x) < 1e6 else f"{x:.{digits}g}"
    return f"{x:.{max(1, digits - 2)}g}"


def in_parentheses(x: Any, digits: int) -> str:
    """As `number`, in parentheses where it is negative."""
    return f"({number(x, digits)})" if x < 0 else number(x, digits)


def target_term(y: Any, digits: int) -> str:
    """As `target_text`, in parentheses where it is negative."""
    text = target_text(y, digits)
    return f"({text})" if y < 0 else text


def target_text(y: Any, digits: int) -> str:
    """A target: a whole number as it is."""
    return f"{y:g}" if float(y).is_integer() else number(y, digits)


def indented(lines: Sequence[str]) -> list[str]:
    """The lines, two columns to the right."""
    return [f"  {line}" for line in lines]


def fitted_lines(lines: Sequence[str], width: int | None) -> list[str]:
    """The lines without marks; what is wider than the terminal goes on below, a little to the right."""
    told = [plain(line) for line in lines]
    if width is None:
        return told
    fitted = []
    for line in told:
        indent = " " * (len(line) - len(line.lstrip()))
        while len(line) > width:
            at = max(line.rfind(mark, len(indent) + 4, width) for mark in (" = ", " + ", ", ", "  "))
            at = at if at > 0 else line.rfind(" ", len(indent) + 4, width)
            if at < 0:
                break
            at += line[at] == ","
            fitted.append(line[:at])
            line = f"{indent}    {line[at:].strip()}"
        fitted.append(line)
    return fitted

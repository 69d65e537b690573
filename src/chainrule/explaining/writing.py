"""Formatting of numbers, and wrapping of lines to the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.explaining.terms import plain


def number(x: Any, digits: int) -> str:
    """Format a number with a fixed number of decimals, or significant digits if it is small."""
    x = float(x) + 0.0  # avoids -0
    if x == 0 or abs(x) >= 10.0**-digits:
        return f"{x:.{digits}f}" if abs(x) < 1e6 else f"{x:.{digits}g}"
    return f"{x:.{max(1, digits - 2)}g}"


def in_parentheses(x: Any, digits: int) -> str:
    """As `number`, in parentheses if negative."""
    return f"({number(x, digits)})" if x < 0 else number(x, digits)


def target_term(y: Any, digits: int) -> str:
    """As `target_text`, in parentheses if negative."""
    text = target_text(y, digits)
    return f"({text})" if y < 0 else text


def target_text(y: Any, digits: int) -> str:
    """Format a target; whole numbers have no decimals."""
    return f"{y:g}" if float(y).is_integer() else number(y, digits)


def indented(lines: Sequence[str]) -> list[str]:
    """Indent lines by two columns."""
    return [f"  {line}" for line in lines]


def fitted_lines(lines: Sequence[str], width: int | None) -> list[str]:
    """Remove marks from lines and wrap them to the width of the terminal, with a hanging indent."""
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

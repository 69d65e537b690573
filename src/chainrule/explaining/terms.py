"""Terms of formulas, marked with the node or edge that they belong to.

A terminal shows lines without the marks; a page links each term to the drawing.
"""

from __future__ import annotations

import re

START, MIDDLE, END = "\x02", "\x1f", "\x03"
MARKED = re.compile(f"{START}([^{MIDDLE}]*){MIDDLE}([^{END}]*){END}")


def term(text: str, of: str) -> str:
    """Mark text as belonging to a node ("H1"), an edge ("IN1->H1") or a bias ("b(H1)").

    >>> plain("sum " + term("0.5", "H1"))
    'sum 0.5'
    """
    return f"{START}{of}{MIDDLE}{text}{END}"


def plain(line: str) -> str:
    """The line without marks."""
    return MARKED.sub(r"\2", line)


def pieces(line: str) -> list[tuple[str, str | None]]:
    """Split the line into texts, each with the node or edge that it belongs to.

    >>> pieces("sum " + term("0.5", "H1"))
    [('sum ', None), ('0.5', 'H1')]
    """
    cut = MARKED.split(line)  # text, of, marked text, text, of ...
    found: list[tuple[str, str | None]] = [(cut[0], None)]
    for i in range(1, len(cut), 3):
        found += [(cut[i + 1], cut[i]), (cut[i + 2], None)]
    return [(text, of) for text, of in found if text]


def owner(line: str) -> str | None:
    """The node or edge that the line computes: that of its first term."""
    found = MARKED.search(line)
    return found.group(1) if found else None

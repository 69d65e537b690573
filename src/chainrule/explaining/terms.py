"""Terms of a formula that know the node or the edge they come from.

A line is text in which such terms are marked; a terminal shows it plain, a page ties each term to its drawing.
"""

from __future__ import annotations

import re

START, MIDDLE, END = "\x02", "\x1f", "\x03"
MARKED = re.compile(f"{START}([^{MIDDLE}]*){MIDDLE}([^{END}]*){END}")


def term(text: str, of: str) -> str:
    """The text, marked as what belongs to a node ("H1"), an edge ("IN1->H1") or a bias ("b(H1)").

    >>> plain("sum " + term("0.5", "H1"))
    'sum 0.5'
    """
    return f"{START}{of}{MIDDLE}{text}{END}"


def plain(line: str) -> str:
    """The line without its marks."""
    return MARKED.sub(r"\2", line)


def pieces(line: str) -> list[tuple[str, str | None]]:
    """The line cut into texts, each with what it belongs to.

    >>> pieces("sum " + term("0.5", "H1"))
    [('sum ', None), ('0.5', 'H1')]
    """
    cut = MARKED.split(line)  # text, of, marked text, text, of ...
    found: list[tuple[str, str | None]] = [(cut[0], None)]
    for i in range(1, len(cut), 3):
        found += [(cut[i + 1], cut[i]), (cut[i + 2], None)]
    return [(text, of) for text, of in found if text]


def owner(line: str) -> str | None:
    """What the line works out: its first term."""
    found = MARKED.search(line)
    return found.group(1) if found else None

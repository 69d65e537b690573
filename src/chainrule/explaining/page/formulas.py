"""Formulas as MathML, with each term linked to its node or edge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape

from chainrule.explaining.terms import owner, pieces, plain

NO_BREAK = "\N{NO-BREAK SPACE}"
SPACE = '<mspace width="0.4em"/>'
MINUS = "\N{MINUS SIGN}"
NUMBER = r"-?\d(?:[\d,.]*\d)?(?:e[-+]?\d+)?"
MOMENT = r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?"
TOKEN = re.compile(
    rf"\[[^\]]*\]|{MOMENT}|(?<![\w'])\({NUMBER}\)|{NUMBER}|[A-Za-z_][\w.'>-]*(?: [A-Za-z_][\w.'>-]*)*|\S|{NO_BREAK}"
)
SPACE_THAT_COUNTS = re.compile(r"\[[^\]]*\]|(?<=[\d)]) (?=[a-z(])|(?<=\w) $")
SQUARED = "<mo>)</mo><mo>^</mo><mn>2</mn>"


@lru_cache(maxsize=2**15)  # many lines are the same for other rows and epochs
def mathml(line: str) -> str:
    """Convert a formula to MathML, token by token.

    >>> mathml("f(0.614) = 0.649")
    '<math><mi>f</mi><mo>(</mo><mn>0.614</mn><mo>)</mo><mo>=</mo><mn>0.649</mn></math>'
    """
    made = ""
    for text, of in pieces(line):
        inside = "".join(map(_token, _tokens(text, made)))
        made += inside if of is None else f'<mrow data-of="{escape(of)}">{inside}</mrow>'
    return f"<math>{made.replace(SQUARED, '<msup><mo>)</mo><mn>2</mn></msup>')}</math>"


def items(lines: Sequence[str]) -> list[str]:
    """Each line as a list item, linked to the node or edge that it computes."""
    made = []
    for line in lines:
        of = owner(line)
        tie = f' data-owner="{escape(of)}"' if of else ""
        made.append(f"<li{tie}>{mathml(line.strip()) if ' = ' in line else escape(plain(line).strip())}</li>")
    return made


def slots(item: str) -> tuple[str, list[str]]:
    """The item without its numbers and bracketed remarks, and a list of these."""
    found = re.compile(r'(<mn>|<mtext class="s">)([^<]*)')
    return found.sub(r"\1", item), [match[1] for match in found.findall(item)]


def _tokens(text: str, before: str) -> list[str]:
    """Split into tokens; a number in parentheses is one token unless it follows a function name."""
    spaced = SPACE_THAT_COUNTS.sub(lambda match: match[0] if match[0][0] == "[" else f" {NO_BREAK}", text)
    found = TOKEN.findall(spaced)
    if found and before.endswith("</mi>") and re.fullmatch(rf"\({NUMBER}\)", found[0]):
        return ["(", found[0][1:-1], ")", *found[1:]]
    return found


def _token(token: str) -> str:
    if re.fullmatch(rf"\(?{NUMBER}\)?", token):
        return f"<mn>{token.replace('-', MINUS)}</mn>"
    if re.fullmatch(MOMENT, token):
        return f"<mn>{token}</mn>"
    if token == NO_BREAK:
        return SPACE
    if token[0] == "[":
        return f'<mtext class="s">{NO_BREAK}{escape(token)}{NO_BREAK}</mtext>'
    if re.match(r"[A-Za-z_]", token):
        kind = "mi" if " " not in token else "mtext"
        return f"<{kind}>{escape(token.replace('->', chr(0x2192)))}</{kind}>"
    return f"<mo>{escape({'*': '·', '-': MINUS}.get(token, token))}</mo>"

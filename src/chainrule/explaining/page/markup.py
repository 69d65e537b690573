"""Parts of pages: assets, templates, tables. All external text is escaped here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any


def asset(name: str) -> str:
    """Read a file from this folder."""
    return files("chainrule.explaining.page").joinpath(name).read_text(encoding="utf-8")


def filled(template: str, parts: Mapping[str, str]) -> str:
    """Replace each {{NAME}} in the template by its part; parts themselves are not expanded."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], template)


def document(title: str, body: str, script: str = "") -> str:
    """A complete page that fetches nothing; `body` and `script` are HTML, and without a script none may run."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    policy += "; script-src 'unsafe-inline'" if script else ""
    parts = {"TITLE": escape(title), "POLICY": policy, "STYLE": asset("page.css"), "BODY": body, "SCRIPT": script}
    return filled(asset("document.html"), parts)


def as_script_data(document: Any) -> str:
    """JSON that cannot close the script element that contains it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str], str]],
    slots: str = "",
    named: str = "s",
) -> str:
    """A scrollable table; each row has a name, cells, and attributes in HTML.

    With `slots`, the script refills the cells, and also the names if `named` is "s".
    """
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    cell = '<td class="s">' if slots else "<td>"
    head = f'<th scope="row" class="{named}">' if slots and named else '<th scope="row">'
    body = "".join(
        f"<tr{attributes}>{head}{escape(name)}</th>{''.join(f'{cell}{escape(text)}</td>' for text in cells)}</tr>"
        for name, cells, attributes in rows
    )
    tie = f' data-slots="{slots}"' if slots else ""
    return raw_table(caption, top, body, tie)


def raw_table(caption: str, top: str, body: str, attributes: str = "") -> str:
    """A scrollable table from header cells, rows and attributes in HTML."""
    head = f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
    return scrolling(caption, f"<table{attributes}>{head}<tbody>{body}</tbody></table>")


def scrolling(label: str, inside: str) -> str:
    """A region that scrolls, also with the keyboard, if it is too wide."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">{inside}</div>'


def shortened(text: str, most: int = 18) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"

"""A trace as one HTML page: tables, formulas as MathML, the network as SVG; no framework, nothing fetched.

Everything that comes from a table (names of columns and classes, values) is escaped text. The page reads without its
script, which steps through observations and steps and ties the network to the formulas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from chainrule.explaining.story import Opened
from chainrule.explaining.text import View, backward_lines, cost_lines, forward_lines, layers_of, number, update_lines
from chainrule.trace import Trace

MOST_ROWS = 12
MINUS = "\N{MINUS SIGN}"
MOST_DRAWN, SPACE = 8, 78  # nodes of a layer; of a wider one those that count most
STEPS = ("Design", "Initialize", "Forward", "Cost", "Backward", "Update")
WIDTH, HEIGHT, MARGIN, RADIUS = 640, 380, 60, 24


def to_html(opened: Opened, row: int = 0, digits: int = 3) -> str:
    """One self-contained page for an update; `row` is the observation that it begins with (from 0)."""
    trace: Any = opened.trace
    if not isinstance(trace, Trace):
        raise TypeError("to_html: expected an update; a prediction has no page yet")
    shown = sorted({row, *range(len(trace.X))}, key=lambda i: (i != row, i))[:MOST_ROWS]
    shown.sort()
    view = View(row, digits=digits)
    parts = {
        "TITLE": escape(_title(trace)),
        "STYLE": _asset("page.css"),
        "SCRIPT": _asset("page.js"),
        "DATA": _data(trace, shown, row, digits),
        "STEPS": "".join(_step_button(i, name) for i, name in enumerate(STEPS, 1)),
        "NETWORK": _svg(trace, view, digits),
        "DESIGN": _design(trace),
        "RAW": _raw(opened, shown),
        "OBSERVATIONS": _observations(trace, shown, digits),
        "FORMULAS": "".join(_formulas(trace, i, i == row, digits) for i in shown),
        "UPDATE": _lines(update_lines(trace, view, layers_of(trace, view))[1:]),
        "PARAMETERS": _parameters(trace, row, digits),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _asset("page.html"))


def mathml(line: str) -> str:
    """A line of formula as MathML, name by name and number by number.

    >>> mathml("f(0.614) = 0.649")
    '<math><mi>f</mi><mo>(</mo><mn>0.614</mn><mo>)</mo><mo>=</mo><mn>0.649</mn></math>'
    """
    tokens = re.findall(r"\[[^\]]*\]|-?\d[\d,.]*(?:e-?\d+)?|[A-Za-z_][\w.'>-]*(?: [A-Za-z_][\w.'>-]*)*|\S", line)
    made = "".join(map(_token, tokens))
    return f"<math>{made.replace('<mo>)</mo><mo>^</mo><mn>2</mn>', '<msup><mo>)</mo><mn>2</mn></msup>')}</math>"


def _token(token: str) -> str:
    if re.fullmatch(r"-?\d[\d,.]*(?:e-?\d+)?", token):
        return f"<mn>{token.replace('-', MINUS)}</mn>"
    if token[0] == "[":
        return f"<mtext> {escape(token)} </mtext>"
    if re.match(r"[A-Za-z_]", token):
        kind = "mi" if " " not in token else "mtext"
        return f"<{kind}>{escape(token.replace('->', chr(0x2192)))}</{kind}>"
    return f"<mo>{escape({'*': '·', '-': MINUS}.get(token, token))}</mo>"


def _asset(name: str) -> str:
    return files("chainrule.explaining.page").joinpath(name).read_text(encoding="utf-8")


def _data(trace: Trace, shown: list[int], row: int, digits: int) -> str:
    """What the script needs: the activations of each row that is shown, node by node, as text."""
    drawn = _drawn(trace, row)
    rows = [
        {
            "row": trace.rows[i],
            "a": [[number(trace.forward.a[k][i, j], digits) for j in js] for k, js in enumerate(drawn)],
        }
        for i in shown
    ]
    return json.dumps(rows).replace("<", "\\u003c")


def _title(trace: Trace) -> str:
    about, design = trace.about, "-".join(map(str, trace.network.layers))
    if "epoch" not in about:
        return f"{design} network, one update"
    return f"{design} network, epoch {about['epoch']}, batch {about['batch']} of {about['batches']}"


def _step_button(i: int, name: str) -> str:
    return f'<button type="button" data-step="{i}">{i} {name}</button>'


def _design(trace: Trace) -> str:
    network = trace.network
    words = ", ".join(activation.name for activation in network.activations)
    cost = f"{network.cost.name} ({network.reduction})"
    text = f"{'-'.join(map(str, network.layers))}, {words}; {cost}; {network.n_parameters:,} parameters"
    return f"<p>{escape(text)}</p><p>{escape(str(trace.about.get('rule', '')))}</p>"


def _raw(opened: Opened, shown: list[int]) -> str:
    if not opened.raw:
        return ""
    rows = [(str(opened.trace.rows[i]), [values[i] for values in opened.raw.values()]) for i in shown]
    return _table("Raw columns", ["row", *opened.raw], [(name, cells, "") for name, cells in rows])


def _observations(trace: Trace, shown: list[int], digits: int) -> str:
    outputs = trace.names.nodes[-1]
    names = [f"{name} {what}" for what in ("z", "a", "target", "error", "BPE") for name in outputs]
    parts = (trace.forward.z[-1], trace.forward.a[-1], trace.Y, trace.backward.error[-1], trace.backward.delta[-1])
    rows = []
    for place, i in enumerate(shown):
        cells = [number(x, digits) for x in (*(x for part in parts for x in part[i]), trace.costs[i])]
        rows.append((str(trace.rows[i]), cells, f' data-place="{place}"'))
    left = len(trace.X) - len(shown)
    table = _table("Observations of this update", ["row", *names, "cost"], rows)
    return f'<div id="observations">{table}</div>' + (f"<p>and {left} rows more</p>" if left else "")


def _table(caption: str, header: Sequence[str], rows: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """A table that scrolls by itself; each row has a name, cells, and attributes that are HTML already."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = ""
    for name, cells, attributes in rows:
        told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f'<tr{attributes}><th scope="row">{escape(name)}</th>{told}</tr>'
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _formulas(trace: Trace, i: int, first: bool, digits: int) -> str:
    """The formulas of one observation: forward, cost, backward."""
    view = View(i, digits=digits)
    layers = layers_of(trace, view)
    parts = (
        (3, "Forward", forward_lines(trace, view, layers)[1:]),
        (4, "Cost", [line.partition(": ")[2] if line.startswith("4 ") else line for line in cost_lines(trace, view)]),
        (5, "Backward: BPE is dC/dz", backward_lines(trace, view, layers)[1:]),
    )
    sections = [f'<section data-step="{n}"><h3>{n} {title}</h3>{_lines(lines)}</section>' for n, title, lines in parts]
    summary = f"<summary>row {trace.rows[i]}</summary>"
    return f'<details class="row"{" open" if first else ""}>{summary}{"".join(sections)}</details>'


def _lines(lines: list[str]) -> str:
    items = ""
    for line in lines:
        text = line.strip()
        node = re.search(r"(?:input sum|error|BPE|->|b\() ?([A-Z][\w.]*)", text)
        tie = f' data-node="{escape(node.group(1))}"' if node else ""
        items += f"<li{tie}>{mathml(text) if ' = ' in text else escape(text)}</li>"
    return f'<ul class="formulas">{items}</ul>'


def _parameters(trace: Trace, row: int, digits: int) -> str:
    """Before, gradient, after: of every parameter of a small network, of the drawn ones of a wide one."""
    drawn, rows = _drawn(trace, row), []
    for i, layers in enumerate(zip(trace.params, trace.backward.gradient, trace.after, strict=True)):
        sources, to = trace.names.nodes[i], trace.names.nodes[i + 1]
        for j in drawn[i + 1]:
            named = [(f"{sources[k]} \N{RIGHTWARDS ARROW} {to[j]}", [p.W[k, j] for p in layers]) for k in drawn[i]]
            named.append((f"bias {to[j]}", [p.b[j] for p in layers]))
            tie = f' data-node="{escape(to[j])}"'
            rows += [(name, [number(x, digits) for x in numbers], tie) for name, numbers in named]
    return _table("Parameters before and after", ["parameter", "before", "gradient", "after"], rows)


def _drawn(trace: Trace, row: int) -> list[list[int]]:
    """The nodes of each layer that are drawn: those that count most for the row that the page begins with."""
    back: Any = zip(trace.backward.delta, trace.forward.z, strict=True)
    counts = [np.abs(np.asarray(trace.X)[row]), *(np.abs(delta[row] * z[row]) for delta, z in back)]
    strongest = [np.argsort(-count, kind="stable")[:MOST_DRAWN] for count in counts]
    return [sorted(nodes.tolist()) for nodes in strongest]


def _svg(trace: Trace, view: View, digits: int) -> str:
    """The network: a node's value in its circle; a line's width for a weight's size, dashes for a negative one."""
    drawn = _drawn(trace, view.row)
    tall = max(HEIGHT, max(len(js) for js in drawn) * SPACE + MARGIN)
    places = [_column(k, len(drawn), len(js), tall) for k, js in enumerate(drawn)]
    largest = max(float(np.abs(layer.W).max()) for layer in trace.params) or 1.0
    edges = nodes = ""
    for i, layer in enumerate(trace.params):
        for (x1, y1), k in zip(places[i], drawn[i], strict=True):
            for (x2, y2), j in zip(places[i + 1], drawn[i + 1], strict=True):
                w = float(layer.W[k, j])
                source, to = trace.names.nodes[i][k], trace.names.nodes[i + 1][j]
                edges += (
                    f'<line class="{"negative" if w < 0 else "positive"}" x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" '
                    f'y2="{y2:.0f}" stroke-width="{0.6 + 5 * abs(w) / largest:.2f}" data-node="{escape(to)}">'
                    f"<title>{escape(source)} \N{RIGHTWARDS ARROW} {escape(to)}: {number(w, digits)}</title></line>"
                )
    for k, js in enumerate(drawn):
        for place, ((x, y), j) in enumerate(zip(places[k], js, strict=True)):
            name = trace.names.nodes[k][j]
            called = name
            if k == 0 or (k == len(drawn) - 1 and trace.names.outputs[j] != name):
                called = trace.names.inputs[j] if k == 0 else f"{name}: {trace.names.outputs[j]}"
            value = number(trace.forward.a[k][view.row, j], digits)
            nodes += (
                f'<g class="node" tabindex="0" role="button" data-node="{escape(name)}" data-layer="{k}" '
                f'data-place="{place}" aria-label="{escape(called)}"><circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}"/>'
                f'<text class="value" x="{x:.0f}" y="{y + 4:.0f}">{value}</text>'
                f'<text class="name" x="{x:.0f}" y="{y + RADIUS + 14:.0f}">{escape(_short(called))}</text></g>'
            )
        left = len(trace.names.nodes[k]) - len(js)
        if left:
            nodes += f'<text class="name" x="{places[k][0][0]:.0f}" y="{tall - 8}">and {left} more</text>'
    return f'<svg viewBox="0 0 {WIDTH} {tall}" role="group" aria-label="The network">{edges}{nodes}</svg>'


def _column(k: int, columns: int, n: int, tall: float) -> list[tuple[float, float]]:
    x, room = MARGIN + k * (WIDTH - 2 * MARGIN) / (columns - 1), tall - MARGIN
    return [(x, 8 + (j + 0.5) * room / n) for j in range(n)]


def _short(text: str) -> str:
    return text if len(text) <= 18 else text[:17] + "\N{HORIZONTAL ELLIPSIS}"

"""The network as SVG: nodes with their values; line widths for the size of weights, dashes for negative ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from chainrule.explaining.page.markup import shortened
from chainrule.explaining.text import nodes_of, paths_of
from chainrule.explaining.trace import Names
from chainrule.explaining.writing import number
from chainrule.network import Params

WIDTH, MARGIN, RADIUS, SPACE = 640, 64, 26, 94
SHORT = 8  # characters of a name that fits under its node
MOST_DRAWN = 8  # nodes per layer; for wider layers, those on the strongest paths
MOST_LABELLED = 12  # edges up to which weights are printed
PICTURE = '<svg role="img" aria-label="The network"'

Drawn = Sequence[Sequence[int]]  # the nodes drawn in each layer, inputs first


def network_svg(
    names: Names, params: Params, a: Any, drawn: Drawn, largest: float, digits: int, still: bool = False
) -> str:
    """Nodes and edges with the values of one observation; `a` is (n,) for each layer.

    Nodes and edges can be selected, unless the drawing is `still`.
    """
    tall, places = _places(drawn)
    edges = "".join(
        f'<g class="edge" role="button" tabindex="-1" data-of="{edge_name(names, i, k, j)}" data-layer="{i}" '
        f'aria-label="weight {edge_name(names, i, k, j)}">'
        f'<line class="hit" {ends}/>{_line(ends, float(params[i].W[k, j]), largest)}'
        f"{_label(at, number(params[i].W[k, j], digits)) if labelled(drawn) else ''}</g>"
        for i, k, j, ends, at in _edges(drawn, places)
    )
    nodes, most = "", min(24, (WIDTH - 2 * MARGIN) // (9 * (len(drawn) - 1)))
    for layer, js in enumerate(drawn):
        for (x, y), j in zip(places[layer], js, strict=True):
            name, called = names.nodes[layer][j], _called(names, layer, j)
            end, shift = _anchor(layer, len(drawn), called)
            first = "0" if (layer, j) == (0, js[0]) else "-1"
            nodes += (
                f'<g class="node" tabindex="{first}" role="button" data-of="{escape(name)}" data-layer="{layer}" '
                f'aria-label="{escape(called)}"><circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}"/>'
                f'<text class="value s" x="{x:.0f}" y="{y + 4:.0f}">{number(a[layer][j], digits)}</text>'
                f'<text class="name{end}" x="{x + shift:.0f}" y="{y + RADIUS + 15:.0f}">'
                f"{escape(shortened(called, most))}</text></g>"
            )
    left = _left_out(names, drawn, tall + 20)
    svg = _svg(
        tall + 24 * bool(left),
        "The network",
        f'<g data-slots="weights">{edges}</g><g data-slots="values">{nodes}</g>{left}',
    )
    return re.sub(r' (tabindex|aria-label|role)="[^"]*"', "", svg).replace("<svg", PICTURE, 1) if still else svg


def weights_svg(names: Names, params: Params, drawn: Drawn, largest: float, digits: int, title: str, slots: str) -> str:
    """Only the weights, to compare those before and after an update."""
    wide = min(WIDTH, 2 * MARGIN + 150 * (len(drawn) - 1))
    tall, places = _places(drawn, wide)
    made = ""
    for i, k, j, ends, at in _edges(drawn, places):
        made += f"<g>{_line(ends, float(params[i].W[k, j]), largest)}"
        made += f"{_label(at, number(params[i].W[k, j], digits)) if labelled(drawn) else ''}</g>"
    for layer, js in enumerate(drawn):
        for (x, y), j in zip(places[layer], js, strict=True):
            made += f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}"/>'
            made += f'<text x="{x:.0f}" y="{y + 4:.0f}">{escape(shortened(names.nodes[layer][j], 6))}</text>'
    return (
        f'<figure data-slots="{slots}">{_svg(tall, title, made, wide)}<figcaption>{escape(title)}</figcaption></figure>'
    )


def drawn_nodes(trace: Any, row: int) -> list[list[int]]:
    """The nodes drawn in each layer: all, if there are few, else those on the strongest paths of the row."""
    sizes = trace.network.layers
    if max(sizes) <= MOST_DRAWN:
        return [list(range(n)) for n in sizes]
    on_paths = nodes_of(paths_of(trace, row), [min(n, MOST_DRAWN) for n in sizes])
    return [list(range(n)) if n <= MOST_DRAWN else some for n, some in zip(sizes, on_paths, strict=True)]


def edge_strokes(params: Params, drawn: Drawn, largest: float) -> list[list[Any]]:
    """The width of each edge, in drawing order, and whether its weight is negative."""
    weights = [float(params[i].W[k, j]) for i, k, j in _drawn_edges(drawn)]
    return [[round(_width(w, largest), 2), int(w < 0)] for w in weights]


def edge_labels(params: Params, drawn: Drawn, digits: int) -> list[str]:
    """The labels of the edges in drawing order; empty if they are not printed."""
    if not labelled(drawn):
        return []
    return [number(params[i].W[k, j], digits) for i, k, j in _drawn_edges(drawn)]


def labelled(drawn: Drawn) -> bool:
    return sum(1 for _ in _drawn_edges(drawn)) <= MOST_LABELLED


def edge_name(names: Names, i: int, k: int, j: int) -> str:
    return escape(f"{names.nodes[i][k]}->{names.nodes[i + 1][j]}")


def _drawn_edges(drawn: Drawn) -> Iterator[tuple[int, int, int]]:
    for i in range(len(drawn) - 1):
        yield from ((i, k, j) for k in drawn[i] for j in drawn[i + 1])


def _edges(drawn: Drawn, places: Any) -> Iterator[tuple[int, int, int, str, tuple[float, float]]]:
    """Layer, source and target of each edge, its ends as attributes, and the position of its label."""
    at = [dict(zip(js, column, strict=True)) for js, column in zip(drawn, places, strict=True)]
    for i, k, j in _drawn_edges(drawn):
        (x1, y1), (x2, y2) = at[i][k], at[i + 1][j]
        ends = f'x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"'
        yield i, k, j, ends, (x1 + 0.3 * (x2 - x1), y1 + 0.3 * (y2 - y1))


def _line(ends: str, w: float, largest: float) -> str:
    sign = "negative" if w < 0 else "positive"
    return f'<line class="weight {sign}" {ends} stroke-width="{_width(w, largest):.2f}"/>'


def _width(w: float, largest: float) -> float:
    return 0.6 + 5.4 * min(1.0, abs(w) / largest)


def _label(at: tuple[float, float], text: str) -> str:
    return f'<text class="label s" x="{at[0]:.0f}" y="{at[1] + 4:.0f}">{text}</text>'


def _places(drawn: Drawn, wide: float = WIDTH) -> tuple[float, list[list[tuple[float, float]]]]:
    """The height of the drawing, and the centres of the nodes of each layer."""
    room, step = max(len(js) for js in drawn) * SPACE, (wide - 2 * MARGIN) / (len(drawn) - 1)
    columns = [
        [(MARGIN + layer * step, (j + 0.5) * room / len(js) - 8) for j in range(len(js))]
        for layer, js in enumerate(drawn)
    ]
    return room, columns


def _left_out(names: Names, drawn: Drawn, tall: float) -> str:
    step = (WIDTH - 2 * MARGIN) / (len(drawn) - 1)
    left = [(layer, len(names.nodes[layer]) - len(js)) for layer, js in enumerate(drawn)]
    return "".join(
        f'<text class="name" x="{MARGIN + layer * step:.0f}" y="{tall - 6}">and {n} more</text>'
        for layer, n in left
        if n
    )


def _anchor(layer: int, layers: int, called: str) -> tuple[str, float]:
    """The alignment of a name: long names in the first and last layer start and end at the edge of the drawing."""
    if len(called) <= SHORT or layer not in (0, layers - 1):
        return "", 0
    return (" start", 4 - MARGIN) if layer == 0 else (" end", MARGIN - 4)


def _called(names: Names, layer: int, j: int) -> str:
    """The displayed name of a node: the column of an input, the class of an output, else its own name."""
    name = names.nodes[layer][j]
    if layer == 0:
        return names.inputs[j]
    if layer == len(names.nodes) - 1 and names.outputs[j] != name:
        return f"{name}: {names.outputs[j]}"
    return name


def _svg(tall: float, label: str, inside: str, wide: float = WIDTH) -> str:
    shape = f'viewBox="0 0 {wide:.0f} {tall:.0f}" preserveAspectRatio="xMinYMin"'
    return f'<svg {shape} role="group" aria-label="{escape(label)}">{inside}</svg>'

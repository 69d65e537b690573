"""A story as a self-contained HTML page: the network, its formulas with numbers, and tables.

Python writes every number and formula; the script only replaces them when the reader selects another step, row or
epoch. Without the script, the page shows its first update and row.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from chainrule.explaining.console import counted
from chainrule.explaining.page.charts import curve_svg, curve_words, has_surface, surface_svg, surface_words
from chainrule.explaining.page.drawing import drawn_nodes, labelled, network_svg, weights_svg
from chainrule.explaining.page.formulas import mathml
from chainrule.explaining.page.frames import (
    about_line,
    batch_costs,
    differences,
    frame_of,
    matrix_rows,
    observation,
    parameter_rows,
    place_of,
    raw_rows,
    rows_shown,
)
from chainrule.explaining.page.markup import as_script_data, asset, document, filled, scrolling, table
from chainrule.explaining.story import Opened, Story
from chainrule.explaining.text import View, design_words, path_lines
from chainrule.explaining.trace import Trace
from chainrule.explaining.writing import number
from chainrule.maths.shapes import design_name

__all__ = ["Page", "mathml", "page_of", "to_html"]

MOST_PUSHES = 32  # inputs whose effects are listed
STEPS = ("Design", "Initialize", "Forward", "Cost", "Backward", "Update")
STEPS_OF_PREDICTION = ("Design", "Parameters", "Forward", "Effects")
SAY = {
    "Design": "The layers of nodes, the activation of each layer, and the cost.",
    "Initialize": "The weights (rows: from, columns: to) and biases that this update starts from.",
    "Parameters": "The weights (rows: from, columns: to) and biases of the trained network.",
    "Forward": "Each node computes the weighted sum of its inputs plus its bias; its activation function maps this sum "
    "to the output of the node.",
    "Cost": "How far the outputs are from the targets.",
    "Backward": "The chain rule from the last layer to the first: BPE, the backpropagated error, is dC/dz of a node.",
    "Update": "The gradient of a weight is the BPE of its target node times the output of its source node, summed over "
    "the rows; the rule moves each parameter against its gradient.",
    "Effects": "The backward pass of the output itself, continued to the inputs: how much each input affects the "
    "prediction.",
}


class Page(NamedTuple):
    """The body of a page as HTML, and the data for its script."""

    title: str
    body: str
    data: dict[str, Any]


class Told(NamedTuple):
    """The content of the sections: an update or prediction, the rows shown, the formulas of the current row."""

    opened: Opened
    view: View
    shown: list[int]
    largest: float  # absolute weight
    formulas: dict[str, list[str]]


def to_html(story: Story | Opened, row: int = 0, digits: int = 3) -> str:
    """Write a story as a self-contained page.

    Parameters
    ----------
    story : Story or Opened
        The updates or the prediction to show.
    row : int
        The index of the observation that is shown first.
    digits : int
        The number of decimal places.

    Returns
    -------
    str
        The page as HTML.
    """
    page = page_of(story, row, digits)
    script = filled(asset("script.html"), {"DATA": as_script_data(page.data), "MODULE": asset("page.js")})
    return document(page.title, page.body, script)


def page_of(story: Story | Opened, row: int = 0, digits: int = 3) -> Page:
    """The body of a page and its data."""
    story = Story((story,)) if isinstance(story, Opened) else story
    opened, trace = story.opened, story.opened.trace
    is_update = isinstance(trace, Trace)
    drawn, shown = drawn_nodes(trace, row), rows_shown(trace, row)
    view = View(row, digits=digits, drawn=tuple(map(tuple, drawn)))
    weights = [p for frame in story.frames for p in _parameters_of(frame.trace)]
    largest = max(float(np.abs(layer.W).max()) for params in weights for layer in params) or 1.0
    names = STEPS if is_update else STEPS_OF_PREDICTION
    a = [layer[row] for layer in trace.forward.a]
    title = _title(trace)
    frames = [frame_of(frame, place_of(frame, trace.rows[row]), view, largest) for frame in story.frames]
    place = shown.index(row)
    told = Told(opened, view, shown, largest, frames[story.at]["rows"][place]["formulas"])
    parts = {
        "TITLE": escape(title),
        "ABOUT": f'<p id="about" class="s">{escape(about_line(trace))}</p>',
        "STEPS": "".join(
            f'<button type="button" data-step="{i}">{i} {name}</button>' for i, name in enumerate(names, 1)
        ),
        "CHOICES": _choices(story, row),
        "NETWORK": network_svg(trace.names, trace.params, a, drawn, largest, digits),
        "CHARTS": _charts(story, row),
        "SECTIONS": "".join(_section(i, name, _CONTENT[name](told)) for i, name in enumerate(names, 1)),
        "ROWS": _observations(trace, shown, digits) if is_update else "",
    }
    data = {"at": story.at, "row": place, "steps": list(names), "frames": differences(frames, told.formulas)}
    return Page(title, filled(asset("body.html"), parts), data)


def _parameters_of(trace: Any) -> list[Any]:
    return [trace.params, trace.after] if isinstance(trace, Trace) else [trace.params]


def _title(trace: Any) -> str:
    what = "update" if isinstance(trace, Trace) else "prediction"
    return f"One {what} of a {design_name(trace.network.layers)} network"


def _choices(story: Story, row: int) -> str:
    """The menus of recorded epochs and of rows."""
    trace = story.opened.trace
    epochs = "".join(
        f'<option value="{place}"{" selected" if place == story.at else ""}>{frame.trace.about["epoch"]:,}</option>'
        for place, frame in enumerate(story.frames)
        if "epoch" in frame.trace.about
    )
    rows = "".join(
        f'<option value="{place}"{" selected" if i == row else ""}>{trace.rows[i]}</option>'
        for place, i in enumerate(rows_shown(trace, row))
    )
    menu = f'<label>Row <select id="row">{rows}</select></label>' if len(trace.X) > 1 else ""
    return (f'<label>Epoch <select id="epoch">{epochs}</select></label>' if len(story.frames) > 1 else "") + menu


def _charts(story: Story, row: int) -> str:
    made, trace = "", story.opened.trace
    if isinstance(trace, Trace) and has_surface(trace):
        pictures = "".join(
            f'<div class="frame" data-frame="{place}"{"" if place == story.at else " hidden"}>'
            f"{surface_svg(frame.trace, frame.scales, row if place == story.at else None)}</div>"
            for place, frame in enumerate(story.frames)
            if isinstance(frame.trace, Trace)
        )
        caption = surface_words(trace)
        made += f"<figure>{pictures}<figcaption>{escape(caption)}</figcaption></figure>"
    if story.course is not None and len(story.course.epoch):
        marks = [(frame.trace.about["epoch"], place) for place, frame in enumerate(story.frames)]
        click = " Click a dot to show that epoch." if len(marks) > 1 else ""
        caption = f"{escape(curve_words(story.course))} (training cost: {escape(story.course.cost_is)}).{click}"
        made += f"<figure>{curve_svg(story.course, marks)}<figcaption>{caption}</figcaption></figure>"
    return made


def _section(i: int, name: str, content: str) -> str:
    return f'<section data-step="{i}"><h2>{i} {name}</h2><p class="say">{escape(SAY[name])}</p>{content}</section>'


def _design(told: Told) -> str:
    opened, view = told.opened, told.view
    trace = opened.trace
    network = trace.network
    cost = f"; cost {network.cost.name}, {network.reduction} over the rows" if isinstance(trace, Trace) else ""
    made = f"<p>{escape(design_words(network) + cost)}; {network.n_parameters:,} parameters.</p>"
    named = [
        (node, [name], "")
        for layer, people in ((0, trace.names.inputs), (-1, trace.names.outputs))
        for node, name in zip(trace.names.nodes[layer], people, strict=True)
        if node != name
    ]
    drawn = view.drawn or ()
    if any(len(js) < n for js, n in zip(drawn, network.layers, strict=True)):
        head, *paths = path_lines(trace, view.row, view.digits)
        listed = "".join(f"<li>{escape(line.strip())}</li>" for line in paths)
        made += (
            "<p>The network is too wide to draw in full. The drawing shows the nodes on the strongest paths of the row "
            f"that is shown first. {escape(head[0].upper() + head[1:])}:</p><ol>{listed}</ol>"
            "<p>Use --json to print the complete trace, and --node or --layer for other nodes and layers.</p>"
        )
    made += "".join(f"<p>{escape(line[0].upper() + line[1:])}.</p>" for line in opened.answer)
    if opened.raw:
        made += "<p>Columns are encoded: numbers as Z-scores, text values as 0 or 1.</p>"
        made += _formulas_of("scales")(told) if opened.workings else ""
        rows = [(name, cells, "") for name, cells in raw_rows(opened, told.shown)]
        made += table("Raw columns", ["row", *opened.raw], rows, "raw")
    if not named:
        return made
    listed = table("Names of the nodes", ["node", "name"], named)
    return f"{made}<details><summary>Names of the nodes</summary>{listed}</details>"


def _matrices(told: Told) -> str:
    """The weights of each layer as a matrix, with the biases in the last row."""
    trace, drawn, made = told.opened.trace, told.view.drawn or (), ""
    for i, rows in enumerate(matrix_rows(trace, drawn, told.view.digits)):
        to = trace.names.nodes[i + 1]
        made += table(f"Layer {i + 1}", ["from \\ to", *(to[j] for j in drawn[i + 1])], rows, "matrices", named="")
    return f'<div class="beside">{made}</div>'


def _formulas_of(group: str) -> Any:
    def content(told: Told) -> str:
        items = "".join(told.formulas[group])
        return scrolling(f"Formulas: {group}", f'<ul class="formulas" data-group="{group}">{items}</ul>')

    return content


def _cost(told: Told) -> str:
    costs = escape(batch_costs(told.opened.trace, told.view.digits))
    return _formulas_of("cost")(told) + f'<p data-slots="batch"><span class="s">{costs}</span></p>'


def _update(told: Told) -> str:
    trace: Any = told.opened.trace
    drawn, digits, made = told.view.drawn or (), told.view.digits, ""
    if labelled(drawn):
        sides = ((trace.params, "Before", "before"), (trace.after, "After", "after"))
        pictures = (weights_svg(trace.names, p, drawn, told.largest, digits, *words) for p, *words in sides)
        made = f'<div class="beside">{"".join(pictures)}</div>'
    rows = parameter_rows(trace, drawn, digits)
    header = ["parameter", "before", "gradient", "change", "after"]
    return (
        made + _formulas_of("update")(told) + table("Parameters before and after", header, rows, "parameters", named="")
    )


def _pushes(told: Told) -> str:
    """A table of the inputs, ordered by their effect on the output."""
    trace: Any = told.opened.trace
    x, pushes, digits = trace.X[0], trace.pushes[0], told.view.digits
    order = np.argsort(-np.abs(pushes * x), kind="stable")
    rows = [
        (trace.names.inputs[i], [number(v, digits) for v in (x[i], pushes[i], pushes[i] * x[i])], _tie(told, i))
        for i in order[:MOST_PUSHES]
    ]
    header = ["input", "value", "d output / d input", "value x derivative"]
    made = table(f"Effect of each input on {trace.names.outputs[trace.output]}", header, rows)
    left = len(order) - len(rows)
    return made + (f"<p>and {left} with smaller effects</p>" if left > 0 else "")


def _tie(told: Told, i: int) -> str:
    return f' data-of="{escape(told.opened.trace.names.nodes[0][i])}"' if i in (told.view.drawn or ((),))[0] else ""


def _observations(trace: Trace, shown: Sequence[int], digits: int) -> str:
    outputs = trace.names.nodes[-1]
    parts = ("z", "a", "target", "error", "BPE")
    names = [f"{name} {what}" for what in parts for name in outputs]
    rows = [
        (str(trace.rows[i]), observation(trace, i, digits), f' data-place="{place}"') for place, i in enumerate(shown)
    ]
    left = len(trace.X) - len(shown)
    told = table("Observations of this update", ["row", *names, "cost"], rows, "observations")
    more = f"<p>and {counted(left, 'more row')}</p>" if left else ""
    return f'<section id="observations">{told}{more}</section>'


_CONTENT: dict[str, Any] = {
    "Design": _design,
    "Initialize": _matrices,
    "Parameters": _matrices,
    "Forward": _formulas_of("forward"),
    "Cost": _cost,
    "Backward": _formulas_of("backward"),
    "Update": _update,
    "Effects": _pushes,
}

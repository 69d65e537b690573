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
from chainrule.explaining.page import formulas
from chainrule.explaining.page.charts import curve_svg, curve_words, has_surface, surface_svg, surface_words
from chainrule.explaining.page.drawing import (
    drawn_nodes,
    edge_labels,
    edge_name,
    edge_strokes,
    labelled,
    network_svg,
    weights_svg,
)
from chainrule.explaining.page.formulas import mathml
from chainrule.explaining.page.markup import as_script_data, asset, document, filled, scrolling, table
from chainrule.explaining.story import Opened, Story
from chainrule.explaining.text import (
    View,
    backward_lines,
    cost_lines,
    design_words,
    forward_lines,
    path_lines,
    scale_lines,
    update_lines,
)
from chainrule.explaining.trace import Trace
from chainrule.explaining.writing import number, target_text
from chainrule.maths.shapes import design_name

__all__ = ["Page", "mathml", "page_of", "to_html"]

MOST_ROWS = 12  # rows of an update that can be selected
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
    drawn, shown = drawn_nodes(trace, row), _shown(trace, row)
    view = View(row, digits=digits, drawn=tuple(map(tuple, drawn)))
    weights = [p for frame in story.frames for p in _parameters_of(frame.trace)]
    largest = max(float(np.abs(layer.W).max()) for params in weights for layer in params) or 1.0
    names = STEPS if is_update else STEPS_OF_PREDICTION
    a = [layer[row] for layer in trace.forward.a]
    title = _title(trace)
    frames = [_frame(frame, _place_of(frame, trace.rows[row]), view, largest) for frame in story.frames]
    place = shown.index(row)
    told = Told(opened, view, shown, largest, frames[story.at]["rows"][place]["formulas"])
    parts = {
        "TITLE": escape(title),
        "ABOUT": f'<p id="about" class="s">{escape(_about(trace))}</p>',
        "STEPS": "".join(
            f'<button type="button" data-step="{i}">{i} {name}</button>' for i, name in enumerate(names, 1)
        ),
        "CHOICES": _choices(story, row),
        "NETWORK": network_svg(trace.names, trace.params, a, drawn, largest, digits),
        "CHARTS": _charts(story, row),
        "SECTIONS": "".join(_section(i, name, _CONTENT[name](told)) for i, name in enumerate(names, 1)),
        "ROWS": _observations(trace, shown, digits) if is_update else "",
    }
    data = {"at": story.at, "row": place, "steps": list(names), "frames": _against(frames, told.formulas)}
    return Page(title, filled(asset("body.html"), parts), data)


def _parameters_of(trace: Any) -> list[Any]:
    return [trace.params, trace.after] if isinstance(trace, Trace) else [trace.params]


def _shown(trace: Any, row: int) -> list[int]:
    """The indices of the rows that can be selected: the first ones, and the one that is shown first."""
    return sorted(sorted(range(len(trace.X)), key=lambda i: (i != row, i))[:MOST_ROWS])


# What changes from frame to frame and from row to row --------------------------------------------------------------


def _place_of(opened: Opened, number_of_row: int) -> int:
    """The index of a row of the table among the rows of an update; 0 if it is not one of them."""
    return opened.trace.rows.index(number_of_row) if number_of_row in opened.trace.rows else 0


def _frame(opened: Opened, told: int, view: View, largest: float) -> dict[str, Any]:
    """The texts of an update, in the order of their slots on the page."""
    trace: Any = opened.trace
    digits, drawn = view.digits, view.drawn or ()
    shown = _shown(trace, told)
    matrices = [t for rows in _matrix_rows(trace, drawn, digits) for _, cells, _ in rows for t in cells]
    frame: dict[str, Any] = {
        "about": _about(trace),
        "epoch": trace.about.get("epoch"),
        "slots": {"weights": edge_labels(trace.params, drawn, digits), "matrices": matrices},
        "strokes": {"weights": edge_strokes(trace.params, drawn, largest)},
        "rows": [_row(opened, i, view) for i in shown],
    }
    if not isinstance(trace, Trace):
        return frame
    frame["slots"] |= {
        "raw": [text for name, cells in _raw_rows(opened, shown) for text in (name, *cells)],
        "observations": [t for i in shown for t in (str(trace.rows[i]), *_observation(trace, i, digits))],
        "parameters": [text for _, cells, _ in _parameter_rows(trace, drawn, digits) for text in cells],
        "before": edge_labels(trace.params, drawn, digits),
        "after": edge_labels(trace.after, drawn, digits),
        "batch": [_batch_costs(trace, digits)],
    }
    frame["strokes"] |= {
        "before": edge_strokes(trace.params, drawn, largest),
        "after": edge_strokes(trace.after, drawn, largest),
    }
    return frame


def _row(opened: Opened, i: int, view: View) -> dict[str, Any]:
    """The texts of an observation: values of the nodes, and formulas."""
    trace, digits, drawn = opened.trace, view.digits, view.drawn or ()
    values = [number(trace.forward.a[k][i, j], digits) for k, js in enumerate(drawn) for j in js]
    groups = _formula_groups(opened, view._replace(row=i))
    return {"row": trace.rows[i], "values": values, "formulas": {k: formulas.items(v) for k, v in groups.items()}}


def _formula_groups(opened: Opened, view: View) -> dict[str, list[str]]:
    trace: Any = opened.trace
    layers = {i: list(nodes) for i, nodes in enumerate((view.drawn or ())[1:])}
    forward = forward_lines(trace, view, layers)[1:]
    scales = scale_lines(opened, view, (view.drawn or ((),))[0])
    if not isinstance(trace, Trace):
        return {"scales": scales, "forward": forward}
    cost = cost_lines(trace, view)
    return {
        "scales": scales,
        "forward": forward,
        "cost": [cost[0].partition(": ")[2], *cost[1:]],
        "backward": backward_lines(trace, view, layers)[1:],
        "update": update_lines(trace, view, layers)[1:],
    }


def _against(frames: list[dict[str, Any]], first: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Reduce formulas to their differences from those on the page: only the numbers if the rest is equal."""
    base = {group: [formulas.slots(item) for item in items] for group, items in first.items()}
    for frame in frames:
        for row in frame["rows"]:
            row["formulas"] = {
                group: [_change(item, like) for item, like in zip(own, base[group], strict=True)]
                for group, own in row["formulas"].items()
            }
    return frames


def _change(item: str, like: tuple[str, list[str]]) -> str | list[str]:
    skeleton, texts = formulas.slots(item)
    return "|".join(texts) if skeleton == like[0] and len(texts) == len(like[1]) else [item]


# The parts of the page ---------------------------------------------------------------------------------------------


def _title(trace: Any) -> str:
    what = "update" if isinstance(trace, Trace) else "prediction"
    return f"One {what} of a {design_name(trace.network.layers)} network"


def _about(trace: Any) -> str:
    about = trace.about
    if not isinstance(trace, Trace):
        answer = trace.names.outputs[trace.output]
        file = about.get("file", "the table")
        return f"Row {trace.rows[0]} of {file}; the output {answer} is traced back to the inputs."
    where = [f"epoch {about['epoch']:,}"] if "epoch" in about else []
    if about.get("batches", 1) > 1:
        where.append(f"batch {about['batch']:,} of {about['batches']:,}")
    where.append(counted(len(trace.X), "row"))
    rule = f" Rule: {about['rule']}." if "rule" in about else ""
    costs = f" Cost of these rows: {trace.cost:.4g} before the update, {trace.cost_after:.4g} after it."
    told = ", ".join(where)
    return told[0].upper() + told[1:] + "." + rule + costs


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
        for place, i in enumerate(_shown(trace, row))
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
        rows = [(name, cells, "") for name, cells in _raw_rows(opened, told.shown)]
        made += table("Raw columns", ["row", *opened.raw], rows, "raw")
    if not named:
        return made
    listed = table("Names of the nodes", ["node", "name"], named)
    return f"{made}<details><summary>Names of the nodes</summary>{listed}</details>"


def _matrices(told: Told) -> str:
    """The weights of each layer as a matrix, with the biases in the last row."""
    trace, drawn, made = told.opened.trace, told.view.drawn or (), ""
    for i, rows in enumerate(_matrix_rows(trace, drawn, told.view.digits)):
        to = trace.names.nodes[i + 1]
        made += table(f"Layer {i + 1}", ["from \\ to", *(to[j] for j in drawn[i + 1])], rows, "matrices", named="")
    return f'<div class="beside">{made}</div>'


def _matrix_rows(trace: Any, drawn: Any, digits: int) -> list[list[tuple[str, list[str], str]]]:
    layers = []
    for i, (W, b) in enumerate(trace.params):
        named = [(trace.names.nodes[i][k], W[k]) for k in drawn[i]] + [("bias", b)]
        layers.append([(name, [number(values[j], digits) for j in drawn[i + 1]], "") for name, values in named])
    return layers


def _formulas_of(group: str) -> Any:
    def content(told: Told) -> str:
        items = "".join(told.formulas[group])
        return scrolling(f"Formulas: {group}", f'<ul class="formulas" data-group="{group}">{items}</ul>')

    return content


def _cost(told: Told) -> str:
    costs = escape(_batch_costs(told.opened.trace, told.view.digits))
    return _formulas_of("cost")(told) + f'<p data-slots="batch"><span class="s">{costs}</span></p>'


def _batch_costs(trace: Any, digits: int) -> str:
    before, after = number(trace.cost, digits), number(trace.cost_after, digits)
    return f"The update changes the cost of these rows from {before} to {after}."


def _update(told: Told) -> str:
    trace: Any = told.opened.trace
    drawn, digits, made = told.view.drawn or (), told.view.digits, ""
    if labelled(drawn):
        sides = ((trace.params, "Before", "before"), (trace.after, "After", "after"))
        pictures = (weights_svg(trace.names, p, drawn, told.largest, digits, *words) for p, *words in sides)
        made = f'<div class="beside">{"".join(pictures)}</div>'
    rows = _parameter_rows(trace, drawn, digits)
    header = ["parameter", "before", "gradient", "change", "after"]
    return (
        made + _formulas_of("update")(told) + table("Parameters before and after", header, rows, "parameters", named="")
    )


def _parameter_rows(trace: Any, drawn: Any, digits: int) -> list[tuple[str, list[str], str]]:
    rows = []
    layers = zip(trace.params, trace.backward.gradient, trace.step, trace.after, strict=True)
    for i, told in enumerate(layers):
        sources, to = trace.names.nodes[i], trace.names.nodes[i + 1]
        for j in drawn[i + 1]:
            for k in drawn[i]:
                tie = f' data-of="{edge_name(trace.names, i, k, j)}"'
                name = f"{sources[k]} \N{RIGHTWARDS ARROW} {to[j]}"
                rows.append((name, [number(p.W[k, j], digits) for p in told], tie))
            rows.append((f"bias {to[j]}", [number(p.b[j], digits) for p in told], f' data-of="{escape(to[j])}"'))
    return rows


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


def _raw_rows(opened: Opened, shown: Sequence[int]) -> list[tuple[str, list[str]]]:
    if not opened.raw:
        return []
    return [(str(opened.trace.rows[i]), [values[i] for values in opened.raw.values()]) for i in shown]


def _observations(trace: Trace, shown: Sequence[int], digits: int) -> str:
    outputs = trace.names.nodes[-1]
    parts = ("z", "a", "target", "error", "BPE")
    names = [f"{name} {what}" for what in parts for name in outputs]
    rows = [
        (str(trace.rows[i]), _observation(trace, i, digits), f' data-place="{place}"') for place, i in enumerate(shown)
    ]
    left = len(trace.X) - len(shown)
    told = table("Observations of this update", ["row", *names, "cost"], rows, "observations")
    more = f"<p>and {counted(left, 'more row')}</p>" if left else ""
    return f'<section id="observations">{told}{more}</section>'


def _observation(trace: Any, i: int, digits: int) -> list[str]:
    forward, back = (trace.forward.z, trace.forward.a), (trace.backward.error, trace.backward.delta)
    told = [number(x, digits) for part in forward for x in part[-1][i]]
    told += [target_text(y, digits) for y in trace.Y[i]]
    return [*told, *(number(x, digits) for part in back for x in part[-1][i]), number(trace.costs[i], digits)]


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

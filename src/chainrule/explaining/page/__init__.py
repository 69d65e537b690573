"""A story as one HTML page: the network, its formulas with numbers put in, tables; no framework, nothing fetched.

Python writes every number and formula; the script only puts others of them in their places when the reader steps to
another step, row or epoch. Without it, the page shows the update and the row that it begins with.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from chainrule.console import counted
from chainrule.explaining.page import formulas
from chainrule.explaining.page.charts import curve_svg, curve_words, has_surface, surface_svg, surface_words
from chainrule.explaining.page.drawing import edge_labels, edge_name, edge_strokes, labelled, network_svg, weights_svg
from chainrule.explaining.page.formulas import mathml
from chainrule.explaining.page.markup import as_script_data, asset, filled, table
from chainrule.explaining.story import Opened, Story
from chainrule.explaining.text import (
    View,
    backward_lines,
    cost_lines,
    forward_lines,
    nodes_of,
    number,
    path_lines,
    paths_of,
    scale_lines,
    target_text,
    update_lines,
)
from chainrule.trace import Trace

__all__ = ["Page", "mathml", "page_of", "to_html"]

MOST_ROWS = 12  # of an update that can be worked through
MOST_DRAWN = 8  # nodes of a layer; of a wider one those on the strongest paths
STEPS = ("Design", "Initialize", "Forward", "Cost", "Backward", "Update")
STEPS_OF_PREDICTION = ("Design", "Parameters", "Forward", "Pushes")
SAY = {
    "Design": "Layers of nodes, an activation for each layer, a cost.",
    "Initialize": "The weights (rows: from, columns: to) and biases that this update starts from.",
    "Parameters": "The weights (rows: from, columns: to) and biases of the trained network.",
    "Forward": "Each node adds up what it is fed times the weights, and its bias; its activation turns this into what "
    "the node hands on.",
    "Cost": "How far the output is from the target.",
    "Backward": "The chain rule from the last layer to the first: BPE, the backpropagated error, is dC/dz of a node.",
    "Update": "The gradient of a weight is the BPE where it ends times what it was fed, added up over the rows; the "
    "rule moves each parameter against its gradient.",
    "Pushes": "The backward pass of the output itself, carried on to the inputs: how much each input moves the answer.",
}


class Page(NamedTuple):
    """The page's inside as HTML, and what its script fills in."""

    title: str
    body: str
    data: dict[str, Any]


def to_html(story: Story | Opened, row: int = 0, digits: int = 3) -> str:
    """One self-contained page; `row` is the place of the observation that it begins with (from 0)."""
    page = page_of(story, row, digits)
    parts = {
        "TITLE": escape(page.title),
        "STYLE": asset("page.css"),
        "BODY": page.body,
        "SCRIPT": asset("page.js"),
        "DATA": as_script_data(page.data),
    }
    return filled(asset("page.html"), parts)


def page_of(story: Story | Opened, row: int = 0, digits: int = 3) -> Page:
    """The inside of a page and its data."""
    story = Story((story,)) if isinstance(story, Opened) else story
    opened, trace = story.opened, story.opened.trace
    is_update = isinstance(trace, Trace)
    drawn = _drawn(trace, row)
    view = View(row, digits=digits, drawn=tuple(map(tuple, drawn)))
    weights = [p for frame in story.frames for p in _parameters_of(frame.trace)]
    largest = max(float(np.abs(layer.W).max()) for params in weights for layer in params) or 1.0
    names = STEPS if is_update else STEPS_OF_PREDICTION
    a = [layer[row] for layer in trace.forward.a]
    title = _title(trace)
    parts = {
        "TITLE": escape(title),
        "ABOUT": f'<p id="about" class="s">{escape(_about(trace))}</p>',
        "STEPS": "".join(
            f'<button type="button" data-step="{i}">{i} {name}</button>' for i, name in enumerate(names, 1)
        ),
        "CHOICES": _choices(story, row),
        "NETWORK": network_svg(trace.names, trace.params, a, drawn, largest, digits),
        "CHARTS": _charts(story, row),
        "SECTIONS": "".join(
            _section(i, name, _CONTENT[name](opened, view, largest)) for i, name in enumerate(names, 1)
        ),
        "ROWS": _observations(trace, _shown(trace, row), digits) if is_update else "",
    }
    frames = [_frame(frame, _place_of(frame, trace.rows[row]), view, largest) for frame in story.frames]
    data = {"at": story.at, "row": _shown(trace, row).index(row), "steps": list(names), "frames": frames}
    return Page(title, filled(asset("body.html"), parts), _against(data, story.at))


def _parameters_of(trace: Any) -> list[Any]:
    return [trace.params, trace.after] if isinstance(trace, Trace) else [trace.params]


def _shown(trace: Any, row: int) -> list[int]:
    """The places of the rows that can be worked through: the first ones, and the one to begin with."""
    return sorted(sorted(range(len(trace.X)), key=lambda i: (i != row, i))[:MOST_ROWS])


def _drawn(trace: Any, row: int) -> list[list[int]]:
    """The nodes of each layer that are drawn: all of a few, else those on the strongest paths of the row."""
    sizes = trace.network.layers
    if max(sizes) <= MOST_DRAWN:
        return [list(range(n)) for n in sizes]
    on_paths = nodes_of(paths_of(trace, row), [min(n, MOST_DRAWN) for n in sizes])
    return [list(range(n)) if n <= MOST_DRAWN else some for n, some in zip(sizes, on_paths, strict=True)]


# What changes from frame to frame and from row to row --------------------------------------------------------------


def _place_of(opened: Opened, number_of_row: int) -> int:
    """Where a row of the table is among the rows of an update; the first place if it is not among them."""
    return opened.trace.rows.index(number_of_row) if number_of_row in opened.trace.rows else 0


def _frame(opened: Opened, told: int, view: View, largest: float) -> dict[str, Any]:
    """One update's texts, in the order in which their places stand on the page."""
    trace: Any = opened.trace
    digits, drawn = view.digits, view.drawn or ()
    shown = _shown(trace, told)
    frame: dict[str, Any] = {
        "about": _about(trace),
        "epoch": trace.about.get("epoch"),
        "slots": {"weights": edge_labels(trace.params, drawn, digits), "matrices": _matrix_texts(trace, drawn, digits)},
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
    """One observation's texts: its values in the nodes, and the items of its formulas."""
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


def _against(data: dict[str, Any], at: int) -> dict[str, Any]:
    """Formulas as what differs from those that stand on the page: numbers where the rest is alike, else whole items."""
    base = {
        k: [formulas.slots(item) for item in v] for k, v in data["frames"][at]["rows"][data["row"]]["formulas"].items()
    }
    for frame in data["frames"]:
        for row in frame["rows"]:
            row["formulas"] = {
                group: [_change(item, like) for item, like in zip(own, base[group], strict=True)]
                for group, own in row["formulas"].items()
            }
    return data


def _change(item: str, like: tuple[str, list[str]]) -> str | list[str]:
    skeleton, texts = formulas.slots(item)
    return "|".join(texts) if skeleton == like[0] and len(texts) == len(like[1]) else [item]


# The parts of the page ---------------------------------------------------------------------------------------------


def _title(trace: Any) -> str:
    design = "-".join(map(str, trace.network.layers))
    return f"A {design} network, one {'update' if isinstance(trace, Trace) else 'prediction'} opened"


def _about(trace: Any) -> str:
    about = trace.about
    if not isinstance(trace, Trace):
        answer = trace.names.outputs[trace.output]
        return (
            f"Row {trace.rows[0]} of {about.get('file', 'the table')}; followed to the inputs is the output {answer}."
        )
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
        click = " Dots are the epochs that can be opened." if len(marks) > 1 else ""
        caption = f"{escape(curve_words(story.course))} (training cost: {escape(story.course.cost_is)}).{click}"
        made += f"<figure>{curve_svg(story.course, marks)}<figcaption>{caption}</figcaption></figure>"
    return made


def _section(i: int, name: str, content: str) -> str:
    return f'<section data-step="{i}"><h2>{i} {name}</h2><p class="say">{escape(SAY[name])}</p>{content}</section>'


def _design(opened: Opened, view: View, largest: float) -> str:
    trace = opened.trace
    network = trace.network
    words = ", ".join(activation.name for activation in network.activations)
    cost = f"; cost {network.cost.name}, {network.reduction} over the rows" if isinstance(trace, Trace) else ""
    sizes = "-".join(map(str, network.layers))
    made = f"<p>{sizes}, {escape(words)}{escape(cost)}; {network.n_parameters:,} parameters.</p>"
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
            "<p>The network is too wide to draw whole: drawn are the nodes on the strongest paths of the row that the "
            f"page begins with. {escape(head[0].upper() + head[1:])}:</p><ol>{listed}</ol>"
            "<p>The whole trace is printed by --json; a node or a layer by --node and --layer.</p>"
        )
    made += "".join(f"<p>{escape(line[0].upper() + line[1:])}.</p>" for line in opened.answer)
    if opened.raw:
        made += "<p>Columns enter encoded: numbers as Z-scores, values of text as 0 or 1.</p>"
        made += _formulas_of("scales")(opened, view, largest) if opened.scales else ""
        shown = _shown(trace, view.row)
        made += table(
            "Raw columns", ["row", *opened.raw], [(n, cells, "") for n, cells in _raw_rows(opened, shown)], "raw"
        )
    if not named:
        return made
    told = table("What the nodes stand for", ["node", "stands for"], named)
    return f"{made}<details><summary>What the nodes stand for</summary>{told}</details>"


def _matrices(opened: Opened, view: View, largest: float) -> str:
    """For each layer the weights as a matrix, the biases in its last row."""
    trace, made, drawn = opened.trace, "", view.drawn or ()
    for i, layer in enumerate(trace.params):
        sources, to = trace.names.nodes[i], trace.names.nodes[i + 1]
        rows = [(sources[k], [number(layer.W[k, j], view.digits) for j in drawn[i + 1]], "") for k in drawn[i]]
        rows.append(("bias", [number(layer.b[j], view.digits) for j in drawn[i + 1]], ""))
        made += table(f"Layer {i + 1}", ["from \\ to", *(to[j] for j in drawn[i + 1])], rows, "matrices", named="")
    return f'<div class="beside">{made}</div>'


def _matrix_texts(trace: Any, drawn: Any, digits: int) -> list[str]:
    texts = []
    for i, layer in enumerate(trace.params):
        texts += [number(layer.W[k, j], digits) for k in drawn[i] for j in drawn[i + 1]]
        texts += [number(layer.b[j], digits) for j in drawn[i + 1]]
    return texts


def _formulas_of(group: str) -> Any:
    def content(opened: Opened, view: View, largest: float) -> str:
        items = formulas.items(_formula_groups(opened, view)[group])
        return (
            f'<div class="wide" tabindex="0" role="region" aria-label="Formulas: {group}">'
            f'<ul class="formulas" data-group="{group}">{"".join(items)}</ul></div>'
        )

    return content


def _cost(opened: Opened, view: View, largest: float) -> str:
    told = _batch_costs(opened.trace, view.digits)
    return (
        _formulas_of("cost")(opened, view, largest) + f'<p data-slots="batch"><span class="s">{escape(told)}</span></p>'
    )


def _batch_costs(trace: Any, digits: int) -> str:
    before, after = number(trace.cost, digits), number(trace.cost_after, digits)
    return f"After this update, the cost of the same rows is {after}; it was {before}."


def _update(opened: Opened, view: View, largest: float) -> str:
    trace: Any = opened.trace
    drawn = view.drawn or ()
    made = _formulas_of("update")(opened, view, largest)
    if labelled(drawn):
        pictures = ((trace.params, "Before", "before"), (trace.after, "After", "after"))
        made = (
            "".join(weights_svg(trace.names, p, drawn, largest, view.digits, *words) for p, *words in pictures) + made
        )
        made = made.replace("<figure", '<div class="beside"><figure', 1).replace(
            '<div class="wide"', '</div><div class="wide"', 1
        )
    rows = _parameter_rows(trace, drawn, view.digits)
    header = ["parameter", "before", "gradient", "change", "after"]
    return made + table("Parameters before and after", header, rows, "parameters", named="")


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


def _pushes(opened: Opened, view: View, largest: float) -> str:
    """The inputs by how much they push the output, as a table."""
    told: Any = opened.trace
    x, pushes, digits = told.X[0], told.pushes[0], view.digits
    order = np.argsort(-np.abs(pushes * x), kind="stable")
    rows = [
        (told.names.inputs[i], [number(v, digits) for v in (x[i], pushes[i], pushes[i] * x[i])], _tie(told, view, i))
        for i in order[: 4 * MOST_DRAWN]
    ]
    header = ["input", "value", "d output / d input", "value x derivative"]
    made = table(f"What pushes {told.names.outputs[told.output]}", header, rows)
    left = len(order) - len(rows)
    return made + (f"<p>and {left} smaller</p>" if left > 0 else "")


def _tie(told: Any, view: View, i: int) -> str:
    return f' data-of="{escape(told.names.nodes[0][i])}"' if i in (view.drawn or ((),))[0] else ""


def _raw_rows(opened: Opened, shown: Sequence[int]) -> list[tuple[str, list[str]]]:
    return (
        [(str(opened.trace.rows[i]), [values[i] for values in opened.raw.values()]) for i in shown]
        if opened.raw
        else []
    )


def _observations(trace: Trace, shown: Sequence[int], digits: int) -> str:
    outputs = trace.names.nodes[-1]
    parts = ("z", "a", "target", "error", "BPE")
    names = [f"{name} {what}" for what in parts for name in outputs]
    rows = [
        (str(trace.rows[i]), _observation(trace, i, digits), f' data-place="{place}"') for place, i in enumerate(shown)
    ]
    left = len(trace.X) - len(shown)
    told = table("Observations of this update", ["row", *names, "cost"], rows, "observations")
    return f'<section id="observations">{told}{f"<p>and {left} rows more</p>" if left else ""}</section>'


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
    "Pushes": _pushes,
}

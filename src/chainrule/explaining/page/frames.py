"""What changes on a page from epoch to epoch and from row to row: the texts that its script fills in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from chainrule.explaining.console import counted
from chainrule.explaining.page import formulas
from chainrule.explaining.page.drawing import edge_labels, edge_name, edge_strokes
from chainrule.explaining.story import Opened
from chainrule.explaining.text import View, backward_lines, cost_lines, forward_lines, scale_lines, update_lines
from chainrule.explaining.trace import Trace
from chainrule.explaining.writing import number, target_text

MOST_ROWS = 12  # rows of an update that can be selected


def rows_shown(trace: Any, row: int) -> list[int]:
    """The indices of the rows that can be selected: the first ones, and the one that is shown first."""
    return sorted(sorted(range(len(trace.X)), key=lambda i: (i != row, i))[:MOST_ROWS])


def place_of(opened: Opened, number_of_row: int) -> int:
    """The index of a row of the table among the rows of an update; 0 if it is not one of them."""
    return opened.trace.rows.index(number_of_row) if number_of_row in opened.trace.rows else 0


def frame_of(opened: Opened, told: int, view: View, largest: float) -> dict[str, Any]:
    """The texts of an update, in the order of their slots on the page."""
    trace: Any = opened.trace
    digits, drawn = view.digits, view.drawn or ()
    shown = rows_shown(trace, told)
    matrices = [t for rows in matrix_rows(trace, drawn, digits) for _, cells, _ in rows for t in cells]
    frame: dict[str, Any] = {
        "about": about_line(trace),
        "epoch": trace.about.get("epoch"),
        "slots": {"weights": edge_labels(trace.params, drawn, digits), "matrices": matrices},
        "strokes": {"weights": edge_strokes(trace.params, drawn, largest)},
        "rows": [_row(opened, i, view) for i in shown],
    }
    if not isinstance(trace, Trace):
        return frame
    frame["slots"] |= {
        "raw": [text for name, cells in raw_rows(opened, shown) for text in (name, *cells)],
        "observations": [t for i in shown for t in (str(trace.rows[i]), *observation(trace, i, digits))],
        "parameters": [text for _, cells, _ in parameter_rows(trace, drawn, digits) for text in cells],
        "before": edge_labels(trace.params, drawn, digits),
        "after": edge_labels(trace.after, drawn, digits),
        "batch": [batch_costs(trace, digits)],
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


def differences(frames: list[dict[str, Any]], first: dict[str, list[str]]) -> list[dict[str, Any]]:
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


def about_line(trace: Any) -> str:
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


def matrix_rows(trace: Any, drawn: Any, digits: int) -> list[list[tuple[str, list[str], str]]]:
    layers = []
    for i, (W, b) in enumerate(trace.params):
        named = [(trace.names.nodes[i][k], W[k]) for k in drawn[i]] + [("bias", b)]
        layers.append([(name, [number(values[j], digits) for j in drawn[i + 1]], "") for name, values in named])
    return layers


def batch_costs(trace: Any, digits: int) -> str:
    before, after = number(trace.cost, digits), number(trace.cost_after, digits)
    return f"The update changes the cost of these rows from {before} to {after}."


def parameter_rows(trace: Any, drawn: Any, digits: int) -> list[tuple[str, list[str], str]]:
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


def raw_rows(opened: Opened, shown: Sequence[int]) -> list[tuple[str, list[str]]]:
    if not opened.raw:
        return []
    return [(str(opened.trace.rows[i]), [values[i] for values in opened.raw.values()]) for i in shown]


def observation(trace: Any, i: int, digits: int) -> list[str]:
    forward, back = (trace.forward.z, trace.forward.a), (trace.backward.error, trace.backward.delta)
    told = [number(x, digits) for part in forward for x in part[-1][i]]
    told += [target_text(y, digits) for y in trace.Y[i]]
    return [*told, *(number(x, digits) for part in back for x in part[-1][i]), number(trace.costs[i], digits)]

"""Traces as lines of text: the steps and their formulas with numbers, as worked on a blackboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import UsageError, nearest
from chainrule.explaining.console import counted, table_lines
from chainrule.explaining.formulas import bpe_formula, cost_formula, new_value
from chainrule.explaining.paths import Paths, strongest_paths
from chainrule.explaining.story import Opened
from chainrule.explaining.terms import plain, term
from chainrule.explaining.trace import Trace
from chainrule.explaining.writing import fitted_lines, in_parentheses, indented, number, target_text
from chainrule.maths.shapes import design_name
from chainrule.network import Network, penalty

MOST_TERMS = 6  # largest terms of a sum that are written out
ALL_NODES, SOME_NODES = 4, 2  # layers up to this size are shown in full; nodes shown of wider layers
MOST_PATHS = 6  # paths listed for a wide network
MOST_ROWS = 12  # in the table of observations
MOST_PARAMETERS = 60  # listed before and after the update


class View(NamedTuple):
    """What is shown of a trace: the row, one layer (from 1) or node or all, the number of digits, the width.

    `drawn`: for each layer, the inputs' too, the nodes that a page draws: those and no others are written out.
    """

    row: int = 0
    layer: int | None = None
    node: str | None = None
    digits: int = 4
    width: int | None = None
    drawn: tuple[tuple[int, ...], ...] | None = None


def step_lines(opened: Opened, view: View) -> list[str]:
    """The six steps of an update for one of its rows; the last step sums over all rows."""
    trace: Any = opened.trace
    layers = layers_of(trace, view)
    lines = [
        *_title(trace),
        "",
        *_design(opened, view),
        *_paths(trace, view, layers),
        "",
        *_observations(trace, view),
        "",
        *forward_lines(trace, view, layers),
        "",
        *cost_lines(trace, view),
        "",
        *backward_lines(trace, view, layers),
        "",
        *update_lines(trace, view, layers),
        "",
        *_parameters(trace, view),
    ]
    return fitted_lines(lines, view.width)


def prediction_lines(opened: Opened, view: View) -> list[str]:
    """The forward pass of one row, and the effect of each input on the output."""
    told: Any = opened.trace
    layers = layers_of(told, view)
    d = view.digits
    names, pushes, x = told.names.inputs, told.pushes[0], told.X[0]
    order = np.argsort(-np.abs(pushes * x), kind="stable")[: 2 * MOST_TERMS]
    rows = [[names[i], number(x[i], d), number(pushes[i], d), number(pushes[i] * x[i], d)] for i in order]
    left = len(x) - len(order)
    lines = [
        f"row {told.rows[0]} of {told.about['file']}, predicted by {told.about['run']}",
        *opened.answer,
        "",
        *_design(opened, view),
        *_paths(told, view, layers),
        "",
        *forward_lines(told, view, layers),
        "",
        f"effect of each input on {told.names.outputs[told.output]}: the backward pass continued to the inputs",
        *table_lines(["input", "value", "d output / d input", "value x derivative"], rows),
        *([f"and {left} with smaller effects"] if left > 0 else []),
    ]
    return fitted_lines(lines, view.width)


def paths_of(trace: Any, row: int, most: int = 8) -> Paths:
    """The strongest paths of a row of an update or a prediction."""
    delta = trace.backward.delta[-1] if isinstance(trace, Trace) else trace.delta[-1]
    return strongest_paths(trace.network, trace.params, trace.forward, delta, row, most)


def check_node(trace: Any, view: View) -> None:
    """Check that the requested layer and node exist; a UsageError if not."""
    nodes = trace.names.nodes[1:]
    if view.layer is not None and not 1 <= view.layer <= len(nodes):
        raise UsageError(f"--layer {view.layer}: expected 1 to {len(nodes)}")
    known = [name for layer in nodes for name in layer]
    if view.node is not None and view.node not in known:
        raise UsageError(
            f"--node {view.node}: no such node{nearest(view.node, known)}; nodes are {known[0]} to {known[-1]}"
        )


def _title(trace: Trace) -> list[str]:
    about = trace.about
    where = f"epoch {about['epoch']:,}" if "epoch" in about else "one update"
    if about.get("batches", 1) > 1:
        where += f", batch {about['batch']:,} of {about['batches']:,}"
    rule = f"; {about['rule']}" if "rule" in about else ""
    return [f"{where}: {counted(len(trace.X), 'row')}{rule}"]


def _design(opened: Opened, view: View) -> list[str]:
    """The network, and the inputs of the row, raw and encoded."""
    trace = opened.trace
    network = trace.network
    lines = [f"1 design: {design_words(network)}; {counted(network.n_parameters, 'parameter')}"]
    x = trace.X[view.row]
    if opened.raw:
        lines.append("  " + ", ".join(f"{name} = {values[view.row]}" for name, values in opened.raw.items()))
    order = np.sort(np.argsort(-np.abs(x), kind="stable")[: 2 * MOST_TERMS])
    shown = [f"{_input(trace, i)} {number(x[i], view.digits)}" for i in order if x[i] != 0 or len(x) <= 2 * MOST_TERMS]
    rest = int(np.count_nonzero(x)) - int(np.count_nonzero(x[order]))
    lines.append(
        ("  encoded: " if opened.raw else "  inputs: ") + ", ".join(shown) + (f", {rest} more" if rest else "")
    )
    return [*lines, *(plain(line) for line in scale_lines(opened, view, order.tolist()))]


def scale_lines(opened: Opened, view: View, inputs: Sequence[int]) -> list[str]:
    """How values are encoded as inputs, such as (value - mean) / standard deviation."""
    names, nodes, lines = opened.trace.names.inputs, opened.trace.names.nodes[0], []
    for i in inputs:
        working, node = opened.workings.get(names[i]), term(nodes[i], nodes[i])
        if working is None:
            continue
        formula = working.formula(view.row, lambda x: in_parentheses(x, 4))
        x = term(number(opened.trace.X[view.row, i], view.digits), nodes[i])
        lines.append(f"  {node} = {formula} = {x}" if formula else f"  {node} is {working.if_missing}")
    return lines


def _observations(trace: Trace, view: View) -> list[str]:
    """Outputs, costs, errors and BPEs of the rows."""
    d, outputs = view.digits, trace.names.nodes[-1]
    header = ["row", *(f"{name} {what}" for what in ("z", "a", "y") for name in outputs), "cost"]
    header += [f"{what} {name}" for what in ("error", "BPE") for name in outputs]
    order = [view.row, *(i for i in range(len(trace.X)) if i != view.row)][:MOST_ROWS]
    rows = []
    for i in sorted(order):
        told = [number(x, d) for part in (trace.forward.z[-1], trace.forward.a[-1]) for x in part[i]]
        back = [number(x, d) for part in (trace.backward.error[-1], trace.backward.delta[-1]) for x in part[i]]
        true = [target_text(y, d) for y in trace.Y[i]]
        rows.append([str(trace.rows[i]), *told, *true, number(trace.costs[i], d), *back])
    left = len(trace.X) - len(order)
    of = [f"{node} is {what}" for node, what in zip(outputs, trace.names.outputs, strict=True) if node != what]
    return [
        "2 the rows of this update" + (f" ({', '.join(of)})" if of else ""),
        *indented(table_lines(header, rows, width=view.width and view.width - 2)),
        *([f"  and {counted(left, 'more row')}"] if left else []),
    ]


def forward_lines(trace: Any, view: View, layers: dict[int, list[int]]) -> list[str]:
    d, row = view.digits, view.row
    lines = [f"3 forward, row {trace.rows[row]}"]
    for i, nodes in layers.items():
        activation = trace.network.activations[i].name
        fed = _fed(trace, i)[row]
        for j in nodes:
            name, z, a = trace.names.nodes[i + 1][j], trace.forward.z[i][row, j], trace.forward.a[i + 1][row, j]
            b = trace.params[i].b[j]
            own, bias = (lambda text, name=name: term(text, name)), term(in_parentheses(b, d), f"b({name})")
            sources = [(node, f"{node}->{name}") for node in trace.names.nodes[i]]
            written = _sum(fed, trace.params[i].W[:, j], sources, d, _written(view, i))
            lines.append(f"  input sum {own(name)} = {written} + {bias} = {own(number(z, d))}")
            lines.append(
                f"  {activation}({own(number(z, d))}) = {own(number(a, d))}"
                + (" (over the layer)" if activation == "softmax" else "")
            )
        lines += _left_out(trace, i, nodes, view)
    return lines


def cost_lines(trace: Trace, view: View) -> list[str]:
    d, i = view.digits, view.row
    name, share = trace.network.cost.name, trace.shares[i]
    lines = [f"4 cost, row {trace.rows[i]}: {cost_formula(trace, i, d)} = {number(trace.costs[i], d)}"]
    how = "mean" if trace.network.reduction == "mean" else "sum"
    counted = f"; weight of this row {number(share, d)}" if share != 1 else ""
    paid = float(penalty(trace.network, trace.params)) if trace.network.l2 else 0.0
    with_penalty = f" + {number(paid, d)} (L2 penalty) = {number(trace.cost, d)}" if paid else ""
    return [*lines, f"  batch cost: {number(trace.cost - paid, d)} ({how} of {name}{counted}){with_penalty}"]


def backward_lines(trace: Trace, view: View, layers: dict[int, list[int]]) -> list[str]:
    d, row, last = view.digits, view.row, len(trace.params) - 1
    lines = [f"5 backward, row {trace.rows[row]}: BPE is dC/dz"]
    for i, nodes in reversed(layers.items()):
        for j in nodes:
            name = trace.names.nodes[i + 1][j]
            error, delta = trace.backward.error[i][row, j], trace.backward.delta[i][row, j]
            if i == last:
                lines.append(f"  error {term(name, name)} = dC/da = {term(number(error, d), name)}")
            else:
                sources = [(node, f"{name}->{node}") for node in trace.names.nodes[i + 2]]
                written = _written(view, i + 2)
                back = _sum(trace.backward.delta[i + 1][row], trace.params[i + 1].W[j], sources, d, written)
                mask = trace.forward.keep[i + 1]
                back = back if mask is None else f"({back}) * {number(mask[row, j], d)} (dropout)"
                lines.append(f"  error {term(name, name)} = {back} = {term(number(error, d), name)}")
            lines.append("  " + bpe_formula(trace, i, j, row, name, error, delta, d))
        lines += _left_out(trace, i, nodes, view)
    return lines


def update_lines(trace: Trace, view: View, layers: dict[int, list[int]]) -> list[str]:
    """Gradients, summed over the rows, and the new values of the most important parameters."""
    d = view.digits
    lines = [f"6 update{_rate_words(trace, d)}: gradients are sums over {counted(len(trace.X), 'row')}"]
    if trace.moments:
        lines.append("  new = old - rate * m / sqrt(v): m and v are running means of the gradient and its square")
    for i, nodes in layers.items():
        fed = _fed(trace, i)
        for j in nodes:
            before, gradient, after = (layers[i] for layers in (trace.params, trace.backward.gradient, trace.after))
            to, delta = trace.names.nodes[i + 1][j], trace.backward.delta[i][:, j]
            sources = _sources(view, i, gradient.W[:, j])
            for k in sources:
                node = trace.names.nodes[i][k]
                edge, w = f"{node}->{to}", before.W[k, j]
                name = term(f"w({edge})", edge)
                of_rows = _of_rows(trace, view, (delta, to), (fed[:, k], node))
                decay = f" + {trace.network.l2:g} * {term(in_parentheses(w, d), edge)}" if trace.network.l2 * w else ""
                lines.append(f"  gradient {name} = {of_rows}{decay} = {term(number(gradient.W[k, j], d), edge)}")
                moments = trace.moments and (trace.moments[0][i].W[k, j], trace.moments[1][i].W[k, j])
                lines.append("  " + new_value(trace, name, edge, w, gradient.W[k, j], after.W[k, j], moments, d))
            name, bias = term(f"b({to})", f"b({to})"), f"b({to})"
            of_rows = _of_rows(trace, view, (delta, to), None)
            lines.append(f"  gradient {name} = {of_rows} = {term(number(gradient.b[j], d), bias)}")
            moments = trace.moments and (trace.moments[0][i].b[j], trace.moments[1][i].b[j])
            lines.append("  " + new_value(trace, name, bias, before.b[j], gradient.b[j], after.b[j], moments, d))
            left = len(gradient.W) - len(sources)
            lines += [f"  and {counted(left, 'more weight')} into {to}"] if left else []
    return lines


def _sources(view: View, i: int, gradient: Any) -> list[int]:
    """The weights into a node whose update is shown: those drawn, or those with the largest gradients."""
    if view.drawn is not None:
        return list(view.drawn[i])
    most = len(gradient) if len(gradient) <= ALL_NODES else SOME_NODES
    return sorted(np.argsort(-np.abs(gradient), kind="stable")[:most].tolist())


def _of_rows(trace: Trace, view: View, delta: tuple[Any, str], fed: tuple[Any, str] | None) -> str:
    """BPE times input, for the row that is worked through and for the other rows combined."""
    d, row = view.digits, view.row
    bpe, node = delta
    terms = bpe if fed is None else bpe * fed[0]
    own = term(number(bpe[row], d), node)
    if fed is not None:
        own += f" * {term(number(fed[0][row], d), fed[1])}"
    if len(bpe) == 1:
        return own
    others = counted(len(bpe) - 1, "other")
    return f"{own} [row {trace.rows[row]}] + {in_parentheses(terms.sum() - terms[row], d)} [{others}]"


def _parameters(trace: Trace, view: View) -> list[str]:
    """All parameters before and after the update, if they are few."""
    if trace.network.n_parameters > MOST_PARAMETERS:
        return [f"{counted(trace.network.n_parameters, 'parameter')} before and after: use --json to print them"]
    rows = []
    for i, (before, gradient, after) in enumerate(zip(trace.params, trace.backward.gradient, trace.after, strict=True)):
        sources, to = trace.names.nodes[i], trace.names.nodes[i + 1]
        named = [(f"{source}->{node}", k, j) for k, source in enumerate(sources) for j, node in enumerate(to)]
        rows += [[name, *(number(p.W[k, j], view.digits) for p in (before, gradient, after))] for name, k, j in named]
        rows += [
            [f"bias {node}", *(number(p.b[j], view.digits) for p in (before, gradient, after))]
            for j, node in enumerate(to)
        ]
    return table_lines(["parameter", "before", "gradient", "after"], rows)


def layers_of(trace: Any, view: View) -> dict[int, list[int]]:
    """The nodes to show, by layer: the requested ones, or those on the strongest paths of the row."""
    if view.drawn is not None:
        return {i: list(nodes) for i, nodes in enumerate(view.drawn[1:])}
    chosen, sizes = {}, trace.network.layers
    limits = [size if size <= ALL_NODES else SOME_NODES for size in sizes]
    on_paths = nodes_of(paths_of(trace, view.row), limits) if max(sizes[1:]) > ALL_NODES else ()
    for i, nodes in enumerate(trace.names.nodes[1:]):
        if view.layer not in (None, i + 1):
            continue
        if view.node is not None:
            some = [j for j, name in enumerate(nodes) if name == view.node]
        elif len(nodes) <= ALL_NODES or view.layer is not None:
            some = list(range(len(nodes)))
        else:
            some = on_paths[i + 1]
        if some:
            chosen[i] = some
    return chosen


def nodes_of(paths: Paths, limits: Sequence[int]) -> list[list[int]]:
    """The nodes on the strongest paths, up to a limit for each layer."""
    return [
        sorted(list(dict.fromkeys(nodes[k] for nodes in paths.nodes))[:limit]) or list(range(limit))
        for k, limit in enumerate(limits)
    ]


def design_words(network: Network) -> str:
    """Layers and activations: 2-3-1, sigmoid, sigmoid."""
    return ", ".join([design_name(network.layers), *(activation.name for activation in network.activations)])


def path_lines(trace: Any, row: int, digits: int, most: int = 8) -> list[str]:
    """The strongest paths of a row, and the fraction of the effect that they carry."""
    paths = paths_of(trace, row, most)
    what = "the cost" if isinstance(trace, Trace) else trace.names.outputs[trace.output]
    share = f"{paths.share:.0%}" if paths.share >= 0.01 else f"{100 * paths.share:.2g}%" if paths.share else "0%"
    told = f"{len(paths.nodes)} of {counted(paths.of, 'path')}, carrying {share} of the effect on {what}"
    lines = [f"strongest paths (input x weights x slopes x BPE): {told}"]
    for nodes, strength in zip(paths.nodes, paths.strengths, strict=True):
        inner = (trace.names.nodes[k + 1][j] for k, j in enumerate(nodes[1:-1]))
        ends = _input(trace, nodes[0]), _output(trace, nodes[-1])
        lines.append(f"  {' -> '.join([ends[0], *inner, ends[1]])}: {number(strength, digits)}")
    return lines


def _paths(trace: Any, view: View, layers: dict[int, list[int]]) -> list[str]:
    """The strongest paths, if the network is too wide to show in full."""
    whole = all(len(nodes) == trace.network.layers[i + 1] for i, nodes in layers.items())
    return [] if whole or view.node is not None else indented(path_lines(trace, view.row, view.digits, MOST_PATHS))


def _fed(trace: Any, i: int) -> np.ndarray:
    mask = trace.forward.keep[i]
    return trace.forward.a[i] if mask is None else trace.forward.a[i] * mask


def _written(view: View, layer: int) -> tuple[int, ...] | None:
    return None if view.drawn is None else view.drawn[layer]


def _sum(xs: Any, ws: Any, names: Sequence[tuple[str, str]], d: int, written: tuple[int, ...] | None) -> str:
    """(x * w) + ... with the `written` or the largest terms, in order, and the sum of the others.

    `names` holds the source node of each x and the edge of each w.
    """
    terms = xs * ws
    order = np.sort(np.argsort(-np.abs(terms), kind="stable")[:MOST_TERMS]) if written is None else list(written)
    each = [f"({term(number(xs[k], d), names[k][0])} * {term(number(ws[k], d), names[k][1])})" for k in order]
    left = len(terms) - len(order)
    rest = float(terms.sum() - terms[order].sum())
    return " + ".join(each) + (f" + {left} more: {in_parentheses(rest, d)}" if left else "")


def _rate_words(trace: Trace, d: int) -> str:
    return f", learning rate {trace.learning_rate:g}" if trace.learning_rate == trace.learning_rate else ""


def _left_out(trace: Any, i: int, nodes: Sequence[int], view: View) -> list[str]:
    left = len(trace.names.nodes[i + 1]) - len(nodes)
    if not left or view.node is not None or view.drawn is not None:
        return []
    return [
        f"  and {counted(left, 'more node')} in layer {i + 1}: use --layer {i + 1} to show all, --node NAME for one"
    ]


def _input(trace: Any, i: int) -> str:
    name, node = trace.names.inputs[i], trace.names.nodes[0][i]
    return f"{node} ({name})" if name != node else name


def _output(trace: Any, j: int) -> str:
    name, node = trace.names.outputs[j], trace.names.nodes[-1][j]
    return f"{node} ({name})" if name != node else name

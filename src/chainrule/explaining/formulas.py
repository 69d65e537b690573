"""Formulas with numbers filled in: the cost of a row, the BPE of a node, the new value of a parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.explaining.terms import term
from chainrule.explaining.trace import Trace
from chainrule.explaining.writing import in_parentheses, number, target_term


def cost_formula(trace: Trace, i: int, d: int) -> str:
    """The cost of a row from its outputs and targets."""
    told = zip(trace.forward.a[-1][i], trace.Y[i], trace.names.nodes[-1], strict=True)
    pairs = [(term(number(a, d), node), target_term(y, d), y) for a, y, node in told]
    cost = trace.network.cost
    if cost.worked is None:
        return f"{cost.name}({', '.join(a for a, _, _ in pairs)}; {', '.join(y for _, y, _ in pairs)})"
    return " + ".join(filter(None, (cost.worked(a, y, float(value)) for a, y, value in pairs)))


def bpe_formula(trace: Trace, i: int, j: int, row: int, name: str, error: Any, delta: Any, d: int) -> str:
    """The BPE of a node, from its error and slope, or in the short form of a fused output and cost."""
    last, bpe = i == len(trace.params) - 1, term(number(delta, d), name)
    if last and trace.network.fused:
        a, y, share = trace.forward.a[-1][row, j], trace.Y[row, j], trace.shares[row]
        factor = "2 * " if trace.network.cost.name == "squared_error" else ""
        counted = f" * {number(share, d)}" if share != 1 else ""
        return f"BPE {term(name, name)} = {factor}({term(number(a, d), name)} - {target_term(y, d)}){counted} = {bpe}"
    activation, z, a = trace.network.activations[i], trace.forward.z[i][row, j], trace.forward.a[i + 1][row, j]
    if activation.derivative is None:
        return f"BPE {term(name, name)} = error through {activation.name} = {bpe}"
    one = np.array([[z]])
    slope = float(np.asarray(activation.derivative(one, np.array([[a]])))[0, 0])
    factors = f"{term(number(error, d), name)} * {term(number(slope, d), name)}"
    at = term(number(z, d), name)
    return f"BPE {term(name, name)} = error * {activation.name}'({at}) = {factors} = {bpe}"


def new_value(
    trace: Trace, name: str, of: str, before: Any, gradient: Any, after: Any, moments: tuple[Any, Any] | None, d: int
) -> str:
    """The new value from the old one, with the formula of the rule if it applies, else as old value plus change."""
    old, new = term(number(before, d), of), term(number(after, d), of)
    if after == before and gradient != 0:
        return f"{name} stays {old}"
    if np.isclose(before - trace.learning_rate * gradient, after, rtol=1e-9, atol=0):  # False if the rate is NaN
        return f"{name} = {old} - {trace.learning_rate:g} * {term(in_parentheses(gradient, d), of)} = {new}"
    if moments and moments[1] and np.isclose(-trace.learning_rate * moments[0] / moments[1], after - before, rtol=0.02):
        mean, root = in_parentheses(moments[0], d), number(moments[1], d)
        return f"{name} = {old} - {trace.learning_rate:g} * {mean} / {root} = {new}"
    return f"{name} = {old} + {in_parentheses(after - before, d)} = {new}"

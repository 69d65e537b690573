"""Traces: every number of an update or a prediction, computed by the core in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import in_one_line
from chainrule.maths.arrays import Array
from chainrule.maths.costs import Cost
from chainrule.network import Backward, Forward, Layer, Network, Params, backward, cost, costs_and_shares, forward
from chainrule.training.rules import Adam, OptaxRule, Rule, rate_at, unclipped, update

OUTPUT_ITSELF = Cost("output", lambda y_hat, chosen: y_hat * chosen, lambda y_hat, chosen: chosen)


class Names(NamedTuple):
    """The names of the nodes of each layer, inputs first; of the inputs; and of the outputs (classes or targets)."""

    nodes: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Surface(NamedTuple):
    """The outputs on a grid over two inputs: values[i, j] belongs to (x[j], y[i])."""

    x: Array
    y: Array
    values: Array


class Trace(NamedTuple):
    """An update with every number. Arrays are as in `network`: one observation per row.

    Attributes
    ----------
    network, params : Network, Params
        The network, and its parameters before the update.
    X, Y, weights : ndarray
        The observations.
    rows : tuple of int
        Their row numbers, for display.
    rule : Rule
        The update rule.
    forward, backward : Forward, Backward
        z, a and keep; error, delta and gradient (summed over rows, including the L2 penalty).
    costs : ndarray
        The cost of each observation (batch,).
    shares : ndarray
        The weight of each observation in the cost of the batch (batch,).
    cost : float
        The cost of the batch, including the penalty.
    step, after : Params
        The change of the parameters, and the parameters after the update.
    cost_after : float
        The cost of the same observations after the update.
    moments : tuple of Params, optional
        For Adam, the bias-corrected mean and root mean square of the gradients; None for other rules.
    learning_rate : float
        The learning rate of this update; NaN if the rule has none.
    surface : Surface, optional
        The outputs before the update, for networks with two inputs.
    names : Names
        The names of the nodes.
    about : dict
        Where the update comes from: epoch, batch, rule.
    """

    network: Network
    params: Params
    X: Array
    Y: Array
    weights: Array
    rows: tuple[int, ...]
    rule: Rule
    forward: Forward
    backward: Backward
    costs: Array
    shares: Array
    cost: float
    step: Params
    after: Params
    cost_after: float
    moments: tuple[Params, Params] | None
    learning_rate: float
    surface: Surface | None
    names: Names
    about: dict[str, Any]


class Prediction(NamedTuple):
    """A prediction with every number: the forward pass of some rows, and derivatives of one output.

    `pushes` (batch, n_in) holds the derivatives of the output with respect to the inputs, from the backward pass;
    `delta` (per layer) those with respect to the weighted sums.
    """

    network: Network
    params: Params
    X: Array
    rows: tuple[int, ...]
    forward: Forward
    output: int
    delta: tuple[Array, ...]
    pushes: Array
    names: Names
    about: dict[str, Any]


def trace_step(
    network: Network,
    params: Params,
    X: Array,
    Y: Array,
    *,
    rule: Rule,
    rule_state: Any = None,
    weights: Array | None = None,
    keep: tuple[Any, ...] = (),
    rows: Sequence[int] | None = None,
    names: Names | None = None,
    about: dict[str, Any] | None = None,
) -> Trace:
    """Make an update and record every number of it.

    Parameters
    ----------
    network : Network
        The network.
    params : Params
        Its parameters before the update.
    X, Y : ndarray
        Inputs (batch, n_in) and targets (batch, n_out).
    rule : Rule
        The update rule.
    rule_state : optional
        The state of the rule before the update; by default the initial state.
    weights : ndarray, optional
        Observation weights (batch,).
    keep : tuple of ndarray
        Dropout masks, as from `chainrule.training.dropout.keep`.
    rows : sequence of int, optional
        Row numbers for display; by default from 1.
    names : Names, optional
        Names of the nodes.
    about : dict, optional
        Where the update comes from: epoch, batch, rule.

    Returns
    -------
    Trace
        All arrays of the update, in float64.

    Examples
    --------
    >>> from chainrule.examples.lecture import lecture_setting
    >>> network, params, X, Y, rule = lecture_setting()
    >>> step = trace_step(network, params, X, Y, rule=rule)
    >>> round(step.cost, 2), step.after[0].W.round(3)[0].tolist()
    (1.55, [-0.23, 0.37, -1.008])
    """
    wide = _in_float64(params)
    X, Y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
    w = np.ones(len(X)) if weights is None else np.asarray(weights, np.float64)
    keep = tuple(None if k is None else np.asarray(k, np.float64) for k in keep)
    fwd = forward(network, wide, X, keep)
    bwd = backward(network, wide, fwd, Y, w)
    costs, shares = costs_and_shares(network, fwd, Y, w)
    state = rule.init(wide) if rule_state is None else rule_state
    after, state_after = update(rule, wide, bwd.gradient, state)
    after = _in_float64(after)
    rate = getattr(rule, "learning_rate", None)
    return Trace(
        network,
        wide,
        X,
        Y,
        w,
        tuple(map(int, rows)) if rows is not None else tuple(range(1, len(X) + 1)),
        rule,
        fwd,
        bwd,
        costs,
        shares,
        float(cost(network, fwd, Y, w, wide)),
        tuple(Layer(b.W - a.W, b.b - a.b) for a, b in zip(wide, after, strict=True)),
        after,
        float(cost(network, forward(network, after, X, keep), Y, w, after)),
        _moments(rule, state_after),
        float("nan") if rate is None else float(rate_at(rate, np.asarray(getattr(state, "step", 0)))),
        surface_of(network, wide, X) if network.layers[0] == 2 else None,
        names or names_of(network),
        about or {},
    )


def surface_of(network: Network, params: Params, X: Array, n: int = 41) -> Surface:
    """The outputs of a network with two inputs on an n by n grid, which extends slightly beyond the rows of X.

    >>> network = Network([2, 1], "identity")
    >>> surface_of(network, (Layer(np.ones((2, 1)), np.zeros(1)),), np.array([[0, 0], [1, 10]]), 3).x.tolist()
    [-0.125, 0.5, 1.125]
    """
    low, high = X.min(axis=0), X.max(axis=0)
    room = np.where(high > low, (high - low) / 8, 1.0)
    x, y = np.linspace(low - room, high + room, n).T
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return Surface(x, y, forward(network, params, grid).a[-1].reshape(n, n, -1))


def trace_prediction(
    network: Network,
    params: Params,
    X: Array,
    *,
    output: int = 0,
    rows: Sequence[int] | None = None,
    names: Names | None = None,
    about: dict[str, Any] | None = None,
) -> Prediction:
    """Trace a prediction: the forward pass of some rows, and the backward pass of one output to the inputs.

    >>> network = Network([2, 1], "identity")
    >>> told = trace_prediction(network, (Layer(np.array([[2.0], [-3.0]]), np.array([1.0])),), np.ones((1, 2)))
    >>> told.forward.a[-1].tolist(), told.pushes.tolist()
    ([[0.0]], [[2.0, -3.0]])
    """
    wide, X = _in_float64(params), np.asarray(X, np.float64)
    chosen = np.zeros((len(X), network.layers[-1]))
    chosen[:, output] = 1
    itself = Network(network.layers, network.activations, OUTPUT_ITSELF, reduction="sum", masks=network.masks)
    fwd = forward(itself, wide, X)
    delta = backward(itself, wide, fwd, chosen).delta
    first = wide[0].W if network.masks[0] is None else wide[0].W * np.asarray(network.masks[0])
    numbers = tuple(rows) if rows is not None else tuple(range(1, len(X) + 1))
    named = names or names_of(network)
    return Prediction(network, wide, X, numbers, fwd, output, delta, delta[0] @ first.T, named, about or {})


def names_of(network: Network, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> Names:
    """Name the nodes: IN1, IN2 | H1, H2, H3 | ON; with several hidden layers H1.1, H1.2, ..., H2.1.

    >>> names_of(Network([2, 2, 1])).nodes
    (('IN1', 'IN2'), ('H1', 'H2'), ('ON',))
    """
    hidden, nodes = len(network.layers) - 2, []
    for i, size in enumerate(network.layers):
        stem = "IN" if i == 0 else "ON" if i == hidden + 1 else "H" if hidden == 1 else f"H{i}."
        nodes.append((stem,) if stem == "ON" and size == 1 else tuple(f"{stem}{j + 1}" for j in range(size)))
    for what, given, layer in (("inputs", inputs, nodes[0]), ("outputs", outputs, nodes[-1])):
        if len(given) not in (0, len(layer)):
            raise ValueError(f"names: expected {len(layer)} for the {what}, got {len(given)}")
    called = (tuple(in_one_line(name) for name in given) for given in (inputs, outputs))
    return Names(tuple(nodes), next(called) or nodes[0], next(called) or nodes[-1])


def _moments(rule: Rule, state: Any) -> tuple[Params, Params] | None:
    """Adam's bias-corrected moments (Kingma and Ba, 2015, algorithm 1)."""
    inner = unclipped(rule)
    if isinstance(inner, Adam):
        betas, (t, mean, square) = (inner.beta_1, inner.beta_2), state
    elif isinstance(inner, OptaxRule) and inner.name == "adam" and not dict(inner.options).get("nesterov"):
        options, (t, mean, square, *_) = dict(inner.options), state.inner[0]
        betas = options.get("b1", 0.9), options.get("b2", 0.999)
    else:  # other rules combine their moments differently
        return None
    mean, square = (
        tuple(Layer(*(x / (1 - beta ** int(t)) for x in layer)) for layer in _in_float64(moment))
        for beta, moment in zip(betas, (mean, square), strict=True)
    )
    return mean, tuple(Layer(np.sqrt(W), np.sqrt(b)) for W, b in square)


def _in_float64(params: Params) -> Params:
    return tuple(Layer(np.asarray(W, np.float64), np.asarray(b, np.float64)) for W, b in params)

"""Gradient checks: compare the backward pass with central differences of the cost, in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Layer, Network, Params, backward, cost, forward

MOST_PER_LAYER = 1000


class LayerCheck(NamedTuple):
    """The check of a layer: number of parameters checked, worst relative error, and worst error beyond rounding."""

    layer: int
    n_parameters: int
    n_checked: int
    worst: float
    beyond_rounding: float


class GradientCheck(NamedTuple):
    """The checks of all layers; `str()` gives one line per layer and the verdict."""

    layers: tuple[LayerCheck, ...]
    tolerance: float

    @property
    def worst(self) -> float:
        return max(layer.worst for layer in self.layers)

    @property
    def passed(self) -> bool:
        return all(layer.beyond_rounding <= self.tolerance for layer in self.layers)  # NaN does not pass

    def __str__(self) -> str:
        lines = [
            f"layer {c.layer}: {c.n_checked:,} of {c.n_parameters:,} parameters, worst relative error {c.worst:.1e}"
            for c in self.layers
        ]
        verdict = (
            "FAILED" if not self.passed else "passed" if self.worst <= self.tolerance else "passed within rounding"
        )
        return "\n".join([*lines, f"{verdict}: worst {self.worst:.1e}, tolerance {self.tolerance:.0e}"])


def check_gradients(
    network: Network,
    params: Params,
    X: Array,
    Y: Array,
    weights: Array | None = None,
    *,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradientCheck:
    r"""Compare `backward` with central differences, parameter by parameter.

    .. math:: \frac{\partial C}{\partial w} \approx \frac{C(w + h) - C(w - h)}{2h}, \qquad
              \text{relative error} = \frac{|g - \tilde g|}{\max(|g| + |\tilde g|, s)}

    where h is `step` and s is a thousandth of the layer's largest gradient, so that gradients close to 0 are measured
    on the scale of the others. The effect of rounding on the difference of the two costs, 4 eps abs(C) / h, is
    included in the reported error but does not count as a failure.

    Parameters
    ----------
    network : Network
        The network.
    params : Params
        Its parameters.
    X, Y : ndarray
        Inputs (n, n_in) and targets (n, n_out).
    weights : ndarray, optional
        Observation weights (n,).
    step : float
        The step h of the differences.
    tolerance : float
        The largest relative error that passes.
    seed : int
        The seed that selects 1,000 parameters in layers with more than 1,000.

    Returns
    -------
    GradientCheck
        The errors of each layer, and whether the check passed.

    Notes
    -----
    A difference across a kink (relu at 0, absolute error at 0) is not the derivative on either side: with such an
    activation or cost, the failure of a single parameter does not mean that the backward pass is wrong.

    Examples
    --------
    >>> import chainrule as cr
    >>> network = cr.Network([2, 3, 1])
    >>> check = check_gradients(network, cr.initialize(network), np.ones((4, 2)), np.zeros((4, 1)))
    >>> check.passed
    True
    """
    shapes.check_params(network.layers, params)
    X, Y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
    w = None if weights is None else np.asarray(weights, np.float64)
    params = tuple(Layer(np.array(W, np.float64), np.array(b, np.float64)) for W, b in params)
    fwd = forward(network, params, X)
    gradient = backward(network, params, fwd, Y, w).gradient
    rounding = 4 * np.finfo(float).eps * abs(float(cost(network, fwd, Y, w, params))) / step
    rng = np.random.default_rng(seed)
    checks = []
    for i, (layer, of_layer) in enumerate(zip(params, gradient, strict=True)):
        n = sum(array.size for array in layer)
        chosen = [_place(layer, of_layer, int(j)) for j in _some(rng, n)]
        pairs = np.array([(g[at], _difference(network, params, array, at, step, X, Y, w)) for array, g, at in chosen])
        scale = np.maximum(np.abs(pairs).sum(axis=1), 1e-3 * np.abs(pairs).max() + np.finfo(float).tiny)
        apart = np.abs(pairs[:, 0] - pairs[:, 1])
        worst, beyond = (float((x / scale).max()) for x in (apart, np.maximum(apart - rounding, 0)))
        checks.append(LayerCheck(i + 1, n, len(chosen), worst, beyond))
    return GradientCheck(tuple(checks), tolerance)


def _some(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.arange(n) if n <= MOST_PER_LAYER else rng.choice(n, MOST_PER_LAYER, replace=False)


def _place(layer: Layer, gradient: Layer, j: int) -> tuple[Array, Array, tuple[int, ...]]:
    """The array that holds parameter `j` of a layer (weights first), its gradient, and the index in both."""
    (W, b), (dW, db) = layer, gradient
    return (W, dW, divmod(j, W.shape[1])) if j < W.size else (b, db, (j - W.size,))


def _difference(
    network: Network, params: Params, array: Array, at: tuple[int, ...], h: float, X: Array, Y: Array, w: Array | None
) -> float:
    """The central difference of the cost in one parameter, which is restored afterwards."""
    old, costs = array[at], []
    for value in (old + h, old - h):
        array[at] = value
        costs.append(cost(network, forward(network, params, X), Y, w, params))
    array[at] = old
    return float((costs[0] - costs[1]) / (2 * h))

"""Is the backward pass right? Central differences of the cost, in float64, against its gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Layer, Network, Params, backward, cost, forward

MOST_PER_LAYER = 1000


class LayerCheck(NamedTuple):
    """One layer: how many of its parameters were tried, the worst relative error, and the worst beyond rounding."""

    layer: int
    n_parameters: int
    n_checked: int
    worst: float
    beyond_rounding: float


class GradientCheck(NamedTuple):
    """The checks of all layers. `str()` of it is a line per layer and the verdict."""

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
        return "\n".join([*lines, f"{verdict}: worst {self.worst:.1e}, allowed {self.tolerance:.0e}"])


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

    where h is `step` and s is a thousandth of the layer's largest gradient, so that gradients that are next to 0
    are measured against their neighbours. What the rounding of the two costs does to their difference,
    4 eps |C| / h, is shown but not held against the gradient.

    Parameters
    ----------
    weights : (n,), optional    observation weights
    tolerance                   the worst relative error that passes
    seed                        chooses the parameters to try in a layer with more than 1,000

    Notes
    -----
    A difference across a kink (relu at 0, absolute error at 0) is not the derivative on either side; a failure
    of one parameter there, with a kinked activation or cost, is no fault of the backward pass.

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
    """Where the parameter number `j` of a layer is, weights first: an array, its gradient, and the place in both."""
    (W, b), (dW, db) = layer, gradient
    return (W, dW, divmod(j, W.shape[1])) if j < W.size else (b, db, (j - W.size,))


def _difference(
    network: Network, params: Params, array: Array, at: tuple[int, ...], h: float, X: Array, Y: Array, w: Array | None
) -> float:
    """The central difference of the cost in one parameter, which is put back afterwards."""
    old, costs = array[at], []
    for value in (old + h, old - h):
        array[at] = value
        costs.append(cost(network, forward(network, params, X), Y, w, params))
    array[at] = old
    return float((costs[0] - costs[1]) / (2 * h))

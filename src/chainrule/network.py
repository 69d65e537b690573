r"""The network: design, initialize, forward, cost, backward. Start reading here.

Layer l has weights W of shape (n_in, n_out), rows "from" and columns "to", and biases b of shape (n_out,). With one
observation per row of X, a[l] is the input of layer l and a[l+1] its output:

.. math:: z^l = a^l W^l + b^l, \qquad a^{l+1} = \sigma(z^l), \qquad a^0 = X

Every function here is pure and accepts both NumPy arrays (for inspection) and JAX arrays (for training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from chainrule.errors import look_up
from chainrule.maths import shapes
from chainrule.maths.activations import activation_of
from chainrule.maths.arrays import Array, listed, namespace, transposed_product
from chainrule.maths.costs import cost_of
from chainrule.maths.initializers import SCHEMES
from chainrule.maths.pairs import FUSED, OutputPair

if TYPE_CHECKING:
    from jaxtyping import Float


class Layer(NamedTuple):
    """The parameters of one layer, or arrays of the same shapes, such as their gradient.

    Attributes
    ----------
    W : array of shape (n_in, n_out)
        Weights; ``W[i, j]`` leads from node i to node j.
    b : array of shape (n_out,)
        Biases.

    Examples
    --------
    >>> Layer(np.zeros((2, 3)), np.zeros(3)).W.shape
    (2, 3)
    """

    W: Float[Array, "n_in n_out"]
    b: Float[Array, " n_out"]


Params: TypeAlias = tuple[Layer, ...]


@dataclass(frozen=True)
class Network:
    """The design of a network: plain data, hashable, without weights.

    Parameters
    ----------
    layers : sequence of int
        Nodes per layer, inputs first, such as ``[2, 3, 1]``.
    activations : str, callable, Activation or a sequence of these, default="sigmoid"
        One for all layers after the inputs, or a sequence with one for each of them.
    cost : str, callable or Cost, default="half_squared_error"
        "huber" and "pinball" accept a number after a colon: "huber:1.5", "pinball:0.9".
    reduction : {"mean", "sum"}, default="mean"
        How the costs of the observations are combined.
    l2 : float, default=0.0
        Adds l2/2 times the sum of the squared weights (not the biases) to the cost.
    masks : sequence, optional
        For each layer None, or booleans of shape (n_in, n_out), where False removes the connection.

    Raises
    ------
    ValueError
        If a name is unknown, a shape or number is invalid, or cost, reduction and output layer are incompatible.

    Examples
    --------
    >>> network = Network([400, 14, 8, 2], activations=["tanh", "tanh", "sigmoid"])
    >>> network.n_weights, network.n_biases, network.n_parameters
    (5728, 24, 5752)
    >>> network
    Network([400, 14, 8, 2], ['tanh', 'tanh', 'sigmoid'], 'half_squared_error')
    """

    numbers: ClassVar[tuple[str, ...]] = ("l2",)  # passed to a compiled program as arguments

    layers: Sequence[int]
    activations: Any = "sigmoid"
    cost: Any = "half_squared_error"
    reduction: str = "mean"
    l2: float = 0.0
    masks: Any = None

    def __post_init__(self) -> None:
        shapes.check_design(self.layers, self.reduction, self.l2)
        given, alike = self.activations, isinstance(self.activations, str) or callable(self.activations)
        chosen = tuple(map(activation_of, [given] * (len(self.layers) - 1) if alike else given))
        shapes.check_one_per_layer("activations", len(chosen), self.layers)
        object.__setattr__(self, "layers", tuple(int(size) for size in self.layers))
        object.__setattr__(self, "activations", chosen)
        object.__setattr__(self, "cost", cost_of(self.cost))
        object.__setattr__(self, "masks", shapes.checked_masks(self.masks, self.layers))
        shapes.check_pair(self.cost.name, self.reduction, chosen[-1].name, self.layers[-1])

    def __repr__(self) -> str:
        names = [activation.name for activation in self.activations]
        told = [str(list(self.layers)), repr(names[0] if len(set(names)) == 1 else names), repr(self.cost.name)]
        told += [f"reduction={self.reduction!r}"] * (self.reduction != "mean") + [f"l2={self.l2}"] * bool(self.l2)
        pairs = sum(n_in * n_out for n_in, n_out in pairwise(self.layers))
        if any(mask is not None for mask in self.masks):
            told.append(f"masks of {self.n_weights:,} weights out of {pairs:,}")
        return f"Network({', '.join(told)})"

    @property
    def n_weights(self) -> int:
        """The number of connections: all pairs of nodes in adjacent layers, except those masked out."""
        pairs = zip(self.layers, self.layers[1:], self.masks, strict=False)
        return sum(n_in * n_out if mask is None else int(np.sum(mask)) for n_in, n_out, mask in pairs)

    n_biases = property(lambda self: sum(self.layers[1:]), doc="The number of biases.")
    n_parameters = property(lambda self: self.n_weights + self.n_biases, doc="The number of weights and biases.")

    @property
    def penalised(self) -> bool:
        """Whether the cost has an L2 penalty; in a compiled program, `l2` may be a traced value."""
        return not (isinstance(self.l2, int | float) and self.l2 == 0)

    @property
    def fused(self) -> OutputPair | None:
        """The numerically stable combination of the last activation and the cost, or None."""
        return FUSED.get((self.activations[-1], self.cost))


def initialize(network: Network, scheme: Any = "uniform", seed: int = 0, dtype: str = "float64") -> Params:
    """Draw the initial parameters; the same seed gives the same numbers.

    Parameters
    ----------
    network : Network
    scheme : {"uniform", "gaussian", "glorot", "he", "lecun", "zeros"} or sequence of (W, b), default="uniform"
        A scheme of `chainrule.maths.initializers`, or the parameters themselves, one pair per layer.
    seed : int, default=0
    dtype : str, default="float64"

    Returns
    -------
    tuple of Layer
        NumPy arrays, one `Layer` per layer of weights.

    Raises
    ------
    ValueError
        If the scheme is unknown, or if given parameters have the wrong shapes or are not finite.

    Examples
    --------
    >>> [(W.shape, b.shape) for W, b in initialize(Network([2, 3, 1]), seed=0)]
    [((2, 3), (3,)), ((3, 1), (1,))]
    """
    if isinstance(scheme, str):
        draw, rng = look_up("initialization", scheme, SCHEMES), np.random.default_rng(seed)
        drawn = [draw(rng, *sizes) for sizes in zip(network.layers, network.layers[1:], strict=False)]
    else:
        drawn = list(scheme)
    params = tuple(Layer(np.array(W, dtype), np.array(b, dtype)) for W, b in drawn)
    shapes.check_params(network.layers, params)
    return tuple(Layer(masked(W, network.masks[i]), b) for i, (W, b) in enumerate(params))


class Forward(NamedTuple):
    """The result of a forward pass through L layers of weights.

    Attributes
    ----------
    a : tuple of arrays of shape (batch, n)
        L + 1 activations: ``a[0]`` is X and ``a[-1]`` the output.
    z : tuple of arrays of shape (batch, n_out)
        L weighted sums.
    keep : tuple of arrays or None
        Dropout masks of each layer's inputs; None where all are kept.
    """

    a: tuple[Array, ...]
    z: tuple[Array, ...]
    keep: tuple[Array | None, ...]


def forward(network: Network, params: Params, X: Float[Array, "batch n_in"], keep: Any = ()) -> Forward:
    r"""Compute weighted sums and activations, layer by layer.

    .. math:: z^l = a^l W^l + b^l, \qquad a^{l+1} = \sigma(z^l)

    Parameters
    ----------
    network : Network
    params : tuple of Layer
    X : array of shape (batch, n_in)
    keep : tuple of arrays or None, optional
        Dropout masks, which multiply the inputs of each layer.

    Returns
    -------
    Forward

    Raises
    ------
    ValueError
        If X has the wrong shape.

    Examples
    --------
    >>> forward(Network([2, 1]), initialize(Network([2, 1]), "zeros"), np.ones((4, 2))).a[-1].shape
    (4, 1)
    """
    X = listed(X, params[0].W)
    shapes.check_inputs(network.layers, X)
    a, z, keep = [X], [], keep or (None,) * len(params)
    for i, (W, b) in enumerate(params):
        z.append(masked(a[i], keep[i]) @ masked(W, network.masks[i]) + b)
        a.append(network.activations[i](z[i]))
    return Forward(tuple(a), tuple(z), keep)


def cost(network: Network, fwd: Forward, Y: Array, weights: Array | None = None, params: Params | None = None) -> Array:
    """Compute the cost C of the outputs against the targets.

    The equation is that of `chainrule.maths.costs`, plus the L2 penalty.

    Parameters
    ----------
    network : Network
    fwd : Forward
    Y : array of shape (batch, n_out)
    weights : array of shape (batch,), optional
        Observation weights; padding rows have weight 0.
    params : tuple of Layer, optional
        Needed for the penalty where ``network.l2`` is not 0.

    Returns
    -------
    array of shape ()

    Raises
    ------
    ValueError
        If a shape is wrong, or if `params` is needed and missing.

    Examples
    --------
    >>> network = Network([2, 1])
    >>> float(cost(network, forward(network, initialize(network, "zeros"), np.ones((4, 2))), np.ones((4, 1))))
    0.125
    """
    c, share = costs_and_shares(network, fwd, Y, weights)
    C = network.cost.outer(namespace(c).sum(share * c))
    if network.penalised and params is None:
        raise ValueError("this network has an L2 penalty: call cost(network, fwd, Y, weights, params)")
    return C + penalty(network, params) if network.penalised and params is not None else C


def penalty(network: Network, params: Params) -> Array | float:
    """L2 penalty: l2/2 times the sum of the squared weights; biases are not penalised."""
    connected = [masked(W, network.masks[i]) for i, (W, _) in enumerate(params)]
    return network.l2 / 2 * sum(namespace(W).sum(W**2) for W in connected)


class Backward(NamedTuple):
    """The result of a backward pass.

    Attributes
    ----------
    error, delta : tuple of arrays of shape (batch, n_out)
        dC/da and dC/dz of each layer.
    gradient : tuple of Layer
        dC/dW and dC/db of each layer.
    """

    error: tuple[Array, ...]
    delta: tuple[Array, ...]
    gradient: Params


def backward(network: Network, params: Params, fwd: Forward, Y: Array, weights: Array | None = None) -> Backward:
    r"""Compute errors, deltas and gradients by the chain rule, from the last layer to the first.

    .. math:: \delta^L = \frac{\partial C}{\partial a^L} \odot \sigma'(z^L), \qquad
              \delta^l = (\delta^{l+1} W^{l+1\top}) \odot \sigma'(z^l), \qquad
              \frac{\partial C}{\partial W^l} = a^{l\top} \delta^l, \qquad
              \frac{\partial C}{\partial b^l} = \sum_i \delta^l_i

    Parameters
    ----------
    network : Network
    params : tuple of Layer
    fwd : Forward
        The forward pass with the same parameters.
    Y : array of shape (batch, n_out)
    weights : array of shape (batch,), optional
        Observation weights; padding rows have weight 0.

    Returns
    -------
    Backward

    Raises
    ------
    ValueError
        If a shape is wrong.

    References
    ----------
    Rumelhart, Hinton and Williams (1986); Nielsen, "Neural Networks and Deep Learning", ch. 2, BP1-BP4.

    Examples
    --------
    >>> network = Network([2, 1], "identity")
    >>> params, X = initialize(network, "zeros"), np.ones((4, 2))
    >>> backward(network, params, forward(network, params, X), np.ones((4, 1))).gradient[0].W.tolist()
    [[-1.0], [-1.0]]
    """
    Y = listed(Y, fwd.z[-1])
    c, share = costs_and_shares(network, fwd, Y, weights)
    per_row = (share * network.cost.outer_derivative(namespace(c).sum(share * c)))[:, None]
    error, delta, gradient = [per_row * network.cost.error(fwd.a[-1], Y)], [], []
    for i in reversed(range(len(params))):
        if i == len(params) - 1 and network.fused:
            delta.append(per_row * network.fused.delta(fwd.a[-1], Y))
        else:
            delta.append(network.activations[i].delta(error[-1], fwd.z[i], fwd.a[i + 1]))
        W = masked(params[i].W, network.masks[i])
        dW = masked(transposed_product(masked(fwd.a[i], fwd.keep[i]), delta[-1]), network.masks[i])
        gradient.append(Layer(dW + network.l2 * W if network.penalised else dW, namespace(W).sum(delta[-1], axis=0)))
        if i:
            error.append(masked(delta[-1] @ W.T, fwd.keep[i]))
    return Backward(tuple(error[::-1]), tuple(delta[::-1]), tuple(gradient[::-1]))


def masked(x: Array, mask: Any) -> Array:
    """Multiply x by a mask; None is a mask of ones."""
    return x if mask is None else x * namespace(x).asarray(mask, dtype=x.dtype)


def costs_and_shares(network: Network, fwd: Forward, Y: Array, weights: Array | None) -> tuple[Array, Array]:
    """Cost of each observation and its share in that of the batch: w / sum(w) for the mean, w for the sum."""
    y_hat, z, xp, Y = fwd.a[-1], fwd.z[-1], namespace(fwd.z[-1]), listed(Y, fwd.z[-1])
    w = xp.ones_like(z[:, 0]) if weights is None else xp.asarray(weights, dtype=z.dtype)
    shapes.check_targets(network.layers, y_hat, Y, w)
    c = xp.sum(network.fused.costs(z, Y), axis=1) if network.fused else network.cost.per_observation(y_hat, Y)
    return c, w / xp.maximum(xp.sum(w), xp.finfo(w.dtype).tiny) if network.reduction == "mean" else w

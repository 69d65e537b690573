r"""The strongest paths through a network, along which the inputs of an observation affect the cost or an output.

A path consists of one node per layer. By the chain rule, its strength is the product

.. math:: x_i \, W^1_{ij} \, \sigma'(z^1_j) \, W^2_{jk} \cdots \frac{\partial C}{\partial z^L_m}

and the strengths of all paths that end in a node add up to the total effect of the inputs there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.maths.arrays import Array
from chainrule.network import Forward, Network, Params


class Paths(NamedTuple):
    """The strongest paths of an observation.

    Attributes
    ----------
    nodes : tuple of tuple of int
        The index of the node in each layer, for each path.
    strengths : tuple of float
        The strengths of the paths.
    of : int
        The number of all paths through the network.
    share : float
        The sum of the absolute strengths of these paths, relative to that of all paths.
    """

    nodes: tuple[tuple[int, ...], ...]
    strengths: tuple[float, ...]
    of: int
    share: float


def strongest_paths(network: Network, params: Params, fwd: Forward, delta: Array, row: int = 0, most: int = 8) -> Paths:
    """Find the strongest paths of an observation.

    Parameters
    ----------
    network : Network
        The network.
    params : Params
        Its parameters.
    fwd : Forward
        A forward pass that includes the observation.
    delta : ndarray
        The last delta of a backward pass (batch, n_out).
    row : int
        The index of the observation.
    most : int
        The maximum number of paths.

    Returns
    -------
    Paths
        The paths, strongest first.

    Examples
    --------
    >>> from chainrule.network import Layer, Network, forward
    >>> network = Network([2, 1, 1], "identity")
    >>> params = (Layer(np.array([[3.0], [1.0]]), np.zeros(1)), Layer(np.array([[2.0]]), np.zeros(1)))
    >>> strongest_paths(network, params, forward(network, params, np.array([[1.0, -1.0]])), np.ones((1, 1)), most=1)
    Paths(nodes=((0, 0, 0),), strengths=(6.0,), of=2, share=0.75)
    """
    passes = _passes(network, params, fwd, delta, row)  # (n_in, n_out) each: the factors of the edges
    value, ways = np.ones((network.layers[-1], 1)), []
    for factors in reversed(passes):
        value, following, rank = _best(factors, value, most)
        ways.append((following, rank))
    order = np.argsort(-np.abs(value), axis=None, kind="stable")[:most]
    found = [_followed(ways[::-1], *divmod(int(place), value.shape[1])) for place in order]
    strengths = [float(value.flat[place]) for place in order]
    total = float(np.linalg.multi_dot([np.ones((1, len(passes[0]))), *map(np.abs, passes)]).sum())
    kept = [(nodes, strength) for nodes, strength in zip(found, strengths, strict=True) if strength]
    return Paths(
        tuple(nodes for nodes, _ in kept),
        tuple(strength for _, strength in kept),
        int(np.prod([float(n) for n in network.layers])),
        sum(map(abs, strengths)) / total if total else 0.0,
    )


def _passes(network: Network, params: Params, fwd: Forward, delta: Array, row: int) -> list[np.ndarray]:
    """For each edge, the weight times the slope of its target node; in the first layer, also times the input."""
    passes = []
    for i, (W, _) in enumerate(params):
        mask, keep = network.masks[i], fwd.keep[i]
        fed = np.ones(len(W)) if keep is None else np.asarray(keep)[row]
        if i == 0:
            fed = fed * np.asarray(fwd.a[0])[row]
        last = i == len(params) - 1
        slope = np.asarray(delta)[row] if last else _slope(network, fwd, i, row)
        passes.append(fed[:, None] * (W if mask is None else W * np.asarray(mask)) * slope)
    return passes


def _slope(network: Network, fwd: Forward, i: int, row: int) -> np.ndarray:
    """da/dz of the nodes of a hidden layer; the diagonal of the Jacobian if the activation mixes nodes."""
    activation, z, a = network.activations[i], fwd.z[i][row : row + 1], fwd.a[i + 1][row : row + 1]
    if activation.derivative is not None and activation.product is None:
        return np.asarray(activation.delta(np.ones_like(z), z, a))[0]
    each = np.eye(z.shape[1], dtype=z.dtype)
    z, a = (np.repeat(np.asarray(x), len(each), axis=0) for x in (z, a))
    return np.diagonal(np.asarray(activation.delta(each, z, a)))


def _best(factors: np.ndarray, value: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each node the strongest continuations: products (n, k), the next node, and the rank of its continuation."""
    near = np.argsort(-np.abs(factors * value[:, 0]), axis=1, kind="stable")[:, :most]
    onward = np.take_along_axis(factors, near, axis=1)[:, :, None] * value[near]
    flat = onward.reshape(len(factors), -1)
    best = np.argsort(-np.abs(flat), axis=1, kind="stable")[:, :most]
    following, rank = np.divmod(best, value.shape[1])
    return np.take_along_axis(flat, best, axis=1), np.take_along_axis(near, following, axis=1), rank


def _followed(ways: list[tuple[np.ndarray, np.ndarray]], node: int, rank: int) -> tuple[int, ...]:
    nodes = [node]
    for following, ranks in ways:
        node, rank = int(following[node, rank]), int(ranks[node, rank])
        nodes.append(node)
    return tuple(nodes)

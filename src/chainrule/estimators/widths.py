"""Small hidden layers are padded to a few widths, so that the designs of a search share compiled programs.

Padded nodes have weights and biases of 0. If the activation maps 0 to 0, their outputs and gradients are 0, so they
remain 0 during training, and the other nodes get the same numbers as in the original design, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.maths.activations import is_activation_of_ours
from chainrule.network import Layer, Network, Params
from chainrule.training.compiling import SMALL_PASS
from chainrule.training.rules import Adam, GradientDescent, unclipped

WIDTHS = (32, 64, 128)


def widened_design(network: Network, rule: Any, n: int) -> Network:
    """Round hidden layers up to the next of a few widths, all to the same one if a pass over n rows remains small.

    Returns the same design if padding would change its numbers or cost too much.

    >>> widened_design(Network([30, 20, 50, 1], "relu"), Adam(0.1), 500).layers
    (30, 64, 64, 1)
    >>> widened_design(Network([30, 20, 50, 1], "relu"), Adam(0.1), 5000).layers
    (30, 20, 50, 1)
    """
    first, *hidden, last = network.layers
    fits = hidden and max(hidden) <= WIDTHS[-1] and isinstance(unclipped(rule), GradientDescent | Adam)
    if not fits or not all(map(_keeps_zero, network.activations[:-1])):
        return network
    each = [_wider(width) for width in hidden]
    for widths in ([max(each)] * len(each), each):
        layers = (first, *widths, last)
        if n * sum(n_in * n_out for n_in, n_out in pairwise(layers)) <= SMALL_PASS:
            return replace(network, layers=layers)
    return network


def resized(tree: Any, layers: Sequence[int]) -> Any:
    """Cut or zero-pad all parameters in a tree to the given layer sizes.

    >>> resized((Layer(np.ones((1, 2)), np.ones(2)),), (1, 3))[0].b.tolist()
    [1.0, 1.0, 0.0]
    """
    sizes = list(pairwise(layers))
    return _over_params(
        tree,
        lambda params: tuple(
            Layer(_cut_or_padded(W, size), _cut_or_padded(b, size[1:]))
            for (W, b), size in zip(params, sizes, strict=True)
        ),
    )


def _over_params(tree: Any, f: Callable[[Params], Params]) -> Any:
    if not isinstance(tree, tuple) or not tree:
        return tree
    if all(isinstance(part, Layer) for part in tree):
        return f(tree)
    parts = [_over_params(part, f) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _cut_or_padded(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    resized = np.zeros(shape, x.dtype)
    kept = tuple(slice(min(pair)) for pair in zip(x.shape, shape, strict=True))
    resized[kept] = x[kept]
    return resized


def _keeps_zero(activation: Any) -> bool:
    return is_activation_of_ours(activation) and float(activation(np.zeros((1, 1)))[0, 0]) == 0


def _wider(width: int) -> int:
    return next(wide for wide in WIDTHS if wide >= width)

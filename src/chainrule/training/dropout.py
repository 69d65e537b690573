r"""Dropout: in each update, a random share of the inputs of a layer is set to 0.

.. math:: z^l = (k^l \odot a^l) W^l + b^l, \qquad k^l \in \{0, \tfrac{1}{1 - p}\}, \qquad E[k^l] = 1

The inputs of the network itself are never dropped, and nothing is dropped in validation or prediction.

References
----------
Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting", section 4, with the
kept activations scaled up in training, so that predictions need no scaling.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.arrays import Array, is_numpy
from chainrule.network import Network
from chainrule.training.random_bits import bits, folded_in, key_of


class Dropped(NamedTuple):
    """A dropout rate: random bits under `below` drop a node; kept nodes are scaled up by `scale`."""

    below: Any  # of 2^32
    scale: Any


def dropped(rate: float) -> Dropped | tuple[()]:
    """Convert a rate to thresholds and scales; () for 0.

    >>> dropped(0.5)
    Dropped(below=np.uint32(2147483648), scale=2.0)
    """
    return Dropped(np.uint32(min(round(rate * 2**32), 2**32 - 1)), 1 / (1 - rate)) if rate else ()


def keep(network: Network, dropout: Any, seed: Any, epoch: Any, step: Any, rows: int, dtype: Any) -> tuple[Any, ...]:
    """Dropout masks for `forward`, which multiply the inputs of each layer; () without dropout.

    They depend on the arguments alone, not on the device, so that a replayed update drops the same nodes.

    Parameters
    ----------
    network : Network
    dropout : Dropped or ()
        From `dropped`.
    seed : int
        Of the training.
    epoch, step : int
        The update.
    rows : int
        Rows of the batch.
    dtype : dtype

    Returns
    -------
    tuple of arrays or None

    Examples
    --------
    >>> [None if k is None else k.shape for k in keep(Network([2, 3, 1]), dropped(0.5), seed=0, epoch=1, step=0, rows=4,
    ...                                               dtype="float32")]
    [None, (4, 3)]
    """
    if not dropout:
        return ()
    mask = _mask if all(map(is_numpy, (seed, epoch, step))) else _compiled_mask
    shapes = [(rows, n) for n in network.layers[1:-1]]
    return (None, *(mask((seed, epoch, step, i), dropout, shape, dtype) for i, shape in enumerate(shapes)))


def check_rate(rate: float) -> float:
    """Return the rate, or raise a ValueError."""
    if not (isinstance(rate, int | float) and 0 <= rate < 1):
        raise ValueError(f"dropout: expected the share to drop, from 0 to below 1, such as 0.2; got {rate!r}")
    return rate


def _mask(place: tuple[int, ...], dropout: Dropped, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """The mask of `_compiled_mask`, with NumPy; `place` is the seed, epoch, step and layer."""
    seed, *numbers = map(int, place)
    kept = bits(reduce(folded_in, numbers, key_of(seed)), shape) >= dropout.below
    return kept.astype(dtype) * np.asarray(dropout.scale, dtype)


def _compiled_mask(place: tuple[Any, ...], dropout: Dropped, shape: tuple[int, int], dtype: Any) -> Array:
    import jax
    import jax.numpy as jnp

    seed, *numbers = place
    with jax.threefry_partitionable(True):  # whatever the configuration of the caller
        key = reduce(jax.random.fold_in, numbers, jax.random.key(seed, impl="threefry2x32"))
        kept = jax.random.bits(key, shape, jnp.uint32) >= dropout.below
    return kept.astype(dtype) * jnp.asarray(dropout.scale, dtype)

r"""Dropout: in each update, some of what a layer is fed is set to 0.

.. math:: z^l = (k^l \odot a^l) W^l + b^l, \qquad k^l \in \{0, \tfrac{1}{1 - p}\}, \qquad E[k^l] = 1

The inputs of the network are all kept. Nothing is dropped when validating or predicting.

References
----------
Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting", section 4; the kept are
scaled up in training, so that nothing is left to do in prediction.
"""

from __future__ import annotations

from typing import Any

from chainrule.maths.arrays import Array
from chainrule.network import Network


def keep(network: Network, rate: float, seed: Any, epoch: Any, step: Any, rows: int, dtype: Any) -> tuple[Any, ...]:
    """What each layer's inputs are multiplied with, for `forward`; () if `rate` is 0.

    A function of its arguments alone, whatever the device and the dtype: an update that is replayed drops the same.

    Parameters
    ----------
    rate : float                the share that is dropped, from 0 to below 1
    seed, epoch, step : int     of the training, and which update of which epoch
    rows : int                  in the batch

    >>> [None if k is None else k.shape for k in keep(Network([2, 3, 1]), 0.5, seed=0, epoch=1, step=0, rows=4,
    ...                                               dtype="float32")]
    [None, (4, 3)]
    """
    if not rate:
        return ()
    import jax

    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), epoch), step)
    masks = [_mask(jax.random.fold_in(key, i), rate, (rows, n), dtype) for i, n in enumerate(network.layers[1:-1])]
    return (None, *masks)


def check_rate(rate: float) -> float:
    """The rate, or a ValueError."""
    if not (isinstance(rate, int | float) and 0 <= rate < 1):
        raise ValueError(f"dropout: expected the share to drop, from 0 to below 1, such as 0.2; got {rate!r}")
    return rate


def _mask(key: Any, rate: float, shape: tuple[int, int], dtype: Any) -> Array:
    import jax
    import jax.numpy as jnp

    kept = jax.random.bits(key, shape, jnp.uint32) >= jnp.uint32(round(rate * 2**32))
    return kept.astype(dtype) * jnp.asarray(1 / (1 - rate), dtype)

"""Observations in rows: checked, padded so that programs are shared, and the order in which they are learnt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Network
from chainrule.training.forks import check_not_forked

ALIGNMENT = 64  # bytes
SMALL = 8192  # rows


class Table(NamedTuple):
    """Observations in rows: X (n, n_in), Y (n, n_out), weights (n,); padded rows have weight 0."""

    X: Array
    Y: Array
    weights: Array


def order_of(seed: int, epoch: int, n: int, sample: str = "permutation") -> np.ndarray:
    """The row numbers of an epoch (counted from 1), a function of seed and epoch alone.

    >>> order_of(seed=0, epoch=1, n=5).tolist() == order_of(seed=0, epoch=1, n=5).tolist()
    True
    """
    rng = np.random.default_rng([seed, epoch])
    return rng.permutation(n) if sample == "permutation" else rng.integers(0, n, n)


def bucket(n: int) -> int:
    """n rounded up by an eighth at most, so that tables of about the same size share a program."""
    step = 2 ** max(0, n.bit_length() - 4)
    return -(-n // step) * step


def room_for(n: int, batch: int | None) -> int:
    """How many rows a table of n rows is padded to, if updates take `batch` of them.

    No batch takes a padded row, so a small table is padded to a power of two; one that every update takes as a
    whole, to its bucket.
    """
    return bucket(n) if batch is None or n > SMALL else 1 << (n - 1).bit_length()


def padded(table: Table, room: int | None = None) -> Table:
    """A copy of the table with rows of weight 0, up to `room` or to its bucket."""
    n = len(table.X)
    roomy = Table(*(aligned_zeros((room or bucket(n), *x.shape[1:]), x.dtype) for x in table))
    for x, given in zip(roomy, table, strict=True):
        x[:n] = given
    return roomy


def on_device(table: Table, room: int | None = None) -> Table:
    """The padded table where JAX computes, on the CPU in place: in the only copy of what is the caller's."""
    import jax

    check_not_forked()
    return jax.device_put(padded(table, room))


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at an address that JAX computes with in place, on the CPU, where it would copy others."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def checked_table(network: Network, X: Array, Y: Array, weights: Array | None, dtype: str, which: str) -> Table:
    """The arrays as a table of `dtype`, or a ValueError that names what does not fit."""
    for what, x in (("inputs", X), ("targets", Y)):
        if hasattr(x, "toarray"):
            raise TypeError(f"{which} {what}: expected an array, got a sparse {type(x).__name__}; use its toarray()")
    X, Y = np.asarray(X, dtype), np.asarray(Y, dtype)
    w = np.ones(len(X), dtype) if weights is None else np.asarray(weights, dtype)
    shapes.check_inputs(network.layers, X)
    shapes.check_targets(network.layers, np.broadcast_to(X[:, :1], (len(X), network.layers[-1])), Y, w)
    if not len(X):
        raise ValueError(f"{which}: expected one observation or more, got none")
    for what, x in (("inputs", X), ("targets", Y), ("weights", w)):
        if not _all_finite(x):
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise ValueError(f"{which} {what}: expected finite numbers, got {x[at]} at {at} (row, column)")
    if w.min() < 0 or not w.sum() > 0:
        raise ValueError(f"{which} weights: expected numbers of 0 or more, some above 0")
    return Table(X, Y, w)


def no_rows(network: Network, dtype: str) -> Table:
    """A table without rows."""
    n_in, n_out = network.layers[0], network.layers[-1]
    return Table(np.empty((0, n_in), dtype), np.empty((0, n_out), dtype), np.empty(0, dtype))


def _all_finite(x: np.ndarray) -> bool:
    """Whether all are; their sum tells at a quarter of the time, unless finite numbers are too large to add up."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum())) or bool(np.isfinite(x).all())

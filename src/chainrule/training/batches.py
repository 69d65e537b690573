"""Tables of observations: validation, padding to shared program sizes, and the order of the rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Network
from chainrule.training.forks import check_not_forked

ALIGNMENT = 64  # bytes
SMALL = 8192  # rows


class Table(NamedTuple):
    """Inputs X (n, n_in), targets Y (n, n_out) and weights (n,); padding rows have weight 0."""

    X: Array
    Y: Array
    weights: Array


def order_of(seed: int, epoch: int, n: int, sample: str = "permutation") -> np.ndarray:
    """The row numbers of an epoch (counted from 1), which depend on the seed and the epoch alone.

    >>> order_of(seed=0, epoch=1, n=5).tolist() == order_of(seed=0, epoch=1, n=5).tolist()
    True
    """
    rng = np.random.default_rng([seed, epoch])
    return rng.permutation(n) if sample == "permutation" else rng.integers(0, n, n)


def bucket(n: int) -> int:
    """Round n up by at most an eighth, so that tables of similar size share a program."""
    step = 2 ** max(0, n.bit_length() - 4)
    return -(-n // step) * step


def room_for(n: int, batch: int | None) -> int:
    """The number of rows to which a table of n rows is padded, for updates with `batch` rows.

    Mini-batches never include padded rows, so a small table is padded to a power of two. A table that each update
    takes as a whole is padded to its bucket.
    """
    return bucket(n) if batch is None or n > SMALL else 1 << (n - 1).bit_length()


def padded(table: Table, room: int | None = None) -> Table:
    """Copy the table and pad it with rows of weight 0, to `room` rows or the size of its bucket."""
    room = room or bucket(len(table.X))
    return Table(*(padded_rows(x, room) for x in table))


def padded_rows(x: Any, room: int) -> np.ndarray:
    """Copy the rows of an array and pad them with zeros to `room` rows, at an aligned address."""
    roomy = aligned_zeros((room, *x.shape[1:]), x.dtype)
    roomy[: len(x)] = x
    return roomy


def on_device(table: Table, room: int | None = None) -> Table:
    """Pad the table and put it on JAX's device; on the CPU, JAX uses the padded copy in place."""
    import jax

    check_not_forked()
    return jax.device_put(padded(table, room))


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at an aligned address, which JAX uses in place on the CPU instead of copying."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def checked_table(network: Network, X: Array, Y: Array, weights: Array | None, dtype: str, which: str) -> Table:
    """Convert arrays to a table of `dtype`; a ValueError or TypeError states what is invalid."""
    for what, x in (("inputs", X), ("targets", Y)):
        if hasattr(x, "toarray"):
            raise TypeError(f"{which} {what}: expected an array, got a sparse {type(x).__name__}; use its toarray()")
    X, Y = np.asarray(X, dtype), np.asarray(Y, dtype)
    w = np.ones(len(X), dtype) if weights is None else np.asarray(weights, dtype)
    shapes.check_inputs(network.layers, X)
    shapes.check_targets(network.layers, np.broadcast_to(X[:, :1], (len(X), network.layers[-1])), Y, w)
    if not len(X):
        raise ValueError(f"{which}: expected one or more observations, got none")
    for what, x in (("inputs", X), ("targets", Y), ("weights", w)):
        if not _all_finite(x):
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise ValueError(f"{which} {what}: expected finite numbers, got {x[at]} at {at} (row, column)")
    if w.min() < 0 or not w.sum() > 0:
        raise ValueError(f"{which} weights: expected numbers of 0 or more, at least one above 0")
    return Table(X, Y, w)


def no_rows(network: Network, dtype: str) -> Table:
    """A table without rows."""
    n_in, n_out = network.layers[0], network.layers[-1]
    return Table(np.empty((0, n_in), dtype), np.empty((0, n_out), dtype), np.empty(0, dtype))


def _all_finite(x: np.ndarray) -> bool:
    """Whether all numbers are finite; checking the sum first takes a quarter of the time, but it may overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum())) or bool(np.isfinite(x).all())

"""Split rows into training, validation and test rows, at random from a seed, stratified by class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Row indices of each part, in the order of the table."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(n: int, test: float, validation: float, seed: int, strata: np.ndarray | None = None) -> Split:
    """Split n rows; `test` is a fraction of all rows, `validation` a fraction of the rest.

    With `strata` (a class per row), every class is split in these proportions and keeps at least one training row.

    >>> [len(rows) for rows in split_rows(100, 0.2, 0.25, seed=0)]
    [60, 20, 20]
    """
    rng = np.random.default_rng([seed, 0])
    groups = [np.arange(n)] if strata is None else [np.flatnonzero(strata == k) for k in np.unique(strata)]
    sizes = np.array([len(group) for group in groups])
    n_test = _shares(sizes, test, rng)
    n_held = _shares(sizes - n_test, validation, rng)
    parts = [
        np.split(rng.permutation(group), [tested, tested + held])
        for group, tested, held in zip(groups, n_test, n_held, strict=True)
    ]
    tested, held, trained = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    return Split(trained, held, tested)


def _shares(sizes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The number taken from each group: its share, rounded by largest remainder, and never the whole group."""
    exact = share * sizes
    counts = np.minimum(np.floor(exact).astype(int), sizes - 1)
    losers = np.lexsort((rng.random(len(sizes)), counts - exact))
    for i in losers[: round(share * sizes.sum()) - counts.sum()]:
        counts[i] += counts[i] < sizes[i] - 1
    return counts

"""Which rows are trained on, which choose the epoch, which score: made from the seed, stratified for classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Row numbers, each in the order of the table."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(n: int, test: float, validation: float, seed: int, strata: np.ndarray | None = None) -> Split:
    """Split n rows; `test` is a share of all rows, `validation` a share of the rest.

    With `strata` (a class per row) every class is split in these shares, and keeps one training row at least.

    >>> [len(rows) for rows in split_rows(100, 0.2, 0.25, seed=0)]
    [60, 20, 20]
    """
    rng = np.random.default_rng([seed, 0])
    groups = [np.arange(n)] if strata is None else [np.flatnonzero(strata == k) for k in np.unique(strata)]
    parts: list[tuple[np.ndarray, ...]] = []
    for group in groups:
        shuffled = rng.permutation(group)
        n_test = min(round(test * len(group)), len(group) - 1)
        n_held = min(round(validation * (len(group) - n_test)), len(group) - n_test - 1)
        parts.append(tuple(np.split(shuffled, [n_test, n_test + n_held])))
    tested, held, trained = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    return Split(trained, held, tested)

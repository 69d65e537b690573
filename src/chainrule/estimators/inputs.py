"""What comes before the first layer: missing values filled and indicated, columns on one scale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse


class Inputs(NamedTuple):
    """The encoding of n columns as n + k inputs, fitted on training rows: (x - mean) / std, then k indicators.

    fill: (n,) stands in for a missing value; mean, std: (n,); indicated: (k,) the columns that had missing values.
    """

    fill: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    indicated: np.ndarray

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Inputs (rows, n + k) of raw columns (rows, n), in their dtype."""
        absent = np.isnan(X)
        scaled = (np.where(absent, self.fill, X) - self.mean) / self.std
        return np.hstack([scaled, absent[:, self.indicated]]).astype(X.dtype)

    def carry_back(self, gradient: np.ndarray, X: np.ndarray) -> np.ndarray:
        """A derivative in the inputs as one in the raw columns, by the chain rule; 0 where a value is missing."""
        return np.where(np.isnan(X), 0, gradient[:, : len(self.std)] / self.std)


def fit_inputs(X: np.ndarray, scale: bool) -> Inputs:
    """Means without the missing values; with `scale`, Z-scores (a constant column stays as it is, at 0)."""
    absent = np.isnan(X)
    there = np.maximum(len(X) - absent.sum(axis=0), 1)
    wide = np.where(absent, 0, X).astype(np.float64)
    fill = wide.sum(axis=0) / there
    zeros, ones = np.zeros(X.shape[1]), np.ones(X.shape[1])
    indicated = np.flatnonzero(absent.any(axis=0))
    if not scale:
        return Inputs(fill, zeros, ones, indicated)
    std = np.sqrt((np.where(absent, 0, wide - fill) ** 2).sum(axis=0) / there)
    return Inputs(fill, fill, np.where(std > 1e-12 * np.abs(fill), std, 1), indicated)


def dense(X: Any) -> np.ndarray:
    """X, no longer sparse."""
    return X.toarray() if issparse(X) else X


@contextmanager
def naming_missing(X: Any) -> Iterator[None]:
    """scikit-learn's message about missing values, with their column in place of its advice."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Input X contains NaN."):
            raise
        raise ValueError(f"Input X contains NaN{_where(X)}; missing='indicate' accepts missing values") from None


def _where(X: Any) -> str:
    absent = np.isnan(np.asarray(dense(X), dtype=float))
    column = int(np.argmax(absent.any(axis=0)))
    name = repr(X.columns[column]) if hasattr(X, "columns") else column
    return f": {absent.sum():,} missing values, the first in column {name}, row {int(np.argmax(absent[:, column]))}"

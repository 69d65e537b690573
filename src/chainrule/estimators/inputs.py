"""What comes before the first layer: missing values filled and indicated, columns on one scale, categories one-hot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from chainrule.estimators.categories import Categories
from chainrule.tables import preset
from chainrule.tables.quantiles import Quantiles, fit_quantiles


class Inputs(NamedTuple):
    """The encoding of n columns, fitted on training rows: (x - mean) / std, places among quantiles, indicators.

    fill: (n,) stands in for a missing value; mean, std: (n,); indicated: (k,) the columns that had missing values;
    quantiles: for each column its own, or None. Columns of categories come last, one-hot.
    """

    fill: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    indicated: np.ndarray
    quantiles: tuple[Quantiles | None, ...] = ()
    categories: Categories | None = None

    @property
    def n_inputs(self) -> int:
        hot = self.categories.n_inputs if self.categories else 0
        return len(self.numbers) + sum(q.n_inputs for q in self.quantiles if q) + len(self.indicated) + hot

    @property
    def numbers(self) -> np.ndarray:
        """The columns that are no categories."""
        return np.setdiff1d(np.arange(len(self.mean)), self.categories.places if self.categories else [])

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Inputs (rows, n_inputs) of raw columns (rows, n), in their dtype."""
        absent = np.isnan(X)
        scaled = (np.where(absent, self.fill, X) - self.mean) / self.std
        placed = [np.nan_to_num(q.encode(X[:, i].astype(np.float64))) for i, q in enumerate(self.quantiles) if q]
        hot = self.categories.one_hot(X) if self.categories else []
        return np.hstack([scaled[:, self.numbers], *placed, absent[:, self.indicated], *hot]).astype(X.dtype)

    def carry_back(self, gradient: np.ndarray, X: np.ndarray) -> np.ndarray:
        """A derivative in the inputs as one in the raw columns, by the chain rule.

        It is 0 where a value is missing, and of a category, which has no derivative.
        """
        carried, numbers = np.zeros(X.shape), self.numbers
        start = len(numbers)
        carried[:, numbers] = gradient[:, :start] / self.std[numbers]
        for i, q in enumerate(self.quantiles):
            if q:
                carried[:, i] += (gradient[:, start : start + q.n_inputs] * q.slopes(X[:, i])).sum(axis=1)
                start += q.n_inputs
        return np.where(np.isnan(X), 0, carried)


def fit_inputs(X: np.ndarray, scale: bool, splits: bool, categories: Categories | None = None) -> Inputs:
    """Means without the missing values; with `scale` the preset's encoding (a constant column stays, at 0).

    `splits`: whether validation rows are still to be split off, as the recipe counts training rows.
    """
    is_category = np.isin(np.arange(X.shape[1]), categories.places if categories else [])
    absent = np.isnan(X)
    there = np.maximum(len(X) - absent.sum(axis=0), 1)
    wide = np.where(absent, 0, X).astype(np.float64)
    with np.errstate(over="ignore"):
        fill = wide.sum(axis=0) / there
    zeros, ones = np.zeros(X.shape[1]), np.ones(X.shape[1])
    indicated = np.flatnonzero(absent.any(axis=0))
    if not scale:
        return Inputs(fill, zeros, ones, indicated, (), categories)
    with np.errstate(over="ignore", invalid="ignore"):
        std = np.sqrt((np.where(absent, 0, wide - fill) ** 2).sum(axis=0) / there)
    if not np.isfinite(std).all():
        raise ValueError(
            f"column {int(np.argmin(np.isfinite(std)))}: its values are too large to scale; use other units"
        )
    n_numbers = max(1, int(np.sum(~is_category)))
    pieces = preset.pieces(preset.training_rows(len(X)) if splits else len(X), n_numbers)
    columns = [wide[~gone & ~is_category[i], i] for i, gone in enumerate(absent.T)] if pieces else []
    quantiles = tuple(fit_quantiles(x, pieces, preset.FEW) if len(x) else None for x in columns)
    flags = is_category | ((wide == 0) | (wide == 1)).all(axis=0)  # one-hot columns: on one scale as they are
    mean, scaled = np.where(flags, 0, fill), std > 1e-12 * np.abs(fill)
    return Inputs(fill, mean, np.where(scaled & ~flags, std, 1), indicated, quantiles, categories)


def dense(X: Any) -> np.ndarray:
    """X, no longer sparse."""
    return X.toarray() if issparse(X) else X


@contextmanager
def naming_missing(X: Any, names: Any = None) -> Iterator[None]:
    """scikit-learn's message about missing values, with their column in place of its advice."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Input X contains NaN."):
            raise
        raise ValueError(
            f"Input X contains NaN{_where(X, getattr(X, 'columns', names))}; missing='indicate' accepts missing values"
        ) from None


def _where(X: Any, names: Any) -> str:
    absent = np.isnan(np.asarray(dense(X), dtype=float))
    column = int(np.argmax(absent.any(axis=0)))
    name = column if names is None else repr(names[column])
    return f": {absent.sum():,} missing values, the first in column {name}, row {int(np.argmax(absent[:, column]))}"

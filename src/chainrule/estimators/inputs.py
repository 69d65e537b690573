"""Encoding of the inputs: missing values filled and indicated, numeric columns scaled, categories one-hot."""

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
    """The encoding of n columns, fitted on training rows: (x - mean) / std, quantile inputs, indicators.

    `fill` (n,) replaces missing values; `mean` and `std` are (n,); `indicated` (k,) are the columns that had missing
    values; `quantiles` has an encoding or None for each column. One-hot inputs of categories come last.
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
        """The indices of the numeric columns."""
        return np.setdiff1d(np.arange(len(self.mean)), self.categories.places if self.categories else [])

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Encode raw columns (rows, n) as inputs (rows, n_inputs) of the same dtype."""
        absent = np.isnan(X)
        scaled = (np.where(absent, self.fill, X) - self.mean) / self.std
        placed = [np.nan_to_num(q.encode(X[:, i].astype(np.float64))) for i, q in enumerate(self.quantiles) if q]
        hot = self.categories.one_hot(X) if self.categories else []
        return np.hstack([scaled[:, self.numbers], *placed, absent[:, self.indicated], *hot]).astype(X.dtype)

    def carry_back(self, gradient: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Convert a derivative with respect to the inputs to the raw columns, by the chain rule.

        It is 0 for missing values and for categories, which have no derivative.
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
    """Fit means over the non-missing values; with `scale`, the encoding of the preset (a constant column becomes 0).

    `splits` is whether validation rows will be split off, because the preset depends on the number of training rows.
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
            f"column {int(np.argmin(np.isfinite(std)))}: the values are too large to scale; use other units"
        )
    n_numbers = max(1, int(np.sum(~is_category)))
    pieces = preset.pieces(preset.training_rows(len(X)) if splits else len(X), n_numbers)
    columns = [wide[~gone & ~is_category[i], i] for i, gone in enumerate(absent.T)] if pieces else []
    quantiles = tuple(fit_quantiles(x, pieces, preset.FEW) if len(x) else None for x in columns)
    flags = is_category | ((wide == 0) | (wide == 1)).all(axis=0)  # one-hot columns need no scaling
    mean, scaled = np.where(flags, 0, fill), std > 1e-12 * np.abs(fill)
    return Inputs(fill, mean, np.where(scaled & ~flags, std, 1), indicated, quantiles, categories)


def dense(X: Any) -> np.ndarray:
    """Convert X to a dense array."""
    return X.toarray() if issparse(X) else X


@contextmanager
def naming_missing(X: Any, names: Any = None) -> Iterator[None]:
    """Replace scikit-learn's advice on missing values by the column that has them."""
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

"""Permutation importance: how much predictions worsen if the values of a column are shuffled among held-out rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.tables.fit import TableModel, outputs
from chainrule.tables.target import Target, decode, truth_of

REPEATS = 5
FEWEST_ROWS, MOST_ROWS, MOST_COLUMNS = 10, 2000, 40
MOST_WORK = 2e10  # multiplications in all, which limits the number of rows


class Importance(NamedTuple):
    """The increase of a loss ("log loss", "RMSE") for each column, largest first.

    Attributes
    ----------
    columns : tuple of str
        The columns; empty if there are too few rows.
    rise, spread : tuple of float
        Mean and standard deviation of the increase over the shuffles.
    measure : str
        The name of the loss.
    rows : int
        The number of rows that were shuffled.
    left_out : int
        The number of columns that were not shuffled.
    """

    columns: tuple[str, ...]
    rise: tuple[float, ...]
    spread: tuple[float, ...]
    measure: str
    rows: int
    left_out: int


def importance_of(model: TableModel, X: np.ndarray, table: Any, seed: int = 0) -> Importance:
    """Compute the permutation importance (Breiman, 2001, section 10) of raw columns.

    All inputs of a column are shuffled together.

    Parameters
    ----------
    model : TableModel
        The trained model.
    X : ndarray
        The encoded held-out rows.
    table : pyarrow.Table
        Their target columns.
    seed : int
        The seed of the shuffles.

    Returns
    -------
    Importance
        The increase of the loss for each column.

    Notes
    -----
    Correlated columns can substitute for each other, so that each of them appears unimportant. With more than 40
    columns, only those with the largest weights in the first layer are shuffled.
    """
    rng, measure = np.random.default_rng(seed), _measure(model.target)
    places = _inputs_of(model)
    if len(X) < FEWEST_ROWS:
        return Importance((), (), (), measure, len(X), 0)
    tried = _weightiest(model, X, places)
    at_once = max(200, int(MOST_WORK / (model.network.n_weights * REPEATS * max(1, len(tried)))))
    rows = np.sort(rng.permutation(len(X))[: min(MOST_ROWS, at_once)])
    X, truth = X[rows], truth_of(model.target, table)[rows]
    plain = _loss(model, X, truth)
    rises = {
        column: [_shuffled(model, X, truth, places[column], rng) - plain for _ in range(REPEATS)] for column in tried
    }
    order = sorted(tried, key=lambda column: -float(np.mean(rises[column])))
    return Importance(
        tuple(order),
        tuple(float(np.mean(rises[column])) for column in order),
        tuple(float(np.std(rises[column], ddof=1)) for column in order),
        measure,
        len(rows),
        len(places) - len(tried),
    )


def _measure(target: Target) -> str:
    if target.task != "regression":
        return "log loss"
    return "RMSE (in standard deviations of the targets)" if len(target.names) > 1 else "RMSE"


def _inputs_of(model: TableModel) -> dict[str, slice]:
    """The slice of the inputs of each raw column."""
    ends = np.cumsum([0, *(len(column.inputs) for column in model.encoding.columns)])
    return {c.name: slice(int(a), int(b)) for c, a, b in zip(model.encoding.columns, ends, ends[1:], strict=False)}


def _weightiest(model: TableModel, X: np.ndarray, places: dict[str, slice]) -> list[str]:
    if len(places) <= MOST_COLUMNS:
        return list(places)
    weighs = np.abs(model.params[0].W).sum(axis=1) * X.std(axis=0)
    total = {column: float(weighs[inputs].sum()) for column, inputs in places.items()}
    return sorted(places, key=lambda column: -total[column])[:MOST_COLUMNS]


def _shuffled(model: TableModel, X: np.ndarray, truth: np.ndarray, inputs: slice, rng: np.random.Generator) -> float:
    mixed = X.copy()
    mixed[:, inputs] = X[rng.permutation(len(X)), inputs]
    return _loss(model, mixed, truth)


def _loss(model: TableModel, X: np.ndarray, truth: np.ndarray) -> float:
    """The mean log loss of classes, or the RMSE; several targets are scaled by their standard deviations."""
    _, answers = decode(model.target, outputs(model, X))
    if model.target.task == "regression":
        off = (answers - truth) / (np.array(model.target.std) if len(model.target.names) > 1 else 1.0)
        return float(np.sqrt(np.mean(off**2)))
    given = answers[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.mean(np.log(np.clip(given, 1e-15, 1))))

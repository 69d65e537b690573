"""What each column contributes: how much worse the answers become when its values are shuffled among held-out rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.tables.fit import TableModel, outputs
from chainrule.tables.target import Target, decode, truth_of

REPEATS = 5
FEWEST_ROWS, MOST_ROWS, MOST_COLUMNS = 10, 2000, 40
MOST_WORK = 2e10  # multiplications in all; fewer rows where they would be more


class Importance(NamedTuple):
    """The rise of a measure ("log loss", "RMSE") for each column, the largest first: mean and spread of the shuffles.

    No columns where there are too few rows to shuffle.

    `left_out` counts the columns that were not tried, `rows` those that were shuffled.
    """

    columns: tuple[str, ...]
    rise: tuple[float, ...]
    spread: tuple[float, ...]
    measure: str
    rows: int
    left_out: int


def importance_of(model: TableModel, X: np.ndarray, table: Any, seed: int = 0) -> Importance:
    """Permutation importance (Breiman, 2001, section 10) of raw columns: all inputs of a column are shuffled together.

    Parameters
    ----------
    X, table
        The encoded held-out rows, and their target columns.

    Notes
    -----
    Columns that tell the same stand in for each other: each of them seems to matter little. Of more than 40 columns
    those are tried that the network's first layer weighs most.
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
    return "RMSE, in deviations of the targets," if len(target.names) > 1 else "RMSE"


def _inputs_of(model: TableModel) -> dict[str, slice]:
    """Where the inputs of each raw column are."""
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
    """The mean log loss of classes; of numbers the RMSE, each target in units of its deviation."""
    _, answers = decode(model.target, outputs(model, X))
    if model.target.task == "regression":
        off = (answers - truth) / (np.array(model.target.std) if len(model.target.names) > 1 else 1.0)
        return float(np.sqrt(np.mean(off**2)))
    given = answers[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.mean(np.log(np.clip(given, 1e-15, 1))))

"""Models of tables: training rows from a prepared table, the trained model, its outputs and scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import UsageError
from chainrule.network import Network, Params, forward
from chainrule.tables.encoding import Encoding
from chainrule.tables.memory import rows_at_once
from chainrule.tables.metrics import ClassScores, NumberScores, Scores, scorer
from chainrule.tables.prepare import Prepared
from chainrule.tables.target import Target, class_places, decode, truth_of
from chainrule.training.memory import Rows
from chainrule.training.result import Fit


class TableModel(NamedTuple):
    """A trained network, with the encoding of its inputs and the meaning of its outputs."""

    network: Network
    params: Params
    encoding: Encoding
    target: Target
    frequencies: tuple[float, ...]  # of the classes in the training rows
    about: dict[str, Any]  # versions, seed: informative only


def rows_of(prepared: Prepared, balanced: bool) -> Rows:
    """The training rows, and the validation rows if there are any; with `balanced`, classes have equal weight."""
    weights = _balancing(prepared) if balanced else np.ones(len(prepared.X))
    parts = (prepared.split.train, prepared.split.validation)
    training, held = ((prepared.X[rows], prepared.Y[rows], weights[rows]) for rows in parts)
    return Rows(*training, held if len(held[0]) else None)


def _balancing(prepared: Prepared) -> np.ndarray:
    """A weight per row, such that all classes have the same total weight and the mean weight is 1."""
    if prepared.target.task == "regression":
        raise UsageError("--balanced requires classes, but the target is numeric")
    return prepared.class_weights[class_places(prepared.target, prepared.table)]


def model_of(prepared: Prepared, network: Network, fit: Fit, about: dict[str, Any]) -> TableModel:
    """Combine a fit with the encoding and the target of its table."""
    is_classes = prepared.target.task != "regression"
    frequencies = tuple(prepared.frequencies.tolist()) if is_classes else ()
    return TableModel(network, fit.params, prepared.encoding, prepared.target, frequencies, about)


def outputs(model: TableModel, X: np.ndarray) -> np.ndarray:
    """The network's outputs (rows, n_outputs), computed in batches of bounded size."""
    last = [forward(model.network, model.params, X[rows]).a[-1] for rows in _pieces(model, len(X))]
    return np.concatenate(last) if last else np.empty((0, model.target.n_outputs), X.dtype)


def numbers_of_a_row(model: TableModel) -> int:
    """How many numbers the network computes per row: inputs, weighted sums and activations."""
    return 2 * sum(model.network.layers)


def _pieces(model: TableModel, rows: int) -> Iterator[slice]:
    size = rows_at_once(numbers_of_a_row(model))
    return (slice(i, i + size) for i in range(0, rows, size))


def score_table(model: TableModel, X: np.ndarray, table: Any) -> Scores:
    """Scores on the encoded rows `X`, whose target columns are in `table`."""
    scored, truth = scorer_of(model), truth_of(model.target, table)
    for rows in _pieces(model, len(X)):
        add_rows(scored, model, X[rows], truth[rows])
    return scored.scores()


def scorer_of(model: TableModel) -> ClassScores | NumberScores:
    """An accumulator for the scores of the model's predictions."""
    return scorer(model.target, np.array(model.frequencies))


def add_rows(scored: ClassScores | NumberScores, model: TableModel, X: np.ndarray, truth: np.ndarray) -> None:
    """Add the predictions for these rows and their true targets (from `truth_of`) to the scores."""
    _, answers = decode(model.target, outputs(model, X))
    scored.add(answers, truth)

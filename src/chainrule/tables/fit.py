"""Prepared rows and a recipe into a trained model, and its scores on rows it has not seen."""

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
    """A trained network with all that turns raw columns into inputs and outputs into answers."""

    network: Network
    params: Params
    encoding: Encoding
    target: Target
    frequencies: tuple[float, ...]  # of the classes among the training rows
    about: dict[str, Any]  # versions, seed: for people


def rows_of(prepared: Prepared, balanced: bool) -> Rows:
    """The training rows, and the validation rows if there are any; with `balanced` all classes weigh the same."""
    weights = _balancing(prepared) if balanced else np.ones(len(prepared.X))
    parts = (prepared.split.train, prepared.split.validation)
    training, held = ((prepared.X[rows], prepared.Y[rows], weights[rows]) for rows in parts)
    return Rows(*training, held if len(held[0]) else None)


def _balancing(prepared: Prepared) -> np.ndarray:
    """A weight per row such that the classes weigh the same in all, and a row weighs 1 on average."""
    if prepared.target.task == "regression":
        raise UsageError("--balanced weighs classes; this target is a number")
    return prepared.class_weights[class_places(prepared.target, prepared.table)]


def model_of(prepared: Prepared, network: Network, fit: Fit, about: dict[str, Any]) -> TableModel:
    """The fit with its encoding."""
    is_classes = prepared.target.task != "regression"
    frequencies = tuple(prepared.frequencies.tolist()) if is_classes else ()
    return TableModel(network, fit.params, prepared.encoding, prepared.target, frequencies, about)


def outputs(model: TableModel, X: np.ndarray) -> np.ndarray:
    """The network's outputs: (rows, n_outputs), a bounded number of rows at a time."""
    last = [forward(model.network, model.params, X[rows]).a[-1] for rows in _pieces(model, len(X))]
    return np.concatenate(last) if last else np.empty((0, model.target.n_outputs), X.dtype)


def numbers_of_a_row(model: TableModel) -> int:
    """How many numbers the network makes of a row: its inputs, weighted sums and activations."""
    return 2 * sum(model.network.layers)


def _pieces(model: TableModel, rows: int) -> Iterator[slice]:
    size = rows_at_once(numbers_of_a_row(model))
    return (slice(i, i + size) for i in range(0, rows, size))


def score_table(model: TableModel, X: np.ndarray, table: Any) -> Scores:
    """Scores on rows with known targets; `table` has their target columns."""
    scored, truth = scorer_of(model), truth_of(model.target, table)
    for rows in _pieces(model, len(X)):
        add_rows(scored, model, X[rows], truth[rows])
    return scored.scores()


def scorer_of(model: TableModel) -> ClassScores | NumberScores:
    """What adds up how good the model's answers are."""
    return scorer(model.target, np.array(model.frequencies))


def add_rows(scored: ClassScores | NumberScores, model: TableModel, X: np.ndarray, truth: np.ndarray) -> None:
    """Score the model's answers for these rows against their `truth_of`."""
    _, answers = decode(model.target, outputs(model, X))
    scored.add(answers, truth)

"""Metrics of predictions and of a baseline that ignores the inputs, accumulated over batches in bounded memory.

The definitions are scikit-learn's, and tests compare the values; scikit-learn itself is not imported.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from chainrule.tables.curves import Curves
from chainrule.tables.target import Target

LOWER_IS_BETTER = ("log_loss", "rmse", "mae")
MOST_CONFUSED = 50  # classes with their own row in the confusion matrix
OTHERS = "(others)"
LEAST = 1e-15  # probabilities are clipped to this


class Scores(NamedTuple):
    """Metrics of the network and of the baseline.

    A metric is None if it is undefined: if outputs overflow, or if only one class is present.

    Attributes
    ----------
    rows : int
        Number of rows that were scored.
    network, baseline : dict
        Metrics by name.
    baseline_is : str
        What the baseline predicts.
    confusion : list of lists, optional
        Confusion matrix: rows are true classes, columns predicted ones.
    confusion_classes : list of str, optional
        Labels of its rows and columns; with many classes, the last combines the remaining ones.
    left_out : int
        Number of classes combined in the last row and column.
    auc_rows : int, optional
        Size of the random sample on which the network's ROC AUC is computed; None if all rows are used.
    """

    rows: int
    network: dict[str, float | None]
    baseline: dict[str, float | None]
    baseline_is: str
    confusion: list[list[int]] | None = None
    confusion_classes: list[str] | None = None
    left_out: int = 0
    auc_rows: int | None = None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    def most_confused(self, most: int) -> Scores:
        """The scores with a smaller confusion matrix: the most frequent classes, and the others combined."""
        if self.confusion is None or self.confusion_classes is None or len(self.confusion_classes) <= most + 1:
            return self
        counts, named = np.array(self.confusion), len(self.confusion_classes) - bool(self.left_out)
        kept = np.sort(np.argsort(-counts[:named].sum(axis=1), kind="stable")[:most])
        place = np.full(len(counts), len(kept))
        place[kept] = np.arange(len(kept))
        folded = np.zeros((len(kept) + 1,) * 2, counts.dtype)
        np.add.at(folded, (place[:, None], place[None, :]), counts)
        labels = [self.confusion_classes[k] for k in kept] + [OTHERS]
        left_out = self.left_out + named - len(kept)
        return self._replace(confusion=folded.tolist(), confusion_classes=labels, left_out=left_out)


class ClassScores:
    """Accumulates scores of probabilities (rows, classes); the baseline predicts the training frequencies."""

    def __init__(self, target: Target, frequencies: np.ndarray):
        self.target, self.frequencies = target, frequencies
        k = len(target.classes)
        self.loss = 0.0
        self.rows_of, self.right = np.zeros(k, int), np.zeros(k, int)  # of each true class
        named = k if k <= MOST_CONFUSED + 1 else MOST_CONFUSED
        self.shown = np.sort(np.argsort(-frequencies, kind="stable")[:named])
        self.place = np.full(k, len(self.shown))
        self.place[self.shown] = np.arange(len(self.shown))
        self.confusion = np.zeros((len(self.shown) + (len(self.shown) < k),) * 2, int)
        self.curves = Curves(k)

    def add(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        """Add rows; `truth` (rows,) holds the indices of their classes."""
        k, told = len(self.rows_of), probabilities.argmax(axis=1)
        clipped = np.clip(probabilities, LEAST, 1)
        given = clipped[np.arange(len(truth)), truth].astype(np.float64)
        self.loss += float(-np.log(given / clipped.sum(axis=1, dtype=np.float64)).sum())
        self.rows_of += np.bincount(truth, minlength=k)
        self.right += np.bincount(truth[told == truth], minlength=k)
        size = len(self.confusion)
        pairs = np.bincount(self.place[truth] * size + self.place[told], minlength=size**2)
        self.confusion += pairs.reshape(size, size)
        self.curves.add(clipped, truth)

    def scores(self) -> Scores:
        """The scores of all rows added so far."""
        always, n, left_out = int(self.frequencies.argmax()), int(self.rows_of.sum()), self.left_out
        return Scores(
            n,
            self._metrics(self.right, self.loss / n, self.curves.area()),
            self._baseline(always, n),
            f"always {self.target.classes[always]}",
            self.confusion.tolist(),
            [self.target.classes[k] for k in self.shown] + [OTHERS] * bool(left_out),
            left_out,
            self.curves.sampled,
        )

    @property
    def left_out(self) -> int:
        return len(self.rows_of) - len(self.shown)

    def _baseline(self, always: int, n: int) -> dict[str, float | None]:
        right = np.where(np.arange(len(self.rows_of)) == always, self.rows_of, 0)
        shares = np.clip(self.frequencies, LEAST, 1)
        loss = float(self.rows_of @ -np.log(shares / shares.sum())) / n
        return self._metrics(right, loss, 0.5 if self.rows_of.all() else None)

    def _metrics(self, right: np.ndarray, loss: float, auc: float | None) -> dict[str, float | None]:
        there = self.rows_of > 0
        return {
            "accuracy": float(right.sum() / self.rows_of.sum()),
            "balanced_accuracy": float(np.mean(right[there] / self.rows_of[there])),
            "roc_auc": auc,
            "log_loss": _finite(loss),
        }


class NumberScores:
    """Accumulates scores of predicted numbers (rows, targets), in the units of the targets.

    The baseline predicts the training mean. Sums of squared deviations are merged over batches as in Chan, Golub and
    LeVeque (1983).
    """

    def __init__(self, target: Target):
        self.target, self.n = target, 0
        zeros = np.zeros(len(target.names))
        self.first, self.mean, self.squares = (
            zeros,
            zeros,
            zeros,
        )  # of the true values: the first row, the mean minus that row
        self.off = {"network": (zeros, zeros), "baseline": (zeros, zeros)}  # sums of squared and of absolute errors

    def add(self, values: np.ndarray, truth: np.ndarray) -> None:
        """Add rows of predicted and true values."""
        if not len(truth):
            return
        self.first = self.first if self.n else truth[0]
        with np.errstate(over="ignore", invalid="ignore"):
            for name, told in (("network", values), ("baseline", np.array(self.target.mean))):
                squares, distances = self.off[name]
                self.off[name] = squares + ((told - truth) ** 2).sum(axis=0), distances + abs(told - truth).sum(axis=0)
            here, n, mean = truth - self.first, len(truth), (truth - self.first).mean(axis=0)
            apart = (mean - self.mean) ** 2 * (self.n * n / (self.n + n))
            self.squares = self.squares + ((here - mean) ** 2).sum(axis=0) + apart
            self.mean = self.mean + (mean - self.mean) * (n / (self.n + n))
        self.n += n

    def scores(self) -> Scores:
        """The scores of all rows added so far."""
        return Scores(self.n, self._metrics("network"), self._metrics("baseline"), "always the mean")

    def _metrics(self, name: str) -> dict[str, float | None]:
        squares, distances = self.off[name]
        varies = self.squares > 0
        unexplained = np.where(varies, squares / np.where(varies, self.squares, 1), squares > 0)
        return {
            "r2": _finite(1 - unexplained.mean()) if self.n > 1 else None,
            "rmse": _finite(np.sqrt(squares / self.n).mean()),
            "mae": _finite((distances / self.n).mean()),
        }


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def scorer(target: Target, frequencies: np.ndarray) -> ClassScores | NumberScores:
    """An accumulator for the scores of a target; `frequencies` are those of its classes in the training rows."""
    return NumberScores(target) if target.task == "regression" else ClassScores(target, frequencies)

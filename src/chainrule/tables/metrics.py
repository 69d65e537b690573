"""How good predictions are, beside a baseline that looks at no input. The numbers are scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.tables.target import Target


class Scores(NamedTuple):
    """Metrics by name, of the network and of the baseline; for classes the confusion matrix, rows are true.

    None for what cannot be told: of outputs that overflow, or of one class alone.
    """

    rows: int
    network: dict[str, float | None]
    baseline: dict[str, float | None]
    baseline_is: str
    confusion: list[list[int]] | None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


LOWER_IS_BETTER = ("log_loss", "rmse", "mae")


def score_classes(target: Target, probabilities: np.ndarray, truth: np.ndarray, frequencies: np.ndarray) -> Scores:
    """Scores of (rows, classes) probabilities; the baseline always gives the training frequencies of the classes."""
    from sklearn.metrics import confusion_matrix

    always = int(frequencies.argmax())
    return Scores(
        rows=len(truth),
        network=_of_classes(probabilities, truth),
        baseline=_of_classes(np.broadcast_to(frequencies, probabilities.shape), truth),
        baseline_is=f"always {target.classes[always]}",
        confusion=confusion_matrix(truth, probabilities.argmax(axis=1), labels=range(len(target.classes))).tolist(),
    )


def score_numbers(target: Target, values: np.ndarray, truth: np.ndarray) -> Scores:
    """Scores of (rows, targets) numbers in the target's own units; the baseline always gives the training mean."""
    mean = np.broadcast_to(np.array(target.mean), truth.shape)
    return Scores(len(truth), _of_numbers(values, truth), _of_numbers(mean, truth), "always the mean", None)


def _of_classes(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    from sklearn.metrics import accuracy_score, log_loss, recall_score

    told = probabilities.argmax(axis=1)
    classes = range(probabilities.shape[1])
    present = np.unique(truth)
    safe = np.clip(np.nan_to_num(probabilities.astype(np.float64)), 1e-15, 1)
    return {
        "accuracy": float(accuracy_score(truth, told)),
        "balanced_accuracy": float(
            recall_score(truth, told, labels=present, average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]
        ),
        "roc_auc": _auc(safe, truth, len(present)),
        "log_loss": float(log_loss(truth, safe / safe.sum(axis=1, keepdims=True), labels=list(classes))),
    }


def _auc(probabilities: np.ndarray, truth: np.ndarray, present: int) -> float | None:
    """Area under the ROC curve, for several classes the mean over one against the rest; None if one is absent."""
    from sklearn.metrics import roc_auc_score

    if present < probabilities.shape[1]:
        return None
    columns: Sequence[int] = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return float(np.mean([roc_auc_score(truth == k, probabilities[:, k]) for k in columns]))


def _of_numbers(values: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    if not np.isfinite(values).all():
        return dict.fromkeys(("r2", "rmse", "mae"))
    with np.errstate(over="ignore", invalid="ignore"):
        found = {
            "r2": float(r2_score(truth, values)) if len(truth) > 1 else None,
            "rmse": float(root_mean_squared_error(truth, values)),
            "mae": float(mean_absolute_error(truth, values)),
        }
    return {name: x if x is not None and np.isfinite(x) else None for name, x in found.items()}

"""Validation rows, given by the caller or split off; their scores, and the temperature fitted to them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_array

from chainrule.maths.costs import cost_of
from chainrule.maths.pairs import FUSED
from chainrule.network import Network


class Held(NamedTuple):
    """Validation rows: inputs, targets as outputs of the network, labels or values as given, and weights."""

    X: np.ndarray
    Y: np.ndarray
    y: Any
    weights: np.ndarray | None


def split_off(model: Any, X: np.ndarray, y: Any, weights: Any) -> tuple[np.ndarray, Any, Any, Held]:
    """Split the rows into training and validation rows as scikit-learn does."""
    stratify = y if is_classifier(model) and model.n_outputs_ == 1 else None
    arrays = [X, y] if weights is None else [X, y, weights]
    parts: list[Any] = train_test_split(
        *arrays, random_state=model._random_state, test_size=model.validation_fraction, stratify=stratify
    )
    (X, X_val, y, y_val), weighing = parts[:4], parts[4:] or [None, None]
    if X_val.shape[0] < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    labels = model._label_binarizer.inverse_transform(y_val) if is_classifier(model) else y_val
    return X, y, weighing[0], Held(X_val, as_outputs(y_val, X.dtype), labels, weighing[1])


def given_rows(model: Any, X_val: np.ndarray, y_val: Any, weights: Any) -> Held:
    """The validation rows of the caller; X_val is already validated and encoded."""
    y_val = np.asarray(y_val)
    if y_val.ndim == 2 and y_val.shape[1] == 1:
        y_val = y_val[:, 0]
    if len(y_val) != len(X_val):
        raise ValueError(f"y_val: expected {len(X_val)} targets, one per row of X_val; got {len(y_val)}")
    if weights is not None and np.shape(weights) != (len(X_val),):
        raise ValueError(f"sample_weight_val: expected {len(X_val)} weights, got an array of shape {np.shape(weights)}")
    if not is_classifier(model):
        y_val = check_array(y_val, ensure_2d=False, input_name="y_val")
        scaled = (y_val - model.target_mean_) / model.target_std_ if hasattr(model, "target_mean_") else y_val
        return Held(X_val, as_outputs(scaled, X_val.dtype), scaled, weights)
    unknown = np.setdiff1d(y_val, model.classes_) if y_val.ndim == 1 else []
    if len(unknown):
        raise ValueError(f"y_val: classes {list(unknown)} do not occur in y, which has {list(model.classes_)}")
    return Held(X_val, as_outputs(model._label_binarizer.transform(y_val), X_val.dtype), y_val, weights)


def as_outputs(y: Any, dtype: Any) -> np.ndarray:
    """Reshape targets to outputs of the network: (n, n_outputs)."""
    return np.asarray(y, dtype).reshape(len(y), -1)


def loss_of(network: Network, outputs: np.ndarray, held: Held) -> float:
    """The mean cost of the validation rows, without the penalty."""
    return float(np.average(network.cost.per_observation(outputs, held.Y), weights=held.weights))


def score_of(model: Any, outputs: np.ndarray, held: Held) -> float:
    """Accuracy or R2 on the validation rows; NaN where an output is not finite."""
    if not np.isfinite(outputs).all():
        return float("nan")
    told = outputs.ravel() if model.n_outputs_ == 1 else outputs
    if is_classifier(model):
        return accuracy_score(held.y, model._label_binarizer.inverse_transform(told), sample_weight=held.weights)
    return r2_score(held.y, told, sample_weight=held.weights)


def fitted_temperature(network: Network, z: np.ndarray, held: Held) -> float:
    r"""Fit the temperature T that minimises the log loss of :math:`\sigma(z / T)` on the validation rows.

    References
    ----------
    Guo et al. (2017), "On calibration of modern neural networks", section 4.2.
    """
    from scipy.optimize import minimize_scalar

    losses = {"sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy"}
    last = network.activations[-1]
    if last.name not in losses:
        raise ValueError(f"calibrate=True: expected a sigmoid or softmax output, got {last.name}")
    costs = FUSED[last, cost_of(losses[last.name])].costs

    def log_loss(log_temperature: float) -> float:
        each = costs(z.astype(np.float64) / np.exp(log_temperature), held.Y.astype(np.float64)).sum(axis=1)
        return float(np.average(each, weights=held.weights))

    found: Any = minimize_scalar(log_loss, bounds=(-5.0, 5.0), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))

"""Checks of designs, parameters and arrays; messages state what was expected, what was found and a likely fix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np

Masks = tuple[tuple[tuple[bool, ...], ...] | None, ...]


def design_name(layers: Sequence[int]) -> str:
    """A design as text.

    >>> design_name([2, 3, 1])
    '2-3-1'
    """
    return "-".join(str(size) for size in layers)


def check_design(layers: Sequence[int], reduction: str, l2: float) -> None:
    """Raise a ValueError for invalid settings of a design."""
    if len(layers) < 2:
        raise ValueError(f"a network needs at least an input and an output layer, such as [2, 1]; got {list(layers)}")
    if any(int(size) != size or size < 1 for size in layers):
        raise ValueError(f"each layer needs a whole number of nodes, 1 or more; got {list(layers)}")
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction: expected "mean" or "sum" (over observations), got {reduction!r}')
    if not (isfinite(l2) and l2 >= 0):
        raise ValueError(f"l2: expected a number, 0 or more; got {l2}")


def check_one_per_layer(what: str, count: int, layers: Sequence[int]) -> None:
    """Raise a ValueError unless there is one object per layer of weights."""
    if count != len(layers) - 1:
        raise ValueError(
            f"{what}: expected {len(layers) - 1} for a {design_name(layers)} network, "
            f"one per layer after the inputs; got {count}"
        )


def check_pair(cost: str, reduction: str, activation: str, n_out: int) -> None:
    """Raise a ValueError for a cost that is incompatible with the reduction or the output layer."""
    if cost == "rmse" and reduction == "sum":
        raise ValueError('rmse is the root of a mean: use reduction="mean"')
    if cost == "categorical_cross_entropy" and n_out == 1:
        raise ValueError(
            "categorical cross-entropy needs one output node per class; for one node use binary cross-entropy"
        )
    if activation == "softmax" and n_out == 1:
        raise ValueError("softmax over one node is always 1; use sigmoid, or one node per class")


def checked_masks(masks: Sequence[Any] | None, layers: Sequence[int]) -> Masks:
    """Convert masks to nested tuples, so that a design is hashable; None means no masks."""
    masks = (None,) * (len(layers) - 1) if masks is None else masks
    check_one_per_layer("masks", len(masks), layers)
    checked = []
    for mask, shape in zip(masks, pairwise(layers), strict=True):
        if mask is None:
            checked.append(None)
            continue
        if np.shape(mask) != shape:
            raise ValueError(
                f"masks: expected shape {shape} (from, to) for a {design_name(layers)} network, got {np.shape(mask)}"
            )
        if not np.isin(mask, (0, 1)).all():
            raise ValueError("masks: expected True or False (1 or 0) for each connection, got other values")
        checked.append(tuple(tuple(bool(x) for x in row) for row in mask))
    return tuple(checked)


def check_params(layers: Sequence[int], params: Sequence[Any]) -> None:
    """Raise a ValueError unless the parameters have the shapes of the design and are finite."""
    check_one_per_layer("parameters", len(params), layers)
    for i, ((W, b), shape) in enumerate(zip(params, pairwise(layers), strict=True)):
        if W.shape != shape or b.shape != shape[1:]:
            raise ValueError(
                f"parameters of layer {i}: expected W {shape} (from, to) and b {shape[1:]} for a "
                f"{design_name(layers)} network; got W {W.shape} and b {b.shape}"
            )
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ValueError(f"parameters of layer {i}: expected finite numbers, got NaN or infinity")


def check_inputs(layers: Sequence[int], X: Any) -> None:
    """Raise a ValueError unless X is (observations, n_in)."""
    if X.ndim != 2 or X.shape[1] != layers[0]:
        raise ValueError(
            f"inputs: expected shape (observations, {layers[0]}) for a {design_name(layers)} network, got {X.shape}"
            + ("; reshape one observation with X[None, :]" if X.ndim == 1 else "")
        )


def check_targets(layers: Sequence[int], y_hat: Any, Y: Any, weights: Any) -> None:
    """Raise a ValueError unless targets and weights match the outputs."""
    if Y.shape != y_hat.shape:
        raise ValueError(
            f"targets: expected shape {tuple(y_hat.shape)} for a {design_name(layers)} network, got {tuple(Y.shape)}"
            + ("; make it a column with Y[:, None]" if Y.ndim == 1 else "")
        )
    if weights is not None and weights.shape != Y.shape[:1]:
        raise ValueError(f"observation weights: expected shape {Y.shape[:1]}, got {weights.shape}")

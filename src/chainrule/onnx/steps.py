"""The steps of a scikit-learn pipeline before the estimator, as nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import InputError
from chainrule.onnx.graph import Graph


def transformed(g: Graph, steps: Sequence[tuple[str, Any]], X: str, dtype: Any) -> str:
    """X after the steps, computed in float64."""
    if not steps:
        return X
    wide = g.cast(X, np.float64)
    for name, step in steps:
        wide = _step(g, name, step, wide)
    return g.cast(wide, dtype)


def refuse_steps(steps: Sequence[tuple[str, Any]]) -> None:
    """Raise an InputError if there is a step before an estimator with categories."""
    if steps:
        raise InputError(
            f"step {steps[0][0]!r}: an estimator with categorical_features can be exported to ONNX only without steps "
            "before it"
        )


def _step(g: Graph, name: str, step: Any, X: str) -> str:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    if type(step) is StandardScaler:
        centred = X if step.mean_ is None or not step.with_mean else _with(g, "Sub", X, step.mean_)
        return centred if step.scale_ is None else _with(g, "Div", centred, step.scale_)
    if type(step) is MinMaxScaler:
        scaled = _with(g, "Add", _with(g, "Mul", X, step.scale_), step.min_)
        low, high = step.feature_range
        return _with(g, "Min", _with(g, "Max", scaled, low), high) if step.clip else scaled
    if type(step) is SimpleImputer:
        return g("Where", g("IsNaN", X), g.constant(_fills(name, step), np.float64), X)
    raise InputError(
        f"step {name!r} ({type(step).__name__}) has no ONNX form here: expected StandardScaler, MinMaxScaler or "
        "SimpleImputer before the estimator"
    )


def _fills(name: str, step: Any) -> np.ndarray:
    """The fill value of each column, if the imputer does nothing else."""
    fills = np.asarray(step.statistics_)
    only_numbers = (
        fills.dtype.kind in "fiu" and isinstance(step.missing_values, float) and np.isnan(step.missing_values)
    )
    if step.add_indicator or not only_numbers or not np.isfinite(fills).all():
        raise InputError(
            f"step {name!r} (SimpleImputer): expected one that fills NaN in numeric columns, none of them empty, "
            "without add_indicator"
        )
    return fills


def _with(g: Graph, operator: str, X: str, numbers: Any) -> str:
    return g(operator, X, g.constant(numbers, np.float64))

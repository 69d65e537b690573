"""Conversion of scikit-learn pipelines that end in one of the estimators to arrays and JSON, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from chainrule.errors import InputError
from chainrule.estimators.saving import (
    CLASSES,
    estimator_from_plain,
    estimator_to_plain,
    value_from_json,
    value_to_json,
)
from chainrule.network import Network, Params
from chainrule.storage.documents import check_known
from chainrule.storage.models import Stored
from chainrule.storage.tensors import readable

_SCALERS: dict[str, Any] = {c.__name__: c for c in (StandardScaler, MinMaxScaler)}
_FITTED = {
    "StandardScaler": ("mean_", "var_", "scale_", "n_samples_seen_"),
    "MinMaxScaler": ("min_", "scale_", "data_min_", "data_max_", "data_range_", "n_samples_seen_"),
}


def parts_of(model: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """Split a pipeline into its fitted estimator and the named steps before it; an estimator alone has no steps.

    Raises
    ------
    TypeError
        If the model is neither.
    InputError
        If the pipeline ends in something else.
    """
    if type(model) in CLASSES.values():
        return model, []
    if not isinstance(model, Pipeline):
        raise TypeError(
            "expected an estimator, a pipeline that ends in one, a table model or (network, params); got "
            f"{type(model).__name__}"
        )
    *before, (name, last) = model.steps
    if type(last) not in CLASSES.values():
        raise InputError(f"step {name!r} ({type(last).__name__}): expected the last step to be {' or '.join(CLASSES)}")
    check_is_fitted(last)
    return last, [(name, step) for name, step in before if step not in (None, "passthrough")]


def to_plain(model: Any, optimizer: bool) -> tuple[Network, Params, dict[str, Any], dict[str, np.ndarray]]:
    """The design, parameters, document and arrays of a fitted estimator or pipeline, for `write_model`.

    Raises
    ------
    TypeError
        If the model is neither.
    InputError
        If a step is not a `StandardScaler` or `MinMaxScaler`, or the estimator cannot be saved.
    """
    last, steps = parts_of(model)
    network, params, document, arrays = estimator_to_plain(last, optimizer)
    if last is model:
        return network, params, document, arrays
    scalers = []
    for i, (name, step) in enumerate(steps):
        plain, fitted = _scaler_to_plain(name, step)
        scalers.append(plain)
        arrays |= {f"step.{i}.{key}": x for key, x in fitted.items()}
    return network, params, {"kind": "pipeline", "name": model.steps[-1][0], "steps": scalers, "of": document}, arrays


def pipeline_from_plain(stored: Stored, path: Any) -> Pipeline:
    """Restore the pipeline from a file that was read from `path`.

    Raises
    ------
    InputError
        If a part is missing, of a wrong type or shape, or not finite.
    """
    with readable(path):
        document = stored.document
        own = {name: x for name, x in stored.arrays.items() if not name.startswith("step.")}
        model = estimator_from_plain(stored._replace(document=document["of"], arrays=own), path)
        check_known(path, "step", [plain["class"] for plain in document["steps"]], _SCALERS)
        steps = [_scaler_from_plain(plain, stored.arrays, i) for i, plain in enumerate(document["steps"])]
        named = [*((plain["name"], step) for plain, step in zip(document["steps"], steps, strict=True))]
        if any(step.n_features_in_ != model.n_features_in_ for step in steps):
            raise ValueError("steps: the scalers have other columns than the estimator")
        pipeline = Pipeline([*named, (document["name"], model)])
        pipeline._validate_steps()
        return pipeline


def _scaler_to_plain(name: str, step: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if type(step) not in _SCALERS.values():
        raise InputError(
            f"step {name!r} ({type(step).__name__}) cannot be saved as plain data, only {' and '.join(_SCALERS)} can; "
            "save the estimator alone, and create the step again after loading"
        )
    if hasattr(step, "_sklearn_output_config"):
        raise InputError(f"step {name!r}: cannot be saved as plain data with set_output")
    kind = type(step).__name__
    plain = {
        "name": name,
        "class": kind,
        "parameters": {key: value_to_json(x) for key, x in step.get_params().items()},
        "n_features": step.n_features_in_,
        "feature_names": [*map(str, vars(step).get("feature_names_in_", []))],
    }
    fitted = {key: vars(step)[key] for key in _FITTED[kind]}
    return plain, {key: np.asarray(x) for key, x in fitted.items() if x is not None}


def _scaler_from_plain(plain: dict[str, Any], arrays: Any, place: int) -> Any:
    kind, n, names = plain["class"], plain["n_features"], plain["feature_names"]
    step = _SCALERS[kind](**{key: value_from_json(x) for key, x in plain["parameters"].items()})
    step._validate_params()
    for key in _FITTED[kind]:
        x = arrays.get(f"step.{place}.{key}")
        required = key not in ("mean_", "var_", "scale_") or kind == "MinMaxScaler"
        if x is None and required:
            raise ValueError(f"{kind}: {key} is missing")
        if x is not None and not (x.shape in ((n,), () if key == "n_samples_seen_" else (n,)) and np.isfinite(x).all()):
            raise ValueError(f"{kind}: {key}: expected {n} finite numbers")
        setattr(step, key, None if x is None else x[()])
    step.n_features_in_ = n
    if names:
        if len(names) != n or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{kind}: expected {n} feature names")
        step.feature_names_in_ = np.array(names, dtype=object)
    return step

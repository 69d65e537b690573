"""Conversion of estimators to arrays and JSON, and back. Code (callbacks, user-defined rules) is not saved."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from chainrule.errors import InputError
from chainrule.estimators.categories import categories_from_json
from chainrule.estimators.inputs import Inputs
from chainrule.estimators.mlp import MLPClassifier, MLPRegressor
from chainrule.estimators.parameters import left_alone
from chainrule.estimators.stochastic import Position
from chainrule.maths.activations import ACTIVATIONS, Activation, is_activation_of_ours
from chainrule.maths.costs import Cost, cost_named, is_cost_of_ours
from chainrule.maths.shapes import check_params
from chainrule.network import Layer, Network, Params
from chainrule.storage.documents import check_known
from chainrule.storage.models import Stored
from chainrule.tables.quantiles import quantiles_from_json
from chainrule.training.averaging import Average
from chainrule.training.rules.plain import rule_from_json, rule_to_json

CLASSES = {c.__name__: c for c in (MLPClassifier, MLPRegressor)}
_COUNTS = ["n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "_no_improvement_count"]
_VALUES = ["loss_", "best_loss_", "best_validation_score_", "best_validation_loss_", "temperature_"]
_NUMBERS = [*_COUNTS, *_VALUES]
_ARRAYS = ["loss_curve_", "validation_scores_", "validation_loss_curve_", "target_mean_", "target_std_"]
_INPUTS = ("fill", "mean", "std", "indicated")
_LISTS = ("loss_curve_", "validation_scores_", "validation_loss_curve_")


def estimator_to_plain(model: Any, optimizer: bool) -> tuple[Network, Params, dict[str, Any], dict[str, np.ndarray]]:
    """The design, parameters, document and arrays of a fitted estimator, for `write_model`.

    Raises
    ------
    InputError
        If a label is neither a number, text nor boolean; with `optimizer`, if there is no optimiser state, or if its
        rule is defined by code.
    """
    check_is_fitted(model)
    parameters, left_out = _parameters_to_json(model)
    if left_out:
        warnings.warn(
            f"saved without {', '.join(left_out)}: code cannot be saved; a loaded model has the defaults instead, and "
            "predicts the same",
            stacklevel=3,
        )
    document: dict[str, Any] = {
        "kind": "estimator",
        "class": type(model).__name__,
        "parameters": parameters,
        "left": left_alone(model),
        "fitted": {name: value_to_json(vars(model)[name]) for name in _NUMBERS if name in vars(model)},
        "out_activation": model.out_activation_,
    }
    arrays = {name: np.asarray(vars(model)[name]) for name in _ARRAYS if vars(model).get(name) is not None}
    if hasattr(model, "feature_names_in_"):
        document["feature_names"] = list(map(str, model.feature_names_in_))
    if hasattr(model, "inputs_"):
        document["quantiles"], categories = model.inputs_.quantiles, model.inputs_.categories
        arrays |= {f"inputs.{name}": getattr(model.inputs_, name) for name in _INPUTS}
        if categories:
            document["categories"] = categories.to_json()
    if isinstance(model, MLPClassifier):
        document["labels"] = _labels_to_json(model.classes_)
        document["label_type"] = model._label_binarizer.y_type_
    if optimizer:
        document["position"], of_position = _position_to_plain(model)
        arrays |= {f"position.{name}": x for name, x in of_position.items()}
    return model.network_, model._params(), document, arrays


def estimator_from_plain(stored: Stored, path: Any) -> Any:
    """Restore the estimator from a file that was read from `path`.

    Raises
    ------
    InputError
        If a part is missing, of a wrong type or shape, or not finite.
    """
    try:
        _check_version(stored.document, path)
        return _built(stored)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"{path}: not an estimator that this version of Chainrule can read: {error}") from error


def _check_version(document: dict[str, Any], path: Any) -> None:
    """Refuse documents of later versions."""
    check_known(path, "class", [document["class"]], CLASSES)
    check_known(path, "parameter", document["parameters"], CLASSES[document["class"]]().get_params())


def _built(stored: Stored) -> Any:
    network, params, document, arrays = stored
    _check_arrays(arrays, [*_ARRAYS, *(f"inputs.{name}" for name in _INPUTS)], "position" in document)
    model: Any = CLASSES[document["class"]](**_parameters_from_json(document))
    model._validate_params()
    fitted = {name: value_from_json(x) for name, x in document["fitted"].items() if name in _NUMBERS}
    if not all(isinstance(x, int if name in _COUNTS else float | None) for name, x in fitted.items()):
        raise ValueError("fitted: expected numbers")
    whole = {name: arrays[name].tolist() if name in _LISTS else arrays[name] for name in _ARRAYS if name in arrays}
    vars(model).update(fitted, network_=network, **whole)
    model.coefs_, model.intercepts_ = [np.array(W) for W, _ in params], [np.array(b) for _, b in params]
    model.out_activation_ = document["out_activation"]
    if "inputs.fill" in arrays:
        quantiles = tuple(quantiles_from_json(each) for each in document.get("quantiles", []))  # none in 0.1.0
        fill, mean, std, indicated = (arrays[f"inputs.{name}"] for name in _INPUTS)
        categories = categories_from_json(document["categories"]) if "categories" in document else None
        model.inputs_ = Inputs(fill, mean, std, indicated, quantiles, categories)
    if "feature_names" in document:
        model.feature_names_in_ = np.array(list(map(str, document["feature_names"])), dtype=object)
    if isinstance(model, MLPClassifier):
        _give_labels(model, document)
    _check_sizes(model)
    if "position" in document:
        model._position = _position_from_plain(model, document["position"], arrays)
    return model


def _check_arrays(arrays: Mapping[str, np.ndarray], known: Sequence[str], has_position: bool) -> None:
    for name, x in arrays.items():
        if name not in known and not (has_position and name.startswith("position.")):
            raise ValueError(f"{name}: unexpected array")
        if x.dtype.kind not in "fiu" or (x.dtype.kind == "f" and name not in _LISTS and not np.isfinite(x).all()):
            raise ValueError(f"{name}: expected finite numbers")


def _check_sizes(model: Any) -> None:
    """The parts fit each other."""
    layers, n = model.network_.layers, model.n_features_in_
    inputs = n
    if hasattr(model, "inputs_"):
        fill, mean, std, indicated, quantiles, categories = model.inputs_
        if not (fill.shape == mean.shape == std.shape == (n,) and indicated.dtype.kind == "i" and (std > 0).all()):
            raise ValueError(f"inputs: expected {n} fills, means and deviations")
        if indicated.ndim != 1 or not ((indicated >= 0) & (indicated < n)).all():
            raise ValueError("inputs: indicators of columns that do not exist")
        if len(quantiles) not in (0, n):
            raise ValueError(f"inputs: quantiles of {len(quantiles)} columns, expected {n}")
        if categories and not all(isinstance(i, int) and 0 <= i < n for i in categories.places):
            raise ValueError("inputs: categories of columns that do not exist")
        inputs = model.inputs_.n_inputs
    if (layers[0], layers[-1]) != (inputs, model.n_outputs_) or model.n_layers_ != len(layers):
        raise ValueError(
            f"a network of {layers[0]} inputs and {layers[-1]} outputs, expected {inputs} and {model.n_outputs_}"
        )
    if hasattr(model, "feature_names_in_") and len(model.feature_names_in_) != n:
        raise ValueError(f"{len(model.feature_names_in_)} feature names for {n} features")
    if hasattr(model, "temperature_") and not (isfinite(model.temperature_) and model.temperature_ > 0):
        raise ValueError("temperature_: expected a number above 0")
    for name in ("target_mean_", "target_std_"):
        if hasattr(model, name) and getattr(model, name).shape not in ((), (model.n_outputs_,)):
            raise ValueError(f"{name}: expected a number for each output")


def _parameters_to_json(model: Any) -> tuple[dict[str, Any], list[str]]:
    """The constructor parameters that are data, and the names of those that are code."""
    data, left_out = {}, []
    defaults = type(model)().get_params()
    for name, value in model.get_params(deep=False).items():
        try:
            data[name] = value_to_json(value)
        except InputError:
            data[name] = value_to_json(defaults[name])
            left_out.append(name)
    return data, left_out


def _parameters_from_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters given explicitly; files of version 0.1.0 do not mark them, so non-default values count."""
    given = {name: value_from_json(value) for name, value in document["parameters"].items()}
    defaults = CLASSES[document["class"]]().get_params()
    left = document.get("left", [name for name, value in given.items() if value == defaults[name]])
    if any(given[name] != defaults[name] for name in left):
        raise ValueError(f"left: expected names of parameters with default values, got {left}")
    return {name: value for name, value in given.items() if name not in left}


def value_to_json(value: Any) -> Any:
    """Convert a parameter to JSON; a tuple, dict, activation, cost or rule becomes an object with its kind."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | str | None) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, float):
        return {"is": "number", "of": repr(value)}
    if isinstance(value, list | np.ndarray):
        return [value_to_json(x) for x in value]
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return {"is": "tuple", "of": [value_to_json(x) for x in value]}
    if isinstance(value, dict):
        return {"is": "dict", "of": [[value_to_json(k), value_to_json(v)] for k, v in value.items()]}
    if isinstance(value, Activation) and is_activation_of_ours(value):
        return {"is": "activation", "of": value.name}
    if isinstance(value, Cost) and is_cost_of_ours(value):
        return {"is": "cost", "of": value.name}
    return {"is": "rule", "of": rule_to_json(value)}


def value_from_json(data: Any) -> Any:
    """The inverse of `value_to_json`; a ValueError or KeyError for other data."""
    if isinstance(data, list):
        return [value_from_json(x) for x in data]
    if not isinstance(data, dict):
        return data
    of = data["of"]
    match data["is"]:
        case "number":
            return {"inf": np.inf, "-inf": -np.inf, "nan": np.nan}[of]
        case "tuple":
            return tuple(value_from_json(x) for x in of)
        case "dict":
            return {value_from_json(k): value_from_json(v) for k, v in of}
        case "activation":
            return ACTIVATIONS[of]
        case "cost":
            return cost_named(of)
        case "rule":
            return rule_from_json(of)
    raise ValueError(f"unknown kind of parameter: {data['is']!r}")


def _labels_to_json(classes: np.ndarray) -> dict[str, Any]:
    labels = [x.item() if isinstance(x, np.generic) else x for x in classes]
    if not all(isinstance(x, bool | int | float | str) for x in labels):
        raise InputError(f"classes {labels[:3]}: only numbers, text and booleans can be saved")
    return {"dtype": classes.dtype.str, "of": labels}


def _give_labels(model: Any, document: Mapping[str, Any]) -> None:
    """Restore the classes and the binarizer that converts outputs to labels."""
    dtype = np.dtype(document["labels"]["dtype"])
    if dtype.kind not in "biufUO" or not all(isinstance(x, bool | int | float | str) for x in document["labels"]["of"]):
        raise ValueError("labels: expected numbers, text or booleans")
    classes = np.array(document["labels"]["of"], dtype)
    several = document["label_type"] == "multilabel-indicator"
    binarizer = LabelBinarizer().fit(np.eye(len(classes), dtype=int) if several else classes)
    if binarizer.y_type_ != document["label_type"]:
        raise ValueError(f"labels: {len(classes)} labels do not match the type {document['label_type']}")
    expected = 1 if binarizer.y_type_ == "binary" else len(classes)
    if model.network_.layers[-1] != expected or not (several or (binarizer.classes_ == classes).all()):
        raise ValueError(f"labels: {len(classes)} for {model.network_.layers[-1]} outputs")
    model.classes_, model._label_binarizer = classes, binarizer


def _position_to_plain(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The position of the training; the arrays are rule state, last parameters, row order and random states."""
    import jax

    if not hasattr(model, "_position"):
        raise InputError("optimizer=True: this model has no optimiser state, because its solver is 'lbfgs'")
    position: Position = model._position
    arrays = {f"state.{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(position.state))}
    plain: dict[str, Any] = {
        "rule": rule_to_json(position.rule),
        "learning_rate": position.learning_rate,
        "first_rate": position.first_rate,
        "dropout_seed": position.dropout_seed,
        "n_state": len(arrays),
        "random_states": None,
    }
    for i, layer in enumerate(position.params or ()):
        arrays |= {f"{i}.{name}": x for name, x in layer._asdict().items()}
    if position.average:
        arrays["average.updates"] = np.asarray(position.average.updates)
        for i, layer in enumerate(position.average.params):
            arrays |= {f"average.{i}.{name}": x for name, x in layer._asdict().items()}
    if position.order is not None:
        arrays["order"] = position.order
    if position.random_states:
        plain["random_states"] = [[s[0], *s[2:]] for s in position.random_states]
        arrays |= {f"random.{i}": s[1] for i, s in enumerate(position.random_states)}
    return plain, arrays


def _position_from_plain(model: Any, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Position:
    import jax

    of = {name.removeprefix("position."): x for name, x in arrays.items() if name.startswith("position.")}
    rule, own = rule_from_json(plain["rule"]), model._params()
    with jax.enable_x64(own[0].W.dtype == np.float64):
        empty = jax.tree.map(np.asarray, rule.init(jax.tree.map(jax.numpy.asarray, own)))
    leaves, structure = jax.tree.flatten(empty)
    found = [of[f"state.{i}"] for i in range(plain["n_state"])]
    if [(x.shape, x.dtype) for x in found] != [(x.shape, x.dtype) for x in leaves]:
        raise ValueError("the optimiser's state does not fit the network")
    params = _layers(model.network_, of, "") if "0.W" in of else None
    average = ()
    if "average.updates" in of:
        average = Average(_layers(model.network_, of, "average."), np.asarray(of["average.updates"], np.int32))
    order, states = of.get("order"), None
    if order is not None and not np.array_equal(np.sort(order), np.arange(len(order))):
        raise ValueError("the order of the rows is not a permutation")
    if plain["random_states"]:
        states = tuple((name, of[f"random.{i}"], *rest) for i, (name, *rest) in enumerate(plain["random_states"]))
        for state in states:
            np.random.RandomState().set_state(state)  # validates it
    rate, seed = float(plain["learning_rate"]), int(plain["dropout_seed"])
    first = float(plain.get("first_rate", rate))  # missing in files of version 0.1.0
    return Position(rule, jax.tree.unflatten(structure, found), rate, first, seed, params, average, order, states)  # pyright: ignore[reportArgumentType]


def _layers(network: Network, arrays: Mapping[str, np.ndarray], prefix: str) -> Params:
    """Parameters from a file, checked against the shapes of the network."""
    params = tuple(Layer(arrays[f"{prefix}{i}.W"], arrays[f"{prefix}{i}.b"]) for i in range(len(network.layers) - 1))
    check_params(network.layers, params)
    return params

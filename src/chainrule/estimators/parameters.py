"""The constructor parameters of the estimators: scikit-learn's own, then Chainrule's, keyword-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from numbers import Real
from typing import Any, TypeVar, cast

from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples

from chainrule.maths.activations import ACTIVATIONS, Activation
from chainrule.maths.costs import Cost
from chainrule.tables import preset
from chainrule.training.rules import check_gradient_alone

FEWEST = 10  # minimum number of rows for a preset
ACTIVATION_NAMES = {"logistic": "sigmoid", "exp": "exponential"}


def core_name(activation: Any) -> Any:
    """Translate scikit-learn's "logistic" and "exp" to Chainrule's names."""
    return ACTIVATION_NAMES.get(activation, activation) if isinstance(activation, str) else activation


class Left:
    """Marks a parameter that was left at its default, to distinguish it from the same value given explicitly.

    The mark survives `clone`, `get_params` and pickling, because it is the type of the value.
    """


class _LeftInt(Left, int):
    pass


class _LeftFloat(Left, float):
    pass


class _LeftText(Left, str):
    pass


class _LeftTuple(Left, tuple):
    pass


_LEFT = {int: _LeftInt, float: _LeftFloat, str: _LeftText, tuple: _LeftTuple}


Init = TypeVar("Init", bound=Callable[..., None])


def takes(init: Init) -> Init:
    """Create an `__init__` that stores its arguments as attributes, from the signature of `init`.

    Parameters that the preset may set get a marked default, except for None and booleans, which cannot be marked. The
    signature itself has the plain values.
    """
    whole = signature(init)

    @wraps(init)
    def __init__(self: Any, *args: Any, **settings: Any) -> None:
        given = whole.bind(self, *args, **settings).arguments
        for name, parameter in list(whole.parameters.items())[1:]:
            setattr(self, name, given[name] if name in given else _default(name, parameter.default))

    return cast(Init, __init__)


def _default(name: str, value: Any) -> Any:
    return _LEFT[type(value)](value) if name in _OF_PRESET and type(value) in _LEFT else value


_OF_PASSES = [
    "rule",
    "dropout",
    "average",
    "max_gradient_norm",
    "stop_on",
    "restore_best",
    "max_seconds",
    "cost_goal",
    "min_gradient",
    "callbacks",
]
_NAMES = {*ACTIVATIONS, *(name for name in ACTIVATION_NAMES)}
_POSITIVE = [Interval(Real, 0, None, closed="neither"), None]
OUR_CONSTRAINTS: dict[str, Any] = {
    "activation": [StrOptions(_NAMES), Activation, list, tuple],
    "output_activation": [StrOptions(_NAMES), Activation, None],
    "preset": [StrOptions({"tabular"}), None],
    "missing": [StrOptions({"error", "indicate"})],
    "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither"), callable],
    "warm_start": ["boolean", StrOptions({"resume"})],
    "dropout": [Interval(Real, 0, 1, closed="left"), None],
    "average": [Interval(Real, 0, 1, closed="left"), None],
    "max_gradient_norm": _POSITIVE,
    "min_gradient": _POSITIVE,
    "cost": [str, Cost, None],
    "rule": "no_validation",
    "initial": [tuple, list, None],
    "stop_on": [StrOptions({"score", "loss"})],
    "restore_best": ["boolean"],
    "max_seconds": _POSITIVE,
    "cost_goal": [Real, None],
    "callbacks": [tuple, list],
}
CLASSES_CONSTRAINTS: dict[str, Any] = {"class_weight": [StrOptions({"balanced"}), dict, None], "calibrate": ["boolean"]}


def check_alone(model: Any) -> None:
    """Validate the caller's settings, before those of the preset are applied."""
    if model.preset and model.solver != "adam":
        raise ValueError(f"preset={model.preset!r} trains with solver='adam'; got {model.solver!r}")
    if model.rule is not None and not (hasattr(model.rule, "init") and hasattr(model.rule, "update")):
        raise ValueError(f"rule: expected cr.optax_rule('adamw', 1e-3) or an optax transformation, got {model.rule!r}")
    check_gradient_alone(model.rule)
    own_rate = model.learning_rate_init != 0.001 or model.learning_rate != "constant"
    if model.rule is not None and own_rate:
        raise ValueError("rule has its own learning rate: do not set learning_rate or learning_rate_init")


def check_together(model: Any, own_validation: bool) -> None:
    """Raise a ValueError for settings that are incompatible with each other."""
    if model.solver == "lbfgs":
        defaults = _defaults(model)
        given = [name for name in _OF_PASSES if not _is_default(getattr(model, name), defaults[name])]
        given += ["learning_rate_init"] * callable(model.learning_rate_init)
        given += ["warm_start"] * (model.warm_start == "resume") + ["X_val"] * own_validation
        given += ["calibrate"] * getattr(model, "calibrate", False)
        if given:
            raise ValueError(f"{given[0]}: not supported by solver='lbfgs'; use 'adam' or 'sgd'")
    if callable(model.learning_rate_init) and model.solver == "sgd" and model.learning_rate != "constant":
        raise ValueError(f"learning_rate_init and learning_rate={model.learning_rate!r} are both schedules: use one")
    if getattr(model, "calibrate", False) and not (own_validation or model.early_stopping):
        raise ValueError("calibrate=True needs validation rows: early_stopping=True, or X_val and y_val in fit")


def _is_default(value: Any, default: Any) -> bool:
    same = value is default or (type(value) is type(default) and value == default)
    return same or (default == () and isinstance(value, list) and not value)


@contextmanager
def settled(model: Any, X: Any, own_validation: bool, incremental: bool) -> Iterator[None]:
    """Within the block, replace parameters left at their defaults by the settings of the preset.

    Without a preset, replace them by plain values. A chunk of `partial_fit` is not split.
    """
    if model.preset is None:
        settings = _plain_defaults(model)
    else:
        settings = tabular_settings(_num_samples(X), splits=not (own_validation or incremental))
        settings["early_stopping"] = not incremental
    before = {name: getattr(model, name) for name in left_alone(model)}
    vars(model).update({name: settings[name] for name in before})
    try:
        yield
    finally:
        vars(model).update(before)


def left_alone(model: Any) -> list[str]:
    """The parameters that the preset sets, because the caller has not."""
    return [
        name
        for name, default in _plain_defaults(model).items()
        if isinstance(getattr(model, name), Left) or (type(default) not in _LEFT and getattr(model, name) is default)
    ]


def _plain_defaults(model: Any) -> dict[str, Any]:
    return {name: default for name, default in _defaults(model).items() if name in _OF_PRESET}


def _defaults(model: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in signature(type(model).__init__).parameters.items()}


def tabular_settings(n: int, splits: bool = True) -> dict[str, Any]:
    """The recipe of `tables.preset` for a table of n rows, with scikit-learn's names.

    `splits` is whether validation rows are split off. scikit-learn divides alpha by the rows of a batch, unlike l2.
    """
    if splits and n < FEWEST:
        raise ValueError(
            f"preset='tabular' holds out a fifth of the rows: expected {FEWEST} or more, or X_val; got {n}"
        )
    n_train = preset.training_rows(n) if splits else n
    batch = min(n_train, preset.batch_size(n_train))
    return {
        "hidden_layer_sizes": preset.HIDDEN,
        "activation": preset.ACTIVATION,
        "alpha": preset.l2(n_train) * batch,
        "batch_size": batch,
        "learning_rate_init": preset.LEARNING_RATE,
        "max_iter": preset.EPOCHS,
        "dropout": preset.dropout(n_train),
        "average": preset.AVERAGE,
        "early_stopping": True,
        "stop_on": "loss",
        "validation_fraction": preset.VALIDATION,
        "n_iter_no_change": preset.PATIENCE,
        "tol": 0.0,
    }


_OF_PRESET = frozenset(tabular_settings(100))

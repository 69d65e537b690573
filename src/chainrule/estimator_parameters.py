"""The constructor parameters of the estimators: scikit-learn's own, then Chainrule's, keyword-only."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from chainrule.activations import ACTIVATIONS, Activation
from chainrule.costs import Cost

ACTIVATION_NAMES = {"logistic": "sigmoid", "exp": "exponential"}


def core_name(activation: Any) -> Any:
    """scikit-learn's "logistic" and "exp" by their names in the core."""
    return ACTIVATION_NAMES.get(activation, activation) if isinstance(activation, str) else activation


def takes(base: type, **ours: Any) -> Any:
    """An `__init__` with the parameters of scikit-learn's class, then ours, keyword-only; its signature says so."""
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=default) for name, default in ours.items()]
    whole = Signature([*signature(base.__init__).parameters.values(), *added])

    def __init__(self: Any, *args: Any, **settings: Any) -> None:
        bound = whole.bind(self, *args, **settings)
        bound.apply_defaults()
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)

    __init__.__signature__ = whole  # pyright: ignore[reportFunctionMemberAccess]
    return __init__


OURS: dict[str, Any] = {
    "cost": None,
    "output_activation": None,
    "rule": None,
    "initial": None,
    "stop_on": "score",
    "restore_best": False,
    "max_seconds": None,
    "cost_goal": None,
    "callbacks": (),
}
_NAMES = {*ACTIVATIONS, *(name for name in ACTIVATION_NAMES)}
_POSITIVE = [Interval(Real, 0, None, closed="neither"), None]
OUR_CONSTRAINTS: dict[str, Any] = {
    "activation": [StrOptions(_NAMES), Activation, list, tuple],
    "output_activation": [StrOptions(_NAMES), Activation, None],
    "cost": [str, Cost, None],
    "rule": "no_validation",
    "initial": [tuple, list, None],
    "stop_on": [StrOptions({"score", "loss"})],
    "restore_best": ["boolean"],
    "max_seconds": _POSITIVE,
    "cost_goal": [Real, None],
    "callbacks": [tuple, list],
}

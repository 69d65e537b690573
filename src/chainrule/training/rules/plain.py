"""Rules and schedules as plain data, for files; only those named here can be created from a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import InputError
from chainrule.network import Layer
from chainrule.training import rules

# the functions that validate their numbers
_RULES: dict[str, Any] = {"GradientDescent": rules.gradient_descent, "Adam": rules.adam, "Clipped": rules.clipped}
_SCHEDULES: dict[str, Any] = {
    "StepDecay": rules.step_decay,
    "ExponentialDecay": rules.exponential_decay,
    "InverseTimeDecay": rules.inverse_time_decay,
    "CosineDecay": rules.cosine_decay,
}


def rule_to_json(rule: Any) -> dict[str, Any]:
    """Convert a rule or schedule to plain data.

    Raises
    ------
    InputError
        If it is defined by code.

    >>> rule_to_json(rules.gradient_descent(rules.step_decay(0.4)))["learning_rate"]
    {'is': 'StepDecay', 'eta': 0.4, 'factor': 0.5, 'every': 1000}
    """
    name = type(rule).__name__
    if isinstance(rule, rules.OptaxRule):
        return {"is": name, "name": rule.name, "learning_rate": _plain(rule.learning_rate), "options": rule.options}
    if name not in {**_RULES, **_SCHEDULES} or not type(rule).__module__.startswith(f"{rules.__name__}."):
        raise InputError(f"{rule!r} is defined by code and cannot be saved")
    return {"is": name, **{field: _plain(value) for field, value in vars(rule).items()}}


def rule_from_json(data: Any) -> Any:
    """The inverse of `rule_to_json`; a ValueError, KeyError or TypeError for other data."""
    kind, fields = data["is"], {name: x for name, x in data.items() if name != "is"}
    if kind == "Clipped":
        if fields["rule"]["is"] == "Clipped":
            raise ValueError("a rule is clipped twice")
        return rules.clipped(rule_from_json(fields["rule"]), _number(fields["max_norm"]))
    if kind in _SCHEDULES:
        return _schedule(data)
    rate = fields.pop("learning_rate")
    rate = _schedule(rate) if isinstance(rate, dict) else _number(rate)
    if kind == "OptaxRule":
        options: Any = {str(name): x if isinstance(x, str | None) else _number(x) for name, x in fields["options"]}
        return checked_optax_rule(str(fields["name"]), rate, options)
    numbers = {name: _number(value) for name, value in fields.items()}
    if rate == 0:  # an estimator sets the rate before every update
        return rules.with_rate(_RULES[kind](1.0, **numbers), rate)
    return _RULES[kind](rate, **numbers)


def checked_optax_rule(name: str, learning_rate: Any, options: dict[str, Any]) -> Any:
    """Create an optax rule and check its options, which optax itself reads only at the first update."""
    import jax

    rule = rules.optax_rule(name, learning_rate, **options)
    if not options:
        return rule
    params = (Layer(np.zeros((1, 1), np.float32), np.zeros(1, np.float32)),)
    try:
        jax.eval_shape(lambda p: rule.update(p, rule.init(p), p), params)
    except Exception as error:  # optax raises no error type of its own for invalid options
        raise ValueError(f"optax.{name} with {options}: {error!r}") from error
    return rule


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else rule_to_json(value)


def _schedule(data: dict[str, Any]) -> Any:
    return _SCHEDULES[data["is"]](**{name: _number(value) for name, value in data.items() if name != "is"})


def _number(value: Any) -> Any:
    """Return a number of a size that can be computed with, or raise a ValueError."""
    if isinstance(value, int | float) and abs(value) <= rules.LARGEST:
        return value
    raise ValueError(f"rule: expected numbers of at most {rules.LARGEST:g}, got {value!r}")

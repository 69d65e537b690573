"""Rules and schedules as plain data, for files: what is made from a file is one of those named here, nothing else."""

from __future__ import annotations

from math import isfinite
from typing import Any

from chainrule import rules
from chainrule.errors import InputError

_RULES: dict[str, Any] = {"GradientDescent": rules.GradientDescent, "Adam": rules.Adam, "Clipped": rules.Clipped}
_SCHEDULES: dict[str, Any] = {  # made by the functions that check their numbers
    "StepDecay": rules.step_decay,
    "ExponentialDecay": rules.exponential_decay,
    "InverseTimeDecay": rules.inverse_time_decay,
    "CosineDecay": rules.cosine_decay,
}


def rule_to_json(rule: Any) -> dict[str, Any]:
    """A rule or schedule as plain data.

    Raises
    ------
    InputError
        For one that only code can define.

    >>> rule_to_json(rules.gradient_descent(rules.step_decay(0.4)))["learning_rate"]
    {'is': 'StepDecay', 'eta': 0.4, 'factor': 0.5, 'every': 1000}
    """
    name = type(rule).__name__
    if isinstance(rule, rules.OptaxRule):
        return {"is": name, "name": rule.name, "learning_rate": _plain(rule.learning_rate), "options": rule.options}
    if name not in {**_RULES, **_SCHEDULES} or type(rule).__module__ != rules.__name__:
        raise InputError(f"{rule!r} is code: it cannot be saved")
    return {"is": name, **{field: _plain(value) for field, value in vars(rule).items()}}


def rule_from_json(data: Any) -> Any:
    """The inverse of `rule_to_json`; a ValueError, KeyError or TypeError for data that it did not write."""
    fields = {name: rule_from_json(x) if isinstance(x, dict) else x for name, x in data.items()}
    kind = fields.pop("is")
    if kind == "OptaxRule":
        options: Any = {str(name): x if isinstance(x, str | None) else _checked(x) for name, x in fields["options"]}
        return rules.optax_rule(str(fields["name"]), _checked(fields["learning_rate"]), **options)
    maker = {**_RULES, **_SCHEDULES}[kind]
    return maker(**{name: _checked(value) for name, value in fields.items()})


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else rule_to_json(value)


def _checked(value: Any) -> Any:
    """A finite number, or a rule or schedule that was just made."""
    made = hasattr(value, "update") or callable(value)
    if made or (isinstance(value, int | float) and isfinite(value)):
        return value
    raise ValueError(f"a rule of {value!r}: expected finite numbers")

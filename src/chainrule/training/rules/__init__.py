r"""Update rules: gradient descent, Adam, learning-rate schedules, and the rules of optax.

A rule is any object with optax's two functions, `init(params)` and `update(gradient, state, params)`.
Rules and schedules here are frozen dataclasses rather than closures, so that equal ones compare equal and
trainings that differ only in their data share a compiled program.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from chainrule.network import Params
from chainrule.training.rules.adam import Adam, adam
from chainrule.training.rules.clipping import Clipped, clipped, unclipped
from chainrule.training.rules.descent import GradientDescent, gradient_descent
from chainrule.training.rules.optax_rules import OptaxRule, check_gradient_alone, optax_rule
from chainrule.training.rules.rule import LARGEST, MOST_UPDATES, Rule, Schedule, check_rate, mapped, norm_of, rate_at
from chainrule.training.rules.schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    StepDecay,
    cosine_decay,
    exponential_decay,
    inverse_time_decay,
    step_decay,
)

__all__ = [
    "LARGEST",
    "MOST_UPDATES",
    "Adam",
    "Clipped",
    "CosineDecay",
    "ExponentialDecay",
    "GradientDescent",
    "InverseTimeDecay",
    "OptaxRule",
    "Rule",
    "Schedule",
    "StepDecay",
    "adam",
    "check_gradient_alone",
    "check_rule",
    "clipped",
    "cosine_decay",
    "exponential_decay",
    "gradient_descent",
    "has_own_rate",
    "inverse_time_decay",
    "norm_of",
    "optax_rule",
    "rate_at",
    "rule_words",
    "step_decay",
    "unclipped",
    "update",
    "with_checked_rate",
    "with_rate",
]


def update(rule: Rule, params: Params, gradient: Params, state: Any) -> tuple[Params, Any]:
    """Update the parameters once: apply the step that a rule computes from the gradient.

    Parameters
    ----------
    rule : Rule
    params, gradient : tuple of Layer
    state : object
        The state of the rule, at first ``rule.init(params)``.

    Returns
    -------
    tuple (params, state)
        The new parameters and the new state of the rule.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Layer
    >>> rule = gradient_descent(0.5)
    >>> params = (Layer(np.array([[1.0]]), np.array([0.0])),)
    >>> params, state = update(rule, params, gradient=params, state=rule.init(params))
    >>> float(params[0].W[0, 0])
    0.5
    """
    step, state = rule.update(gradient, state, params)
    return mapped(lambda p, s: p + s, params, step), state


def check_rule(rule: Any) -> None:
    """Raise a TypeError for anything but a rule, a ValueError for a rule that needs more than a gradient."""
    if not (hasattr(rule, "init") and hasattr(rule, "update")):
        raise TypeError(
            f'rule: expected gradient_descent(0.1), optax_rule("adam", 1e-3) or an optax transformation; got {rule!r}'
        )
    check_gradient_alone(rule)


def rule_words(rule: Any) -> str:
    """Describe a rule in words, with its numbers.

    >>> print(rule_words(gradient_descent(0.5, momentum=0.9)))
    gradient_descent, learning rate 0.5, momentum 0.9
    >>> print(rule_words(gradient_descent(step_decay(0.5, 0.5, 100))))
    gradient_descent, learning rate 0.5, times 0.5 every 100 updates
    """
    if isinstance(rule, Clipped):
        return f"{rule_words(rule.rule)}, gradients clipped to a norm of {rule.max_norm:g}"
    name = getattr(rule, "name", None) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(rule).__name__).lower()
    rate: Any = getattr(rule, "learning_rate", None)
    momentum = getattr(rule, "momentum", 0)
    said = f"{rate:g}" if isinstance(rate, float | int) else getattr(rate, "words", "")
    rated = f", learning rate {said}" if said else ""
    kind = "Nesterov momentum" if getattr(rule, "nesterov", False) else "momentum"
    return name + rated + (f", {kind} {momentum:g}" if momentum else "")


def has_own_rate(rule: Rule) -> bool:
    """Whether the rule determines its learning rate: by a schedule, or because it is not defined in this package."""
    inner = unclipped(rule)
    return not isinstance(inner, GradientDescent | Adam) or callable(inner.learning_rate)


def with_rate(rule: Any, learning_rate: Any) -> Rule:
    """Copy a rule of this package with another learning rate."""
    if isinstance(rule, Clipped):
        return replace(rule, rule=with_rate(rule.rule, learning_rate))
    return replace(rule, learning_rate=learning_rate)


def with_checked_rate(rule: Any, learning_rate: Any) -> Rule:
    """Like `with_rate`; a ValueError for an invalid rate or a rule that does not expose its learning rate."""
    if not isinstance(unclipped(rule), GradientDescent | Adam | OptaxRule):
        raise ValueError('this rule does not expose its learning rate; use one such as optax_rule("adamw", 1e-3)')
    if not callable(learning_rate):
        check_rate(learning_rate)
    return with_rate(rule, learning_rate)

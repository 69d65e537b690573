"""Gradient clipping before an update rule."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

from chainrule.maths.arrays import namespace
from chainrule.network import Params
from chainrule.training.rules.rule import LARGEST, Rule, as_number, check_size, mapped, norm_of


@dataclass(frozen=True)
class Clipped:
    """A rule with gradient clipping, created by `clipped`."""

    numbers: ClassVar[tuple[str, ...]] = ("rule", "max_norm")

    rule: Rule
    max_norm: float

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner rule, or None."""
        return getattr(self.rule, "learning_rate", None)

    def init(self, params: Params) -> Any:
        """The state of the inner rule before the first update."""
        return self.rule.init(params)

    def update(self, gradient: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        """The step of the inner rule for the clipped gradient, and its new state."""
        xp, norm = namespace(gradient[0].W), norm_of(gradient)
        share = self.max_norm / xp.maximum(norm, as_number(norm, self.max_norm))
        return self.rule.update(mapped(lambda g: share * g, gradient), state, params)


def unclipped(rule: Any) -> Any:
    """The rule that receives the clipped gradients; any other rule is returned unchanged."""
    return rule.rule if isinstance(rule, Clipped) else rule


def clipped(rule: Rule, max_norm: float) -> Clipped:
    r"""Clip the norm of the gradient, over all layers, before a rule is applied.

    .. math:: g \leftarrow g \min(1, \text{max\_norm} / \lVert g \rVert_2)

    Parameters
    ----------
    rule : Rule
        The rule that receives the clipped gradient.
    max_norm : float
        Above 0.

    Returns
    -------
    Clipped

    Raises
    ------
    ValueError
        If `max_norm` is not above 0.

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Layer, gradient_descent, update
    >>> rule, params = clipped(gradient_descent(1.0), 0.5), (Layer(np.array([[0.0]]), np.array([0.0])),)
    >>> gradient = (Layer(np.array([[3.0]]), np.array([4.0])),)
    >>> [x.round(12).tolist() for x in update(rule, params, gradient, rule.init(params))[0][0]]
    [[[-0.3]], [-0.4]]
    """
    if not (isfinite(max_norm) and max_norm > 0):
        raise ValueError(f"max_norm: expected a number above 0, such as 1.0; got {max_norm}")
    return Clipped(rule, check_size("max_norm", max_norm, LARGEST))

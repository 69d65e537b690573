"""Gradient descent, plain or with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from chainrule.maths.arrays import Array, namespace
from chainrule.network import Params
from chainrule.training.rules.rule import Schedule, as_number, check_rate, mapped, rate_at


class GradientDescentState(NamedTuple):
    """Number of updates so far, and the velocity, shaped like the parameters; () without momentum."""

    step: Array
    velocity: Any


@dataclass(frozen=True)
class GradientDescent:
    """The rule gradient descent, created by `gradient_descent`."""

    numbers: ClassVar[tuple[str, ...]] = ("learning_rate",)

    learning_rate: float | Schedule
    momentum: float = 0.0
    nesterov: bool = False

    def init(self, params: Params) -> GradientDescentState:
        """The state before the first update."""
        xp = namespace(params[0].W)
        velocity = mapped(xp.zeros_like, params) if self.momentum else ()
        return GradientDescentState(xp.zeros((), dtype=xp.int32), velocity)

    def update(
        self, gradient: Params, state: GradientDescentState, params: Params | None = None
    ) -> tuple[Params, GradientDescentState]:
        """The step to add to the parameters, and the new state."""
        eta, mu = rate_at(self.learning_rate, state.step), self.momentum
        step = mapped(lambda g: -as_number(g, eta) * g, gradient)
        velocity = ()
        if mu:
            velocity = mapped(lambda v, s: mu * v + s, state.velocity, step)
            step = mapped(lambda v, s: mu * v + s, velocity, step) if self.nesterov else velocity
        return step, GradientDescentState(state.step + 1, velocity)


def gradient_descent(learning_rate: float | Schedule, momentum: float = 0.0, nesterov: bool = False) -> GradientDescent:
    r"""Gradient descent, plain or with momentum.

    .. math:: v \leftarrow \mu v - \eta \frac{\partial C}{\partial W}, \qquad W \leftarrow W + v
              \qquad\text{(Nesterov: } W \leftarrow W + \mu v - \eta \frac{\partial C}{\partial W}\text{)}

    Parameters
    ----------
    learning_rate : float or callable
        Above 0, or a schedule: update number (from 0) -> learning rate.
    momentum : float, default=0.0
        From 0 to below 1.
    nesterov : bool, default=False
        Use Nesterov's form, which needs a momentum above 0.

    Returns
    -------
    GradientDescent

    Raises
    ------
    ValueError
        If a number is out of range, or `nesterov` is set without momentum.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), eq. 9; Sutskever et al. (2013) for Nesterov's form. scikit-learn's MLP
    scales the velocity in the same way; PyTorch and optax multiply it by the current learning rate instead.

    Examples
    --------
    >>> from chainrule import inverse_time_decay
    >>> gradient_descent(inverse_time_decay(0.5, rate=0.01), momentum=0.9).momentum
    0.9
    """
    if not callable(learning_rate):
        check_rate(learning_rate)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: expected a number from 0 to below 1, got {momentum}")
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0, such as 0.9")
    return GradientDescent(learning_rate, momentum, nesterov)

"""The update rule Adam, in the efficient form given by its authors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from chainrule.maths.arrays import Array, namespace
from chainrule.network import Params
from chainrule.training.rules.rule import LARGEST, Schedule, as_number, check_rate, mapped, rate_at


class AdamState(NamedTuple):
    """Number of updates so far, and the running first and second moments of the gradient."""

    step: Array
    mean: Params
    square: Params


@dataclass(frozen=True)
class Adam:
    """The rule Adam, created by `adam`."""

    numbers: ClassVar[tuple[str, ...]] = ("learning_rate",)

    learning_rate: float | Schedule
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, params: Params) -> AdamState:
        """The state before the first update."""
        xp = namespace(params[0].W)
        return AdamState(xp.zeros((), dtype=xp.int32), mapped(xp.zeros_like, params), mapped(xp.zeros_like, params))

    def update(self, gradient: Params, state: AdamState, params: Params | None = None) -> tuple[Params, AdamState]:
        """The step to add to the parameters, and the new state."""
        xp, t = namespace(gradient[0].W), as_number(gradient[0].W, state.step + 1)
        mean = mapped(lambda m, g: self.beta_1 * m + (1 - self.beta_1) * g, state.mean, gradient)
        square = mapped(lambda v, g: self.beta_2 * v + (1 - self.beta_2) * g**2, state.square, gradient)
        correction = xp.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        eta = as_number(gradient[0].W, rate_at(self.learning_rate, state.step)) * correction
        step = mapped(lambda m, v: -eta * m / (xp.sqrt(v) + self.epsilon), mean, square)
        return step, AdamState(state.step + 1, mean, square)


def adam(learning_rate: float | Schedule, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> Adam:
    r"""Adam, in the efficient form given by its authors and used by scikit-learn.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
              W \leftarrow W - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \epsilon}

    where g is the gradient of W.

    Parameters
    ----------
    learning_rate : float or callable
        Above 0, or a schedule: update number (from 0) -> learning rate.
    beta_1, beta_2 : float, optional
        Decay rates of the moments, from 0 to below 1; 0.9 and 0.999 by default.
    epsilon : float, default=1e-8
        Added to the root of the uncorrected second moment; optax's "adam" adds it to the corrected one.

    Returns
    -------
    Adam

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", section 2, last paragraph.

    Examples
    --------
    >>> adam(1e-3).beta_2
    0.999
    """
    if not callable(learning_rate):
        check_rate(learning_rate)
    if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1 and 0 < epsilon <= LARGEST):
        raise ValueError(
            f"adam: expected betas from 0 to below 1 and an epsilon above 0, got {beta_1}, {beta_2}, {epsilon}"
        )
    return Adam(learning_rate, beta_1, beta_2, epsilon)

"""Learning-rate schedules: functions of the number of updates so far."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, pi
from typing import Any, ClassVar

from chainrule.maths.arrays import namespace
from chainrule.training.rules.rule import LARGEST, Schedule, check_count, check_factor, check_rate, check_size


@dataclass(frozen=True)
class StepDecay:
    """A step-wise decaying learning rate, created by `step_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "factor", "every")

    eta: float
    factor: float
    every: int

    def __call__(self, step: Any) -> Any:
        return self.eta * self.factor ** (step // self.every)

    @property
    def words(self) -> str:
        """The schedule in words."""
        return f"{self.eta:g}, times {self.factor:g} every {self.every:,} updates"


@dataclass(frozen=True)
class ExponentialDecay:
    """An exponentially decaying learning rate, created by `exponential_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "factor", "every")

    eta: float
    factor: float
    every: int

    def __call__(self, step: Any) -> Any:
        return self.eta * self.factor ** (step / self.every)

    @property
    def words(self) -> str:
        """The schedule in words."""
        return f"{self.eta:g}, decaying by {self.factor:g} in {self.every:,} updates"


@dataclass(frozen=True)
class InverseTimeDecay:
    """An inversely decaying learning rate, created by `inverse_time_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "rate")

    eta: float
    rate: float

    def __call__(self, step: Any) -> Any:
        return self.eta / (1 + self.rate * step)

    @property
    def words(self) -> str:
        """The schedule in words."""
        return f"{self.eta:g} / (1 + {self.rate:g} * updates)"


@dataclass(frozen=True)
class CosineDecay:
    """A cosine-shaped learning rate, created by `cosine_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "steps")

    eta: float
    steps: int

    def __call__(self, step: Any) -> Any:
        xp = namespace(step)
        return self.eta / 2 * (1 + xp.cos(pi * xp.minimum(step, self.steps) / self.steps))

    @property
    def words(self) -> str:
        """The schedule in words."""
        return f"{self.eta:g}, cosine decay over {self.steps:,} updates"


def step_decay(eta: float, factor: float = 0.5, every: int = 1000) -> Schedule:
    r"""Multiply the learning rate by a factor at regular intervals.

    .. math:: \eta_t = \eta \cdot \text{factor}^{\lfloor t / \text{every} \rfloor}

    Parameters
    ----------
    eta : float
        The initial learning rate, above 0.
    factor : float, default=0.5
        Above 0, at most 1.
    every : int, default=1000
        Updates per interval.

    Returns
    -------
    callable
        update number (from 0) -> learning rate.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> [step_decay(0.4, 0.5, every=10)(step) for step in (0, 9, 10, 20)]
    [0.4, 0.4, 0.2, 0.1]
    """
    return StepDecay(check_rate(eta), check_factor(factor), check_count("every", every))


def exponential_decay(eta: float, factor: float = 0.5, every: int = 1000) -> Schedule:
    r"""Decay the learning rate exponentially, without the steps of `step_decay`.

    .. math:: \eta_t = \eta \cdot \text{factor}^{t / \text{every}}

    Parameters
    ----------
    eta : float
        The initial learning rate, above 0.
    factor : float, default=0.5
        Above 0, at most 1.
    every : int, default=1000
        Updates in which the rate is multiplied by `factor`.

    Returns
    -------
    callable
        update number (from 0) -> learning rate.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> exponential_decay(0.4, 0.25, every=10)(5)
    0.2
    """
    return ExponentialDecay(check_rate(eta), check_factor(factor), check_count("every", every))


def inverse_time_decay(eta: float, rate: float = 0.001) -> Schedule:
    r"""Decay the learning rate in inverse proportion to the number of updates.

    .. math:: \eta_t = \frac{\eta}{1 + \text{rate} \cdot t}

    The sum of the rates diverges and that of their squares converges, as stochastic approximation requires.

    Parameters
    ----------
    eta : float
        The initial learning rate, above 0.
    rate : float, default=0.001
        0 or more.

    Returns
    -------
    callable
        update number (from 0) -> learning rate.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Robbins and Monro (1951), "A stochastic approximation method".

    Examples
    --------
    >>> inverse_time_decay(0.5, rate=0.1)(10)
    0.25
    """
    if not (isfinite(rate) and rate >= 0):
        raise ValueError(f"inverse_time_decay: expected a rate of 0 or more, got {rate}")
    return InverseTimeDecay(check_rate(eta), check_size("inverse_time_decay", rate, LARGEST))


def cosine_decay(eta: float, steps: int) -> Schedule:
    r"""Decay the learning rate along half a cosine, to 0 after `steps` updates.

    .. math:: \eta_t = \frac{\eta}{2} \left(1 + \cos \frac{\pi \min(t, \text{steps})}{\text{steps}}\right)

    Parameters
    ----------
    eta : float
        The initial learning rate, above 0.
    steps : int
        Updates until the rate is 0.

    Returns
    -------
    callable
        update number (from 0) -> learning rate.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    Examples
    --------
    >>> round(float(cosine_decay(0.4, steps=100)(50)), 3)
    0.2
    """
    return CosineDecay(check_rate(eta), check_count("steps", steps))

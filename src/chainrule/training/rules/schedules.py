"""Learning rates that shrink: functions of the number of updates made so far."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, pi
from typing import Any, ClassVar

from chainrule.maths.arrays import namespace
from chainrule.training.rules.rule import LARGEST, Schedule, check_count, check_factor, check_rate, check_size


@dataclass(frozen=True)
class StepDecay:
    """See `step_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "factor", "every")

    eta: float
    factor: float
    every: int

    def __call__(self, step: Any) -> Any:
        return self.eta * self.factor ** (step // self.every)

    @property
    def words(self) -> str:
        return f"{self.eta:g}, times {self.factor:g} every {self.every:,} updates"


@dataclass(frozen=True)
class ExponentialDecay:
    """See `exponential_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "factor", "every")

    eta: float
    factor: float
    every: int

    def __call__(self, step: Any) -> Any:
        return self.eta * self.factor ** (step / self.every)

    @property
    def words(self) -> str:
        return f"{self.eta:g}, decaying by {self.factor:g} in {self.every:,} updates"


@dataclass(frozen=True)
class InverseTimeDecay:
    """See `inverse_time_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "rate")

    eta: float
    rate: float

    def __call__(self, step: Any) -> Any:
        return self.eta / (1 + self.rate * step)

    @property
    def words(self) -> str:
        return f"{self.eta:g} / (1 + {self.rate:g} * updates)"


@dataclass(frozen=True)
class CosineDecay:
    """See `cosine_decay`."""

    numbers: ClassVar[tuple[str, ...]] = ("eta", "steps")

    eta: float
    steps: int

    def __call__(self, step: Any) -> Any:
        xp = namespace(step)
        return self.eta / 2 * (1 + xp.cos(pi * xp.minimum(step, self.steps) / self.steps))

    @property
    def words(self) -> str:
        return f"{self.eta:g}, cosine decay over {self.steps:,} updates"


def step_decay(eta: float, factor: float = 0.5, every: int = 1000) -> Schedule:
    """eta * factor^floor(step / every): first fast, then small steps.

    >>> [step_decay(0.4, 0.5, every=10)(step) for step in (0, 9, 10, 20)]
    [0.4, 0.4, 0.2, 0.1]
    """
    return StepDecay(check_rate(eta), check_factor(factor), check_count("every", every))


def exponential_decay(eta: float, factor: float = 0.5, every: int = 1000) -> Schedule:
    """eta * factor^(step / every), without the stairs of `step_decay`.

    >>> exponential_decay(0.4, 0.25, every=10)(5)
    0.2
    """
    return ExponentialDecay(check_rate(eta), check_factor(factor), check_count("every", every))


def inverse_time_decay(eta: float, rate: float = 0.001) -> Schedule:
    """eta / (1 + rate * step). Its steps sum to infinity and their squares do not: Robbins and Monro (1951).

    >>> inverse_time_decay(0.5, rate=0.1)(10)
    0.25
    """
    if not (isfinite(rate) and rate >= 0):
        raise ValueError(f"inverse_time_decay: expected a rate of 0 or more, got {rate}")
    return InverseTimeDecay(check_rate(eta), check_size("inverse_time_decay", rate, LARGEST))


def cosine_decay(eta: float, steps: int) -> Schedule:
    """eta/2 * (1 + cos(pi * step / steps)), and 0 after `steps`. Loshchilov and Hutter (2017).

    >>> round(float(cosine_decay(0.4, steps=100)(50)), 3)
    0.2
    """
    return CosineDecay(check_rate(eta), check_count("steps", steps))

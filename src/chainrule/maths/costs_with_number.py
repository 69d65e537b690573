"""Costs with a number of their own, as functions that compare equal if their numbers do."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.maths.arrays import Array, namespace


@dataclass(frozen=True)
class Huber:
    """See `chainrule.maths.costs.huber`."""

    threshold: float

    def __call__(self, y_hat: Array, y: Array) -> Array:
        xp = namespace(y_hat)
        inside = xp.clip(y_hat - y, -self.threshold, self.threshold)
        return inside * (y_hat - y - inside / 2)

    def derivative(self, y_hat: Array, y: Array) -> Array:
        return namespace(y_hat).clip(y_hat - y, -self.threshold, self.threshold)


@dataclass(frozen=True)
class Pinball:
    """See `chainrule.maths.costs.pinball`."""

    quantile: float

    def __call__(self, y_hat: Array, y: Array) -> Array:
        return (y_hat - y) * self.derivative(y_hat, y)

    def derivative(self, y_hat: Array, y: Array) -> Array:
        xp = namespace(y_hat)
        excess = y_hat - y
        return xp.where(excess > 0, 1 - self.quantile, xp.where(excess < 0, -self.quantile, xp.zeros_like(excess)))

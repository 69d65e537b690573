r"""When training ends: each goal is a small value with one question, `reached(record)`, asked after every epoch.

The question is compiled into the training loop, so a run stops at the very epoch. A goal of your own is any
frozen dataclass (or other hashable object) with a `name` and a `reached`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from chainrule.errors import InputError
from chainrule.maths.arrays import Array


class Record(NamedTuple):
    """What is known at the end of an epoch; each a scalar."""

    epoch: Array
    cost: Array
    cost_sum: Array  # over observations, whatever the network's reduction
    cost_mean: Array
    validation_cost: Array  # NaN without validation rows
    gradient_norm: Array
    change: Array  # largest absolute change of any parameter in this epoch
    epochs_since_best: Array  # epochs since the lowest validation cost


class Stop(Protocol):
    """A goal that ends training."""

    name: ClassVar[str]

    def reached(self, record: Record) -> Array: ...


@dataclass(frozen=True)
class CostGoal:
    """Training cost below `goal`; `of` "sum" or "mean" over observations, by default the network's reduction.

    >>> CostGoal(0.001, of="sum").name
    'cost_goal'
    """

    goal: float
    of: str | None = None
    name: ClassVar[str] = "cost_goal"
    numbers: ClassVar[tuple[str, ...]] = ("goal",)

    def __post_init__(self) -> None:
        if self.of not in (None, "sum", "mean"):
            raise ValueError(f'CostGoal: of is "sum" or "mean", got {self.of!r}')

    def reached(self, record: Record) -> Array:
        cost = {None: record.cost, "sum": record.cost_sum, "mean": record.cost_mean}[self.of]
        return cost < self.goal


@dataclass(frozen=True)
class MinGradient:
    """Euclidean norm of the gradient (all weights and biases) below `norm`."""

    norm: float
    name: ClassVar[str] = "min_gradient"
    numbers: ClassVar[tuple[str, ...]] = ("norm",)

    def reached(self, record: Record) -> Array:
        return record.gradient_norm < self.norm


@dataclass(frozen=True)
class Unchanged:
    """No parameter moved by more than `tolerance` in an epoch; 0 asks for theta(i+1) = theta(i) exactly."""

    tolerance: float = 0.0
    name: ClassVar[str] = "unchanged"
    numbers: ClassVar[tuple[str, ...]] = ("tolerance",)

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"Unchanged: expected a tolerance of 0 or more, got {self.tolerance}")

    def reached(self, record: Record) -> Array:
        return record.change <= self.tolerance


@dataclass(frozen=True)
class NoImprovement:
    """Validation cost not below its lowest for `checks` epochs in a row. Needs validation rows."""

    checks: int = 20
    name: ClassVar[str] = "no_improvement"
    numbers: ClassVar[tuple[str, ...]] = ("checks",)

    def __post_init__(self) -> None:
        if self.checks < 1:
            raise ValueError(f"NoImprovement: expected 1 check or more, got {self.checks}")
        if self.checks >= 2**31:  # which no program counts to
            raise ValueError(f"NoImprovement: expected {2**31 - 1:,} checks at most, got {self.checks}")

    def reached(self, record: Record) -> Array:
        return record.epochs_since_best >= self.checks


@dataclass(frozen=True)
class MaxSeconds:
    """Wall-clock seconds of training, compiling included; looked at between dispatches, a few times a second."""

    seconds: float
    name: ClassVar[str] = "max_seconds"
    numbers: ClassVar[tuple[str, ...]] = ("seconds",)

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"MaxSeconds: expected seconds above 0, got {self.seconds}")

    def reached(self, record: Record) -> Array:
        return record.epoch < 0  # never inside the compiled loop, which has no clock: the driver looks at it


BLIND_TO_GRADIENTS = (CostGoal, Unchanged, NoImprovement, MaxSeconds)
_GOALS: dict[str, Any] = {goal.name: goal for goal in (CostGoal, MinGradient, Unchanged, NoImprovement, MaxSeconds)}


def measures_gradients(stops: tuple[Stop, ...]) -> bool:
    """Whether a goal may look at the gradient's norm, which costs as much to take as an update."""
    return any(not isinstance(goal, BLIND_TO_GRADIENTS) for goal in stops)


def check_goals(stop: Any) -> None:
    """A TypeError for what is no list of goals."""
    if not isinstance(stop, list | tuple):
        raise TypeError(f"stop: expected a list of goals, such as [CostGoal(0.001)]; got {stop!r}")
    for goal in stop:
        if not (isinstance(getattr(goal, "name", None), str) and callable(getattr(goal, "reached", None))):
            raise TypeError(f"stop: expected goals with a name, a str, and reached(record); got {goal!r}")


def goal_to_json(goal: Any) -> dict[str, Any]:
    """A goal of this module as plain data.

    >>> goal_to_json(NoImprovement(5))
    {'is': 'no_improvement', 'checks': 5}
    """
    if type(goal) is not _GOALS.get(goal.name):
        raise InputError(f"{goal!r} is code: it cannot be saved")
    return {"is": goal.name, **vars(goal)}


def goal_from_json(data: dict[str, Any]) -> Stop:
    """The goal that `goal_to_json` wrote; a ValueError or KeyError for data that it did not."""
    import msgspec

    return msgspec.convert({name: x for name, x in data.items() if name != "is"}, type=_GOALS[data["is"]])

r"""Goals that end a training: each has a method `reached(record)`, which is evaluated after every epoch.

`reached` is compiled into the training loop, so that training ends at exactly that epoch. You can define your own
goals: any frozen dataclass (or other hashable object) with a `name` and a `reached`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from chainrule.errors import InputError
from chainrule.maths.arrays import Array


class Record(NamedTuple):
    """The measurements at the end of an epoch; each a scalar."""

    epoch: Array
    cost: Array
    cost_sum: Array  # over observations, regardless of the network's reduction
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
    """Stop when the training cost is below a value.

    Parameters
    ----------
    goal : float
    of : {"sum", "mean"}, optional
        Compare the sum or the mean over observations; by default the reduction of the network.

    Raises
    ------
    ValueError
        If `of` is invalid.

    Examples
    --------
    >>> CostGoal(0.001, of="sum").name
    'cost_goal'
    """

    goal: float
    of: str | None = None
    name: ClassVar[str] = "cost_goal"
    numbers: ClassVar[tuple[str, ...]] = ("goal",)

    def __post_init__(self) -> None:
        if self.of not in (None, "sum", "mean"):
            raise ValueError(f'CostGoal: of: expected "sum" or "mean", got {self.of!r}')

    def reached(self, record: Record) -> Array:
        """Whether the cost is below `goal`.

        Parameters
        ----------
        record : Record

        Returns
        -------
        array of shape (), boolean
        """
        cost = {None: record.cost, "sum": record.cost_sum, "mean": record.cost_mean}[self.of]
        return cost < self.goal


@dataclass(frozen=True)
class MinGradient:
    """Stop when the Euclidean norm of the gradient (of all weights and biases) is below a value.

    Parameters
    ----------
    norm : float

    Examples
    --------
    >>> MinGradient(1e-5).name
    'min_gradient'
    """

    norm: float
    name: ClassVar[str] = "min_gradient"
    numbers: ClassVar[tuple[str, ...]] = ("norm",)

    def reached(self, record: Record) -> Array:
        """Whether the norm of the gradient is below `norm`.

        Parameters
        ----------
        record : Record

        Returns
        -------
        array of shape (), boolean
        """
        return record.gradient_norm < self.norm


@dataclass(frozen=True)
class Unchanged:
    """Stop when no parameter changes by more than a tolerance in an epoch.

    Parameters
    ----------
    tolerance : float, default=0.0
        0 requires that no parameter changes at all.

    Raises
    ------
    ValueError
        If `tolerance` is negative.

    Examples
    --------
    >>> Unchanged(1e-6).name
    'unchanged'
    """

    tolerance: float = 0.0
    name: ClassVar[str] = "unchanged"
    numbers: ClassVar[tuple[str, ...]] = ("tolerance",)

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"Unchanged: expected a tolerance of 0 or more, got {self.tolerance}")

    def reached(self, record: Record) -> Array:
        """Whether the largest change of a parameter is at most `tolerance`.

        Parameters
        ----------
        record : Record

        Returns
        -------
        array of shape (), boolean
        """
        return record.change <= self.tolerance


@dataclass(frozen=True)
class NoImprovement:
    """Stop when the validation cost has not improved for some epochs in a row. Requires validation rows.

    Parameters
    ----------
    checks : int, default=20
        Epochs since the lowest validation cost.

    Raises
    ------
    ValueError
        If `checks` is below 1, or too large to count.

    Examples
    --------
    >>> NoImprovement(5).name
    'no_improvement'
    """

    checks: int = 20
    name: ClassVar[str] = "no_improvement"
    numbers: ClassVar[tuple[str, ...]] = ("checks",)

    def __post_init__(self) -> None:
        if self.checks < 1:
            raise ValueError(f"NoImprovement: expected 1 check or more, got {self.checks}")
        if self.checks >= 2**31:  # the compiled program counts in 32 bits
            raise ValueError(f"NoImprovement: expected at most {2**31 - 1:,} checks, got {self.checks}")

    def reached(self, record: Record) -> Array:
        """Whether the lowest validation cost is `checks` epochs old.

        Parameters
        ----------
        record : Record

        Returns
        -------
        array of shape (), boolean
        """
        return record.epochs_since_best >= self.checks


@dataclass(frozen=True)
class MaxSeconds:
    """Stop at a time limit.

    Parameters
    ----------
    seconds : float
        Wall-clock time including compilation, checked between dispatches, a few times a second.

    Raises
    ------
    ValueError
        If `seconds` is not above 0.

    Examples
    --------
    >>> MaxSeconds(60).name
    'max_seconds'
    """

    seconds: float
    name: ClassVar[str] = "max_seconds"
    numbers: ClassVar[tuple[str, ...]] = ("seconds",)

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"MaxSeconds: expected a number of seconds above 0, got {self.seconds}")

    def reached(self, record: Record) -> Array:
        """Return False: the compiled loop has no clock, so the driver checks the time limit.

        Parameters
        ----------
        record : Record

        Returns
        -------
        array of shape (), boolean
        """
        return record.epoch < 0


BLIND_TO_GRADIENTS = (CostGoal, Unchanged, NoImprovement, MaxSeconds)
_GOALS: dict[str, Any] = {goal.name: goal for goal in (CostGoal, MinGradient, Unchanged, NoImprovement, MaxSeconds)}


def measures_gradients(stops: tuple[Stop, ...]) -> bool:
    """Whether a goal may use the norm of the gradient, which costs as much to compute as an update."""
    return any(not isinstance(goal, BLIND_TO_GRADIENTS) for goal in stops)


def check_goals(stop: Any) -> None:
    """Raise a TypeError for anything but a list of goals."""
    if not isinstance(stop, list | tuple):
        raise TypeError(f"stop: expected a list of goals, such as [CostGoal(0.001)]; got {stop!r}")
    for goal in stop:
        if not (isinstance(getattr(goal, "name", None), str) and callable(getattr(goal, "reached", None))):
            raise TypeError(f"stop: expected goals with a name (a str) and a method reached(record); got {goal!r}")


def goal_to_json(goal: Any) -> dict[str, Any]:
    """A goal of this module as plain data.

    >>> goal_to_json(NoImprovement(5))
    {'is': 'no_improvement', 'checks': 5}
    """
    if type(goal) is not _GOALS.get(goal.name):
        raise InputError(f"{goal!r} is defined by code and cannot be saved")
    return {"is": goal.name, **vars(goal)}


def goal_from_json(data: dict[str, Any]) -> Stop:
    """The inverse of `goal_to_json`; a ValueError or KeyError for other data."""
    import msgspec

    return msgspec.convert({name: x for name, x in data.items() if name != "is"}, type=_GOALS[data["is"]])

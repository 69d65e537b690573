"""What a caller asks of a training on a table: one record, made from a command line or read from a run folder.

It is checked field by field when it is made, whoever wrote it; nothing in it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal

from chainrule.errors import UsageError

Number = int | float
MOST = 2**31 - 1  # of what a training counts
MOST_PROCESSES = 1024
LEAST: dict[str, int] = {"epochs": 1, "patience": 1, "keep_every": 1, "processes": 1, "seed": 0}
LARGEST = {"processes": MOST_PROCESSES, "seed": 2**63 - 1}


@dataclass(frozen=True, kw_only=True)
class Request:
    """The table, how it is prepared, the network and its training; None leaves a setting to the recipe."""

    data: tuple[str, ...] = ()
    sql: str | None = None
    test_file: str | None = None
    target: tuple[str, ...] = ()
    task: Literal["binary", "multiclass", "regression"] | None = None
    drop: tuple[str, ...] = ()
    test_size: Number = 0.2
    validation_size: Number = 0.2
    normalize: bool = True
    quantiles: bool = True
    balanced: bool = False
    hidden: tuple[int, ...] | None = None
    activation: tuple[str, ...] | None = None
    cost: str | None = None
    reduction: str = "mean"
    l2: Number | None = None
    dropout: Number | None = None
    initial: str | dict[str, Any] | None = None  # a scheme's name, or the layers themselves: {"W1": ..., "b1": ...}
    rule: str | None = None
    learning_rate: Number | None = None
    schedule: str | None = None
    average: Number | None = None
    batch_size: int | Literal["all"] | None = None
    epochs: int | None = None
    patience: int | None = None
    cost_goal: Number | None = None
    min_gradient: Number | None = None
    unchanged: Number | None = None
    max_seconds: Number | None = None
    keep_every: int | None = None
    stream: bool | None = None
    save_every: int | float | None = None  # epochs (an int) or seconds (a float)
    processes: int | None = None
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, float) and not isfinite(value):
                raise UsageError(f"{flag_of(name)}: expected a finite number, got {value}")
            if name in LEAST and value is not None:
                _check_between(flag_of(name), value, LEAST[name], LARGEST.get(name, MOST))
        for size in self.hidden or ():
            _check_between("--hidden", size, 1, MOST)
        if isinstance(self.batch_size, int):
            _check_between("--batch-size", self.batch_size, 1, MOST)
        if self.save_every is not None and not 0 < self.save_every <= MOST:
            raise UsageError(
                f"--save-every: expected epochs or seconds above 0, such as 100 or 30s; got {self.save_every}"
            )
        if len(set(self.target)) < len(self.target) or set(self.target) & set(self.drop):
            raise UsageError("--target: a column is named twice, or dropped as well")
        if self.task not in (None, "binary", "multiclass", "regression"):
            raise UsageError(f"--task: expected binary, multiclass or regression, got {self.task}")
        if self.dtype not in ("float32", "float64"):
            raise UsageError(f"--dtype: expected float32 or float64, got {self.dtype}")


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """How a table is read, split and encoded: the arguments of `prepare`."""

    targets: tuple[str, ...]
    task: Literal["binary", "multiclass", "regression"] | None
    drop: tuple[str, ...]
    normalize: bool
    quantiles: bool
    normalize_target: bool
    test_size: Number
    validation_size: Number
    seed: int
    dtype: Literal["float32", "float64"]


# what a run that was cut off may be told anew when it goes on; all else stays as it began
MAY_CHANGE = ("data", "sql", "test_file", "epochs", "keep_every", "save_every", "processes")


def resumed(recorded: Request, given: dict[str, Any]) -> Request:
    """The request of a run with what is said beside --resume.

    Raises
    ------
    UsageError
        For a setting that the run began without.
    """
    from dataclasses import replace

    for name, value in given.items():
        began = getattr(recorded, name)
        if name not in MAY_CHANGE and value != began:
            raise UsageError(
                f"{flag_of(name)}: the run began with {_said(began)}, and goes on with what it began with; "
                "train another run with other settings"
            )
    if given.get("sql") is not None:
        given = {"data": (), **given}
    if given.get("data"):
        given = {"sql": None, **given}
    return replace(recorded, **given)


def flag_of(name: str) -> str:
    """The command line's name for a field."""
    return f"--{name.replace('_', '-')}"


def _said(value: Any) -> str:
    if value is None or value == ():
        return "none given"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_between(flag: str, value: Number, least: int, largest: int) -> None:
    if value < least:
        raise UsageError(f"{flag}: expected {least} or more, got {value}")
    if value > largest:
        raise UsageError(f"{flag}: expected {largest:,} or less, got {value}")

"""What a caller asks of a training on a table: one record, made from a command line or read from a run folder.

It is checked field by field when it is made, whoever wrote it; nothing in it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal

from chainrule.errors import UsageError, is_utf8, shortened
from chainrule.tables.reading.urls import check_no_credential, is_remote
from chainrule.training.rules import LARGEST, MOST_UPDATES

Number = int | float
MOST = MOST_UPDATES  # of anything that a training counts
MOST_PROCESSES = 1024
MOST_LAYERS = 50  # of nodes that are hidden; a program of more takes XLA minutes to make
TINIEST = 1e-30
BOUNDS: dict[str, tuple[Number, Number]] = {
    "epochs": (1, MOST),
    "patience": (1, MOST),
    "keep_every": (1, MOST),
    "processes": (1, MOST_PROCESSES),
    "batch_size": (1, MOST),
    "seed": (0, 2**63 - 1),
    "cost_goal": (-LARGEST, LARGEST),
    "l2": (0, LARGEST),
    "min_gradient": (0, LARGEST),
    "unchanged": (0, LARGEST),
    "learning_rate": (TINIEST, LARGEST),
    "max_seconds": (TINIEST, LARGEST),
}
SHARES = ("test_size", "validation_size", "dropout", "average")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The table, how it is prepared, the network and its training; None leaves a setting to the recipe."""

    data: tuple[str, ...] = ()
    sql: str | None = None
    database: str | None = None  # that the query reads: a file, or a URL without credentials
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
        if self.database is not None:
            check_no_credential("--database", self.database)
        if self.test_file is not None and is_remote(self.test_file):
            raise UsageError("--test-file: expected a local file, got a URL; download it first")
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, float) and not isfinite(value):
                raise UsageError(f"{flag_of(name)}: expected a finite number, got {value}")
            if name in BOUNDS and isinstance(value, int | float):
                _check_between(flag_of(name), value, *BOUNDS[name])
            if name in SHARES and value is not None and not 0 <= value < 1:
                raise UsageError(
                    f"{flag_of(name)}: expected a share from 0 to below 1, such as 0.2; got {shortened(str(value))}"
                )
            for text in value if isinstance(value, tuple) else [value]:
                if isinstance(text, str) and not is_utf8(text):
                    raise UsageError(f"{flag_of(name)}: expected text in UTF-8, got {shortened(text)!r}")
        if self.save_every is not None and not 0 < self.save_every <= MOST:
            said = shortened(str(self.save_every))
            raise UsageError(f"--save-every: expected epochs or seconds above 0, such as 100 or 30s; got {said}")
        for size in self.hidden or ():
            _check_between("--hidden", size, 1, MOST)
        if len(self.hidden or ()) > MOST_LAYERS:
            raise UsageError(f"--hidden: expected {MOST_LAYERS} layers or fewer, got {len(self.hidden or ())}")
        if isinstance(self.initial, dict) and not all(map(_is_layer, self.initial, self.initial.values())):
            raise UsageError('--initial: expected {"W1": [[...]], "b1": [...], "W2": ...} of finite numbers')
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

    def __post_init__(self) -> None:
        if not self.targets:
            raise UsageError("--target is missing: name the column to predict, such as --target churn")
        names = ("task", "drop", "test_size", "validation_size", "seed", "dtype")
        Request(target=self.targets, **{name: getattr(self, name) for name in names})  # which knows what may be


# what a run that was cut off may be told anew when it goes on; all else stays as it began
TABLES, COURSE = ("data", "sql", "database", "test_file"), ("epochs", "keep_every", "save_every", "processes")
MAY_CHANGE = (*TABLES, *COURSE)


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
        given = {"data": (), "database": None, **given}
    if given.get("data"):
        given = {"sql": None, "database": None, **given}
    return replace(recorded, **given)


def flag_of(name: str) -> str:
    """The command line's name for a field."""
    return f"--{name.replace('_', '-')}"


def _said(value: Any) -> str:
    if value is None or value == ():
        return "none given"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_layer(name: str, numbers: Any) -> bool:
    """Whether it is the weights "W1" ..., rows of numbers, or the biases "b1" ... of a layer."""
    if not isinstance(numbers, list):
        return False
    rows = numbers if name[:1] == "W" else [numbers] if name[:1] == "b" else [None]
    return all(isinstance(row, list) and all(map(_is_finite, row)) for row in rows) and name[1:].isdecimal()


def _is_finite(x: Any) -> bool:
    return isinstance(x, int | float) and abs(x) <= LARGEST


def _check_between(flag: str, value: Number, least: Number, largest: Number) -> None:
    if value < least:
        expected = f"{least:g} or more" if least != TINIEST else f"a number above 0 ({TINIEST:g} or more)"
        raise UsageError(f"{flag}: expected {expected}, got {shortened(str(value))}")
    if value > largest:
        told = f"{largest:,}" if isinstance(largest, int) else f"{largest:g}"
        raise UsageError(f"{flag}: expected {told} or less, got {shortened(str(value))}")

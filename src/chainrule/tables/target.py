"""What is predicted: the task that follows from the target columns, and targets as network outputs and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.tables.kinds import Column

if TYPE_CHECKING:
    import pyarrow as pa

Task = Literal["binary", "multiclass", "regression"]
MOST_WHOLE_NUMBER_CLASSES = 20  # a target with so few different whole numbers is read as classes


class Target(NamedTuple):
    """The target columns; for classes their labels in order, for numbers the training mean and deviation of each."""

    columns: tuple[Column, ...]
    task: Task
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def n_outputs(self) -> int:
        """Output nodes: one sigmoid for two classes, one per class for several, one per number."""
        return {"binary": 1, "multiclass": len(self.classes), "regression": len(self.columns)}[self.task]

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [list(column) for column in self.columns],
            "task": self.task,
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
        }


def target_from_json(data: dict[str, Any]) -> Target:
    """The inverse of `Target.to_json`."""
    columns = tuple(Column(*column) for column in data["columns"])
    return Target(columns, data["task"], tuple(data["classes"]), tuple(data["mean"]), tuple(data["std"]))


def task_of(columns: Sequence[Column], table: pa.Table, wanted: str | None) -> Target:
    """The task, and for classes their labels, from all rows that have a target.

    Two values are classes for one node, text and a few whole numbers are classes, other numbers are numbers.
    """
    for column in columns:
        if column.kind not in ("number", "boolean", "text"):
            raise InputError(f"target {column.name!r}: expected numbers, text or booleans, got {column.kind} values")
        if table.column(column.name).null_count == table.num_rows:
            raise InputError(f"target {column.name!r}: every value is missing")
    if len(columns) > 1:
        return _numbers(columns, wanted)
    labels = _sorted_labels(table.column(columns[0].name), columns[0])
    if len(labels) < 2:
        raise InputError(f"target {columns[0].name!r}: expected two values or more, got only {labels[0]!r}")
    task = wanted or _guess(columns[0], labels, table.num_rows)
    if task == "regression":
        return _numbers(columns, wanted)
    if task == "binary" and len(labels) != 2:
        raise InputError(f"--task binary: target {columns[0].name!r} has {len(labels)} values: {_some(labels)}")
    if task == "multiclass" and len(labels) == 2:
        task = "binary"
    if 2 * len(labels) > table.num_rows:
        hint = "; --task regression predicts it as a number" if columns[0].kind == "number" else ""
        raise InputError(
            f"target {columns[0].name!r}: {len(labels)} classes in {table.num_rows} rows; "
            f"expected at least two rows for a class on average{hint}"
        )
    return Target(tuple(columns), task, tuple(labels))  # pyright: ignore[reportArgumentType]


def fit_scale(target: Target, table: pa.Table, normalize: bool) -> Target:
    """For numbers, the mean and deviation of the training rows; for classes, nothing."""
    if target.task != "regression":
        return target
    if not normalize:
        return target._replace(mean=(0.0,) * len(target.columns), std=(1.0,) * len(target.columns))
    values = _numbers_of(target, table)
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.ones(values.shape[1])
    return target._replace(mean=tuple(values.mean(axis=0).tolist()), std=tuple(np.where(std > 0, std, 1).tolist()))


def encode_target(target: Target, table: pa.Table) -> np.ndarray:
    """Y: (rows, n_outputs): Z-scores; 0 and 1; or one column per class."""
    if target.task == "regression":
        return (_numbers_of(target, table) - np.array(target.mean)) / np.array(target.std)
    place = class_places(target, table)
    return place[:, None].astype(float) if target.task == "binary" else np.eye(len(target.classes))[place]


def class_places(target: Target, table: pa.Table) -> np.ndarray:
    """For each row the place of its label among `target.classes`.

    Raises
    ------
    InputError
        For a label that training rows did not have.
    """
    column = target.columns[0]
    places = {label: place for place, label in enumerate(target.classes)}
    found = np.array([places.get(_label(value, column), -1) for value in table.column(column.name).to_pylist()], int)
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        got = _label(table.column(column.name)[row].as_py(), column)
        raise InputError(
            f"target {column.name!r}, row {row + 1} of those with a target: expected one of {_some(target.classes)}, "
            f"got {got!r}"
        )
    return found


def decode(target: Target, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (rows, n_outputs) as predictions: (place of the class, probabilities), or (values, values)."""
    if target.task == "regression":
        values = outputs.astype(np.float64) * np.array(target.std) + np.array(target.mean)
        return values, values
    probabilities = np.hstack([1 - outputs, outputs]) if target.task == "binary" else outputs
    return probabilities.argmax(axis=1), probabilities


def _guess(column: Column, labels: list[str], rows: int) -> Task:
    if len(labels) == 2:
        return "binary"
    if column.kind != "number":
        return "multiclass"
    whole = all(label.lstrip("-").isdigit() for label in labels)
    few = len(labels) <= min(MOST_WHOLE_NUMBER_CLASSES, rows // 5)
    return "multiclass" if whole and few else "regression"


def _numbers(columns: Sequence[Column], wanted: str | None) -> Target:
    if wanted not in (None, "regression"):
        raise InputError(f"--task {wanted}: several targets are predicted as numbers; give one --target for classes")
    for column in columns:
        if column.kind == "text":
            raise InputError(f"target {column.name!r}: expected numbers for a regression, got text")
    return Target(tuple(columns), "regression")


def _numbers_of(target: Target, table: pa.Table) -> np.ndarray:
    return np.column_stack([table.column(name).to_numpy().astype(float) for name in target.names])


def _sorted_labels(values: pa.ChunkedArray, column: Column) -> list[str]:
    different = [value for value in values.unique().to_pylist() if value is not None]
    return [_label(value, column) for value in sorted(different)]


def _label(value: Any, column: Column) -> str:
    if column.kind == "boolean":
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _some(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels[:8])) + (", ..." if len(labels) > 8 else "")

"""Targets: the task inferred from the target columns, and conversion to and from network outputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from chainrule.errors import InputError
from chainrule.tables.columns import KINDS, TEXT, Column

if TYPE_CHECKING:
    import pyarrow as pa

Task = Literal["binary", "multiclass", "regression"]
MOST_WHOLE_NUMBER_CLASSES = 20  # whole-number targets with more distinct values are numbers


class Target(NamedTuple):
    """The target columns; the sorted labels of classes, or the training mean and standard deviation of numbers."""

    columns: tuple[Column, ...]
    task: Task
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scaled: bool = True  # whether outputs are Z-scores rather than the numbers themselves

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def outputs(self) -> list[str]:
        """The meaning of each output node: the second of two classes, each of several classes, or each number."""
        return [self.classes[1]] if self.task == "binary" else list(self.classes) or self.names

    @property
    def n_outputs(self) -> int:
        """The number of output nodes: one for two classes, otherwise one per class or per number."""
        return len(self.outputs)

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [list(column) for column in self.columns],
            "task": self.task,
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "scaled": self.scaled,
        }


def target_from_json(data: dict[str, Any]) -> Target:
    """The inverse of `Target.to_json`."""
    columns = tuple(Column(*column) for column in data["columns"])
    classes, mean, std = (tuple(data[key]) for key in ("classes", "mean", "std"))
    target = Target(columns, data["task"], classes, mean, std, data["scaled"])
    numbers = (*mean, *std)
    whole = len(mean) == len(std) == len(columns) if target.task == "regression" else len(classes) >= 2
    numbers_are = [kind.name for kind in KINDS.values() if "regression" in kind.tasks]
    readable = numbers_are if target.task == "regression" else [TEXT.name]
    if not columns or (target.task != "regression" and len(columns) > 1):
        raise ValueError(f"target: {len(columns)} columns")
    if not all(c.kind in readable and isinstance(c.name, str) and c.date_format is None for c in columns):
        raise ValueError("target: a column of a kind that cannot be a target")
    if target.task not in get_args(Task) or not whole or not all(isinstance(c, str) for c in classes):
        raise ValueError(f"target: {target.task} with {len(classes)} classes and {len(mean)} means")
    if not all(isinstance(x, float) and isfinite(x) for x in numbers) or not all(x > 0 for x in std):
        raise ValueError("target: mean or standard deviation is not a valid number")
    return target


def task_of(columns: Sequence[Column], table: pa.Table, wanted: str | None, labels: pa.ChunkedArray) -> Target:
    """Infer the task, and the labels of classes, from all rows with a target.

    Targets with two distinct values, text, and few distinct whole numbers are classes; other numbers are a regression.
    `labels` is the first target as text, so that classes have the names that they have in the table.
    """
    for column in columns:
        if not KINDS[column.kind].tasks:
            raise InputError(f"target {column.name!r}: expected numbers, text or booleans, got {column.kind} values")
        if table.column(column.name).null_count == table.num_rows:
            raise InputError(f"target {column.name!r}: every value is missing")
    if len(columns) > 1:
        return _numbers(columns, wanted)
    classes = _sorted_labels(labels, columns[0])
    if len(classes) < 2:
        raise InputError(f"target {columns[0].name!r}: expected two values or more, got only {classes[0]!r}")
    task = wanted or _guess(columns[0], classes, table.num_rows)
    if task == "regression":
        return _numbers(columns, wanted)
    if task == "binary" and len(classes) != 2:
        raise InputError(f"--task binary: target {columns[0].name!r} has {len(classes)} values: {_some(classes)}")
    if task == "multiclass" and len(classes) == 2:
        task = "binary"
    if 2 * len(classes) > table.num_rows:
        hint = "; --task regression predicts it as a number" if KINDS[columns[0].kind].is_numeric else ""
        raise InputError(
            f"target {columns[0].name!r}: {len(classes)} classes in {table.num_rows} rows; "
            f"expected at least two rows per class on average{hint}"
        )
    return Target((Column(columns[0].name, TEXT.name),), task, tuple(classes))  # pyright: ignore[reportArgumentType]


def fit_scale(target: Target, table: pa.Table, normalize: bool) -> Target:
    """Set the mean and standard deviation of numeric targets from the training rows."""
    if target.task != "regression":
        return target
    values = _numbers_of(target, table)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else np.ones(values.shape[1])
    for name, m, s in zip(target.names, mean, std, strict=True):
        if not (isfinite(m) and isfinite(s)):
            raise InputError(
                f"target {name!r}: its values are too large to compute a mean and standard deviation; use other units"
            )
    return target._replace(mean=tuple(mean.tolist()), std=tuple(np.where(std > 0, std, 1).tolist()), scaled=normalize)


def encode_target(target: Target, table: pa.Table) -> np.ndarray:
    """Encode targets as Y (rows, n_outputs): Z-scores, 0 and 1, or one column per class."""
    if target.task == "regression":
        values = _numbers_of(target, table)
        return (values - np.array(target.mean)) / np.array(target.std) if target.scaled else values
    place = class_places(target, table)
    return place[:, None].astype(float) if target.task == "binary" else np.eye(len(target.classes))[place]


def truth_of(target: Target, table: pa.Table, before: int = 0) -> np.ndarray:
    """The true targets: indices of the classes (rows,), or numbers (rows, targets)."""
    return _numbers_of(target, table) if target.task == "regression" else class_places(target, table, before)


def class_places(target: Target, table: pa.Table, before: int = 0) -> np.ndarray:
    """The index of each row's label in `target.classes`.

    Parameters
    ----------
    target : Target
        The target.
    table : pyarrow.Table
        The rows.
    before : int
        The number of rows before these, for error messages.

    Returns
    -------
    ndarray
        Indices (rows,).

    Raises
    ------
    InputError
        If a label does not occur in the training rows.
    """
    column = target.columns[0]
    coded = table.column(column.name).combine_chunks().dictionary_encode()
    spelled = {label: place for place, label in enumerate(target.classes)}
    meant = {_meaning(label): place for label, place in spelled.items()}  # so that "1.0" in another file matches "1"
    labels = coded.dictionary.to_pylist()
    places = np.array([spelled.get(label, meant.get(_meaning(label), -1)) for label in labels], int)
    found = places[coded.indices.to_numpy()] if labels else np.empty(0, int)
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        got = table.column(column.name)[row].as_py()
        raise InputError(
            f"target {column.name!r}, row {before + row + 1} of the rows with a target: "
            f"expected one of {_some(target.classes)}, got {got!r}"
        )
    return found


def decode(target: Target, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert outputs (rows, n_outputs) to predictions: (class indices, probabilities) or (values, values)."""
    if target.task == "regression":
        values = outputs.astype(np.float64)
        values = values * np.array(target.std) + np.array(target.mean) if target.scaled else values
        return values, values
    probabilities = np.hstack([1 - outputs, outputs]) if target.task == "binary" else outputs
    return probabilities.argmax(axis=1), probabilities


def _guess(column: Column, labels: list[str], rows: int) -> Task:
    if len(labels) == 2:
        return "binary"
    if not KINDS[column.kind].is_numeric:
        return "multiclass"
    whole = all(float(label).is_integer() for label in labels)
    few = len(labels) <= min(MOST_WHOLE_NUMBER_CLASSES, rows // 5)
    return "multiclass" if whole and few else "regression"


def _numbers(columns: Sequence[Column], wanted: str | None) -> Target:
    if wanted not in (None, "regression"):
        raise InputError(f"--task {wanted} requires a single --target; several targets are predicted as numbers")
    for column in columns:
        if "regression" not in KINDS[column.kind].tasks:
            raise InputError(f"target {column.name!r}: expected numbers for a regression, got {column.kind} values")
    return Target(tuple(columns), "regression")


def _numbers_of(target: Target, table: pa.Table) -> np.ndarray:
    return np.column_stack([table.column(name).to_numpy().astype(float) for name in target.names])


def _sorted_labels(labels: pa.ChunkedArray, column: Column) -> list[str]:
    different = [label for label in labels.unique().to_pylist() if label is not None]
    return sorted(different, key=float) if KINDS[column.kind].is_numeric else sorted(different)


def _meaning(label: str) -> Any:
    """A label in normalized form: its number, or the lower-case word."""
    try:
        return float(label)
    except ValueError:
        return label.lower()


def _some(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels[:8])) + (", ..." if len(labels) > 8 else "")

"""Prepare a table for training: select columns, infer the task, split the rows, fit the encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chainrule.errors import InputError, UsageError
from chainrule.tables import preset
from chainrule.tables.columns import KINDS, TEXT, Column
from chainrule.tables.encoding import Encoding, fit_encoding
from chainrule.tables.kinds import check_values, kinds_of, strays, value_sql
from chainrule.tables.reading import Source, check_columns, count_rows, fetch, quoted
from chainrule.tables.splitting import Split, split_rows
from chainrule.tables.target import Target, class_places, encode_target, fit_scale, task_of

if TYPE_CHECKING:
    import pyarrow as pa


MOST_LABELS = 20_000
LABELS = "the target\n as text"  # a name that no column has


class Prepared(NamedTuple):
    """A table ready for training. X and Y hold the rows with a target; `split` holds indices into them."""

    encoding: Encoding
    target: Target
    split: Split
    X: np.ndarray
    Y: np.ndarray
    table: pa.Table
    numbers: np.ndarray  # row numbers in the source, from 1
    n_rows: int  # in the source, including rows without a target
    hints: tuple[str, ...]

    @property
    def frequencies(self) -> np.ndarray:
        """The relative frequency of each class in the training rows."""
        places = class_places(self.target, self.table)[self.split.train]
        return np.bincount(places, minlength=len(self.target.classes)) / len(places)

    @property
    def class_weights(self) -> np.ndarray:
        """The weight of a row of each class, such that classes have equal total weight and the mean weight is 1."""
        return 1 / (self.frequencies * len(self.frequencies))


def prepare(
    source: Source,
    targets: Sequence[str],
    *,
    task: str | None = None,
    drop: Sequence[str] = (),
    normalize: bool = True,
    normalize_target: bool = True,
    quantiles: bool = True,
    test_size: float = 0.2,
    validation_size: float = 0.2,
    seed: int = 0,
    dtype: str = "float32",
    whole: Source | None = None,
    part: str | None = None,
) -> Prepared:
    """Read a table, infer the task, split the rows, fit the encoding to the training rows and encode all rows.

    Parameters
    ----------
    source : Source
        The table, or a sample of it.
    targets : sequence of str
        The target columns.
    task : str, optional
        The task; inferred from the target if not given.
    drop : sequence of str
        Columns to leave out.
    normalize, normalize_target : bool
        Whether numeric inputs, and numeric targets, become Z-scores.
    quantiles : bool
        Whether large tables also get inputs for quantiles.
    test_size : float
        The fraction of the rows that is held out for testing.
    validation_size : float
        The fraction of the other rows that is used for validation.
    seed : int
        The seed of the split.
    dtype : str
        The dtype of X and Y.
    whole : Source, optional
        The complete table if `source` is a sample; kinds and classes are inferred from it.
    part : str, optional
        The column of a sample that holds the part of each row: 0 training, 1 validation, 2 test.

    Returns
    -------
    Prepared
        The encoded rows, and how they were encoded and split.

    Raises
    ------
    UsageError
        If a size is out of range.
    InputError
        If a column is missing, a value cannot be read, or there are too few rows.
    """
    _check_sizes(test_size, validation_size)
    whole = whole or source
    names = list(whole.types)
    check_columns(targets, names, "--target")
    check_columns(drop, names, "--drop")
    n_rows = count_rows(source)
    if n_rows == 0:
        raise InputError(f"{source.name}: has a header but no rows of data")
    columns = kinds_of(whole, [name for name in names if name not in drop])
    used = [column for column in columns if not KINDS[column.kind].refused]
    check_values(whole, used)
    chosen = sorted((c for c in columns if c.name in targets), key=lambda c: list(targets).index(c.name))
    labels = (LABELS, value_sql(source, Column(chosen[0].name, TEXT.name)))
    read = [*((column.name, value_sql(source, column)) for column in used), labels]
    table = fetch(source, [*read, (part, quoted(part))] if part else read)
    there = _with_target(table, chosen, source)
    table, numbers = table.filter(there), np.flatnonzero(there) + 1
    target = task_of(chosen, table, task, table.column(LABELS) if whole is source else _all_labels(whole, labels[1]))
    if target.task != "regression":
        table = table.set_column(table.column_names.index(chosen[0].name), chosen[0].name, table.column(LABELS))
    table = table.drop_columns([LABELS])
    strata = None if target.task == "regression" else class_places(target, table)
    if part:
        parts = table.column(part).to_numpy()
        split = Split(*(np.flatnonzero(parts == k) for k in range(3)))
        table = table.drop_columns([part])
    else:
        split = split_rows(table.num_rows, test_size, validation_size, seed, strata)
    _check_split(split, test_size, validation_size)
    training = table.take(split.train)
    inputs = [column for column in columns if column.name not in targets]
    n_ranked = sum(KINDS[column.kind].ranked for column in inputs)
    pieces = preset.pieces(training.num_rows, n_ranked) if quantiles and normalize and n_ranked else 0
    encoding = fit_encoding(_filled(training, inputs), inputs, normalize, pieces)
    if not encoding.columns:
        why = "; ".join(f"{name}: {reason}" for name, reason in encoding.dropped) or "there is no other column"
        raise InputError(f"{source.name}: no usable input column ({why})")
    target = fit_scale(target, training, normalize and normalize_target)
    X = encoding.encode(table, dtype)
    Y = encode_target(target, table).astype(dtype)
    hints = (*strays(whole, inputs), *_hints(training, encoding))
    return Prepared(encoding, target, split, X, Y, table, numbers, n_rows, hints)


def _all_labels(source: Source, sql: str) -> pa.ChunkedArray:
    """The distinct values of a target, at most `MOST_LABELS` of them."""
    distinct = f"(SELECT DISTINCT {sql} AS {quoted(LABELS)} FROM {source.sql} LIMIT {MOST_LABELS})"
    different = source._replace(sql=distinct)
    return fetch(different, [(LABELS, quoted(LABELS))]).column(LABELS)


def _with_target(table: pa.Table, targets: Sequence[Column], source: Source) -> np.ndarray:
    """A mask (rows,) of the rows without a missing target."""
    there = np.ones(table.num_rows, bool)
    for column in targets:
        if KINDS[column.kind].refused:
            raise InputError(f"{source.name}: target {column.name!r} has no values that can be predicted")
        there &= table.column(column.name).is_valid().to_numpy()
    return there


def _filled(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Add columns that were not read (empty, or of no usable kind) as columns of nulls."""
    import pyarrow as pa

    for column in columns:
        if column.name not in table.column_names:
            table = table.append_column(column.name, pa.nulls(table.num_rows, pa.float64()))
    return table


def _hints(training: pa.Table, encoding: Encoding) -> tuple[str, ...]:
    """Hints about suspicious columns."""
    asked = (column.hint(training.column(column.name)) for column in encoding.columns)
    return tuple(hint for hint in asked if hint)


def _check_sizes(test_size: float, validation_size: float) -> None:
    for name, size in (("--test-size", test_size), ("--validation-size", validation_size)):
        if not 0 <= size < 1:
            raise UsageError(f"{name}: expected a fraction from 0 to below 1, such as 0.2; got {size:g}")


def _check_split(split: Split, test_size: float, validation_size: float) -> None:
    n = sum(map(len, split))
    if test_size and not len(split.test):
        raise InputError(f"{n} rows are too few for --test-size {test_size:g}; use --test-size 0")
    if validation_size and not len(split.validation):
        raise InputError(f"{n} rows are too few for --validation-size {validation_size:g}; use --validation-size 0")

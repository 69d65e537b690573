"""Text and categorical columns: values are mapped to codes, and codes to one-hot inputs.

In between, X is an ordinary numeric matrix with the same number of columns as the caller's table.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from chainrule.tables.columns import FITTED, TEXT, Column, InputColumn, TextColumn
from chainrule.tables.columns.kind import MISSING
from chainrule.tables.encoding import fit_encoding
from chainrule.tables.frames import arrow_of, is_frame

if TYPE_CHECKING:
    import pyarrow as pa


class Categories(NamedTuple):
    """The indices of the categorical columns and their encodings; None for a column without inputs."""

    places: tuple[int, ...]
    columns: tuple[InputColumn | None, ...]

    @property
    def encoded(self) -> list[tuple[int, InputColumn]]:
        return [(i, column) for i, column in zip(self.places, self.columns, strict=True) if column]

    @property
    def n_inputs(self) -> int:
        return sum(len(column.inputs) for _, column in self.encoded)

    def numbers(self, X: Any) -> np.ndarray:
        """Convert X to numbers (rows, n): the code of a category is the index of its input, or one past the last."""
        fitted = dict(zip(self.places, self.columns, strict=True))
        columns = [
            _codes(values, fitted[i]) if i in fitted else _floats(name, values)
            for i, (name, values) in enumerate(columns_of(X))
        ]
        kinds = {x.dtype for i, x in enumerate(columns) if i not in fitted}
        return np.column_stack(columns).astype(np.float32 if kinds == {np.dtype(np.float32)} else np.float64)

    def one_hot(self, numbers: np.ndarray) -> list[np.ndarray]:
        """The one-hot inputs of each column, from the result of `numbers`."""
        return [numbers[:, [i]] == np.arange(len(column.inputs)) for i, column in self.encoded]

    def to_json(self) -> dict[str, Any]:
        columns = [column.to_json() if column else None for column in self.columns]
        return {"places": list(self.places), "columns": columns}


def categories_from_json(data: dict[str, Any]) -> Categories:
    """The inverse of `Categories.to_json`."""
    columns = tuple(FITTED[entry["class"]].from_json(entry) if entry else None for entry in data["columns"])
    if not len(columns) == len(set(data["places"])) == len(data["places"]):
        raise ValueError("categories: expected one index for each column")
    if not all(isinstance(column, TextColumn | None) for column in columns):
        raise ValueError("categories: expected text columns")
    return Categories(tuple(data["places"]), columns)


def fit_categories(X: Any, setting: Any) -> Categories:
    """Fit the columns in `categorical_features` to all rows of X; a warning for each without information."""
    import pyarrow as pa

    columns = columns_of(X)
    places = _places(setting, columns, has_names=is_frame(X))
    # named by index, since names need not be unique
    texts = pa.table([_text(columns[i][1]) for i in places], names=[str(i) for i in places])
    encoding = fit_encoding(texts, [Column(str(i), TEXT.name) for i in places])
    for place, why in encoding.dropped:
        warnings.warn(f"column {columns[int(place)][0]!r} is left out: {why}", stacklevel=2)
    fitted = {int(column.name): _renamed(column, columns[int(column.name)][0]) for column in encoding.columns}
    return Categories(places, tuple(fitted.get(i) for i in places))


def columns_of(X: Any) -> list[tuple[str, pa.Array]]:
    """The columns of a frame or an array (rows, n) with their names, or x0, x1, ..."""
    import pyarrow as pa

    if issparse(X):
        raise ValueError("categorical_features: expected a data frame or a dense array, got a sparse one")
    try:
        if is_frame(X):
            table = arrow_of(X)
            return [(name, table.column(i).combine_chunks()) for i, name in enumerate(table.column_names)]
        array = X if isinstance(X, np.ndarray) else np.array(X, dtype=object)
        if array.ndim != 2:
            raise ValueError(f"X: expected an array of two dimensions, got {array.ndim}")
        return [(f"x{i}", pa.array(column, from_pandas=True)) for i, column in enumerate(array.T)]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"X: expected columns with values of one type each: {error}") from error


def _places(setting: Any, columns: list[tuple[str, pa.Array]], has_names: bool) -> tuple[int, ...]:
    """The indices of the columns selected by `categorical_features`, in order."""
    if isinstance(setting, str):
        return tuple(i for i, (_, values) in enumerate(columns) if _is_text(values))
    names, given = [name for name, _ in columns], list(setting)
    if given and all(isinstance(x, bool | np.bool_) for x in given):
        if len(given) != len(names):
            raise ValueError(f"categorical_features: a mask of {len(given)} for {len(names)} columns")
        return tuple(np.flatnonzero(given).tolist())
    known: Any = names if has_names and given and isinstance(given[0], str) else range(len(names))
    unknown = [x for x in given if x not in known]
    if unknown:
        raise ValueError(f"categorical_features: X has no column {unknown[0]!r}")
    return tuple(sorted({known.index(x) for x in given}))


def _is_text(values: pa.Array) -> bool:
    import pyarrow.types as is_

    of = values.type
    return is_.is_dictionary(of) or is_.is_string(of) or is_.is_large_string(of) or is_.is_string_view(of)


def _text(values: pa.Array) -> pa.Array:
    """The values as text without leading and trailing blanks; null if missing, as in a file."""
    import pyarrow as pa
    import pyarrow.compute

    compute: Any = pyarrow.compute
    if isinstance(values, pa.DictionaryArray):
        decoded = pa.DictionaryArray.from_arrays(values.indices, values.dictionary.cast(pa.string()))
        text = decoded.dictionary_decode()
    else:
        text = values.cast(pa.string())
    text = compute.utf8_trim(text, " ")
    is_missing = compute.is_in(text, value_set=pa.array([*MISSING], pa.string()))
    return compute.if_else(is_missing, pa.scalar(None, pa.string()), text)


def _codes(values: pa.Array, column: InputColumn | None) -> np.ndarray:
    if column is None:
        return np.zeros(len(values))
    hot = np.zeros((len(values), len(column.inputs)), bool)
    column.encode(_text(values), hot)
    return np.where(hot.any(axis=1), hot.argmax(axis=1), hot.shape[1])


def _floats(name: str, values: pa.Array) -> np.ndarray:
    import pyarrow as pa

    if _is_text(values) or pa.types.is_temporal(values.type) or pa.types.is_nested(values.type):
        found = "text" if _is_text(values) else values.type
        raise ValueError(
            f"column {name!r}: expected numbers, got {found}; name it in categorical_features, or convert it to numbers"
        )
    narrow = values.type == pa.float32()
    return values.cast(pa.float32() if narrow else pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _renamed(column: InputColumn, name: str) -> InputColumn:
    return type(column).from_json({**column.to_json(), "name": name})

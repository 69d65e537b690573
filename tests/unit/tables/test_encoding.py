"""Columns as inputs, fitted on training rows."""

import json

import numpy as np
import pyarrow as pa
import pytest

from chainrule.tables.columns import Column
from chainrule.tables.encoding import encoding_from_json, fit_encoding


def fit(values, kind="number", normalize=True):
    table = pa.table({"x": values})
    return table, fit_encoding(table, [Column("x", kind)], normalize)


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([2.0, 2.0], "number", "constant: always 2"),
        (["a", "a"], "text", "constant: always 'a'"),
        (["a", "b", "c"], "text", "identifies rows"),
        (["a", "a", "b", "b", "c", "c"], "text", "fewer than 5 training rows"),
        (pa.array([None, None], pa.float64()), "number", "every value is missing"),
    ],
)
def test_columns_that_tell_nothing_are_dropped_with_the_reason(values, kind, why):
    _, encoding = fit(values, kind)
    assert encoding.columns == ()
    assert why in encoding.dropped[0][1]


@pytest.mark.parametrize("change", [{"kind": "zzz"}, {"std": "a"}, {"std": 0.0}, {"mean": float("nan")}, {"name": 5}])
def test_an_encoding_that_cannot_be_computed_with_is_refused(change):
    data = fit([1.0, 2.0, 4.0])[1].to_json()
    data["columns"][0].update(change)
    with pytest.raises(ValueError, match="encoding: column"):
        encoding_from_json(data)


def test_an_encoding_survives_json():
    table = pa.table({"n": [1.0, None, 3.0], "t": ["a", "a", None], "d": [0.0, 86_400.0, 1e6]})
    columns = [Column("n", "number"), Column("t", "text"), Column("d", "date", "%d/%m/%Y"), Column("e", "empty")]
    encoding = fit_encoding(table.append_column("e", pa.nulls(3)), columns)
    back = encoding_from_json(json.loads(json.dumps(encoding.to_json())))
    assert back == encoding
    assert np.array_equal(back.encode(table), encoding.encode(table))

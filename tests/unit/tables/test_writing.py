"""Tables as text: what Python's csv module writes, made a column at a time."""

import csv
import io
import json
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainrule.tables.writing import writer

TABLE = pa.table(
    {
        "plain": ["a", "b c", None, "é"],
        'odd, "name"': ['say "x"', "a,b", "two\nlines", ""],
        "tab\tbed": ["a\tb", "\r", " ", "'"],
        "whole": pa.array([1, None, -3, 2**62]),
        "double": [0.1, 1.0, None, 1e-7],
        "yes": [True, False, None, True],
        "day": [date(2026, 1, 31), None, date(1, 1, 1), date(2000, 2, 29)],
        "exact": [Decimal("1.50"), None, Decimal("-2.25"), Decimal("0.00")],
        "list": [[1, 2], None, [], [3]],
    }
)


def by_python(table, delimiter):
    text = io.StringIO(newline="")
    write = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    write.writerow(table.column_names)
    write.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue()


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("chunks", [1, 2])
def test_text_is_quoted_only_where_needed(tmp_path, suffix, delimiter, chunks):
    out = tmp_path / f"t.{suffix}"
    with writer(str(out)) as write:
        for table in [TABLE] if chunks == 1 else [TABLE.slice(0, 1), TABLE.slice(1)]:
            write(table)
    made = out.read_bytes().decode()
    texts = [["" if value is None else str(value) for value in column.to_pylist()] for column in TABLE.columns]
    read = list(csv.reader(io.StringIO(made, newline=""), delimiter=delimiter))
    assert read == [TABLE.column_names, *map(list, zip(*texts, strict=True))]
    assert made.replace('"\r"', "\r") == by_python(TABLE, delimiter).replace('"\r"', "\r")  # as Python from 3.13 on


def test_float32_is_written_in_as_few_digits_as_tell_it_apart(tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random(500), 10 ** rng.uniform(-44, 38, 500), [0, 1, 0.1, 65 / 512]]).astype(np.float32)
    with writer(str(tmp_path / "t.csv")) as write:
        write(pa.table({"x": x, "y": x}))
    texts = [line.split(",")[0] for line in (tmp_path / "t.csv").read_text().splitlines()[1:]]
    np.testing.assert_array_equal(np.array(texts, float).astype(np.float32), x)
    assert [digits(text) for text in texts] == [digits(text) for text in x.astype(str)]


def digits(text):
    return text.partition("e")[0].replace(".", "").strip("0")


def test_json_lines_and_parquet_hold_the_same(tmp_path, monkeypatch):
    from chainrule.tables import writing

    monkeypatch.setattr(writing, "VALUES_AT_ONCE", 2)
    table = TABLE.select(["plain", "whole", "double"])
    for name in ("t.jsonl", "t.parquet"):
        with writer(str(tmp_path / name)) as write:
            write(table)
            write(table)
    read = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert read == pq.read_table(tmp_path / "t.parquet").to_pylist() == 2 * table.to_pylist()

"""What columns of text and of typed files mean."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainrule.errors import InputError
from chainrule.tables.columns import Column
from chainrule.tables.kinds import check_values, kinds_of, value_sql
from chainrule.tables.reading import fetch, open_table


def column_of(tmp_path, values: list[str]):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f'"{value}",1\n' for value in values))
    source = open_table([str(path)])
    return source, kinds_of(source, ["x"])[0]


CASES = {
    "whole numbers": (["1", "2", "-3"], Column("x", "number")),
    "decimals, blanks and NA": (["1.5", " ", "NA", "1e-3"], Column("x", "number")),
    "one word among numbers": (["1", "2", "many"], Column("x", "text")),
    "booleans": (["True", "false", "TRUE"], Column("x", "boolean")),
    "yes and no": (["yes", "no"], Column("x", "text")),
    "dates": (["2026-01-31", "2026-02-01"], Column("x", "date")),
    "dates and times": (["2026-01-31 10:30", "2026-02-01T11:00:05"], Column("x", "timestamp")),
    "times": (["10:30", "23:59:59"], Column("x", "time")),
    "days first": (["31/01/2026", "01/02/2026"], Column("x", "date", "%d/%m/%Y")),
    "months first": (["01/31/2026", "02/01/2026"], Column("x", "date", "%m/%d/%Y")),
    "German dates": (["31.01.2026", "01.02.2026"], Column("x", "date", "%d.%m.%Y")),
    "days first, with hours": (["31/01/2026 10:30", "01/02/2026 11:30"], Column("x", "timestamp", "%d/%m/%Y %H:%M")),
    "codes that begin with digits": (["1st", "2nd"], Column("x", "text")),
    "nothing": (["", "NA", "null"], Column("x", "empty")),
}


@pytest.mark.parametrize(("values", "column"), CASES.values(), ids=CASES)
def test_the_kind_of_a_column_follows_from_all_its_values(tmp_path, values, column):
    assert column_of(tmp_path, values)[1] == column


@pytest.mark.parametrize("values", [["2026-01-31"], ["31/01/2026", "30/01/2026"], ["2026-01-31 00:00", "2026-01-30"]])
def test_every_way_of_writing_a_date_is_the_same_second(tmp_path, values):
    source, column = column_of(tmp_path, values)
    seconds = fetch(source, [("x", value_sql(source, column))])["x"].to_pylist()
    assert seconds[0] == 1_769_817_600.0


TYPED = {
    "1::TINYINT": "number",
    "1::UBIGINT": "number",
    "1.5::DECIMAL(9, 2)": "number",
    "1.5::FLOAT": "number",
    "true": "boolean",
    "DATE '2026-01-31'": "date",
    "TIMESTAMP '2026-01-31 10:30'": "timestamp",
    "TIMESTAMPTZ '2026-01-31 10:30+02'": "timestamp",
    "TIME '10:30'": "time",
    "'red'::ENUM('red', 'blue')": "text",
    "NULL::DOUBLE": "empty",
    "[1, 2]": "other",
    "{'a': 1}": "other",
    "'ab'::BLOB": "other",
    "INTERVAL 1 DAY": "other",
}


@pytest.mark.parametrize(("sql", "kind"), TYPED.items(), ids=TYPED)
def test_the_kind_of_a_typed_column(sql, kind):
    source = open_table([], f"SELECT {sql} AS x")
    column = kinds_of(source, ["x"])[0]
    assert column.kind == kind
    if kind not in ("empty", "other"):
        check_values(source, [column])
        assert fetch(source, [("x", value_sql(source, column))])["x"].null_count == 0


def test_nan_that_parquet_statistics_leave_out_is_missing(tmp_path):
    values = [1.0, float("nan"), 3.0, None]
    pq.write_table(pa.table({"x": pa.array(values, pa.float64(), from_pandas=False)}), tmp_path / "t.parquet")
    source = open_table([str(tmp_path / "t.parquet")])
    assert fetch(source, [("x", value_sql(source, Column("x", "number")))])["x"].to_pylist() == [1.0, None, 3.0, None]


def test_nan_in_a_float_column_is_missing_not_bad(tmp_path):
    path = tmp_path / "t.parquet"
    duckdb.sql(f"COPY (SELECT unnest([1.0, 'nan'::DOUBLE, NULL]) AS x) TO '{path}'")
    source = open_table([str(path)])
    check_values(source, [Column("x", "number")])
    assert fetch(source, [("x", value_sql(source, Column("x", "number")))])["x"].to_pylist() == [1.0, None, None]


def test_a_bad_value_is_named_with_row_and_count(tmp_path):
    source, _ = column_of(tmp_path, ["1", "many", "3", "few"])
    with pytest.raises(InputError, match=r"column 'x', row 2: expected a number, got 'many' \(2 such values\)"):
        check_values(source, [Column("x", "number")])


def test_nul_characters_and_quotes_are_just_text(tmp_path):
    source, column = column_of(tmp_path, ['a ""quoted"" word', "x\x00y", "it's; DROP TABLE t"])
    assert column.kind == "text"
    assert fetch(source, [("x", value_sql(source, column))])["x"].to_pylist()[0] == 'a "quoted" word'

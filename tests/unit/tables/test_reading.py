"""How files become columns: their names, and what is refused before it costs anything."""

import gzip
import io
import json
from contextlib import nullcontext
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainrule.errors import InputError
from chainrule.tables import reading
from chainrule.tables.reading import check_rows, count_rows, open_table, share_read

ENDS = ["\n", "\r\n", "\r"]


@pytest.fixture
def opened(tmp_path):
    """Open a file of the given text."""

    def open_(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return open_table([str(path)])

    return open_


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e"])
def test_lines_end_at_line_ends_alone(opened, end, odd):
    """Not where Unicode has a line of text end."""
    source = opened(f"a{odd}b,y{end}1,2{end}3,4{end}")
    assert list(source.types) == [f"a{odd}b", "y"]
    assert count_rows(source) == 2


def wide(kind, columns):
    """A file of many columns: its name, and what is in it."""
    names = [f"c{i}" for i in range(columns)]
    if kind == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.table({name: [1, 2] for name in names}), file)
        return "wide.parquet", file.getvalue()
    if kind == "jsonl":
        return "wide.jsonl", f"{json.dumps(dict.fromkeys(names, 1))}\n" * 2
    return "wide.csv", f"{','.join(names)}\n{','.join('1' * columns)}\n"


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_too_many_columns_are_refused_before_any_query_is_planned(opened, kind, monkeypatch):
    monkeypatch.setattr(reading, "types_of", lambda *_: pytest.fail("planned"))
    name, content = wide(kind, 10_001)
    with pytest.raises(InputError, match=rf"wide\.{kind}: 10,001 columns, and 10,000 can be read at most"):
        opened(content, name)


def test_json_of_more_names_than_duckdb_takes_for_columns(opened):
    """Beyond 200 of one type it would make one column, a map, of them all."""
    name, content = wide("jsonl", 300)
    assert len(opened(content, name).types) == 300


def test_a_compressed_file_that_is_harmed(opened):
    whole = gzip.compress(b"x,y\n" + b"1,2\n" * 50)
    for place in range(10, len(whole)):
        harmed = bytearray(whole)
        harmed[place] ^= 0xFF
        with pytest.raises(InputError, match=r"table\.csv\.gz"):
            count_rows(opened(bytes(harmed), "table.csv.gz"))


@pytest.mark.parametrize("end", ENDS)
def test_a_name_of_two_lines(opened, end):
    """Is read where the line ends are alike; DuckDB would find no row below where they are not."""
    for within in ENDS:
        text = f'"a{within}b",y{end}1,2{end}3,4{end}'
        if within == end:
            assert count_rows(opened(text)) == 2
        else:
            with pytest.raises(InputError, match="a column's name has a line end in it"):
                opened(text)


def test_a_blank_line_above_the_names(opened):
    with pytest.raises(InputError, match=r"table\.csv: its first line, which names the columns, is blank"):
        opened("\nx,y\n1,2\n")


def test_rows_are_counted_no_further_than_allowed(opened):
    """Of a file that goes wrong behind them."""
    source = opened("x,y\n" + "1,2\n" * 10_000_000 + "1,2,3\n")
    with pytest.raises(InputError, match=r"table\.csv: has more rows than the 1,000 that --max-rows allows"):
        check_rows(source, 1_000)
    with pytest.raises(InputError, match="expected 2 values as in the header, found 3"):
        check_rows(source, 20_000_000)


@pytest.mark.parametrize(("most", "fits"), [(None, True), (3, True), (2, True), (1, False)])
def test_as_many_rows_as_allowed(opened, most, fits):
    source = opened("x,y\n1,2\n3,4\n")
    with nullcontext() if fits else pytest.raises(InputError, match="more rows than the 1 that"):
        check_rows(source, most)


def test_how_far_a_query_is(opened):
    source, shares = opened("x,y\n" + "1,2\n" * 5_000_000), []
    for _ in range(10):
        counting = Thread(target=count_rows, args=(source,))
        counting.start()
        while counting.is_alive():
            shares.append(share_read(source))
            counting.join(0.005)
        if any(share is not None for share in shares):
            break
    assert all(0 < share <= 1 for share in shares if share is not None)
    assert any(share is not None for share in shares)

"""The rows of a table are copied once: the same rows in the same order, wherever they lie."""

import os

import duckdb
import pytest

from chainrule.errors import InputError
from chainrule.tables.reading import copies, count_rows, fetch, first_row, open_table, quoted
from chainrule.tables.reading.connection import spill_folder
from chainrule.tables.reading.once import forget, read_once

ROWS = 100_000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,word\n" + "".join(f"{i},w{i * 7919 % 1000}\n" for i in range(ROWS)))
    return path


@pytest.fixture(params=["in memory", "aside"])
def place(request, monkeypatch):
    if request.param == "aside":
        monkeypatch.setattr(copies, "SHARE_OF_MEMORY", 0)
    return request.param


def all_of(source):
    return fetch(source, [(name, quoted(name)) for name in source.types])


def files_aside():
    return {name for name in os.listdir(spill_folder()) if name.endswith(".duckdb")}


def test_a_copy_has_the_rows_in_the_order_of_the_file(path, place):
    before = files_aside()
    source = open_table([str(path)])
    as_written = all_of(source)
    copy = read_once(source)
    path.write_text("x,word\n")  # nothing is read from it any more
    assert copy.copied
    assert read_once(copy) is copy
    assert all_of(copy) == as_written
    assert len(files_aside() - before) == (place == "aside")
    forget(copy)
    assert files_aside() <= before


def test_what_is_forgotten_can_be_read_again(path, place):
    source = open_table([str(path)])
    for _ in range(2):
        rows = read_once(source)
        assert count_rows(rows) == ROWS
        forget(rows)


def test_the_connection_can_do_nothing_else(path, place, tmp_path):
    source = read_once(open_table([str(path)]))
    for sql in (f"COPY (SELECT 1) TO '{tmp_path}/new.csv'", f"ATTACH '{tmp_path}/new.db'", "SET threads = 1"):
        with pytest.raises(duckdb.Error):
            source.connection.execute(sql)
    assert os.listdir(tmp_path) == ["t.csv"]


def test_where_the_disk_has_no_room_the_file_itself_is_asked(path, monkeypatch):
    monkeypatch.setattr(copies, "SHARE_OF_MEMORY", 0)
    monkeypatch.setattr(copies, "TIMES_ON_DISK", 1e12)
    rows = read_once(open_table([str(path)]))
    assert not rows.copied
    forget(rows)
    assert count_rows(rows) == ROWS


def test_nor_is_one_made_where_the_room_does_not_last(path):
    source = open_table([str(path)])
    source.connection.execute("SET memory_limit = '1MB'")
    rows = read_once(source)
    source.connection.execute("SET memory_limit = '1GB'")
    assert not rows.copied
    assert count_rows(rows) == ROWS


def test_more_rows_than_allowed_are_refused(path, place):
    with pytest.raises(InputError, match=r"t\.csv: has more rows than the 99,999 that --max-rows allows"):
        read_once(open_table([str(path)]), ROWS - 1)
    assert count_rows(read_once(open_table([str(path)]), ROWS)) == ROWS


def test_a_line_that_is_broken_is_named(path, place):
    with path.open("a") as file:
        file.write("1,2,3\n")
    with pytest.raises(InputError, match=rf"t\.csv, line {ROWS + 2}: expected 2 values as in the header, found 3"):
        read_once(open_table([str(path)]))


def test_a_query_is_run_once():
    """Its rows are the same for every question, though it would give others each time."""
    source = read_once(open_table([], "SELECT random() AS x FROM range(1000)"))
    total = f"SELECT sum(x) FROM {source.sql}"
    assert first_row(source, total) == first_row(source, total)


def test_parquet_is_not_copied(tmp_path):
    duckdb.execute(f"COPY (SELECT 1 AS x) TO '{tmp_path}/t.parquet'")
    source = open_table([f"{tmp_path}/t.parquet"])
    assert read_once(source) is source

"""The table of a run is found again if it is the very one; a recorded query runs only where it is trusted."""

from dataclasses import replace

import pytest

from chainrule.errors import InputError
from chainrule.tables.reading import count_rows, open_table
from chainrule.tables.recorded import (
    Named,
    Recorded,
    Untrusted,
    files_of,
    found_again,
    read_recorded,
    table_again,
    write_recorded,
)
from chainrule.tables.request import Request


@pytest.fixture
def run(tmp_path):
    """A run folder of a table beside it."""
    (tmp_path / "t.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def recorded(run, **request):
    source = open_table([str(run.parent / "t.csv")])
    return Recorded(Request(**request), files_of(source), (), False, False, str(run.parent), (), "", "", {})


def test_it_comes_back_as_it_was(run):
    was = recorded(run, target=("y",), epochs=3)
    write_recorded(run, was)
    assert read_recorded(run) == was


def test_the_very_file_is_found_where_it_was_or_beside_the_run(run, tmp_path):
    write_recorded(run, recorded(run))
    assert count_rows(table_again(run, Named())) == 2
    (tmp_path / "moved").mkdir()
    run.rename(tmp_path / "moved" / "run")
    (tmp_path / "t.csv").rename(tmp_path / "moved" / "t.csv")
    assert count_rows(table_again(tmp_path / "moved" / "run", Named())) == 2


@pytest.mark.parametrize("text", ["x,y\n1,2\n3,5\n", "x,y\n1,2\n", ""])
def test_another_file_is_refused(run, text):
    (file,) = recorded(run).files
    (run.parent / "t.csv").write_text(text)
    with pytest.raises(InputError, match="has changed since the run was trained on it; name it"):
        found_again(run, file, "name it")


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/environ", "/proc/self/pagemap", "nowhere.csv", "a\0b"])
def test_what_is_no_file_is_not_read(run, path):
    (file,) = recorded(run).files
    with pytest.raises(InputError, match=r"not found|has changed"):
        found_again(run, replace(file, path=path, bytes=0), "name it")


def test_a_recorded_query_is_shown_and_not_run(run):
    write_recorded(run, recorded(run, sql="SELECT 1 AS x"))
    with pytest.raises(Untrusted, match="recorded in it: 'SELECT 1 AS x'"):
        table_again(run, Named())
    assert count_rows(table_again(run, Named(trust=True))) == 1
    assert count_rows(table_again(run, Named([str(run.parent / "t.csv")]))) == 2
    assert count_rows(table_again(run, Named(sql="SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3"))) == 3


def test_of_a_newer_chainrule(run):
    write_recorded(run, replace(recorded(run), format=99))
    with pytest.raises(InputError, match="written by a newer version of Chainrule"):
        read_recorded(run)

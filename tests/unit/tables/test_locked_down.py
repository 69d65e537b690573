"""What reads a table reads that table, writes nothing, and cannot be talked into more."""

import os
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from chainrule.errors import InputError
from chainrule.tables.reading import count_rows, first_row, open_table
from chainrule.tables.run_folder import new_run_folder

WRITES = {
    "a copy": "COPY (SELECT 1) TO 'new.csv'",
    "a copy in a WITH clause": "WITH c AS MATERIALIZED (COPY (SELECT 1) TO 'new.csv') SELECT * FROM c",
    "a copy behind a SELECT": "SELECT 1; COPY (SELECT 1) TO 'new.csv'",
    "a bracket closed": "SELECT 1); COPY (SELECT 1) TO 'new.csv'; SELECT * FROM (SELECT 1",
    "a database": "ATTACH 'new.db'",
    "an export": "EXPORT DATABASE 'new'",
    "an extension": "INSTALL httpfs",
    "a setting": "SET enable_external_access = true",
    "a pragma": "PRAGMA version",
    "a call": "CALL force_checkpoint()",
    "logging to a file": "SELECT * FROM enable_logging('QueryLog', storage='file', storage_path='new')",
    "a statement of its own": (
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
        "'WITH x AS (COPY (SELECT 1) TO ''new.csv'') SELECT 1 AS one'))"
    ),
    "the same in a query of a query": (
        "SELECT * FROM query('SELECT * FROM json_exec' || 'ute_serialized_sql(json_serialize_sql("
        "''WITH x AS (COPY (SELECT 1) TO new.csv) SELECT 1 AS one''))')"
    ),
    "the same in a subquery of a join": (
        "SELECT * FROM 't.csv' t JOIN (SELECT (SELECT max(one) FROM json_execute_serialized_sql(json_serialize_sql("
        "'WITH x AS (COPY (SELECT 1) TO ''new.csv'') SELECT 1 AS one'))) AS y) USING (y)"
    ),
    "nothing": "  -- ",
    "no SQL": "SELEC 1",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "t.csv").write_text("x,y\n1,2\n3,4\n")
    return tmp_path


@pytest.mark.parametrize("sql", WRITES.values(), ids=WRITES)
def test_a_query_that_does_more_than_read_is_refused(here, sql):
    with pytest.raises(InputError):
        count_rows(open_table([], sql))
    assert os.listdir(here) == ["t.csv"]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT 1; SELECT 2", "--sql: expected one SELECT, got 2 statements"),
        ("", "--sql: expected one SELECT, got 0 statements"),
        ("ATTACH 'new.db'", "--sql: expected a SELECT, which only reads; got ATTACH"),
    ],
)
def test_the_refusal_says_what_was_expected(here, sql, why):
    with pytest.raises(InputError, match=why):
        open_table([], sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM 't.csv'",
        "SELECT * FROM 't.csv';",
        "FROM 't.csv' -- all of it",
        "WITH t AS (SELECT * FROM 't.csv') SELECT * FROM t",
        "VALUES (1), (2)",
    ],
)
def test_a_query_that_reads_is_answered(here, sql):
    assert count_rows(open_table([], sql)) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('other.csv')",
        "SELECT * FROM glob('*')",
        "COPY (SELECT 1) TO 'new.csv'",
        "COPY (SELECT 1) TO 't.csv'",
        "ATTACH 'new.db'",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['other.csv']",
        "SET lock_configuration = false",
    ],
)
def test_the_connection_of_a_file_can_do_nothing_else(here, sql):
    (here / "other.csv").write_text("secret\n1\n")
    source = open_table(["t.csv"])
    with pytest.raises(duckdb.Error):
        source.connection.execute(sql)
    assert first_row(source, f"SELECT count(*) FROM {source.sql}") == (2,)
    assert sorted(os.listdir(here)) == ["other.csv", "t.csv"]


@pytest.mark.parametrize("name", ["we[1]*.csv", "a,b'c.csv", "-.csv"])
def test_files_of_odd_names_are_read(here, name):
    (here / name).write_text("x\n1\n2\n")
    assert count_rows(open_table([name])) == 2
    assert count_rows(open_table([str(here / name)])) == 2


@pytest.mark.parametrize("folder", ["x=7", "z=7"])
def test_a_folder_whose_name_is_like_a_partition_is_a_folder(here, folder):
    (here / folder).mkdir()
    (here / folder / "t.csv").write_text("x,y\n1,2\n")
    (here / folder / "t.jsonl").write_text('{"x": 1, "y": 2}\n')
    first_row(open_table(["t.csv"]), "SELECT 1")
    for name in ("t.csv", "t.jsonl"):
        source = open_table([f"{folder}/{name}"])
        assert list(source.types) == ["x", "y"]
        assert [int(v) for v in first_row(source, f"SELECT x, y FROM {source.sql}")] == [1, 2]


def test_what_spills_is_for_this_user_alone(here):
    source = open_table(["t.csv"])
    (folder,) = first_row(source, "SELECT current_setting('temp_directory')")
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_run_folders_that_are_named_at_the_same_time_are_different(here):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_run_folder(None, "t"), range(40)))
    assert len(set(made)) == 40
    assert all(path.is_dir() for path in made)


def test_a_name_that_is_not_utf_8_is_refused(here):
    with pytest.raises(InputError, match="expected a path in UTF-8"):
        new_run_folder("run-\udcff", "t")


def test_a_folder_in_which_nothing_began_is_free(here):
    (here / "run").mkdir()
    (here / "run" / "lock").touch()
    (here / "run" / ".request.json.x.aside").touch()
    assert new_run_folder("run", "t").name == "run"
    (here / "run" / "notes.txt").touch()
    with pytest.raises(InputError, match="already exists"):
        new_run_folder("run", "t")

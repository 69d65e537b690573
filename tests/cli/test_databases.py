"""Training, prediction and explanation with the tables of a database, and with what lies elsewhere."""

import json
import os
import subprocess
import sys

import duckdb
import pytest

import chainrule as cr
from chainrule.errors import InputError
from chainrule.tables.reading.databases import attach_statement
from chainrule.training.checkpoints import Safe

from .conftest import PENGUINS, QUICK

EVERY = "select * from penguins"
SHOP = ("--database", "shop.duckdb", "--sql", EVERY)
TRAIN = ("--target", "species", *QUICK, "-q")
PASSWORD = "s3cret"


@pytest.fixture
def shop(tmp_path, chainrule):
    """The penguins in a database, typed, in the current folder."""
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute(f"CREATE TABLE penguins AS FROM read_csv('{PENGUINS}', nullstr = ['', 'NA'])")
    return tmp_path / "shop.duckdb"


@pytest.fixture
def run(chainrule, shop):
    """A run of the penguins in the database."""
    assert chainrule("train", *SHOP, *TRAIN, "-o", "run").code == 0
    return "run"


def weights(run):
    return (run / "model.safetensors").read_bytes()


def test_a_run_of_a_database_is_that_of_the_file_with_the_same_rows(chainrule, shop, tmp_path):
    before = shop.read_bytes()
    assert chainrule("train", PENGUINS, *TRAIN, "-o", "file").code == 0
    assert chainrule("train", *SHOP, *TRAIN, "-o", "run").code == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "file")
    assert shop.read_bytes() == before
    assert sorted(os.listdir()) == ["file", "run", "shop.duckdb"]
    fitted = cr.fit_table(sql=EVERY, database="shop.duckdb", target="species", epochs=3, hidden=(4,))
    assert weights(fitted.path) == weights(tmp_path / "run")
    assert fitted.explain(epoch=2).trace.rows


def test_a_database_may_be_written_to_while_a_run_of_it_lives(shop):
    fitted = cr.fit_table(sql=EVERY, database="shop.duckdb", target="species", epochs=1, hidden=(4,))
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute("UPDATE penguins SET year = 2010 WHERE year = 2009; CHECKPOINT")
    with pytest.raises(InputError, match=r"shop\.duckdb: has changed since the run was trained on it"):
        fitted.explain()


@pytest.mark.parametrize("words", [["predict"], ["evaluate"]])
def test_its_rows_are_answered_as_those_of_the_file(chainrule, run, words):
    of_database, of_file = chainrule(*words, run, *SHOP), chainrule(*words, run, PENGUINS)
    assert of_database.code == 0
    assert len(of_database.out.splitlines()) == len(of_file.out.splitlines())
    if words == ["evaluate"]:
        assert of_database.out == of_file.out


def test_a_streamed_run_keeps_the_rows(chainrule, shop, tmp_path):
    assert chainrule("train", *SHOP, *TRAIN, "--stream", "-o", "run").code == 0
    assert chainrule("train", PENGUINS, *TRAIN, "--stream", "-o", "file").code == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "file")


def test_the_database_is_recorded_with_its_digest_and_opened_again_only_where_it_is_trusted(chainrule, run, shop):
    recorded = json.loads((shop.parent / run / "request.json").read_text())
    assert recorded["request"]["database"] == "shop.duckdb"
    assert [(file["path"], file["bytes"]) for file in recorded["files"]] == [(str(shop), shop.stat().st_size)]
    refused = chainrule("explain", run)
    assert refused.code == 1
    assert (
        f"recorded in it: '{EVERY}', of the database shop.duckdb; if you trust the query, pass --trust" in refused.err
    )
    trusted, named = chainrule("explain", run, "--trust"), chainrule("explain", run, *SHOP)
    assert (trusted.code, named.code) == (0, 0)
    assert "of the database shop.duckdb" in trusted.err
    assert trusted.out == named.out
    assert str(cr.explain(run, trust=True)) == str(cr.explain(run, sql=EVERY, database="shop.duckdb"))


def test_a_database_that_has_moved_is_found_beside_the_run_and_a_changed_one_is_reported(chainrule, run, shop):
    (shop.parent / "moved").mkdir()
    for name in (run, "shop.duckdb"):
        (shop.parent / name).rename(shop.parent / "moved" / name)
    assert chainrule("explain", "moved/run", "--trust").code == 0
    with duckdb.connect("moved/shop.duckdb") as connection:
        connection.execute("DELETE FROM penguins WHERE year = 2007; CHECKPOINT")
    changed = chainrule("explain", "moved/run", "--trust")
    assert changed.code == 1
    assert "shop.duckdb: has changed since the run was trained on it" in changed.err
    assert (
        "its table has changed: its encoding differs"
        in chainrule(*("explain", "moved/run", "--database", "moved/shop.duckdb", "--sql", EVERY)).err
    )


def test_a_run_that_was_cut_off_goes_on_with_its_database(chainrule, shop, monkeypatch, tmp_path):
    words = ("train", *SHOP, *TRAIN, "--save-every", "1")
    assert chainrule(*words, "-o", "whole").code == 0
    real = Safe.keep

    def keep(safe, state, rows):
        real(safe, state, rows)
        if int(state.epoch) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Safe, "keep", keep)
        assert chainrule(*words, "-o", "cut").code == 130
    assert "--trust" in chainrule("train", "--resume", "cut").err
    assert "--database requires a query" in chainrule("train", "--resume", "cut", "--database", shop).err
    assert chainrule("train", "--resume", "cut", "--trust").code == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "explain"])
def test_a_database_needs_a_query(chainrule, run, command):
    words = {"train": ["train", *TRAIN]}.get(command, [command, run])
    wrong = chainrule(*words, "--database", "shop.duckdb")
    assert wrong.code == 2
    said = 'a query; select the rows with --sql, such as --sql "select * from penguins" (tables: penguins)'
    assert f"--database requires {said}" in wrong.err
    near = chainrule(*words, "--database", "shop.duckdb", "--sql", "select * from penguin")
    assert near.code == 1
    assert "the database has no table 'penguin'; did you mean 'penguins'?" in near.err


def test_a_prediction_that_is_opened_takes_no_database(chainrule, run):
    assert chainrule("explain", run, "--predict", PENGUINS, "--database", "shop.duckdb").code == 2


def test_several_processes_read_no_database(shop):
    words = ["train", *SHOP, *TRAIN, "--processes", "2", "-o", "run"]
    done = subprocess.run([sys.executable, "-m", "chainrule.cli", *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert "--sql and tables at URLs cannot be used with several processes" in done.stderr
    assert not (shop.parent / "run").exists()


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "explain"])
@pytest.mark.parametrize("url", [f"postgres://ann:{PASSWORD}@localhost/shop", f"https://{PASSWORD}@localhost/s.duckdb"])
def test_a_password_is_nowhere(chainrule, run, tmp_path, command, url):
    words = {"train": ["train", *TRAIN, "-o", "new"]}.get(command, [command, run])
    said = chainrule(*words, "--database", url, "--sql", EVERY)
    assert said.code == 2
    assert "which would be recorded in the run; leave it out" in said.err
    assert PASSWORD not in said.out + said.err
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not (tmp_path / "new").exists()


def test_from_python_a_frame_is_no_table_of_a_database(shop):
    with pytest.raises(InputError, match="database: requires sql= and cannot be combined with a frame"):
        cr.fit_table(duckdb.sql("SELECT 1 AS x").to_arrow_table(), "x", database="shop.duckdb")


def test_a_database_at_a_url_is_recorded_without_the_password_and_trusted_to_be_asked_again(
    chainrule, shop, tmp_path, monkeypatch
):
    """The extension as if it were loaded, and the file in the place of the server."""
    url, databases = "postgresql://ann@localhost/shop", "chainrule.tables.reading.databases"
    statement = attach_statement(str(shop))
    monkeypatch.setattr(f"{databases}.load", lambda *_: None)
    monkeypatch.setattr(f"{databases}.attach_statement", lambda *_: statement)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    told = [chainrule("train", "--database", url, "--sql", EVERY, *TRAIN, "-o", "run")]
    recorded = json.loads((tmp_path / "run" / "request.json").read_text())
    assert (recorded["request"]["database"], recorded["files"]) == (url, [])
    told += [chainrule("explain", "run", "--trust"), chainrule("explain", "run")]
    assert [one.code for one in told] == [0, 0, 1]
    assert f"of the database {url}; if you trust the query, pass --trust" in told[2].err
    assert not any(PASSWORD in one.out + one.err for one in told)
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

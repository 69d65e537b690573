"""What is told of a table that takes long to read, and how many rows it may have."""

import io
import subprocess
import sys
import time
from functools import partial

import pytest

from chainrule.explaining import console
from chainrule.session import stages
from chainrule.tables import reading
from chainrule.tables.reading import once

from .conftest import PENGUINS, QUICK

COMMANDS = {
    "train": ["train", PENGUINS, "--target", "species", "-o", "run", *QUICK],
    "predict": ["predict", "RUN", PENGUINS, "-o", "out.csv"],
    "evaluate": ["evaluate", "RUN", PENGUINS],
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def words(penguins_run):
    """The words of a command by its name."""
    return lambda command: [penguins_run if word == "RUN" else word for word in COMMANDS[command]]


def delayed(real, *args):
    time.sleep(0.5)
    return real(*args)


@pytest.fixture
def slow(monkeypatch):
    """A table whose reading takes long, with a small number for what is long."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console, "SILENT_FOR", 0.1)
    for module, name in ((reading, "check_rows"), (once, "read_once"), (stages, "read_once")):
        monkeypatch.setattr(module, name, partial(delayed, getattr(module, name)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_that_takes_long_is_told_of_on_a_terminal(chainrule, words, slow, monkeypatch, command):
    with monkeypatch.context() as patch:
        terminal = Terminal()
        patch.setattr(sys, "stderr", terminal)
        assert chainrule(*words(command)).code == 0
    assert f"reading {PENGUINS}"[:60] in terminal.getvalue()


def test_a_name_that_means_harm_to_a_terminal(chainrule, slow, table, monkeypatch):
    path = table(PENGUINS.read_bytes(), "[b]\x1b]0;title\x07.csv")
    with monkeypatch.context() as patch:
        terminal = Terminal()
        patch.setattr(sys, "stderr", terminal)
        chainrule("train", path.name, "--target", "species", "--dry-run")
    assert "reading [b]\ufffd]0;title\ufffd.csv" in terminal.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_and_nowhere_else(chainrule, words, slow, command):
    result = chainrule(*words(command))
    assert result.code == 0
    assert "reading" not in result.err


@pytest.mark.parametrize("command", COMMANDS)
def test_nor_where_it_does_not_take_long(chainrule, words, monkeypatch, command):
    monkeypatch.setattr(console, "SILENT_FOR", 60)
    with monkeypatch.context() as patch:
        terminal = Terminal()
        patch.setattr(sys, "stderr", terminal)
        assert chainrule(*words(command)).code == 0
    assert "reading" not in terminal.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_more_rows_than_allowed(chainrule, words, tmp_path, command):
    assert chainrule(*words(command), "--max-rows", "344").code == 0
    for path in tmp_path.iterdir():
        assert path.name in ("run", "out.csv")
        path.rename(tmp_path / f"first-{path.name}")
    result = chainrule(*words(command), "--max-rows", "343")
    assert result.code == 1
    assert "has more rows than the 343 that --max-rows allows" in result.err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out.csv").exists()
    assert chainrule(*words(command), "--max-rows", "0").code == 2


def test_more_rows_to_test_on_than_allowed(chainrule, table):
    lines = PENGUINS.read_text().splitlines(keepends=True)
    some = table("".join(lines[:1] + lines[1::4]))
    result = chainrule("train", some, "--target", "species", "--test-file", PENGUINS, "--max-rows", "200", *QUICK)
    assert result.code == 1
    assert "penguins.csv: has more rows than the 200 that --max-rows allows" in result.err


def test_several_processes_take_no_more_rows_either(tmp_path):
    words = ["train", PENGUINS, "--target", "species", "--max-rows", "5", "--processes", "2", "-o", "run"]
    command = [sys.executable, "-m", "chainrule.cli", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "has more rows than the 5 that --max-rows allows" in done.stderr

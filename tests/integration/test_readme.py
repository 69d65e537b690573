"""What the README shows is what happens: its Python runs, and its session's commands print what it prints."""

import contextlib
import doctest
import re
import shlex
import sys
from pathlib import Path

import pytest

from chainrule import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSION = re.search(r"## A session\n+```console\n(.*?)```", README, re.S)


def test_the_python_of_the_readme_runs_as_shown():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", README, re.S))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "README", None, 0)
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test)
    assert runner.tries > 10
    assert runner.failures == 0


def steps() -> list[tuple[str, list[str]]]:
    """The session as (command, lines printed)."""
    assert SESSION is not None
    parts = re.split(r"^\$ ", SESSION.group(1), flags=re.M)[1:]
    return [(part.splitlines()[0], part.splitlines()[1:]) for part in parts]


def settled(lines: list[str]) -> list[str]:
    """Lines without what differs between machines: seconds, epochs and scores."""
    return [re.sub(r"[-\d][\d,.e-]*", "#", line) for line in lines if line.strip()]


def test_the_session_of_the_readme_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for command, shown in steps():
        words = shlex.split(command.split("|")[0])
        assert words[0] == "chainrule"
        monkeypatch.setattr(sys, "argv", words)
        with contextlib.suppress(SystemExit):
            cli.main()
        printed = capsys.readouterr().out.splitlines()
        assert settled(printed)[: len(settled(shown))] == settled(shown), command


def test_every_file_of_the_tree_is_there_and_every_module_is_in_the_tree():
    tree = re.search(r"```\nsrc/chainrule/\n(.*?)```", README, re.S)
    assert tree is not None
    named = set(re.findall(r"[\w]+\.py", tree.group(1)))
    there = {p.name for p in (ROOT / "src" / "chainrule").glob("*.py")} - {"__init__.py", "__main__.py"}
    quiet = {"arrays.py", "names.py", "shapes.py", "errors.py"}
    assert named <= there
    assert there - named <= quiet


@pytest.mark.parametrize("line", re.findall(r"^\| `chainrule (\w+)", README, re.M))
def test_every_command_of_the_table_exists(line):
    assert line in {command.callback.__name__ for command in cli.app.registered_commands if command.callback}

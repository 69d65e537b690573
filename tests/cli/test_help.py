"""--help of each command fits a screen, has an example, and imports nothing heavy."""

import subprocess
import sys

import pytest

COMMANDS = ["train", "predict", "evaluate", "explain", "export", "check", "count", "examples"]
HEAVY = ["jax", "sklearn", "scipy", "duckdb", "pyarrow", "optax", "numpy", "rich", "safetensors"]
SCREEN = (51, 80)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_has_an_example(chainrule, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    shown = chainrule(command, "--help")
    lines = shown.out.splitlines()
    assert shown.code == 0
    assert len(lines) <= SCREEN[0]
    assert max(map(len, lines)) <= SCREEN[1]
    assert f"Example: chainrule {command}" in shown.out


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys, contextlib, io\n"
        f"sys.argv = ['chainrule', *{words!r}]\n"
        "from chainrule import cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): cli.main()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_command_shows_the_help_and_is_wrong_use(chainrule):
    shown = chainrule()
    assert shown.code == 2
    assert "Commands:" in shown.out + shown.err

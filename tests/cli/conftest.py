"""The command line in this process: the same `main`, without a second's start for every test."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from chainrule import cli

ROOT = Path(__file__).parents[2]
PENGUINS = ROOT / "examples" / "penguins.csv"
QUICK = ("--epochs", "3", "--hidden", "4")


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


@pytest.fixture
def chainrule(monkeypatch, capsys, tmp_path) -> Callable[..., Result]:
    """Run `chainrule ARGS...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["chainrule", *map(str, args)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def penguins_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained once on the penguins' species, by a real process."""
    run = tmp_path_factory.mktemp("penguins") / "run"
    command = [sys.executable, "-m", "chainrule.cli", "train", PENGUINS, "--target", "species", "-o", run, *QUICK]
    subprocess.run(command, check=True, capture_output=True)
    return run


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of the given text, or bytes."""

    def write(text: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write

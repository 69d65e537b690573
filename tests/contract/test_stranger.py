"""A run folder that somebody has sent is only data: nothing outside it is written, fetched or given away."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.contract.stranger import FOLDERS, SECRET

SCRIPT = Path(__file__).with_name("stranger.py")
HARMLESS = (  # what these change is for people, or for another command
    "nothing changed",
    "nothing changed in a run that was cut off",
    "a folder outside",
    "a command",
    "a coordinator",
    "data outside",
)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The place, what each command said on each folder, and the system calls with paths or addresses in them."""
    place = tmp_path_factory.mktemp("stranger")
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(place / "cache"), "HOME": str(place / "outside")}
    subprocess.run([sys.executable, SCRIPT, "make", place], check=True, env=environment)
    before = contents(place / "outside")
    watch = []
    if shutil.which("strace"):
        watch = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=%file,%net,execve", "-o", place / "calls"]
    done = subprocess.run(
        [*watch, sys.executable, SCRIPT, "try", place], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    calls = (place / "calls").read_text(errors="replace").splitlines() if watch else []
    return place, [json.loads(line) for line in done.stdout.splitlines()], calls, before


def contents(folder):
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if "cache" not in p.parts}


def test_every_command_answers_or_refuses_clearly(tried):
    _, told, _, _ = tried
    assert len(told) == 8 * len(FOLDERS)
    for one in told:
        assert one["code"] in (0, 1, 2), one
        assert one["code"] == 0 or one["err"].strip(), one
        assert "Traceback" not in one["out"] + one["err"], one


def test_what_is_hostile_is_refused_by_the_command_that_would_use_it(tried):
    _, told, _, _ = tried
    refused = Counter(one["folder"] for one in told if one["code"] and "its training was interrupted" not in one["err"])
    assert {name for name in FOLDERS if not refused[name]} == set(HARMLESS)
    fine = [one["way"] for one in told if one["folder"] == "nothing changed" and one["code"] == 0]
    assert len(fine) == 8  # so that the others are refused for what was changed


def test_nothing_outside_is_written_removed_or_given_away(tried):
    place, told, _, before = tried
    assert contents(place / "outside") == before
    assert not any(SECRET in one["out"] + one["err"] for one in told)


def test_nothing_outside_is_opened_nothing_is_fetched_and_nothing_is_run(tried):
    """But for a file of the recorded size, which is opened once a command, for its digest."""
    place, told, calls, _ = tried
    if not calls:
        pytest.skip("no strace here (Debian: apt install strace): only what is left behind was looked at")
    opened = [call for call in calls if f'"{place}/outside/' in call and "cache" not in call and "stat" not in call]
    of_that_size = [one for one in told if one["err"].count("secret.csv: has changed")]
    assert all("secret.csv" in call and "O_RDONLY" in call for call in opened), opened
    assert 0 < len(opened) <= 2 * len(of_that_size)
    assert not [call for call in calls if re.search(r"\b(connect|bind|sendto)\(.*AF_INET", call)]
    assert sum("execve(" in call for call in calls) == 1

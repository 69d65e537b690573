"""A table of text is read at most twice before it is learnt: for its rows, and for the digest of the run."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

SLACK = 0.05  # of the file: its header, and where its lines end
CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(read|pread64|readv|preadv|mmap)\b(.*)$")
FILE, GIVEN = re.compile(r"\d+<([^<>]*)>"), re.compile(r"= (\d+)$")

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="no strace here (Debian: apt install strace)")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("passes") / "table.csv", random.Random(0)
    rows = [f"{rng.random():.4f},{rng.random():.4f},{rng.choice('abc')},{rng.choice('ny')}" for _ in range(20_000)]
    path.write_text("\n".join(["x1,x2,word,y", *rows, ""]))
    return path


def passes(path, command):
    """How often the bytes of the file are read, on average."""
    trace = path.with_name("calls")
    watch = ["strace", "-f", "-y", "--seccomp-bpf", "-qq", "-e", "trace=read,pread64,readv,preadv,mmap", "-o", trace]
    done = subprocess.run([*watch, *command], capture_output=True, text=True, cwd=path.parent, check=False)
    assert done.returncode == 0, done.stderr
    calls = trace.read_text(errors="replace").splitlines()
    assert not any("mmap" in call and f"<{path}>" in call for call in calls)  # whose reading nobody could count
    return bytes_read(calls)[str(path)] / os.path.getsize(path)


def bytes_read(calls):
    """The bytes that the calls have given, of each file; a call may be told of in two lines."""
    read, begun = Counter(), {}
    for process, name, rest in (call.groups() for call in map(CALL.match, calls) if call):
        file, given = FILE.search(rest), GIVEN.search(rest)
        if file:
            begun[process] = file.group(1)
        if given and process in begun and name != "mmap":
            read[begun.pop(process)] += int(given.group(1))
    return read


def train(path, *words):
    shutil.rmtree(path.with_name("run"), ignore_errors=True)
    return [
        sys.executable,
        "-m",
        "chainrule",
        "train",
        str(path),
        "--target",
        "y",
        "-o",
        "run",
        "--epochs",
        "1",
        *words,
    ]


@pytest.mark.parametrize("words", [[], ["--stream"], ["--max-rows", "20000"]], ids=["in memory", "streamed", "counted"])
def test_a_table_is_read_twice_at_most(table, words):
    assert 1 <= passes(table, train(table, *words)) <= 2 + SLACK


def test_a_table_that_is_only_looked_at_is_read_once(table):
    assert 0 < passes(table, train(table, "--dry-run")) <= 1 + SLACK


def test_a_table_that_is_read_three_times_is_found_out(table):
    reads = "import sys; [open(sys.argv[1], 'rb').read() for _ in range(3)]"
    assert passes(table, [sys.executable, "-c", reads, str(table)]) == pytest.approx(3)

"""The cache of compiled programs: what is wrong with it is mended or done without, and never spoken of."""

import os
import shutil
import subprocess
import sys

from .conftest import PENGUINS, QUICK


def trained(folder, cache):
    """Train with a cache in which every program is kept; standard error."""
    words = ["train", PENGUINS, "--target", "species", "-q", "-o", "run", *QUICK]
    settings = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "chainrule.cli", *words]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True)
    shutil.rmtree(folder / "run", ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def contents_of(cache):
    return {path.name: path.read_bytes() for path in cache.iterdir()}


HARM = {
    "garbage": lambda content: os.urandom(3000),
    "half of it": lambda content: content[: len(content) // 2],
    "nothing": lambda content: b"",
    "a byte": lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
}


def test_a_harmed_entry_is_replaced_at_once(tmp_path):
    cache = tmp_path / "cache"
    assert trained(tmp_path, cache) == ""
    for harm in HARM.values():
        for path in cache.iterdir():
            path.write_bytes(harm(path.read_bytes()))
        harmed = contents_of(cache)
        assert harmed
        assert trained(tmp_path, cache) == ""
        mended = contents_of(cache)
        assert mended.keys() == harmed.keys()
        assert not mended.items() & harmed.items()
    assert trained(tmp_path, cache) == ""
    assert contents_of(cache) == mended


def test_a_cache_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    assert trained(tmp_path, tmp_path / "file" / "cache") == ""


def test_a_full_disk_of_the_cache(tmp_path, small_disk):
    (small_disk / "filler").write_bytes(bytes(2**20 - 4096))
    assert trained(tmp_path, small_disk) == ""
    assert not list(small_disk.glob("jit_marked-*"))


def test_a_read_only_cache(tmp_path, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert trained(tmp_path, small_disk) == ""

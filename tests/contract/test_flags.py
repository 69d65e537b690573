"""Command lines made by chance end in an answer or in a message, soon, and in good order."""

import random
from collections import Counter

import pytest

from tests.contract.flags import how, made_up, prepared, try_one

COMMANDS = 60


@pytest.mark.filterwarnings("ignore")
def test_command_lines_of_every_kind(tmp_path, monkeypatch):
    """`python tests/contract/flags.py SECONDS` is the long form."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    ground, rng = prepared(tmp_path), random.Random(0)
    told, defects = Counter(), []
    for _ in range(COMMANDS):
        words = made_up(ground, rng)
        ended, wrong = try_one(ground, words)
        told[how(ended)] += 1
        if wrong:
            defects.append((wrong, words))
    assert not defects
    assert told["exit code 0"] > COMMANDS / 10
    assert told["exit code 2"] > COMMANDS / 10

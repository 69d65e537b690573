"""Training on rows that stay on disk, from the command line."""

import json
import re

import numpy as np
import pytest

from chainrule.tables import streamed
from chainrule.tables.reading import open_table


@pytest.fixture
def sorted_table(table):
    """3,000 rows, sorted by the target."""
    rng = np.random.default_rng(0)
    x, colour = rng.normal(size=3000), rng.choice(["red", "blue"], 3000)
    y = np.where(x + (colour == "red") + 0.3 * rng.normal(size=3000) > 0.5, "yes", "no")
    rows = sorted(zip(y, x, colour, strict=True))
    return table("y,x,colour\n" + "".join(f"{y},{x:.4f},{colour}\n" for y, x, colour in rows), "sorted.csv")


def test_a_streamed_run_learns_what_one_in_memory_learns(chainrule, sorted_table):
    scores = {}
    for way in ("--stream", "--no-stream"):
        result = chainrule("train", sorted_table, "-t", "y", way, "-o", f"run{way}", "--epochs", "15", "--json")
        assert result.code == 0, result.err
        scores[way] = json.loads(result.out)["test_scores"]["network"]
    assert scores["--stream"]["roc_auc"] > 0.95
    assert scores["--stream"]["log_loss"] == pytest.approx(scores["--no-stream"]["log_loss"], abs=0.06)


def test_what_a_streamed_run_says_and_leaves(chainrule, sorted_table, tmp_path):
    result = chainrule("train", sorted_table, "-t", "y", "--stream", "-o", "run", "--epochs", "2")
    assert result.code == 0, result.err
    assert "streamed 1,9" in result.out
    assert re.search(r"streamed 1,9\d\d training rows, \d+ validation rows\n", result.out)
    left = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert left == [
        "checkpoints",
        "history.csv",
        "metrics.json",
        "model.safetensors",
        "report.html",
        "request.json",
    ]
    assert chainrule("predict", "run", sorted_table, "-o", "out.csv").code == 0
    assert chainrule("evaluate", "run", sorted_table).code == 0
    result = chainrule("explain", "run", "--epoch", "1")
    assert result.code == 1
    assert "a streamed run has none" in result.err


def test_it_is_chosen_by_itself_where_memory_is_short(chainrule, sorted_table, monkeypatch):
    monkeypatch.setattr(streamed, "SHARE_OF_MEMORY", 1e-9)
    result = chainrule("train", sorted_table, "-t", "y", "-o", "run", "--epochs", "1")
    assert "streamed " in result.out


def test_a_streamed_run_is_resumed_bit_for_bit(chainrule, sorted_table, tmp_path, monkeypatch):
    from chainrule.training.checkpoints import Safe

    words = ["train", sorted_table, "-t", "y", "--stream", "--epochs", "6", "--patience", "9", "--save-every", "1"]
    assert chainrule(*words, "-o", "whole").code == 0
    real = Safe.keep

    def keep(safe, state, rows):
        real(safe, state, rows)
        if int(state.epoch) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Safe, "keep", keep)
        assert chainrule(*words, "-o", "cut").code == 130
    result = chainrule("train", "--resume", "cut")
    assert result.code == 0, result.err
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert models[0] == models[1]


def test_all_rows_at_once_are_refused(chainrule, sorted_table, tmp_path):
    result = chainrule("train", sorted_table, "-t", "y", "--stream", "--batch-size", "all", "-o", "run")
    assert result.code == 1
    assert "--batch-size all" in result.err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_writes_nothing(chainrule, sorted_table, tmp_path):
    result = chainrule("train", sorted_table, "-t", "y", "--stream", "--dry-run", "-o", "run")
    assert result.code == 0, result.err
    assert "one-hot" in result.out
    assert not (tmp_path / "run").exists()


def test_what_needs_all_updates_is_refused(chainrule, sorted_table):
    result = chainrule("train", sorted_table, "-t", "y", "--stream", "--keep-every", "3")
    assert result.code == 2
    assert "--keep-every" in result.err


def test_a_run_that_another_process_trains_is_left_alone(chainrule, sorted_table, tmp_path):
    """Its rows above all: they are locked before they are written."""
    from chainrule.storage.files import locked

    words = ["train", sorted_table, "-t", "y", "--stream", "--epochs", "3", "-o", "run"]
    with locked(tmp_path / "run"):
        result = chainrule(*words)
        assert result.code == 1
        assert "already exists" in result.err or "another process is training there" in result.err
    assert (tmp_path / "run" / "lock").exists()


@pytest.fixture
def large_table(table):
    """Of 20,000 rows, that take 3.6 MB when encoded."""
    rng = np.random.default_rng(0)
    rows = zip(*rng.normal(size=(2, 20_000)), rng.integers(0, 2, 20_000), strict=True)
    return table("a,b,y\n" + "".join(f"{a},{b},{y}\n" for a, b, y in rows), "large.csv")


@pytest.mark.parametrize("noticed", ["before", "while writing"])
def test_a_disk_too_small_for_the_rows(chainrule, large_table, small_disk, noticed, monkeypatch):
    if noticed == "while writing":
        monkeypatch.setattr(streamed, "check_room", lambda *_: None)
    run = small_disk / "run"
    result = chainrule("train", large_table, "-t", "y", "--stream", "-o", run)
    assert result.code == 1
    told = re.fullmatch(
        rf"chainrule: {run}/rows: the rows need about ([\d,]+) bytes in this folder, and ([\d,]+) are available; "
        r"free some space, or name a run folder on another disk: --out\n",
        result.err,
    )
    assert told, result.err
    needed, free = (int(number.replace(",", "")) for number in told.groups())
    assert needed > 2 * 2**20 > 2 * free > 2**20
    assert not list(small_disk.iterdir())


def test_a_disk_too_small_for_the_rows_of_a_query(chainrule, large_table, small_disk):
    more = ", ".join(f"random() AS r{i}" for i in range(8))
    query = f"SELECT *, {more} FROM '{large_table}'"
    result = chainrule("train", "--sql", query, "-t", "y", "--stream", "-o", small_disk / "run")
    assert result.code == 1
    path = small_disk / "run" / "rows" / "query.parquet"
    assert result.err == f"chainrule: {path}: cannot be written: No space left on device\n"
    assert not list(small_disk.iterdir())


def test_what_is_needed_is_what_is_written(sorted_table, tmp_path):
    preparing = {"test_size": 0.3, "validation_size": 0.2, "seed": 0, "dtype": "float32"}
    source = open_table([str(sorted_table)])
    sample = streamed.prepare_sample(source, ["y"], balanced=False, normalize=True, **preparing)
    streamed.prepare_streamed(sample, tmp_path / "rows", balanced=False, seed=0, dtype="float32")
    written = sum(path.stat().st_size for path in (tmp_path / "rows").rglob("*.bin"))
    assert streamed._bytes_needed(sample.prepared, sample.n_rows, "float32") == written

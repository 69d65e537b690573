"""Thousands of classes: `predict` and `evaluate` in bounded memory, and scores that a person can read."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.tables.columns import Column, NumberColumn
from chainrule.tables.encoding import Encoding
from chainrule.tables.fit import TableModel
from chainrule.tables.run_folder import save_table_model
from chainrule.tables.target import Target

CLASSES, ROWS = 2000, 8000
FILES = ("few.csv", "many.csv")
MOST_MB = 250  # beyond what a few rows take; one array of all probabilities, as doubles, has 128 MB

MEASURED = """
import resource, sys
from chainrule import cli
sys.argv = ["chainrule", *sys.argv[1:]]
try:
    cli.main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
    print("sklearn" in sys.modules, "jax" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of many classes, a table of some rows, and one of few."""
    folder = tmp_path_factory.mktemp("classes")
    network = cr.Network([3, 8, CLASSES], ["tanh", "softmax"], "categorical_cross_entropy")
    labels = tuple(f"class {i:04d}" for i in range(CLASSES))
    frequencies = np.arange(1, CLASSES + 1) / np.arange(1, CLASSES + 1).sum()
    columns = tuple(NumberColumn(f"x{i}", "number", 0.0, 1.0, False) for i in range(3))
    target = Target((Column("y", "text"),), "multiclass", labels)
    params = cr.initialize(network, seed=0, dtype="float32")
    model = TableModel(network, params, Encoding(columns, ()), target, tuple(frequencies.tolist()), {})
    save_table_model(folder / "model.safetensors", model)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, 3)), np.append(np.arange(CLASSES), rng.integers(0, CLASSES, ROWS - CLASSES))
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{labels[k]}\n" for (a, b, c), k in zip(x, y, strict=True)]
    (folder / "many.csv").write_text("x0,x1,x2,y\n" + "".join(lines))
    (folder / "few.csv").write_text("x0,x1,x2,y\n" + "".join(lines[:5]))
    return folder


def measured(folder: Path, *words: str) -> tuple[str, int]:
    """What the command prints, and its peak in megabytes."""
    command = [sys.executable, "-c", MEASURED, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    peak, imported = done.stderr.splitlines()[-2:]
    assert imported == "False False"
    return done.stdout, int(peak)


@pytest.mark.skipif(sys.platform == "win32", reason="its peak is told otherwise")
@pytest.mark.parametrize("out", [".csv", ".parquet"])
def test_predictions_of_many_classes_take_bounded_memory(folder, out):
    peaks = [measured(folder, "predict", "model.safetensors", name, "-o", f"{name}{out}")[1] for name in FILES]
    assert peaks[1] - peaks[0] < MOST_MB
    if out == ".csv":
        lines = (folder / "many.csv.csv").read_text().splitlines()
        assert len(lines) == ROWS + 1
        row = lines[-1].split(",")
        assert sum(map(float, row[5:])) == pytest.approx(1, abs=1e-4)


@pytest.mark.skipif(sys.platform == "win32", reason="its peak is told otherwise")
def test_scores_of_many_classes_take_bounded_memory_and_stay_small(folder):
    runs = [measured(folder, "evaluate", "model.safetensors", name, "--json") for name in FILES]
    assert runs[1][1] - runs[0][1] < MOST_MB
    scores = json.loads(runs[1][0])
    assert len(runs[1][0]) < 30_000
    assert len(scores["confusion"]) == len(scores["confusion_classes"]) == 51
    assert np.sum(scores["confusion"]) == scores["rows"] == ROWS
    assert scores["left_out"] == CLASSES - 50
    assert 0.4 < scores["network"]["roc_auc"] < 0.6


def test_what_evaluate_prints_of_many_classes_says_what_is_left_out(chainrule, folder, monkeypatch):
    from chainrule.tables import curves

    monkeypatch.setattr(curves, "MOST_NUMBERS", CLASSES * 1000)
    shown = chainrule("evaluate", folder / "model.safetensors", folder / "many.csv")
    assert shown.code == 0
    assert f"the 12 most frequent of {CLASSES:,} classes; (others) combines the other {CLASSES - 12:,}" in shown.out
    assert "computed on a random sample of 1,000 rows" in shown.out


def test_the_report_of_many_classes_shows_the_most_frequent(chainrule, table, tmp_path):
    rows = [f"{i % 60 / 7:.3f},{'k' * (i % 60 + 1)}" for i in range(600)]
    path = table("x,y\n" + "\n".join(rows) + "\n")
    shown = chainrule("train", path, "-t", "y", "-o", tmp_path / "run", "--epochs", "2", "--hidden", "4")
    assert shown.code == 0, shown.err
    report = (tmp_path / "run" / "report.html").read_text()
    assert "the 30 most frequent of 60 classes; (others) combines the other 30" in report
    assert report.count("(others)") >= 3
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())["test_scores"]
    assert len(scores["confusion"]) == 51
    assert np.sum(scores["confusion"]) == scores["rows"]

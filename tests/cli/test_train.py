"""`chainrule train` on real and made tables: what it prints and what it writes."""

import csv
import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from chainrule.maths.costs import COSTS

from .conftest import PENGUINS, QUICK


def run_process(*args, **more):
    command = [sys.executable, "-m", "chainrule.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, **more)


def test_the_run_folder_holds_model_history_metrics_and_request(penguins_run):
    assert sorted(p.name for p in penguins_run.iterdir()) == [
        "checkpoints",
        "history.csv",
        "metrics.json",
        "model.safetensors",
        "plan.json",
        "report.html",
        "request.json",
    ]
    assert len(list((penguins_run / "checkpoints").iterdir())) == 4  # before training, after epochs 1, 2 and 3
    metrics = json.loads((penguins_run / "metrics.json").read_text())
    assert metrics["stopped_by"] == "epochs"
    assert metrics["epochs"] == 3
    assert metrics["test_scores"]["rows"] == 69
    rows = list(csv.DictReader((penguins_run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == [
        "epoch",
        "cost",
        "validation_cost",
        "validation_metric",
        "gradient_norm",
        "learning_rate",
        "seconds",
    ]
    recorded = json.loads((penguins_run / "request.json").read_text())
    assert recorded["command"][1:3] == ["train", str(PENGUINS)]


def test_the_report_names_task_rows_baseline_and_confusion(chainrule):
    shown = chainrule("train", PENGUINS, "-t", "species", *QUICK)
    assert shown.code == 0
    for words in [
        "344 rows, 8 columns",
        "species: 3 classes (Adelie 45%, Gentoo 36%, Chinstrap 20%)",
        "220 training, 55 validation, 69 test",
        "trained for 3 epochs (",
        " s): all epochs completed; kept parameters of epoch ",
        "always Adelie",
        "balanced accuracy",
        "true \\ predicted  Adelie  Chinstrap  Gentoo",
        "runs/penguins-1",
    ]:
        assert words in shown.out
    assert shown.err == ""


def test_the_same_seed_writes_the_same_model_and_another_seed_another(chainrule):
    runs = [
        chainrule("train", PENGUINS, "-t", "sex", "-o", o, "--seed", s, *QUICK)
        for o, s in [("a", 1), ("b", 1), ("c", 2)]
    ]
    assert [run.code for run in runs] == [0, 0, 0]
    a, b, c = (Path(run, "model.safetensors").read_bytes() for run in "abc")
    assert a == b
    assert a != c


def test_runs_are_numbered(chainrule):
    for number in (1, 2):
        assert chainrule("train", PENGUINS, "-t", "sex", "-q", *QUICK).out == f"runs/penguins-{number}\n"


def test_json_is_one_document(chainrule):
    document = json.loads(chainrule("train", PENGUINS, "-t", "body_mass_g", "--json", *QUICK).out)
    assert set(document["test_scores"]["network"]) == {"r2", "rmse", "mae"}
    assert document["test_scores"]["baseline_is"] == "always the mean"


def test_a_dry_run_shows_the_encoding_and_writes_nothing(chainrule, tmp_path):
    shown = chainrule("train", PENGUINS, "-t", "species", "--dry-run")
    assert "one-hot: female, male, (missing)" in shown.out
    assert "bill_length_mm missing" not in shown.out
    assert any(line.startswith("bill_length_mm") and line.endswith("missing") for line in shown.out.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_columns_that_cannot_help_are_dropped_with_a_reason(chainrule, table):
    rows = [f"c{i},{i % 7},same,,{'yes' if i % 7 > 3 else 'no'}" for i in range(60)]
    shown = chainrule("train", table("\n".join(["id,x,one,none,y", *rows])), "-t", "y", *QUICK)
    assert "id: identifies rows: every value is different" in shown.out
    assert "one: constant: always 'same'" in shown.out
    assert "none: every value is missing" in shown.out


def test_several_targets_are_a_regression_of_several_outputs(chainrule):
    shown = chainrule("train", PENGUINS, "-t", "body_mass_g", "-t", "bill_length_mm", "-o", "run", *QUICK)
    assert "regression" in shown.out
    told = chainrule("predict", "run", PENGUINS).out.splitlines()[0]
    assert told.endswith("prediction body_mass_g,prediction bill_length_mm")


def test_the_task_can_be_overridden(chainrule):
    as_classes = chainrule("train", PENGUINS, "-t", "year", "--dry-run")
    as_number = chainrule("train", PENGUINS, "-t", "year", "--task", "regression", "--dry-run")
    assert "3 classes" in as_classes.out
    assert "regression" in as_number.out


def test_a_test_file_is_scored_instead_of_held_out_rows(chainrule, table):
    lines = PENGUINS.read_text().splitlines()
    half = [lines[0], *lines[1::2]], [lines[0], *lines[2::2]]
    train, test = (table("\n".join(part), name) for part, name in zip(half, ("train.csv", "test.csv"), strict=True))
    shown = chainrule("train", train, "-t", "species", "--test-file", test, *QUICK)
    assert "172 test rows" in shown.out
    assert "138 training, 34 validation" in shown.out


def test_no_test_rows_means_scores_of_training_rows_and_says_so(chainrule):
    assert "training rows" in chainrule("train", PENGUINS, "-t", "species", "--test-size", "0", *QUICK).out


@pytest.fixture
def same_table_in(tmp_path):
    """The penguins in another format, with types where the format has them."""

    def write(name: str) -> Path:
        path, text = tmp_path / name, PENGUINS.read_text()
        source = f"read_csv('{PENGUINS}', nullstr='NA')"
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        elif name.endswith(".csv"):
            path.write_bytes(b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode())
        elif name.endswith(".tsv"):
            path.write_text(text.replace(",", "\t"))
        else:
            form = "PARQUET" if name.endswith(".parquet") else "JSON"
            duckdb.sql(f"COPY (SELECT * FROM {source}) TO '{path}' (FORMAT {form})")
        return path

    return write


@pytest.mark.parametrize("name", ["p.csv.gz", "semicolons.csv", "p.tsv", "p.parquet", "p.jsonl"])
def test_every_format_gives_the_same_model(chainrule, same_table_in, name):
    plain = chainrule("train", PENGUINS, "-t", "species", "-o", "plain", *QUICK)
    other = chainrule("train", same_table_in(name), "-t", "species", "-o", "other", *QUICK)
    assert plain.code == other.code == 0, other
    assert Path("plain/model.safetensors").read_bytes() == Path("other/model.safetensors").read_bytes()


def test_several_files_a_glob_and_a_query_are_one_table(chainrule, table):
    lines = PENGUINS.read_text().splitlines()
    table("\n".join([lines[0], *lines[1:100]]), "part1.csv")
    table("\n".join([lines[0], *lines[100:]]), "part2.csv")
    ways = [["part1.csv", "part2.csv"], ["part*.csv"], ["--sql", f"select * from read_csv('{PENGUINS}', nullstr='NA')"]]
    for i, way in enumerate([[PENGUINS], *ways]):
        assert chainrule("train", *way, "-t", "species", "-o", f"run{i}", *QUICK).code == 0
    models = [Path(f"run{i}/model.safetensors").read_bytes() for i in range(4)]
    assert models.count(models[0]) == 4


def test_balanced_classes_find_more_of_the_rare_class(chainrule, table):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=2000), rng.normal(size=2000)
    lines = [f"{a:.4f},{'yes' if a + b > 2 else 'no'}" for a, b in zip(x, noise, strict=True)]
    path = table("\n".join(["x,y", *lines]))
    flags = ["-t", "y", "--json", "--hidden", "8", "--epochs", "40"]
    plain, balanced = (json.loads(chainrule("train", path, *flags, *more).out) for more in ([], ["--balanced"]))
    scores = [document["test_scores"]["network"]["balanced_accuracy"] for document in (plain, balanced)]
    assert scores[1] > scores[0] + 0.1


def test_poisson_cost_predicts_counts_in_their_own_units(chainrule, table):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 2, 1500)
    lines = [f"{a:.4f},{n}" for a, n in zip(x, rng.poisson(np.exp(1 + x)), strict=True)]
    flags = ["-t", "n", "--cost", "poisson", "--json", "--epochs", "200", "-o", "run"]
    scores = json.loads(chainrule("train", table("\n".join(["x,n", *lines])), *flags).out)["test_scores"]
    assert scores["network"]["r2"] > 0.5
    assert "-" not in chainrule("predict", "run", "table.csv").out  # no negative count


def test_poisson_cost_refuses_what_is_no_count(chainrule):
    shown = chainrule(
        "train", "--sql", "SELECT i AS x, i - 50 AS n FROM range(100) t(i)", "-t", "n", "--cost", "poisson"
    )
    assert shown.code == 2
    assert "targets from 0 to inf, got -50" in shown.err


def test_no_hidden_layer_is_a_linear_model(chainrule):
    assert "15-3, softmax" in chainrule("train", PENGUINS, "-t", "species", "--hidden", "0", "--epochs", "3").out


def test_a_bar_shows_on_a_terminal_and_nowhere_else(tmp_path):
    command = [sys.executable, "-m", "chainrule.cli", "train", str(PENGUINS), "-t", "species", *QUICK]

    def stderr_of(*more: str) -> bytes:
        reader, writer = pty.openpty()
        process = subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=writer, cwd=tmp_path)
        os.close(writer)
        shown = b""
        while True:
            try:
                piece = os.read(reader, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            shown += piece
        os.close(reader)
        assert process.wait() == 0
        return shown

    assert b"epoch" in stderr_of()
    assert stderr_of("--quiet") == b""


def test_ctrl_c_keeps_the_best_model_and_says_so(tmp_path):
    flags = ["--epochs", "1000000000", "--patience", "1000000000", "-o", "run"]
    command = [sys.executable, "-u", "-m", "chainrule.cli", "train", str(PENGUINS), "-t", "species", *flags]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "  training " not in process.stdout.readline():
            pass
        time.sleep(5)  # into the training, past the compiling
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert " s): interrupted (Ctrl-C); kept parameters of epoch " in out
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_exit_codes_of_the_installed_command(tmp_path):
    assert run_process("count", "2", "3", "1", cwd=tmp_path).returncode == 0
    assert run_process("train", "nowhere.csv", "-t", "y", cwd=tmp_path).returncode == 1
    assert run_process("train", "nowhere.csv", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("cost", [*COSTS, "huber:2", "pinball:0.9"])
def test_every_cost_trains_saves_and_predicts(chainrule, table, cost):
    path = table("x,y\n" + "".join(f"{i % 7},{(i % 11) / 11}\n" for i in range(80)))
    task = ["--task", "regression"] if cost != "categorical_cross_entropy" else ["--task", "multiclass"]
    assert chainrule("train", path, "-t", "y", "--cost", cost, *task, "-o", "run", *QUICK).code == 0
    assert chainrule("predict", "run", path).code == 0


def test_predicted_classes_are_spelled_as_in_the_table(chainrule, table):
    for i, labels in enumerate(
        [("True", "False"), ("01", "02"), ("2.50", "3.50"), ("9007199254740992", "9007199254740993")]
    ):
        path = table("x,y\n" + "".join(f"{n % 9},{labels[n % 2]}\n" for n in range(60)))
        assert chainrule("train", path, "-t", "y", "--task", "binary", "-o", f"run{i}", *QUICK).code == 0
        told = chainrule("predict", f"run{i}", path).out
        assert {row["prediction"] for row in csv.DictReader(told.splitlines())} <= set(labels)


def test_a_column_of_numbers_with_a_stray_word_says_so(chainrule, table):
    path = table("x,z,y\n" + "".join(f"{'unknown' if n == 7 else n / 2},{n % 5},{n % 2}\n" for n in range(300)))
    shown = chainrule("train", path, "-t", "y", "--dry-run").out
    assert "x is read as text: 1 of 300 values is not numeric, 'unknown' in row 8" in shown


def test_the_baseline_knows_the_mean_without_normalizing(chainrule, table):
    path = table("x,y\n" + "".join(f"{n % 7},{99 + n % 11 / 10}\n" for n in range(100)))
    document = json.loads(chainrule("train", path, "-t", "y", "--no-normalize", "--json", *QUICK).out)
    assert document["test_scores"]["baseline"]["r2"] == pytest.approx(0, abs=0.2)

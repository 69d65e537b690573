"""`chainrule predict` and `evaluate`: same rows, same order, same numbers."""

import csv
import io
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from chainrule.network import forward
from chainrule.tables import reading
from chainrule.tables.predict import encoded_rows
from chainrule.tables.run_folder import load_table_model

from .conftest import PENGUINS


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_input_comes_back_untouched_and_in_order(chainrule, penguins_run):
    told = chainrule("predict", penguins_run, PENGUINS)
    given = PENGUINS.read_text().splitlines()
    assert told.code == 0
    assert [line.rsplit(",", 4)[0] for line in told.out.splitlines()] == given


def test_probabilities_sum_to_one_and_the_largest_is_the_prediction(chainrule, penguins_run):
    for row in rows_of(chainrule("predict", penguins_run, PENGUINS).out):
        chances = {
            name.removeprefix("probability "): float(row[name]) for name in row if name.startswith("probability ")
        }
        assert sum(chances.values()) == pytest.approx(1, abs=1e-6)
        assert row["prediction"] == max(chances, key=chances.__getitem__)


def test_predictions_are_the_networks_own(chainrule, penguins_run):
    model = load_table_model(penguins_run)
    X, _ = encoded_rows(model, reading.open_table([str(PENGUINS)]))
    own = forward(model.network, model.params, X.astype(np.float32)).a[-1]
    told = rows_of(chainrule("predict", penguins_run, PENGUINS).out)
    assert np.allclose([[float(row[f"probability {c}"]) for c in model.target.classes] for row in told], own, atol=1e-7)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_output_format_holds_the_same(chainrule, penguins_run, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    assert chainrule("predict", penguins_run, PENGUINS, "-o", out).code == 0
    if suffix == ".parquet":
        told = [str(x) for x in pq.read_table(out)["prediction"].to_pylist()]
    elif suffix == ".jsonl":
        told = [json.loads(line)["prediction"] for line in out.read_text().splitlines()]
    else:
        told = [
            row["prediction"]
            for row in csv.DictReader(out.read_text().splitlines(), delimiter="\t" if suffix == ".tsv" else ",")
        ]
    assert told == [row["prediction"] for row in rows_of(chainrule("predict", penguins_run, PENGUINS).out)]


def test_a_large_file_streams_in_pieces_and_keeps_its_order(chainrule, penguins_run, table, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 2048)
    header, *lines = PENGUINS.read_text().splitlines()
    many = [f"{lines[i % len(lines)]},{i}" for i in range(30_000)]
    told = rows_of(chainrule("predict", penguins_run, table("\n".join([f"{header},number", *many]))).out)
    once = rows_of(chainrule("predict", penguins_run, PENGUINS).out)
    assert [row["number"] for row in told] == [str(i) for i in range(30_000)]
    assert [row["prediction"] for row in told[:344]] == [row["prediction"] for row in once]


def test_one_row_with_every_value_missing_gets_an_answer(chainrule, penguins_run, table):
    told = rows_of(chainrule("predict", penguins_run, table(PENGUINS.read_text().splitlines()[0] + "\n,,,,,,,\n")).out)
    assert told[0]["prediction"] in ("Adelie", "Chinstrap", "Gentoo")


def test_a_value_that_training_never_saw_gets_an_answer(chainrule, penguins_run, table):
    path = table(PENGUINS.read_text().splitlines()[0] + "\nAdelie,Atlantis,39.1,18.7,181,3750,male,2007\n")
    assert chainrule("predict", penguins_run, path).code == 0


def test_a_broken_pipe_is_no_traceback(chainrule, penguins_run, tmp_path):
    import subprocess
    import sys

    line = f"{sys.executable} -m chainrule.cli predict {penguins_run} {PENGUINS} {PENGUINS} {PENGUINS} | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("species,")


def test_evaluate_scores_the_given_rows_beside_the_baseline(chainrule, penguins_run):
    document = json.loads(chainrule("evaluate", penguins_run, PENGUINS, "--json").out)
    told = rows_of(chainrule("predict", penguins_run, PENGUINS).out)
    right = np.mean([row["species"] == row["prediction"] for row in told])
    assert document["rows"] == 344
    assert document["network"]["accuracy"] == pytest.approx(right)
    assert document["baseline"]["accuracy"] == pytest.approx(152 / 344)
    assert np.sum(document["confusion"]) == 344


def test_evaluate_leaves_out_rows_without_a_target_and_says_so(chainrule, penguins_run, table):
    text = re.sub(r"^Adelie", "NA", PENGUINS.read_text(), count=3, flags=re.M)
    shown = chainrule("evaluate", penguins_run, table(text))
    assert "ignored 3 rows without a target" in shown.out
    assert "341 scored rows" in shown.out


def test_evaluate_says_so_where_training_rows_are_among_those_scored(chainrule, penguins_run, table):
    words = "trained on"
    assert words in chainrule("evaluate", penguins_run, PENGUINS).out
    assert words not in chainrule("evaluate", penguins_run, table(PENGUINS.read_text())).out


def test_check_passes_on_a_run(chainrule, penguins_run):
    shown = chainrule("check", penguins_run, PENGUINS)
    assert shown.code == 0
    assert "passed" in shown.out


def test_a_table_is_evaluated_a_piece_at_a_time(chainrule, penguins_run, table, monkeypatch):
    from chainrule.tables import reading

    whole = chainrule("evaluate", penguins_run, PENGUINS, "--json").out
    monkeypatch.setattr(reading, "MOST_ROWS", 50)
    assert chainrule("evaluate", penguins_run, PENGUINS, "--json").out == whole
    lines = PENGUINS.read_text().splitlines()
    wrong = table("\n".join([*lines, lines[-1].replace("Chinstrap", "Emperor")]) + "\n", "wrong.csv")
    result = chainrule("evaluate", penguins_run, wrong)
    assert result.code == 1
    assert "row 345 of the rows with a target" in result.err
    assert "'Emperor'" in result.err

"""`chainrule export`: the run as ONNX, and what the file takes."""

import csv

import numpy as np
import onnxruntime

from .conftest import PENGUINS

NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year")


def test_the_file_predicts_what_the_run_predicts(chainrule, penguins_run, tmp_path):
    done = chainrule("export", penguins_run, "penguins.onnx")
    assert done.code == 0
    assert "  bill_length_mm     float64, a number, NaN if missing" in done.out
    assert '  sex                string without leading or trailing blanks, "" if missing' in done.out
    with open(PENGUINS, newline="") as file:
        rows = list(csv.DictReader(file))
    inputs = {
        name: np.array([[float(row[name]) if row[name] not in ("", "NA") else np.nan] for row in rows])
        for name in NUMBERS
    }
    inputs |= {name: np.array([[row[name]] for row in rows], dtype=object) for name in ("island", "sex")}
    told, chances = onnxruntime.InferenceSession(tmp_path / "penguins.onnx").run(None, inputs)
    answered = list(csv.DictReader(chainrule("predict", penguins_run, PENGUINS).out.splitlines()))
    assert told.ravel().tolist() == [row["prediction"] for row in answered]
    ours = [[float(row[f"probability {name}"]) for name in ("Adelie", "Chinstrap", "Gentoo")] for row in answered]
    np.testing.assert_allclose(chances, ours, atol=1e-5)


def test_quiet_says_nothing(chainrule, penguins_run):
    assert chainrule("export", penguins_run, "a.onnx", "-q") == (0, "", "")


def test_wrong_use_is_told(chainrule, penguins_run, tmp_path):
    assert chainrule("export", penguins_run, "a.pb") == (
        2,
        "",
        "chainrule: a.pb: expected a file name ending in .onnx\n",
    )
    assert chainrule("export", "nowhere", "a.onnx").code == 1
    assert chainrule("export", penguins_run, "no/a.onnx").code == 1
    assert list(tmp_path.iterdir()) == []

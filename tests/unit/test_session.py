"""A table in one call."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

import chainrule as cr
from chainrule.errors import InputError

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
HOW = {"target": "species", "hidden": (5,), "epochs": 6}


@pytest.fixture(scope="module")
def run() -> cr.Run:
    return cr.fit_table(PENGUINS, **HOW)


def same(a, b) -> None:
    for ours, theirs in zip(a.params, b.params, strict=True):
        np.testing.assert_array_equal(ours.W, theirs.W)


def test_it_is_the_run_of_the_command_line(run, tmp_path, capfd):
    words = ["train", str(PENGUINS), "--target", "species", "--hidden", "5", "--epochs", "6", "-o", str(tmp_path / "r")]
    subprocess.run([sys.executable, "-m", "chainrule", *words], check=True, capture_output=True)
    same(run.model, cr.load(tmp_path / "r"))
    assert sorted(p.name for p in run.path.iterdir()) == sorted(p.name for p in (tmp_path / "r").iterdir())
    assert capfd.readouterr() == ("", "")


def frames():
    table = pa.csv.read_csv(PENGUINS)
    yield table
    yield table.to_pandas()
    yield pytest.importorskip("polars").from_arrow(table)


@pytest.mark.parametrize("kind", ["pyarrow", "pandas", "polars"])
def test_a_frame_is_read_where_it_is_and_answered_in_kind(run, kind):
    pytest.importorskip(kind)
    frame = next(f for f in frames() if type(f).__module__.startswith(kind))
    assert type(run.predict(frame)) is type(frame)
    fitted = cr.fit_table(frame, **HOW)
    assert fitted.scores.rows == run.scores.rows
    from_file = run.predict(PENGUINS).column("prediction").to_pylist()
    assert list(run.predict(frame)["prediction"]) == from_file or kind == "pyarrow"


def test_a_pandas_index_stays(run):
    frame = pd.read_csv(PENGUINS).sample(20, random_state=0)
    assert list(run.predict(frame).index) == list(frame.index)


def test_probabilities_scores_report_and_an_update(run):
    chances = run.predict_proba(PENGUINS)
    assert chances.shape == (344, 3)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert run.evaluate(PENGUINS).rows == 344
    assert run.report().startswith("<!doctype html>")
    assert "<iframe" in run._repr_html_()
    assert "epoch 2" in str(run.explain(epoch=2))
    assert repr(run).startswith("Run(Fit(")


def test_an_update_of_a_frame_is_opened_too():
    fitted = cr.fit_table(pa.csv.read_csv(PENGUINS), **HOW)
    assert "epoch 3" in str(fitted.explain(epoch=3))


def test_saved_it_is_a_run_folder(run, tmp_path):
    fitted = cr.fit_table(PENGUINS, **HOW)
    scratch = fitted.path.parent
    fitted.save(tmp_path / "kept")
    same(fitted.model, cr.load(tmp_path / "kept"))
    with pytest.raises(ValueError, match="already exists"):
        fitted.save(tmp_path / "kept")
    del fitted
    assert not scratch.exists()
    assert (tmp_path / "kept" / "report.html").is_file()


def test_a_path_is_answered_by_a_path(run, tmp_path):
    out = run.predict(PENGUINS, out=tmp_path / "answers.csv")
    assert pd.read_csv(out)["prediction"].notna().all()


def test_a_stream_is_trained_alike(tmp_path):
    fitted = cr.fit_table(PENGUINS, **HOW, stream=True)
    assert fitted.scores.rows > 10
    with pytest.raises(ValueError, match=r"no plan\.json"):
        fitted.explain()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": ()}, "name the column"),
        ({"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ({"target": "specie"}, "species"),
        ({"epochs": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_used_is_named(given, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        cr.fit_table(PENGUINS, **{**HOW, **given}, path=tmp_path / "run")
    assert not os.path.exists(tmp_path / "run" / "model.safetensors")
    with pytest.raises(ValueError, match="expected a path"):
        cr.fit_table(3, target="y")


def test_nothing_is_left_of_a_table_that_could_not_be_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "chainrule.session.mkdtemp", lambda prefix: tmp_path.joinpath(prefix).mkdir() or str(tmp_path / prefix)
    )
    with pytest.raises(ValueError, match="species"):
        cr.fit_table(PENGUINS, **{**HOW, "target": "specie"})
    assert not list(tmp_path.iterdir())


def test_an_update_that_cannot_be_kept_is_no_reason_to_end(tmp_path, monkeypatch):
    def full(*_):
        raise InputError("a full disk")

    monkeypatch.setattr("chainrule.session.stages.write_checkpoint", full)
    with pytest.warns(UserWarning, match="a full disk"):
        assert cr.fit_table(PENGUINS, **HOW).fit.epochs == 6


def test_a_frame_whose_names_repeat_is_refused():
    with pytest.raises(ValueError, match="column names repeat: 'a', 'A'"):
        cr.fit_table(pa.table({"a": [1.0], "A": [2.0], "y": [3.0]}), target="y")

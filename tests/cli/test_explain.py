"""`chainrule explain`: an update of a run, or a prediction, checked against the core and the lecture."""

import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import InputError
from chainrule.examples.lecture import lecture, lecture_setting
from chainrule.explaining.replayed import open_prediction, open_step
from chainrule.tables.predict import encoded_rows
from chainrule.tables.reading import open_table
from chainrule.tables.run_folder import checkpoint_epochs, load_table_model

from .conftest import PENGUINS, QUICK, ROOT

LECTURE = ROOT / "examples" / "lecture"
FLAGS = (
    "--target Y --task binary --hidden 3 --activation sigmoid --cost half_squared_error --reduction sum "
    "--rule gradient_descent --learning-rate 0.5 --batch-size all --no-normalize --test-size 0 --validation-size 0"
)


@pytest.fixture
def lecture_run(chainrule, tmp_path) -> Path:
    table, initial = LECTURE / "normalized.csv", LECTURE / "initial.json"
    more = ("--dtype", "float64", "--epochs", 100, "--initial", initial, "-o", "lecture")
    assert chainrule("train", table, *FLAGS.split(), *more).code == 0
    return tmp_path / "lecture"


def test_the_lecture_on_the_board(chainrule, lecture_run):
    told = chainrule("explain", lecture_run, "--epoch", 1, "--row", 1, "--digits", 3)
    assert told.code == 0
    for line in (
        "  input sum H1 = (-0.970 * -0.200) + (-0.800 * -0.400) + 0.100 = 0.614",
        "  sigmoid(0.614) = 0.649",
        "  BPE ON = error * sigmoid'(-1.550) = 0.175 * 0.144 = 0.025",
        "  error H1 = (0.025 * -0.600) = -0.015",
        "  w(H1->ON) = -0.600 - 0.5 * (-0.207) = -0.496",
        "IN1->H1    -0.200     0.060  -0.230",
    ):
        assert line in told.out.splitlines()


def test_the_lectures_parameters_after_100_epochs(lecture_run):
    trace = open_step(lecture_run, 100).trace
    printed = lecture()["printed"]["epochs"]["100"]
    np.testing.assert_allclose(trace.after[0].W, printed["W1"], atol=6e-4)
    assert trace.cost == pytest.approx(printed["sum_of_costs_in_epoch"], abs=5e-3)
    network, first, X, Y, rule = lecture_setting()
    fit = cr.train(network, first, X, Y, rule=rule, epochs=99, dtype="float64")
    np.testing.assert_array_equal(trace.params[0].W, fit.params[0].W)


def test_the_numbers_of_an_update_are_the_cores(penguins_run):
    opened = open_step(penguins_run, 3, batch=2)
    trace = opened.trace
    fwd = cr.forward(trace.network, trace.params, trace.X, trace.forward.keep)
    bwd = cr.backward(trace.network, trace.params, fwd, trace.Y)
    np.testing.assert_array_equal(trace.forward.z[1], fwd.z[1])
    np.testing.assert_array_equal(trace.backward.gradient[0].W, bwd.gradient[0].W)
    assert trace.X.dtype == trace.after[0].W.dtype == np.float64
    assert all(len(values) == len(trace.X) for values in opened.raw.values())


def test_the_update_before_leads_to_this_one(penguins_run):
    for epoch, batch in ((1, 2), (3, 1), (3, 5)):
        last = open_step(penguins_run, epoch - (batch == 1), batch - 1 if batch > 1 else 20).trace
        this = open_step(penguins_run, epoch, batch).trace
        for before, after in zip(this.params, last.after, strict=True):
            np.testing.assert_allclose(before.W, after.W, atol=1e-6)


def test_checkpoints_do_not_change_what_is_replayed(penguins_run, tmp_path):
    assert checkpoint_epochs(penguins_run) == [0, 1, 2, 3]
    bare = tmp_path / "bare"
    shutil.copytree(penguins_run, bare)
    for path in (bare / "checkpoints").iterdir():
        if not path.name.startswith("epoch-00000000"):
            path.unlink()
    for ours, theirs in zip(
        open_step(bare, 3, 7).trace.params, open_step(penguins_run, 3, 7).trace.params, strict=True
    ):
        np.testing.assert_array_equal(ours.W, theirs.W)


def test_a_row_is_found_in_its_batch(chainrule, penguins_run):
    trace = open_step(penguins_run, 2, batch=4).trace
    row = trace.rows[3]
    found = open_step(penguins_run, 2, row=row).trace
    assert found.about["batch"] == 4
    assert found.rows == trace.rows
    told = chainrule("explain", penguins_run, "--epoch", 2, "--row", row)
    assert f"3 forward, row {row}" in told.out


def test_raw_values_are_those_of_the_file(penguins_run):
    opened = open_step(penguins_run, 1)
    lines = PENGUINS.read_text().splitlines()
    header = lines[0].split(",")
    for i, number in enumerate(opened.trace.rows):
        given = dict(zip(header, lines[number].split(","), strict=True))
        for name, values in opened.raw.items():
            expected = given[name]
            if expected in ("", "NA"):
                assert values[i] == "missing"
            else:
                assert values[i] == (expected if name in ("island", "sex", "species") else f"{float(expected):.6g}")


def test_every_sum_that_is_written_is_right(chainrule, penguins_run):
    """Formulas of products and sums, evaluated again from what is printed."""
    told = chainrule("explain", penguins_run, "--epoch", 2, "--digits", 9)
    sums = re.findall(r"input sum \S+ = (.*) = (\S+)$", told.out, re.M)
    assert len(sums) >= 7
    for written, result in sums:
        plain = re.sub(r"\d+ more: ", "", written)
        assert eval(plain, {"__builtins__": {}}) == pytest.approx(float(result), abs=1e-6)


def test_a_prediction_is_opened_and_carried_to_the_inputs(chainrule, penguins_run):
    model = load_table_model(penguins_run)
    X, _ = encoded_rows(model, open_table([str(PENGUINS)]))
    told = open_prediction(penguins_run, [str(PENGUINS)], row=5, output="Gentoo").trace
    step = 1e-6 * np.eye(X.shape[1])
    wide = [cr.Layer(W.astype(float), b.astype(float)) for W, b in model.params]
    out = [cr.forward(model.network, wide, told.X + sign * step).a[-1][:, 2] for sign in (1, -1)]
    np.testing.assert_allclose(told.pushes[0], (out[0] - out[1]) / 2e-6, atol=1e-7)
    text = chainrule("explain", penguins_run, "--predict", PENGUINS, "--row", 5, "--output", "Gentoo")
    assert text.code == 0
    assert "effect of each input on Gentoo" in text.out


def test_a_page_and_the_python_object_show_the_same(chainrule, penguins_run, tmp_path):
    row = open_step(penguins_run, 2).trace.rows[3]
    told = chainrule("explain", penguins_run, "--epoch", 2, "--row", row, "--html", "step.html")
    assert told.out == "wrote step.html; open it in a browser\n"
    explanation = cr.explain(penguins_run, 2, row=row)
    assert (tmp_path / "step.html").read_text() == explanation.to_html()
    assert str(explanation) + "\n" == chainrule("explain", penguins_run, "--epoch", 2, "--row", row).out
    answer = cr.explain(penguins_run, predict=str(PENGUINS), row=3, output="Gentoo")
    flags = ("--row", 3, "--output", "Gentoo", "--html", "p.html")
    assert chainrule("explain", penguins_run, "--predict", PENGUINS, *flags).code == 0
    assert (tmp_path / "p.html").read_text() == answer.to_html()
    assert answer.to_json()["output"] == 2
    assert "effect of each input on Gentoo" in str(answer)


def test_a_node_alone(chainrule, penguins_run):
    told = chainrule("explain", penguins_run, "--node", "ON2").out
    assert "input sum ON2 = " in told
    assert "input sum ON1" not in told
    assert "input sum H" not in told


def test_the_document_is_of_its_schema_and_holds_the_trace(chainrule, penguins_run):
    schema = json.loads((ROOT / "docs" / "trace.schema.json").read_text())
    for flags in (["--epoch", 2, "--batch", 3], ["--predict", PENGUINS, "--row", 7]):
        document = json.loads(chainrule("explain", penguins_run, *flags, "--json").out)
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "more": 1}, schema)
    trace = open_step(penguins_run, 2, 3).trace
    document = json.loads(chainrule("explain", penguins_run, "--epoch", 2, "--batch", 3, "--json").out)
    assert document["gradient"][0]["W"] == trace.backward.gradient[0].W.tolist()
    assert document["z"][1] == trace.forward.z[1].tolist()
    assert document["after"][1]["b"] == trace.after[1].b.tolist()
    assert document["cost"] == trace.cost


WRONG = {
    "an epoch after the last": (["--epoch", 9], 1, "--epoch 9: the run ended after epoch 3"),
    "an epoch of 0": (["--epoch", 0], 1, "expected an epoch from 1"),
    "a batch too many": (["--batch", 99], 1, "an update from 1 to 20"),
    "a row beyond the table": (["--row", 999], 1, "the table has 344 rows"),
    "a layer that is not there": (["--layer", 3], 2, "--layer 3: expected 1 to 2"),
    "a node that is not there": (["--node", "H9"], 2, "--node H9: no such node"),
    "digits": (["--digits", 0], 2, "--digits: expected 1 to 17"),
    "both": (["--predict", "x.csv", "--epoch", 1], 2, "--predict cannot be combined with --epoch or --batch"),
    "a class that is not there": (["--predict", str(PENGUINS), "--output", "Emperor"], 2, "expected one of Adelie"),
    "a row that is not in the file": (["--predict", str(PENGUINS), "--row", 345], 1, "expected a row from 1 to 344"),
}


@pytest.mark.parametrize(("flags", "code", "words"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_told(chainrule, penguins_run, flags, code, words):
    told = chainrule("explain", penguins_run, *flags)
    assert told.code == code
    assert words in told.err


def test_a_row_held_out_is_said_to_be(chainrule, penguins_run):
    seen = {row for batch in range(1, 21) for row in open_step(penguins_run, 1, batch).trace.rows}
    held = next(row for row in range(1, 345) if row not in seen)
    told = chainrule("explain", penguins_run, "--row", held).err
    assert re.search(rf"--row {held}: not one of the .* training rows of the run: it is a (test|validation) row", told)


def test_a_table_that_changed_is_refused(chainrule, tmp_path):
    shutil.copy(PENGUINS, tmp_path / "p.csv")
    assert chainrule("train", "p.csv", "--target", "species", "--epochs", 2, "--hidden", 4, "-o", "run", "-q").code == 0
    text = (tmp_path / "p.csv").read_text()
    (tmp_path / "p.csv").write_text(text.replace("39.1", "39.12"))
    assert "has changed since the run was trained on it; name it with --data" in chainrule("explain", "run").err
    (tmp_path / "p.csv").write_text(text.replace("39.1,", "99.1,"))  # of the same size
    assert "has changed since the run was trained on it; name it with --data" in chainrule("explain", "run").err
    assert "its table has changed" in chainrule("explain", "run", "--data", "p.csv").err
    (tmp_path / "p.csv").unlink()
    assert "not found; name it with --data" in chainrule("explain", "run").err
    assert chainrule("explain", "run", "--data", PENGUINS).code == 0


@pytest.mark.parametrize("damage", ["plan", "checkpoint", "forged checkpoint", "no plan"])
def test_a_damaged_run_is_refused(chainrule, penguins_run, tmp_path, damage):
    run = tmp_path / "run"
    shutil.copytree(penguins_run, run)
    first = run / "checkpoints" / "epoch-00000000.safetensors"
    if damage == "plan":
        plan = json.loads((run / "plan.json").read_text())
        (run / "plan.json").write_text(
            json.dumps({**plan, "training": {**plan["training"], "rule": {"is": "__import__"}}})
        )
    elif damage == "checkpoint":
        first.write_bytes(first.read_bytes()[:-7])
    elif damage == "forged checkpoint":
        shutil.copy(run / "model.safetensors", first)
    else:
        (run / "plan.json").unlink()
    told = chainrule("explain", run)
    assert told.code == 1
    assert told.err.startswith("chainrule: ")


def test_a_prediction_says_what_it_comes_to(chainrule, penguins_run, tmp_path):
    told = chainrule("explain", penguins_run, "--predict", PENGUINS, "--row", 300).out.splitlines()
    predicted = chainrule("predict", penguins_run, PENGUINS).out.splitlines()[300].split(",")
    answer = predicted[-4]
    assert told[1].startswith(f"predicted: {answer} (probabilities: {answer} ")
    assert any(line.startswith(f"effect of each input on {answer}:") for line in told)
    assert chainrule("train", PENGUINS, "-t", "body_mass_g", "--epochs", 5, "-o", "mass").code == 0
    line = chainrule("explain", "mass", "--predict", PENGUINS, "--row", 3).out.splitlines()[1]
    value = float(chainrule("predict", "mass", PENGUINS).out.splitlines()[3].split(",")[-1])
    name, mean, std, a, told_value = re.fullmatch(r"predicted: (\S+) = (\S+) \+ (\S+) \* (\S+) = (\S+)", line).groups()
    assert name == "body_mass_g"
    assert float(told_value) == pytest.approx(value, rel=1e-5)
    assert float(mean) + float(std) * float(a) == pytest.approx(value, rel=1e-3)


def test_how_a_number_was_encoded_and_adam_moved_a_weight(chainrule, penguins_run):
    told = chainrule("explain", penguins_run, "--epoch", 3, "--digits", 6, "--node", "ON1").out
    raw, mean, std, x = re.search(r"IN4 = \((\S+) - (\S+)\) / (\S+) = (\S+)", told).groups()
    assert (float(raw) - float(mean)) / float(std) == pytest.approx(float(x), abs=1e-4)
    weights = re.findall(r"w\(\S+->ON1\) = (\S+) - (\S+) \* (\(?\S+\)?) / (\S+) = (\S+)", told)
    assert weights
    for old, rate, m, root, new in weights:
        m = float(m.strip("()"))
        assert float(old) - float(rate) * m / float(root) == pytest.approx(float(new), abs=1e-4)
    mean, penalty, cost = re.search(r"batch cost: (\S+) \(mean of .*\) \+ (\S+) \(L2 penalty\) = (\S+)", told).groups()
    assert float(mean) + float(penalty) == pytest.approx(float(cost), abs=2e-6)


def test_raw_values_have_the_target_last(penguins_run):
    opened = open_step(penguins_run, 2)
    assert list(opened.raw)[-1] == "species"
    outputs = opened.trace.names.outputs
    assert opened.raw["species"] == [outputs[k] for k in opened.trace.Y.argmax(axis=1)]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--html", "a.html", "--json"], "--html cannot be combined with --json, --layer or --node"),
        (["--html", "a.html", "--node", "ON1"], "--html cannot be combined with --json, --layer or --node"),
        (["--output", "Gentoo"], "--output requires --predict FILE"),
        (
            ["--predict", PENGUINS, "--data", PENGUINS],
            "select the training table and cannot be combined with --predict",
        ),
        (["--predict", PENGUINS, "--output", "Gento"], "did you mean 'Gentoo'"),
    ],
)
def test_what_does_not_go_together_is_refused(chainrule, penguins_run, tmp_path, flags, said):
    told = chainrule("explain", penguins_run, *flags)
    assert told.code == 2
    assert said in told.err
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("flags", [["--predict", PENGUINS, "--row", 0], ["--row", 0], ["--batch", 0], ["--epoch", 0]])
def test_zero_is_no_row_batch_or_epoch(chainrule, penguins_run, flags):
    assert chainrule("explain", penguins_run, *flags).code == 1


@pytest.mark.parametrize("given", ["--sql", "--sql="])
def test_a_run_of_a_query_is_opened_from_another_folder(chainrule, tmp_path, monkeypatch, given):
    shutil.copy(PENGUINS, tmp_path / "p.csv")
    query = "SELECT * FROM 'p.csv' WHERE year > 2007"
    sql = [given + query] if given.endswith("=") else [given, query]
    assert chainrule("train", *sql, "-t", "species", "--epochs", 2, "-o", "run").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    refused = chainrule("explain", tmp_path / "run", "--epoch", 2)
    assert refused.code == 1
    assert f"its rows come from a query recorded in it: {query!r}" in refused.err
    trusted = chainrule("explain", tmp_path / "run", "--epoch", 2, "--trust")
    assert trusted.code == 0
    assert trusted.err == f"chainrule: the run reads its rows with this recorded query:\n{query}\n"
    assert (
        chainrule("explain", tmp_path / "run", "--epoch", 2, "--sql", query.replace("p.csv", str(PENGUINS))).code == 0
    )
    with pytest.raises(InputError, match="if you trust the query"):
        cr.explain(tmp_path / "run", 2)
    assert cr.explain(tmp_path / "run", 2, trust=True).trace.rows


def test_a_run_is_opened_beside_its_table_wherever_both_have_moved(chainrule, tmp_path):
    (tmp_path / "here").mkdir()
    shutil.copy(PENGUINS, tmp_path / "here" / "p.csv")
    words = ["-t", "species", "--epochs", 2, "--hidden", 4, "-q"]
    assert chainrule("train", "here/p.csv", *words, "-o", "here/run").code == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert chainrule("explain", "there/run").code == 0


def test_a_name_cannot_steer_the_terminal(chainrule, tmp_path):
    (tmp_path / "t.csv").write_text("a\x1b[31mred,b\n" + "\n".join(f"{i % 5},{i % 2}" for i in range(60)))
    assert chainrule("train", "t.csv", "-t", "b", "--epochs", 2, "-o", "run").code == 0
    told = chainrule("explain", "run")
    assert "\x1b" not in told.out
    assert "a\ufffd[31mred" in told.out


def test_names_of_another_number_are_refused():
    network, params, X, Y, rule = lecture_setting()
    with pytest.raises(ValueError, match="expected 2 for the inputs, got 1"):
        cr.explain_step(network, params, X, Y, rule=rule, names=["one"])


def test_a_date_of_a_year_beyond_all_calendars(chainrule, table):
    rows = [f"20{i % 70:02}-01-0{1 + i % 9},{i % 7},{i % 2}" for i in range(60)]
    chainrule("train", table("\n".join(["day,x,y", *rows])), "-t", "y", "-o", "run", *QUICK)
    table("day,x,y\n250000-01-01,1,0\n", "far.csv")
    told = chainrule("explain", "run", "--predict", "far.csv")
    assert told.code == 0
    assert "day = 78270" in told.out


def test_how_dates_and_times_were_encoded(chainrule, tmp_path):
    rows = [f"2026-01-{1 + i % 28:02},{i % 24:02}:30:00,{i % 7}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["day,at,y", *rows]) + "\n")
    assert chainrule("train", "t.csv", "--target", "y", "--task", "regression", "--epochs", 1, "-o", "run").code == 0
    told = chainrule("explain", "run", "--epoch", 1).out
    day, at = re.search(r"day = (\S+), at = (\S+),", told).groups()
    turn = (3600 * int(at[:2]) + 1800) / 86_400
    assert re.search(rf"IN1 = \({day} - 2026-01-\S+ \S+\) / [\d.]+ days = ", told)
    assert f"sin(2 * pi * {turn:.4f} of the day) = " in told

"""A run folder that somebody has altered: what it says is checked when it is read, and nothing in it takes long."""

import json
import shutil
import time

import pytest

from chainrule.storage.tensors import read_tensors, write_tensors
from chainrule.tables.request import MOST

from .conftest import PENGUINS
from .test_bad_input import refused


@pytest.fixture
def run(penguins_run, tmp_path):
    return shutil.copytree(penguins_run, tmp_path / "altered")


def altered(path, **values):
    """The document with other values; of `a__b` the one named b in the one named a."""
    document = json.loads(path.read_text())
    for names, value in values.items():
        *way, last = names.split("__")
        inner = document
        for name in way:
            inner = inner[int(name) if name.isdecimal() else name]
        inner[last] = value
    path.write_text(json.dumps(document))


ADAMW = {"is": "OptaxRule", "name": "adamw", "learning_rate": 0.002, "options": []}
PLANS = {
    "a number for a name": ({"preparing__targets": [7]}, "Expected `str`, got `int`"),
    "text for a size": ({"preparing__test_size": "0.2"}, "got `str`"),
    "no target": ({"preparing__targets": []}, "--target is missing"),
    "a share of 2": ({"training__dropout": 2}, "--dropout: expected a share"),
    "no epochs": ({"training__epochs": 0}, "--epochs: expected 1 or more"),
    "a batch of no rows": ({"training__batch_size": 0}, "--batch-size: expected 1 or more"),
    "a negative seed": ({"training__seed": -1}, "--seed: expected 0 or more"),
    "an unknown rule": ({"training__rule": {"is": "Exec", "learning_rate": 1}}, "'Exec'"),
    "an unknown optimiser": ({"training__rule": {**ADAMW, "name": "os"}}, "no optimiser 'os'"),
    "options that optax cannot use": ({"training__rule": {**ADAMW, "options": [["b1", "x"]]}}, "optax.adamw with"),
    "a rate below 0": ({"training__rule__learning_rate": -1}, "learning rate: expected a number above 0"),
    "a schedule for a rule": (
        {"training__rule": {"is": "StepDecay", "eta": 1, "factor": 1, "every": 1}},
        "expected a rule, got the schedule",
    ),
    "an endless goal": ({"training__stop": [{"is": "no_improvement", "checks": 10**15}]}, "checks"),
    "many goals": ({"training__stop": [{"is": "unchanged", "tolerance": 0}] * 9}, "at most one goal of each kind"),
    "a goal of no kind": ({"training__stop": [{"is": ["cost_goal"]}]}, "plan.json"),
}


@pytest.mark.parametrize(("values", "words"), PLANS.values(), ids=PLANS)
def test_a_plan_that_no_training_can_have_is_refused(chainrule, run, values, words):
    altered(run / "plan.json", **values)
    refused(chainrule("explain", run), "plan.json", words)


REQUESTS = {
    "a number for a path": ({"files__0__path": 7}, "Expected `str`, got `int`"),
    "a share of 2": ({"request__dropout": 2}, "--dropout"),
    "a name that is no text": ({"request__cost": ["rmse"]}, "request.json"),
    "layers of text": ({"request__initial": {"W1": "x"}}, "--initial"),
}


@pytest.mark.parametrize(("values", "words"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_nobody_can_make_is_refused(chainrule, run, values, words):
    altered(run / "request.json", **values)
    refused(chainrule("explain", run), "request.json", words)


def test_hundreds_of_processes_are_not_started_because_a_folder_says_so(chainrule, run):
    altered(run / "request.json", request__processes=1000)
    (run / "metrics.json").unlink()
    refused(chainrule("train", "--resume", run), "was started with 1,000 processes", code=2)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_history_that_is_too_short_is_refused(chainrule, run, rows):
    lines = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(lines[:rows]))
    refused(chainrule("explain", run, "--html", "page.html"), "history.csv")


@pytest.mark.parametrize("value", ["1e308", "-1e308", "inf", "nan", "1e-320"])
def test_costs_of_any_size_are_drawn(chainrule, run, value):
    header, first, *rest = (run / "history.csv").read_text().splitlines(keepends=True)
    epoch, _, *others = first.split(",")
    (run / "history.csv").write_text("".join([header, ",".join([epoch, value, *others]), *rest]))
    assert chainrule("explain", run, "--html", "page.html").code == 0


@pytest.mark.parametrize("values", [{"epochs": MOST}, {"epochs": 10**15}, {"best_epoch": 99}, {"epochs": "3"}])
def test_metrics_that_do_not_fit_are_refused(chainrule, run, values):
    altered(run / "metrics.json", **values)
    refused(chainrule("explain", run))


def test_a_run_that_claims_ages_of_training_is_opened_at_once(chainrule, run):
    altered(run / "metrics.json", epochs=MOST)
    with (run / "history.csv").open("a") as file:
        file.write(f"{MOST}" + ",1" * 6 + "\n")
    altered(run / "plan.json", training__epochs=MOST)
    began = time.monotonic()
    assert chainrule("explain", run, "--html", "page.html").code == 0
    assert time.monotonic() - began < 30


def test_parameters_of_another_kind_are_refused(chainrule, run):
    path = run / "model.safetensors"
    document, tensors = read_tensors(path)
    whole = {name: x.astype("uint8") for name, x in tensors.items()}
    write_tensors(path, document, whole, document.pop("format"))
    refused(chainrule("export", run, "m.onnx"), "expected parameters of float32 or float64, got uint8")
    refused(chainrule("predict", run, PENGUINS), "uint8")


def test_a_checkpoint_of_numbers_that_are_none_is_refused(chainrule, run):
    path = run / "checkpoints" / "epoch-00000000.safetensors"
    document, tensors = read_tensors(path, "chainrule-checkpoint")
    broken = {name: x * float("nan") if x.dtype.kind == "f" else x for name, x in tensors.items()}
    write_tensors(path, document, broken, document.pop("format"))
    refused(chainrule("explain", run), "contains parameters that are not finite")

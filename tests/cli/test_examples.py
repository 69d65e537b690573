"""`chainrule examples`: published numbers beside ours, errata with their reason, exercises in blank."""

import json
import re

import pytest

from chainrule.examples.worked import OLD_WEIGHTS, compare, example_named, known_examples

from .conftest import ROOT


def test_the_list_names_them_all(chainrule):
    told = chainrule("examples").out
    assert [line.split()[0] for line in told.splitlines()] == ["lecture", "mazur", "one-zero-one", "rgu", "hagan"]


EXPECTED = {  # numbers in print that are not what backpropagation gives, and whether the slip explains them
    "lecture": {"W2_after_100[1][1]": False},
    "mazur": {
        "cost_after_1": True,
        "cost_after_10000": True,
        "outputs_after_10000[1]": True,
        "outputs_after_10000[2]": True,
    },
    "one-zero-one": {"error_times_derivative[3]": False},
    "rgu": {
        "delta_o": False,
        "W2_after_1[1]": False,
        "W2_after_1[2]": False,
        **{f"W1_after_1[{i}][{j}]": True for i in (1, 2) for j in (1, 2)},
    },
    "hagan": {},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_differs_is_known_and_its_reason_is_found(name):
    compared = compare(example_named(name))
    assert {c.what: c.why == OLD_WEIGHTS for c in compared if not c.agrees} == EXPECTED[name]
    assert len(compared) >= {"lecture": 40, "mazur": 24, "one-zero-one": 18, "rgu": 7, "hagan": 0}[name]


def test_an_example_is_shown_with_its_numbers_and_errata(chainrule):
    told = chainrule("examples", "mazur").out
    assert "  input sum H1 = (0.0500 * 0.1500) + (0.1000 * 0.2000) + 0.3500 = 0.3775" in told
    assert "published and computed numbers: 20 of 24 agree to the last digit" in told
    assert re.search(r"cost_after_1 +0\.291027924 +0\.29102777369 +differs", told)
    assert f"cost_after_1, cost_after_10000, outputs_after_10000: {OLD_WEIGHTS}" in told
    assert "Errata: The published totals after training" in told
    assert "b(H1) stays 0.3500" in told


@pytest.mark.parametrize("name", ["mazur", "lecture"])
def test_an_exercise_gives_the_question_and_not_the_answer(chainrule, name):
    question, solution = chainrule("examples", name, "--exercise").out.split("\f")
    assert "published and computed numbers" in solution
    steps = question[question.index("3 forward") : question.index("parameter  ")]
    assert "input sum H1 = __________" in steps
    assert not re.search(r"\d\.\d", steps.replace("learning rate 0.5", ""))
    assert "__________" not in solution


def test_the_example_of_the_documentation_runs(chainrule, tmp_path):
    text = (ROOT / "docs" / "examples.md").read_text()
    document = re.search(r"```json\n(.*?)```", text, re.S)
    assert document
    (tmp_path / "my.json").write_text(document.group(1))
    told = chainrule("examples", "my.json")
    assert told.code == 0
    assert "published and computed numbers: 4 of 4 agree to the last digit" in told.out


def test_an_example_as_a_page(chainrule, tmp_path):
    assert chainrule("examples", "mazur", "--html", "mazur.html").out == "wrote mazur.html; open it in a browser\n"
    assert "<title>One update of a 2-2-2 network</title>" in (tmp_path / "mazur.html").read_text()


def base():
    return json.loads(json.dumps(known_examples()["hagan"], default=float))


WRONG = {
    "no such example": (None, "no example 'mazor'; did you mean 'mazur'"),
    "no weights": (lambda d: d.pop("initial"), "missing entry 'initial'"),
    "a weight too many": (lambda d: d["initial"]["W1"][0].append(1), "my.json: "),
    "an unknown activation": (lambda d: d.update(activations="sigmoyd"), "sigmoyd"),
    "an unknown number": (
        lambda d: d.update(published={"speed": 1}),
        "'speed': unknown name",
    ),
    "numbers of another shape": (lambda d: d.update(published={"a1": [1]}), "expected 2 numbers, got 1"),
    "a word for a number": (lambda d: d.update(learning_rate="fast"), "my.json: "),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_a_bad_example_is_refused(chainrule, tmp_path, change, words):
    if change is None:
        told = chainrule("examples", "mazor")
    else:
        document = base()
        change(document)
        (tmp_path / "my.json").write_text(json.dumps(document))
        told = chainrule("examples", "my.json")
    assert told.code == 1
    assert words in told.err
    assert "Traceback" not in told.err


def test_what_is_not_json_is_refused(chainrule, tmp_path):
    (tmp_path / "my.json").write_text("{")
    assert "cannot be read as JSON" in chainrule("examples", "my.json").err
    assert "cannot be read as JSON" in chainrule("examples", "nowhere.json").err
    assert chainrule("examples", "mazur", "--row", 2).code == 2
    assert chainrule("examples", "mazur", "--epochs", 2).code == 2


def test_an_exercise_of_a_larger_network(chainrule, tmp_path):
    document = {**base(), "layers": [1, 30, 1], "published": {}}
    document["initial"] = {"W1": [[0.1] * 30], "b1": [0.0] * 30, "W2": [[0.1]] * 30, "b2": [0.0]}
    (tmp_path / "my.json").write_text(json.dumps(document))
    assert "\f" in chainrule("examples", "my.json", "--exercise").out


@pytest.mark.parametrize("more", [["--exercise"], ["--epochs", 5]])
def test_a_page_shows_the_solution_and_nothing_else(chainrule, tmp_path, more):
    assert chainrule("examples", "lecture", "--html", "a.html", *more).code == 2
    assert not (tmp_path / "a.html").exists()

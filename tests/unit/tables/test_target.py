"""The task that follows from the target, and targets as outputs and back."""

import json

import numpy as np
import pyarrow as pa
import pytest

from chainrule.errors import InputError
from chainrule.tables.columns import Column
from chainrule.tables.target import class_places, decode, encode_target, fit_scale, target_from_json, task_of


def target_of(values, kind="number", wanted=None, n=40):
    """The target of a table whose column is spelled as a CSV file would spell it."""
    numbers = pa.table({"y": (values * n)[:n]})
    labels = pa.table({"y": [str(value) for value in numbers["y"].to_pylist()]})
    target = task_of([Column("y", kind)], numbers, wanted, labels["y"])
    return target, numbers if target.task == "regression" else labels


@pytest.mark.parametrize(
    ("values", "kind", "task", "classes"),
    [
        (["no", "yes"], "text", "binary", ("no", "yes")),
        ([0, 1], "number", "binary", ("0", "1")),
        ([True, False], "boolean", "binary", ("False", "True")),
        (["a", "b", "c"], "text", "multiclass", ("a", "b", "c")),
        ([10, 9, 2], "number", "multiclass", ("2", "9", "10")),
        ([0.5, 1.5, 2.5], "number", "regression", ()),
        ([float(i) for i in range(21)], "number", "regression", ()),
    ],
)
def test_the_task_follows_from_the_values(values, kind, task, classes):
    target, _ = target_of(values, kind)
    assert (target.task, target.classes) == (task, classes)


def test_few_whole_numbers_in_few_rows_are_numbers():
    assert target_of([1.0, 2.0, 3.0, 4.0], n=12)[0].task == "regression"


@pytest.mark.parametrize(("kind", "wanted"), [("text", "regression"), ("text", "binary")])
def test_a_task_that_the_values_cannot_serve_is_refused(kind, wanted):
    with pytest.raises(InputError, match="'y'"):
        target_of(["a", "b", "c"], kind, wanted)


def test_a_dominant_class_is_kept_whatever_its_share():
    assert target_of(["no"] * 39 + ["yes"], "text")[0].classes == ("no", "yes")


@pytest.mark.parametrize(("values", "kind"), [(["b", "a"], "text"), (["c", "a", "b"], "text")])
def test_classes_come_back_from_their_outputs(values, kind):
    target, table = target_of(values, kind)
    places, chances = decode(target, encode_target(target, table))
    assert [target.classes[place] for place in places] == table["y"].to_pylist()
    assert np.allclose(chances.sum(axis=1), 1)


def test_numbers_come_back_in_their_own_units():
    target, table = target_of([0.5, 1.5, 7.25])
    target = fit_scale(target, table, normalize=True)
    Y = encode_target(target, table)
    assert Y.mean() == pytest.approx(0)
    assert Y.std(ddof=1) == pytest.approx(1)
    assert np.allclose(decode(target, Y)[0][:, 0], table["y"].to_numpy())


def test_another_files_spelling_of_a_label_is_understood():
    target, _ = target_of([0, 1], "number")
    assert class_places(target, pa.table({"y": ["1.0", "0", "0.0"]})).tolist() == [1, 0, 0]
    target, _ = target_of(["True", "False"], "text")
    assert class_places(target, pa.table({"y": ["true", "FALSE"]})).tolist() == [1, 0]


def test_without_normalizing_the_baseline_still_knows_the_mean():
    target = fit_scale(*target_of([98.5, 99.5, 100.5]), normalize=False)
    assert target.mean[0] == pytest.approx(99.5, abs=0.1)
    assert decode(target, np.array([[3.0]]))[0].tolist() == [[3.0]]


@pytest.mark.parametrize(
    "change",
    [{"task": "zz"}, {"mean": []}, {"std": [0.0]}, {"std": ["a"]}, {"mean": [float("nan")]}, {"classes": [1, 2]}],
)
def test_a_target_that_cannot_be_computed_with_is_refused(change):
    data = fit_scale(*target_of([0.5, 1.5, 7.25]), normalize=True).to_json()
    with pytest.raises(ValueError, match="target"):
        target_from_json({**data, **change})


def test_a_target_survives_json():
    target = fit_scale(*target_of([0.5, 1.5, 7.25]), normalize=True)
    assert target_from_json(json.loads(json.dumps(target.to_json()))) == target

"""A request is checked when it is made, whoever made it; a run that goes on keeps what it began with."""

from math import inf, nan

import pytest

from chainrule.errors import UsageError
from chainrule.storage.documents import document_from
from chainrule.tables.request import Request, resumed

WRONG = {
    "epochs": (0, -1, 2**31),
    "patience": (0, 10**20),
    "seed": (-1, 2**63),
    "processes": (0, 10_000),
    "hidden": ((4, 0), (-1,), (2**40,)),
    "batch_size": (0, -3, 2**31),
    "max_seconds": (inf, nan),
    "learning_rate": (inf, nan),
    "cost_goal": (nan,),
    "save_every": (0, -1.0, inf, nan, 10**20),
    "task": ("ternary",),
    "dtype": ("float16",),
    "keep_every": (0,),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_no_training_can_have_is_refused_by_its_flag(name, value):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}: expected"):
        Request(**{name: value})


def test_a_target_is_named_once_and_not_dropped():
    for wrong in ({"target": ("y", "y")}, {"target": ("y",), "drop": ("y",)}):
        with pytest.raises(UsageError, match="--target: a column is named twice, or dropped as well"):
            Request(**wrong)


def test_it_comes_back_from_a_file_as_it_was():
    import json
    from dataclasses import asdict

    request = Request(
        data=("a.csv",), target=("y",), hidden=(3, 2), activation=("tanh", "relu"), batch_size="all", save_every=1.5
    )
    assert document_from(json.dumps(asdict(request)), Request, "request.json") == request


def test_what_may_change_changes_and_all_else_is_refused():
    began = Request(data=("a.csv",), target=("y",), epochs=5, seed=3)
    assert resumed(began, {"epochs": 9, "seed": 3}) == Request(data=("a.csv",), target=("y",), epochs=9, seed=3)
    assert resumed(began, {"sql": "SELECT 1"}) == Request(sql="SELECT 1", target=("y",), epochs=5, seed=3)
    with pytest.raises(UsageError, match="--seed: the run began with 3, and goes on with what it began with"):
        resumed(began, {"seed": 4})

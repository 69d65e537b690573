"""`chainrule count` and `chainrule check`."""

import json

import pytest

from chainrule import network


def test_count_prints_a_line_per_layer_and_the_totals(chainrule):
    lines = chainrule("count", 400, 14, 8, 2).out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1", "400", "->", "14", "5,600", "14", "5,614"],
        ["2", "14", "->", "8", "112", "8", "120"],
        ["3", "8", "->", "2", "16", "2", "18"],
        ["total", "5,728", "24", "5,752"],
    ]


def test_count_of_a_wider_network(chainrule):
    assert json.loads(chainrule("count", 400, 100, 40, 2, "--json").out)["parameters"] == 44_222


@pytest.mark.parametrize("flags", [[], ["--activation", "tanh,softmax", "--cost", "categorical-cross-entropy"]])
def test_check_prints_a_line_per_layer_and_passes(chainrule, flags):
    shown = chainrule("check", 4, 5, 3, *flags)
    assert shown.code == 0
    assert "layer 1: 25 of 25 parameters" in shown.out
    assert "layer 2: 18 of 18 parameters" in shown.out
    assert "passed" in shown.out


def test_check_fails_where_the_backward_pass_is_wrong(chainrule, monkeypatch):
    right = network.Backward
    monkeypatch.setattr(
        "chainrule.network.Backward",
        lambda error, delta, gradient: right(
            error, delta, (gradient[0]._replace(W=gradient[0].W * 1.01), *gradient[1:])
        ),
    )
    shown = chainrule("check", 4, 5, 3)
    assert shown.code == 1
    assert "FAILED" in shown.out

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.explaining.console import table_lines
from chainrule.explaining.story import Opened
from chainrule.explaining.terms import owner, pieces, plain, term
from chainrule.explaining.text import View, step_lines
from chainrule.explaining.trace import trace_step
from chainrule.training.rules import adam


def wide_step(n=60, momentum=0.0):
    network = cr.Network([20, n, 2], "tanh")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(5, 20)), rng.normal(size=(5, 2)) / 3
    params, rule = cr.initialize(network, seed=0), cr.gradient_descent(0.1, momentum)
    _, state = cr.update(
        rule, params, cr.backward(network, params, cr.forward(network, params, X), Y).gradient, rule.init(params)
    )
    return Opened(trace_step(network, params, X, Y, rule=rule, rule_state=state), {})


def test_terms_are_marked_and_taken_out():
    line = "a " + term("0.5", "H1") + " + " + term("2", "IN1->H1")
    assert plain(line) == "a 0.5 + 2"
    assert pieces(line) == [("a ", None), ("0.5", "H1"), (" + ", None), ("2", "IN1->H1")]
    assert (owner(line), owner("nothing")) == ("H1", None)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width):
    whole, fitted = (step_lines(wide_step(), View(digits=3, width=w)) for w in (None, width))
    assert max(map(len, whole)) > width
    assert max(map(len, fitted)) <= width
    formulas = " ".join(" ".join(fitted[fitted.index("3 forward, row 1") :]).split())
    assert " ".join(" ".join(whole[whole.index("3 forward, row 1") :]).split()) == formulas


def test_a_table_too_wide_goes_on_below():
    told = table_lines(["row", "first", "second"], [["1", "0.25", "0.5"]], width=12)
    assert told == ["row  first", "1     0.25", "", "row  second", "1       0.5"]


def test_a_wide_network_tells_its_strongest_paths_and_what_they_leave_out():
    lines = step_lines(wide_step(), View())
    assert any("6 of 2,400 paths, carrying " in line and "% of the effect on the cost" in line for line in lines)
    assert any(line.startswith("  and 58 more nodes in layer 1: use --layer 1 to show all") for line in lines)


def test_an_update_with_momentum_is_not_told_as_plain_gradient_descent():
    lines = step_lines(wide_step(momentum=0.9), View())
    new = [line for line in lines if line.startswith("  w(")]
    assert new
    assert not any(" - 0.1 * " in line for line in new)
    assert any(" - 0.1 * " in line for line in step_lines(wide_step(), View()))


def explained(rule):
    network = cr.Network([2, 2, 1], "tanh")
    params = cr.initialize(network, seed=0)
    return str(cr.explain_step(network, params, np.eye(2), np.array([[0.0], [1.0]]), rule=rule))


@pytest.mark.parametrize("name", ["adam", "clipped", "ours"])
def test_adams_step_is_worked_through(name):
    rule = cr.optax_rule("adam", 0.1, b1=0.8) if name != "ours" else adam(0.1, beta_1=0.8)
    told = explained(cr.clipped(rule, 0.1) if name == "clipped" else rule)
    assert "sqrt(v)" in told
    worked = re.findall(r"= \S+ - 0\.1 \* (\S+) / (\S+) = ", told)
    assert worked
    assert all(abs(float(mean.strip("()"))) == pytest.approx(float(root), rel=0.05) for mean, root in worked)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize(
    "name", ["adamax", "nadam", "nadamw", "lamb", "radam", "optimistic_adam_v2", "adamw", "novograd", "sm3"]
)
def test_a_step_of_another_rule_is_told_as_its_change(name):
    told = explained(cr.optax_rule(name, 0.1))
    assert "sqrt(v)" not in told
    assert " / 0" not in told
    assert re.search(r"  w\(IN1->H1\) = \S+ [+-] \S+ = |stays", told)

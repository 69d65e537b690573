from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import chainrule as cr
from chainrule.maths.activations import ACTIVATIONS
from chainrule.maths.costs import COSTS, cost_named


def check(case, **settings):
    return cr.check_gradients(case.network, case.params, case.X, case.Y, **settings)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_every_cost_passes(activation, cost, problem):
    assert check(problem(cr.Network([3, 4, 2], activation, cost))).passed


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_penalty_and_masks_pass(reduction, problem):
    masks = [np.eye(3, 4), None]
    case = problem(cr.Network([3, 4, 2], "tanh", "poisson", reduction, l2=0.3, masks=masks))
    assert check(case, weights=case.weights).passed


def off_by(factor):
    """The tanh with a derivative that is wrong by a factor."""
    right = ACTIVATIONS["tanh"]
    return replace(right, derivative=lambda z, a: factor * right.derivative(z, a))


def test_a_wrong_derivative_fails_in_its_layer_and_those_before(problem):
    case = problem(cr.Network([3, 4, 4, 2], ["tanh", off_by(1.01), "tanh"]))
    found = check(case)
    assert not found.passed
    assert [layer.worst > found.tolerance for layer in found.layers] == [True, True, False]


def test_the_relative_error_is_the_difference_over_the_sum(problem):
    found = check(problem(cr.Network([3, 2], off_by(1.5))))
    np.testing.assert_allclose(found.worst, 0.5 / 2.5, rtol=1e-6)


def test_a_wrong_cost_derivative_fails(problem):
    right = cost_named("squared_error")
    wrong = replace(right, name="wrong", derivative=lambda y_hat, y: y_hat - y)
    assert not check(problem(cr.Network([3, 2], "tanh", wrong))).passed


def test_the_report_has_a_line_per_layer_and_a_verdict(problem):
    lines = str(check(problem(cr.Network([3, 4, 2])))).splitlines()
    assert lines[0].startswith("layer 1: 16 of 16 parameters, worst relative error ")
    assert lines[1].startswith("layer 2: 10 of 10 parameters, worst relative error ")
    assert lines[2].startswith("passed: worst ")
    assert lines[2].endswith(", tolerance 1e-06")


def test_the_report_of_a_failure_says_so(problem):
    assert "FAILED: worst 2.0e-01" in str(check(problem(cr.Network([3, 2], off_by(1.5)))))


def test_a_wide_layer_is_sampled(problem):
    found = check(problem(cr.Network([60, 20, 2], "tanh"), n=3))
    assert [(layer.n_checked, layer.n_parameters) for layer in found.layers] == [(1000, 1220), (42, 42)]
    assert found.passed


def test_the_seed_chooses_the_sample(problem):
    case = problem(cr.Network([60, 20, 2], "tanh"), n=3)
    assert check(case, seed=1) == check(case, seed=1) != check(case, seed=2)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("cost", COSTS)
def test_the_vanishing_gradients_of_a_deep_network_pass(activation, cost, problem):
    for seed in range(3):
        assert check(problem(cr.Network([3, 5, 5, 5, 2], activation, cost), seed=seed)).passed


def test_a_wrong_derivative_is_seen_in_the_vanishing_gradients_of_a_deep_network(problem):
    layers = [off_by(1.001), "sigmoid", "sigmoid", "sigmoid"]
    found = check(problem(cr.Network([3, 5, 5, 5, 2], layers)))
    assert [layer.worst > found.tolerance for layer in found.layers] == [True, False, False, False]


def test_nan_does_not_pass(problem):
    nan = cr.Activation("nan", lambda z: z, lambda z, a: z * np.nan)
    assert not check(problem(cr.Network([3, 4, 2], ["tanh", nan]))).passed


def test_the_tolerance_decides(problem):
    case = problem(cr.Network([3, 2], off_by(1.5)))
    assert check(case, tolerance=0.3).passed
    assert not check(case, tolerance=0.1).passed


def test_float32_parameters_and_tables_are_checked_in_float64(problem):
    case = problem(cr.Network([3, 4, 2], "tanh"))
    params = cr.initialize(case.network, case.params, dtype="float32")
    found = cr.check_gradients(case.network, params, case.X.astype("float32"), case.Y.astype("float32"))
    assert found.worst < 1e-7


def test_a_gradient_of_0_everywhere_passes():
    network = cr.Network([2, 1], "identity")
    params = cr.initialize(network, "zeros")
    assert cr.check_gradients(network, params, np.ones((3, 2)), np.zeros((3, 1))).worst < 1e-6

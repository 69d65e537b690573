"""Worked examples in print: each number that the source prints, and where the source erred, why."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest

import chainrule as cr


@dataclass(frozen=True)
class WeightsOnly:
    """Gradient descent that leaves the biases where they are: two of the sources train weights alone."""

    rule: object

    def init(self, params):
        return self.rule.init(params)

    def update(self, gradient, state, params=None):
        return self.rule.update(tuple(cr.Layer(layer.W, 0 * layer.b) for layer in gradient), state, params)


class Case:
    """A published example, set up: its network, its one observation, and a step from given parameters."""

    def __init__(self, example):
        self.example, first = example, example["initial"]
        self.network = cr.Network(example["layers"], example["activations"], example["cost"], example["reduction"])
        self.start = cr.initialize(self.network, [(first["W1"], first["b1"]), (first["W2"], first["b2"])])
        self.X, self.Y = np.array(example["x"], float), np.array(example["y"], float)
        rule = cr.gradient_descent(example["learning_rate"])
        self.rule = rule if example["train_biases"] else WeightsOnly(rule)

    def forward(self, params):
        return cr.forward(self.network, params, self.X)

    def backward(self, params):
        return cr.backward(self.network, params, self.forward(params), self.Y)

    def cost(self, params):
        return cr.cost(self.network, self.forward(params), self.Y)

    def step(self, params):
        return cr.update(self.rule, params, self.backward(params).gradient, self.rule.init(params))[0]

    def step_with_the_error_of_the_sources(self, params):
        """The output layer first, and the hidden deltas from its new weights: not backpropagation."""
        fwd, (_, output) = self.forward(params), self.step(params)
        wrong = cr.backward(self.network, (params[0], output), fwd, self.Y).gradient
        return cr.update(self.rule, params, wrong, self.rule.init(params))[0][0], output

    def train(self, epochs):
        """Compiled, in float64."""
        fit = cr.train(self.network, self.start, self.X, self.Y, rule=self.rule, epochs=epochs, dtype="float64")
        return fit.params


@pytest.fixture
def mazur(published):
    return Case(published["mazur"])


@pytest.fixture
def one_zero_one(published):
    return Case(published["one-zero-one"])


@pytest.fixture
def rgu(published):
    return Case(published["rgu"])


@pytest.fixture
def hagan(published):
    return Case(published["hagan"])


def assert_printed(value, printed):
    """The value, rounded to the decimals of each printed number, is that number."""
    value, printed = np.ravel(value), np.ravel(printed)
    for one, other in zip(value, printed, strict=True):
        unit = 10.0 ** Decimal(repr(float(other))).as_tuple().exponent
        assert abs(one - other) <= 0.5 * unit * (1 + 1e-9), f"{one} is printed {other}"


def assert_not_printed(value, printed):
    with pytest.raises(AssertionError, match="is printed"):
        assert_printed(value, printed)


# Mazur


def test_mazurs_forward_pass(mazur):
    fwd, said = mazur.forward(mazur.start), mazur.example["published"]
    for value, name in ((fwd.z[0], "z_h"), (fwd.a[1], "a_h"), (fwd.z[1], "z_o"), (fwd.a[2], "a_o")):
        assert_printed(value, said[name])
    assert_printed(mazur.network.cost.f(fwd.a[2], mazur.Y), said["cost_per_output"])
    assert_printed(mazur.cost(mazur.start), said["cost"])


def test_mazurs_backward_pass(mazur):
    bwd = mazur.backward(mazur.start)
    assert_printed(bwd.delta[1], mazur.example["exact"]["delta_o"])
    assert_printed(bwd.delta[0], mazur.example["exact"]["delta_h"])
    assert_printed(bwd.gradient[1].W[0, 0], mazur.example["published"]["dC_dw5"])


def test_mazurs_weights_after_one_step(mazur):
    hidden, output = mazur.step(mazur.start)
    assert_printed(output.W.T, mazur.example["published"]["w5_w8_after_1"])
    assert_printed(hidden.W.T, mazur.example["published"]["w1_w4_after_1"])
    np.testing.assert_array_equal(hidden.b, [0.35, 0.35])


def test_mazurs_cost_after_one_step(mazur):
    assert_printed(mazur.cost(mazur.step(mazur.start)), mazur.example["exact"]["cost_after_1"])
    assert_printed(mazur.cost(mazur.train(1)), mazur.example["exact"]["cost_after_1"])


def test_mazurs_printed_cost_after_one_step_used_the_updated_output_weights(mazur):
    printed = mazur.example["published"]["cost_after_1"]
    assert_printed(mazur.cost(mazur.step_with_the_error_of_the_sources(mazur.start)), printed)
    assert_not_printed(mazur.cost(mazur.step(mazur.start)), printed)


def test_mazurs_network_after_10000_steps(mazur):
    params = mazur.train(10_000)
    assert_printed(mazur.cost(params), mazur.example["exact"]["cost_after_10000"])
    assert_printed(mazur.forward(params).a[2], mazur.example["exact"]["outputs_after_10000"])


def test_mazurs_printed_network_after_10000_steps_used_the_updated_output_weights(mazur):
    params = mazur.start
    for _ in range(10_000):
        params = mazur.step_with_the_error_of_the_sources(params)
    assert_printed(mazur.cost(params), mazur.example["published"]["cost_after_10000"])
    assert_printed(mazur.forward(params).a[2], mazur.example["published"]["outputs_after_10000"])


# X = (1, 0, 1)


def test_one_zero_ones_forward_pass(one_zero_one):
    fwd, said = one_zero_one.forward(one_zero_one.start), one_zero_one.example
    assert_printed(np.append(fwd.z[0], fwd.z[1]), said["published"]["z"])
    assert_printed(np.append(fwd.a[1], fwd.a[2]), said["published"]["a"])
    assert_printed(np.append(fwd.a[1], fwd.a[2]), said["exact"]["a"])


def test_one_zero_ones_errors_are_our_deltas_with_the_other_sign(one_zero_one):
    bwd = one_zero_one.backward(one_zero_one.start)
    found = {"6": -bwd.delta[1][0, 0], "5": -bwd.delta[0][0, 1], "4": -bwd.delta[0][0, 0]}
    for node, value in found.items():
        assert_printed(value, one_zero_one.example["exact"]["error_times_derivative"][node])
    for node in "54":
        assert_printed(found[node], one_zero_one.example["published"]["error_times_derivative"][node])


def test_one_zero_ones_printed_output_error_comes_from_the_rounded_output(one_zero_one):
    printed = one_zero_one.example["published"]["error_times_derivative"]["6"]
    rounded = one_zero_one.example["published"]["a"][2]
    assert_printed(rounded * (1 - rounded) * (1 - rounded), printed)
    assert_not_printed(-one_zero_one.backward(one_zero_one.start).delta[1][0, 0], printed)


@pytest.mark.parametrize(("name", "layer"), [("W1", 0), ("b1", 0), ("W2", 1), ("b2", 1)])
def test_one_zero_ones_parameters_after_one_step(name, layer, one_zero_one):
    printed = one_zero_one.example["published"]["after_1"][name]
    for params in (one_zero_one.step(one_zero_one.start), one_zero_one.train(1)):
        assert_printed(getattr(params[layer], name[0]), printed)


# Robert Gordon University


def test_rgus_weights_after_one_step(rgu):
    exact = rgu.example["exact"]["W1_after_1"]
    for params in (rgu.step(rgu.start), rgu.train(1)):
        assert_printed(params[0].W, exact)


def test_rgus_printed_numbers_come_from_rounded_ones_and_the_updated_output_weights(rgu):
    said, rate = rgu.example["published"], rgu.example["learning_rate"]
    a, x, target = np.array([0.68, 0.6637]), rgu.X[0], rgu.Y[0, 0]
    delta_o = (target - 0.69) * 0.69 * (1 - 0.69)
    assert_printed(delta_o, said["delta_o"])
    W2 = rgu.start[1].W[:, 0] + rate * said["delta_o"] * a
    assert_printed(W2, said["W2_after_1"])
    delta_h = said["delta_o"] * W2 * a * (1 - a)
    W1 = rgu.start[0].W + rate * np.outer(x, delta_h)
    assert_printed(W1[0], said["W1_after_1"][0])
    assert_printed(W1[1, 0], said["W1_after_1"][1][0])
    assert_printed(np.floor(W1[1, 1] * 1e4) / 1e4, said["W1_after_1"][1][1])  # 0.59288, cut rather than rounded


def test_rgus_printed_numbers_are_not_those_of_backpropagation(rgu):
    said, bwd, (hidden, output) = rgu.example["published"], rgu.backward(rgu.start), rgu.step(rgu.start)
    assert_printed(rgu.forward(rgu.start).a[1], [0.68, 0.6637])
    assert_printed(rgu.forward(rgu.start).a[2], 0.69)
    assert_printed(bwd.delta[1], 0.0407)
    assert_printed(output.W[:, 0], [0.2723, 0.873])
    for value, name in ((-bwd.delta[1], "delta_o"), (output.W, "W2_after_1"), (hidden.W, "W1_after_1")):
        assert_not_printed(value, said[name])


# Hagan


def test_hagans_forward_and_backward_pass(hagan):
    fwd, bwd, exact = hagan.forward(hagan.start), hagan.backward(hagan.start), hagan.example["exact"]
    assert_printed(fwd.a[1], exact["a1"])
    assert_printed(fwd.a[2], exact["a2"])
    assert_printed(hagan.Y - fwd.a[2], exact["target_minus_output"])
    assert_printed(bwd.delta[1], exact["delta_o"])
    assert_printed(bwd.delta[0], exact["delta_h"])


@pytest.mark.parametrize(("name", "layer"), [("W1", 0), ("b1", 0), ("W2", 1), ("b2", 1)])
def test_hagans_parameters_after_one_step(name, layer, hagan):
    for params in (hagan.step(hagan.start), hagan.train(1)):
        assert_printed(getattr(params[layer], name[0]), hagan.example["exact"]["after_1"][name])

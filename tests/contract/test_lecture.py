"""The lecture's 2-3-1 network: every number printed in its slides, to the printed digit.

Each is held in float64 and float32, stepped by hand with NumPy and by the compiled training.
The slips of the slides are named one by one at the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import chainrule as cr


class Run(NamedTuple):
    """A way to train the network: `after(n)` is the parameters after n updates, in this dtype."""

    network: cr.Network
    X: np.ndarray
    Y: np.ndarray
    start: tuple
    after: object

    def forward_in(self, epoch):
        """The forward pass inside an epoch comes before its update."""
        return cr.forward(self.network, self.after(epoch - 1), self.X)

    def summed_cost_in(self, epoch):
        return cr.cost(self.network, self.forward_in(epoch), self.Y)


def initial(lecture, network, dtype):
    first = lecture["initial"]
    return cr.initialize(network, [(first["W1"], first["b1"]), (first["W2"], first["b2"])], dtype=dtype)


@pytest.fixture(scope="module", params=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module", params=["by hand", "compiled"])
def run(request, dtype, lecture, by_hand):
    network = cr.Network(lecture["layers"], lecture["activations"], lecture["cost"], lecture["reduction"])
    table = np.array(lecture["normalized_rows"], dtype)
    Y, X = table[:, :1], table[:, 1:]
    start, rule = initial(lecture, network, dtype), cr.gradient_descent(lecture["learning_rate"])
    if request.param == "by hand":
        steps = [
            start,
            *(params for params, _, _ in by_hand(network, start, X, Y, rule, 100)),
        ]
        after = steps.__getitem__
    else:
        after = lambda n: cr.train(network, start, X, Y, rule=rule, epochs=n, dtype=dtype).params if n else start  # noqa: E731
    return Run(network, X, Y, start, after)


@pytest.fixture
def shown(lecture):
    """The places of the five rows that the slides print."""
    return np.array(lecture["printed_rows"]) - 1


def assert_printed(value, printed, decimals):
    """The value, rounded to that many decimals, is the printed one: they are half a unit apart at most."""
    value, printed = np.asarray(value, float), np.asarray(printed, float)
    np.testing.assert_allclose(value.reshape(printed.shape), printed, rtol=0, atol=0.5 * 10.0**-decimals)


def assert_slip(value, right, slip, decimals):
    """The value rounds to the right number, not to the one in the slides."""
    assert_printed(value, right, decimals)
    assert right != slip
    assert abs(float(value) - slip) > 0.5 * 10.0**-decimals


def test_the_rounded_z_scores_of_the_raw_rows_are_the_normalized_rows(lecture):
    raw, normalized = np.array(lecture["raw_rows"]), np.array(lecture["normalized_rows"])
    X = raw[:, 1:]
    np.testing.assert_array_equal(np.round((X - X.mean(axis=0)) / X.std(axis=0, ddof=1), 2), normalized[:, 1:])
    np.testing.assert_array_equal(raw[:, 0], normalized[:, 0])


def test_the_arithmetic_stays_in_its_dtype(run, dtype):
    assert {array.dtype.name for layer in run.after(1) for array in layer} == {dtype}
    assert {array.dtype.name for array in (*run.forward_in(1).a, *run.forward_in(1).z)} == {dtype}


def test_forward(run, lecture, shown):
    printed = lecture["printed"]["forward"]
    fwd = run.forward_in(1)
    assert_printed(fwd.a[1][shown], printed["H"], 2)
    assert_printed(fwd.a[2][shown], printed["output"], 2)


@pytest.mark.parametrize(
    ("name", "layer", "node", "decimals"), [("z_H1", 0, 0, 3), ("z_H3", 0, 2, 2), ("z_ON", 1, 0, 2)]
)
def test_weighted_sums_of_row_1(name, layer, node, decimals, run, lecture):
    assert_printed(run.forward_in(1).z[layer][0, node], lecture["printed"]["row_1"][name], decimals)


def test_errors_and_backpropagation_errors(run, lecture, shown):
    printed = lecture["printed"]["backward"]
    bwd = cr.backward(run.network, run.start, run.forward_in(1), run.Y)
    assert_printed(bwd.error[1][shown, 0], printed["error_ON"], printed["error_ON_decimals"])
    assert_printed(bwd.delta[1][shown, 0], printed["BPE_ON"], printed["decimals"])
    assert_printed(bwd.error[0][shown], printed["error_H"], printed["decimals"])
    assert_printed(bwd.delta[0][shown], printed["BPE_H"], printed["decimals"])


def test_the_update_from_row_1_alone(lecture, dtype):
    network = cr.Network(lecture["layers"], lecture["activations"], lecture["cost"], lecture["reduction"])
    row = np.array(lecture["normalized_rows"][:1], dtype)
    start, rule = initial(lecture, network, dtype), cr.gradient_descent(lecture["learning_rate"])
    gradient = cr.backward(network, start, cr.forward(network, start, row[:, 1:]), row[:, :1]).gradient
    by_hand, _ = cr.update(rule, start, gradient, rule.init(start))
    compiled = cr.train(network, start, row[:, 1:], row[:, :1], rule=rule, epochs=1, dtype=dtype).params
    printed = lecture["printed"]["after_row_1_alone"]
    for hidden, output in (by_hand, compiled):
        found = {"H1->ON": output.W[0, 0], "H2->ON": output.W[1, 0], "b_ON": output.b[0], "IN1->H1": hidden.W[0, 0]}
        for name, value in found.items():
            assert_printed(value, printed[name], printed["decimals"])


@pytest.mark.parametrize("epoch", [1, 10, 100])
@pytest.mark.parametrize(("name", "layer"), [("W1", 0), ("b1", 0), ("W2", 1), ("b2", 1)])
def test_parameters_after_an_epoch(epoch, name, layer, run, lecture):
    printed = np.array(lecture["printed"]["epochs"][str(epoch)][name])
    value = getattr(run.after(epoch)[layer], name[0])
    if (epoch, name) == (100, "W2"):  # H1->ON is a slip, below
        printed, value = printed[1:], value[1:]
    assert_printed(value, printed, lecture["printed"]["epochs_decimals"])


@pytest.mark.parametrize("epoch", [10, 100])
def test_the_table_of_observations_in_an_epoch(epoch, run, lecture, shown):
    printed = lecture["printed"]["epochs"][str(epoch)]["forward_in_epoch"]
    fwd = run.forward_in(epoch)
    H, H_printed = fwd.a[1][shown], np.array(printed["H"])
    if epoch == 100:  # row 2's H3 is a slip, below
        H[1, 2] = H_printed[1, 2] = 0
    assert_printed(H, H_printed, 2)
    assert_printed(fwd.a[2][shown, 0], printed["output"], 2)
    assert_printed((fwd.a[2] - run.Y)[shown, 0] ** 2, printed["squared_error"], 2)


def test_the_summed_cost_before_training(run, lecture):
    assert_printed(run.summed_cost_in(1), lecture["printed"]["sum_of_costs_before_training"], 2)


@pytest.mark.parametrize("epoch", [10, 100])
def test_the_summed_cost_in_an_epoch(epoch, run, lecture):
    assert_printed(run.summed_cost_in(epoch), lecture["printed"]["epochs"][str(epoch)]["sum_of_costs_in_epoch"], 2)


def test_the_average_cost_before_training_is_0_155_and_the_slides_round_it_to_0_16(run):
    network = cr.Network([2, 3, 1], "sigmoid", "half_squared_error", "mean")
    average = cr.cost(network, run.forward_in(1), run.Y)
    assert_printed(average, 0.155, 3)
    assert_printed(average, 0.16, 2)


def test_the_history_holds_the_summed_costs(lecture, dtype):
    network = cr.Network(lecture["layers"], lecture["activations"], lecture["cost"], lecture["reduction"])
    table = np.array(lecture["normalized_rows"], dtype)
    rule = cr.gradient_descent(lecture["learning_rate"])
    start = initial(lecture, network, dtype)
    costs = cr.train(network, start, table[:, 1:], table[:, :1], rule=rule, epochs=100, dtype=dtype).history.cost
    for epoch in (10, 100):  # in epoch N is at the end of epoch N - 1
        assert_printed(costs[epoch - 2], lecture["printed"]["epochs"][str(epoch)]["sum_of_costs_in_epoch"], 2)


def test_the_goal_of_0_001_is_reached_before_epoch_8000(lecture, dtype):
    network = cr.Network(lecture["layers"], lecture["activations"], lecture["cost"], lecture["reduction"])
    table = np.array(lecture["normalized_rows"], dtype)
    rule = cr.gradient_descent(lecture["learning_rate"])
    start = initial(lecture, network, dtype)
    goal = cr.CostGoal(0.001, of="sum")
    fit = cr.train(network, start, table[:, 1:], table[:, :1], rule=rule, epochs=8000, stop=[goal], dtype=dtype)
    assert fit.stopped_by == "cost_goal"
    assert fit.epochs < 8000
    assert fit.history.cost[-1] < 0.001 <= fit.history.cost[-2]


# The slips of the slides.


def test_slip_row_2s_x1_is_minus_0_69_not_minus_0_66(lecture):
    X1 = np.array(lecture["raw_rows"])[:, 1]
    assert_slip(((X1 - X1.mean()) / X1.std(ddof=1))[1], right=-0.69, slip=-0.66, decimals=2)


def test_slip_the_output_nodes_bias_after_epoch_1_is_minus_0_327_not_h3s_0_386(run):
    hidden, output = run.after(1)
    assert_slip(output.b[0], right=-0.327, slip=0.386, decimals=3)
    assert_printed(hidden.b[2], 0.386, 3)


def test_slip_h1_to_on_after_epoch_100_is_minus_1_792_not_minus_1_791(run, lecture):
    slip = lecture["printed"]["epochs"]["100"]["W2"][0][0]
    assert_slip(run.after(100)[1].W[0, 0], right=-1.792, slip=slip, decimals=3)


def test_slip_row_2s_h3_in_epoch_100_is_0_81_not_0_78(run, lecture):
    slip = lecture["printed"]["epochs"]["100"]["forward_in_epoch"]["H"][1][2]
    assert_slip(run.forward_in(100).a[1][1, 2], right=0.81, slip=slip, decimals=2)


def test_slip_h2s_weighted_sum_in_row_1_is_minus_0_028_not_minus_0_026(run, lecture):
    assert_slip(run.forward_in(1).z[0][0, 1], right=-0.028, slip=lecture["printed"]["row_1"]["z_H2"], decimals=3)


def test_slip_h2s_weighted_sum_as_printed_comes_from_inputs_before_rounding(lecture):
    X = np.array(lecture["raw_rows"])[:, 1:]
    row = ((X - X.mean(axis=0)) / X.std(axis=0, ddof=1))[0]
    W, b = np.array(lecture["initial"]["W1"]), np.array(lecture["initial"]["b1"])
    assert_printed((row @ W + b)[1], lecture["printed"]["row_1"]["z_H2"], 3)

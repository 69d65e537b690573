"""Bad designs, parameters and tables: the error says what was expected, what arrived, and the likely fix."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.maths.shapes import design_name

NETWORK = cr.Network([2, 3, 1])
PARAMS = cr.initialize(NETWORK)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"layers": [2]}, r"at least an input and an output layer, such as \[2, 1\]; got \[2\]"),
        ({"layers": []}, r"got \[\]"),
        ({"layers": [2, 0, 1]}, r"whole number of nodes, 1 or more; got \[2, 0, 1\]"),
        ({"layers": [2, -3, 1]}, r"got \[2, -3, 1\]"),
        ({"layers": [2, 2.5, 1]}, r"got \[2, 2.5, 1\]"),
        (
            {"activations": ["tanh"]},
            "activations: expected 2 for a 2-3-1 network, one per layer after the inputs; got 1",
        ),
        ({"activations": ["tanh"] * 3}, "expected 2 for a 2-3-1 network.*got 3"),
        ({"reduction": "average"}, 'reduction: expected "mean" or "sum".*got \'average\''),
        ({"l2": -0.1}, "l2: expected a number, 0 or more; got -0.1"),
        ({"l2": float("nan")}, "l2: expected a number, 0 or more; got nan"),
        ({"l2": float("inf")}, "l2: expected a number, 0 or more; got inf"),
        ({"cost": "rmse", "reduction": "sum"}, 'rmse is the root of a mean: use reduction="mean"'),
        ({"cost": "categorical_cross_entropy"}, "one output node per class; for one node use binary cross-entropy"),
        ({"activations": "softmax"}, "softmax over one node is always 1; use sigmoid"),
        ({"masks": [None]}, "masks: expected 2 for a 2-3-1 network.*got 1"),
        (
            {"masks": [np.ones((3, 2)), None]},
            r"masks: expected shape \(2, 3\) \(from, to\) for a 2-3-1 network, got \(3, 2\)",
        ),
    ],
)
def test_a_bad_design_is_refused(design, message):
    with pytest.raises(ValueError, match=message):
        cr.Network(**({"layers": [2, 3, 1]} | design))


def test_layers_may_be_whole_numbers_of_any_type():
    assert cr.Network(np.array([2.0, 3.0, 1.0])).layers == (2, 3, 1)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((4, 3)), r"inputs: expected shape \(observations, 2\) for a 2-3-1 network, got \(4, 3\)$"),
        (np.ones(2), r"got \(2,\); reshape one observation with X\[None, :\]"),
        (np.ones((4, 2, 1)), r"got \(4, 2, 1\)$"),
    ],
)
def test_inputs_of_a_wrong_shape_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        cr.forward(NETWORK, PARAMS, X)


@pytest.mark.parametrize(
    ("Y", "weights", "message"),
    [
        (np.ones((4, 2)), None, r"targets: expected shape \(4, 1\) for a 2-3-1 network, got \(4, 2\)$"),
        (np.ones((3, 1)), None, r"expected shape \(4, 1\).*got \(3, 1\)$"),
        (np.ones(4), None, r"got \(4,\); make it a column with Y\[:, None\]"),
        (np.ones((4, 1)), np.ones(3), r"observation weights: expected shape \(4,\), got \(3,\)"),
        (np.ones((4, 1)), np.ones((4, 1)), r"observation weights: expected shape \(4,\), got \(4, 1\)"),
    ],
)
def test_targets_and_weights_of_a_wrong_shape_are_refused(Y, weights, message):
    fwd = cr.forward(NETWORK, PARAMS, np.ones((4, 2)))
    for call in (lambda: cr.cost(NETWORK, fwd, Y, weights), lambda: cr.backward(NETWORK, PARAMS, fwd, Y, weights)):
        with pytest.raises(ValueError, match=message):
            call()


def test_parameters_of_another_network_are_refused():
    X, Y = np.ones((4, 2)), np.ones((4, 1))
    wanted = r"layer 0: expected W \(2, 3\) \(from, to\) and b \(3,\) for a 2-3-1 network; got W \(2, 4\) and b \(4,\)"
    params = cr.initialize(cr.Network([2, 4, 1]))
    with pytest.raises(ValueError, match=wanted):
        cr.train(NETWORK, params, X, Y, rule=cr.gradient_descent(0.1))
    with pytest.raises(ValueError, match=wanted):
        cr.check_gradients(NETWORK, params, X, Y)


def test_a_design_is_written_with_dashes():
    assert design_name((400, 14, 8, 2)) == "400-14-8-2"

"""One source, two executors: NumPy eagerly and XLA compiled give the same numbers on random networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import chainrule as cr
from chainrule.maths.activations import ACTIVATIONS
from chainrule.maths.costs import COSTS
from chainrule.training.batches import order_of

HIDDEN = [name for name in ACTIVATIONS if name != "exponential"]  # towers of it overflow


def random_run(seed):
    """A random design, rule and way to train, all from one seed; activations and costs take turns."""
    rng = np.random.default_rng(seed)
    layers = [int(size) for size in rng.integers(2, 6, rng.integers(2, 5))]
    hidden = [str(name) for name in rng.choice(HIDDEN, len(layers) - 2)]
    cost = list(COSTS)[seed % len(COSTS)]
    output = {"poisson": "exponential", "binary_cross_entropy": "sigmoid", "categorical_cross_entropy": "softmax"}
    network = cr.Network(
        layers,
        [*hidden, output.get(cost, HIDDEN[seed % len(HIDDEN)])],
        cost,
        "mean" if cost == "rmse" else str(rng.choice(["mean", "sum"])),
        l2=float(rng.choice([0, 0.1])),
        masks=[rng.random(shape) < 0.8 for shape in pairwise(layers)] if seed % 2 else None,
    )
    rule = cr.gradient_descent(cr.inverse_time_decay(0.02, rate=0.1), momentum=0.5, nesterov=bool(seed % 3))
    return network, rule, [None, 1, 4][seed % 3]


@pytest.mark.parametrize("seed", range(12))
def test_compiled_training_is_the_plain_loop_over_numpy_arrays(seed, problem, by_hand, assert_close):
    network, rule, batch_size = random_run(seed)
    case = problem(network, n=11, seed=seed)
    path = by_hand(
        network,
        case.params,
        case.X,
        case.Y,
        rule,
        4,
        weights=case.weights,
        batch_size=batch_size,
        orders=lambda epoch: order_of(seed, epoch, 11),
    )
    start = cr.initialize(network, case.params)
    settings = {"rule": rule, "batch_size": batch_size, "weights": case.weights, "seed": seed, "epochs": 4}
    settings["stop"] = [cr.MinGradient(1e-300)]  # so that gradients are measured
    fit = cr.train(network, start, case.X, case.Y, dtype="float64", **settings)
    expected = cr.initialize(network, path[-1][0])  # masked weights at 0
    assert_close(cr.initialize(network, fit.params), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fit.history.gradient_norm, [norm for _, _, norm in path], rtol=1e-10)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_in_float32_they_agree_to_float32s_rounding(seed, problem, by_hand, assert_close):
    network, rule, _ = random_run(seed)
    case = problem(network, n=11, seed=seed)
    params = cr.initialize(network, case.params, dtype="float32")
    X, Y = case.X.astype(np.float32), case.Y.astype(np.float32)
    path = by_hand(network, params, X, Y, rule, 3)
    fit = cr.train(network, params, X, Y, rule=rule, epochs=3)
    assert_close(fit.params, path[-1][0], rtol=1e-3, atol=1e-5)
    assert {array.dtype.name for layer in (*fit.params, *path[-1][0]) for array in layer} == {"float32"}

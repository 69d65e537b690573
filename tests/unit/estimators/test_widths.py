"""Padded hidden layers change no number beyond rounding."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.estimators import executors
from chainrule.estimators.widths import WIDTHS, resized, widened_design
from chainrule.training.rules import adam, gradient_descent

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
y = (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "leaky_relu", "elu", "selu", "gelu", "silu"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_padded_fit_has_the_numbers_of_the_design(monkeypatch, activation, solver):
    fits = []
    for widened in (executors.widened_design, lambda network, rule, n: network):
        monkeypatch.setattr(executors, "widened_design", widened)
        model = cr.MLPClassifier(
            (5, 40), activation=activation, solver=solver, random_state=0, max_iter=20, tol=0.0, n_iter_no_change=20
        )
        with pytest.warns(UserWarning, match="Maximum iterations"):
            fits.append(model.fit(X, y))
    assert [W.shape for W in fits[0].coefs_] == [(4, 5), (5, 40), (40, 1)]
    for padded, plain in zip(fits[0].coefs_, fits[1].coefs_, strict=True):
        np.testing.assert_allclose(padded, plain, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fits[0].loss_curve_, fits[1].loss_curve_, rtol=1e-9)


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        (cr.Network([4, 5, 1], "sigmoid"), adam(0.1)),
        (cr.Network([4, 5, 1], ["softplus", "identity"]), adam(0.1)),
        (cr.Network([4, 5, 1], [cr.Activation("own", f=lambda z: z), "identity"]), adam(0.1)),
        (cr.Network([4, WIDTHS[-1] + 1, 1], "relu"), adam(0.1)),
        (cr.Network([4, 1], "relu"), adam(0.1)),
        (cr.Network([4, 5, 1], "relu"), cr.optax_rule("lamb", 0.1)),
    ],
)
def test_designs_that_are_not_padded(network, rule):
    assert widened_design(network, rule, 100) is network


def test_a_large_pass_is_not_padded_to_one_width():
    network = cr.Network([30, 20, 120, 1], "relu")
    assert widened_design(network, gradient_descent(0.1), 100).layers == (30, 128, 128, 1)
    assert widened_design(network, gradient_descent(0.1), 1000).layers == (30, 32, 128, 1)
    assert widened_design(network, gradient_descent(0.1), 10**6) is network


def test_a_state_is_padded_and_cut_back():
    params = cr.initialize(cr.Network([2, 3, 1]), seed=0)
    state = adam(0.1).init(params)._replace(mean=params)
    roomy = resized(state, (2, 32, 1))
    assert roomy.square[0].W.shape == (2, 32)
    assert roomy.step is state.step
    for back, first in zip(resized(roomy, (2, 3, 1)).mean, params, strict=True):
        np.testing.assert_array_equal(back.W, first.W)

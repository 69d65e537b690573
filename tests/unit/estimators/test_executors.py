"""A single pass with NumPy has the numbers of the compiled one, and nothing is compiled for it."""

import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.estimators import executors, stochastic

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4))
y = (X[:, 0] * X[:, 1] > 0).astype(int)

SETTINGS = [
    {},
    {"solver": "sgd", "batch_size": 32},
    {"dropout": 0.3, "average": 0.9},
    {"min_gradient": 1e-9, "max_gradient_norm": 0.1},
    {"activation": "tanh", "alpha": 0.1, "learning_rate": "invscaling", "solver": "sgd"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_partial_fit_has_the_numbers_of_the_compiled_passes(monkeypatch, settings):
    def always_compiled(network, *_):
        return executors._compiled(network, network)

    models = []
    for chosen in (stochastic.executor_of, always_compiled):
        monkeypatch.setattr(stochastic, "executor_of", chosen)
        model = cr.MLPClassifier((6, 5), random_state=0, **settings)
        for rows in (slice(0, 70), slice(70, 150), slice(10, 50)):
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
        models.append(model)
    for ours, compiled in zip(models[0].coefs_, models[1].coefs_, strict=True):
        np.testing.assert_allclose(ours, compiled, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-7)


def test_partial_fit_does_not_import_jax():
    code = (
        "import sys, numpy as np, chainrule as cr\n"
        "X = np.random.default_rng(0).normal(size=(50, 3))\n"
        "model = cr.MLPRegressor(dropout=0.2, average=0.9, random_state=0)\n"
        "for n in range(10, 50, 10): model.partial_fit(X[:n], X[:n, 0])\n"
        "model.predict(X); print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("settings", "n", "eager"),
    [({}, 100, True), ({"rule": cr.optax_rule("adamw", 1e-3)}, 100, False), ({}, 10**8, False)],
)
def test_which_passes_numpy_computes(settings, n, eager):
    network = cr.Network([4, 6, 1], "relu")
    rule = settings.get("rule", executors.Adam(0.1))
    assert executors._is_light(network, rule, n) is eager

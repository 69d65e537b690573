"""Shared by all tests: a hypothesis profile, random problems, and training by hand with NumPy."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import chainrule as cr

settings.register_profile(
    "chainrule",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("chainrule")


def _example(name):
    return json.loads(files("chainrule.examples").joinpath(name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def lecture():
    """The lecture's 2-3-1 network and every number printed in its slides."""
    return _example("lecture.json")


@pytest.fixture(scope="session")
def published():
    """Worked examples in print, by name."""
    return {example["name"]: example for example in _example("published.json")["examples"]}


class Problem:
    """Parameters, inputs, targets that suit the cost, and weights of which one is 0; all float64."""

    def __init__(self, network, n=7, seed=0):
        rng = np.random.default_rng(seed)
        self.network = network
        self.X = rng.normal(size=(n, network.layers[0]))
        self.Y = _targets(rng, network.cost.name, n, network.layers[-1])
        self.weights = rng.uniform(0.5, 2, n)
        self.weights[-1] = 0
        params = list(cr.initialize(network, "uniform", seed=seed))
        if network.cost.name in _NEEDS_OUTPUTS_BETWEEN_0_AND_1:
            W, b = params[-1]
            z = -0.5 if network.activations[-1].name == "exponential" else 0.3  # all activations of it lie there
            params[-1] = cr.Layer(W * 0.05, np.full_like(b, z))
        self.params = tuple(params)

    def gradient(self, Y=None, weights=None, rows=slice(None)):
        Y = self.Y if Y is None else Y
        fwd = cr.forward(self.network, self.params, self.X[rows])
        return cr.backward(self.network, self.params, fwd, Y[rows], weights).gradient

    def cost(self, weights=None, rows=slice(None)):
        fwd = cr.forward(self.network, self.params, self.X[rows])
        return cr.cost(self.network, fwd, self.Y[rows], weights, self.params)


_NEEDS_OUTPUTS_BETWEEN_0_AND_1 = {"poisson", "binary_cross_entropy", "categorical_cross_entropy"}


def _targets(rng, cost, n, n_out):
    if cost == "categorical_cross_entropy":
        return np.eye(n_out)[rng.integers(0, n_out, n)]
    if cost == "binary_cross_entropy":
        return rng.integers(0, 2, (n, n_out)).astype(float)
    if cost == "poisson":
        return rng.poisson(1.5, (n, n_out)).astype(float)
    return rng.normal(size=(n, n_out))


@pytest.fixture(scope="session")
def problem():
    """problem(network, n, seed) -> Problem."""
    return Problem


def _by_hand(network, params, X, Y, rule, epochs, *, weights=None, batch_size=None, orders=None):
    """The parameters, cost and gradient norm of every epoch, from a plain loop over NumPy arrays."""
    w = np.ones(len(X), X.dtype) if weights is None else weights
    state, done, plain = rule.init(params), [], replace(network, l2=0)
    for epoch in range(1, epochs + 1):
        if batch_size is None:
            params, state = cr.update(rule, params, _gradient(network, params, X, Y, w), state)
            C = cr.cost(network, cr.forward(network, params, X), Y, w, params)
            done.append((params, C, _norm(_gradient(network, params, X, Y, w))))
            continue
        order, costs, squares = orders(epoch), [], []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            C = cr.cost(plain, cr.forward(network, params, X[rows]), Y[rows], w[rows])
            costs.append(C * w[rows].sum() if network.reduction == "mean" else C)
            gradient = _gradient(network, params, X[rows], Y[rows], w[rows])
            squares.append(_norm(gradient) ** 2)
            params, state = cr.update(rule, params, gradient, state)
        C = sum(costs) / w[order].sum() if network.reduction == "mean" else sum(costs)
        C += network.l2 / 2 * sum((W**2).sum() for W, _ in params)
        done.append((params, C, np.sqrt(np.mean(squares))))
    return done


def _gradient(network, params, X, Y, w):
    return cr.backward(network, params, cr.forward(network, params, X), Y, w).gradient


def _norm(gradient):
    return np.sqrt(sum(np.sum(x**2) for layer in gradient for x in layer))


@pytest.fixture(scope="session")
def by_hand():
    """by_hand(network, params, X, Y, rule, epochs, ...) -> [(params, cost, gradient norm), ...]."""
    return _by_hand


def _assert_close(found, expected, rtol=1e-9, atol=1e-12):
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        for name, a, b in zip("Wb", one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=f"{name} of layer {i}")


@pytest.fixture(scope="session")
def assert_close():
    """assert_close(params, params, rtol, atol): two trees of layers hold the same numbers."""
    return _assert_close


@pytest.fixture
def x64():
    """JAX in float64, as in a training with dtype="float64"."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)

"""The backward pass, which is ours, against jax.grad, which is not: every activation x cost x depth."""

from __future__ import annotations

from itertools import pairwise

import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.maths.activations import ACTIVATIONS
from chainrule.maths.costs import COSTS

DEPTHS = {1: [4, 3], 2: [4, 5, 3], 3: [4, 5, 4, 3]}


def jax_gradient(network, params, X, Y, weights=None):
    with jax.enable_x64(True):
        params, X, Y, weights = jax.tree.map(jax.numpy.asarray, (params, X, Y, weights))
        return jax.grad(lambda p: cr.cost(network, cr.forward(network, p, X), Y, weights, p))(params)


def sparse_masks(layers):
    rng = np.random.default_rng(3)
    return [rng.random(shape) < 0.7 for shape in pairwise(layers)]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_equals_jax_grad(activation, cost, depth, problem, assert_close):
    network = cr.Network(DEPTHS[depth], activation, cost)
    case = problem(network, n=5, seed=depth)
    expected = jax_gradient(network, case.params, case.X, case.Y)
    assert_close(case.gradient(), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_equals_jax_grad_with_weights_penalty_and_masks(activation, cost, depth, problem, assert_close):
    layers, reduction = DEPTHS[depth], "mean" if cost == "rmse" else "sum"
    network = cr.Network(layers, activation, cost, reduction, l2=0.1, masks=sparse_masks(layers))
    case = problem(network, n=5, seed=depth)
    expected = jax_gradient(network, case.params, case.X, case.Y, case.weights)
    assert_close(case.gradient(weights=case.weights), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
def test_backward_equals_jax_grad_in_every_combination_of_settings(
    reduction, weighted, l2, masked, problem, assert_close
):
    layers = [4, 5, 3]
    masks = sparse_masks(layers) if masked else None
    network = cr.Network(layers, ["gelu", "softmax"], "categorical_cross_entropy", reduction, l2, masks)
    case = problem(network)
    weights = case.weights if weighted else None
    expected = jax_gradient(network, case.params, case.X, case.Y, weights)
    assert_close(case.gradient(weights=weights), expected, rtol=1e-10, atol=1e-13)


def test_jax_differentiates_the_cost_inside_jit_with_the_data_closed_over(problem, assert_close):
    case = problem(cr.Network([4, 5, 3], "tanh"))
    gradient = jax.jit(jax.grad(lambda p: cr.cost(case.network, cr.forward(case.network, p, case.X), case.Y)))
    assert_close(gradient(case.params), case.gradient(), rtol=1e-5, atol=1e-6)

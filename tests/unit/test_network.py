from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.maths import arrays
from chainrule.maths.activations import ACTIVATIONS

seeds = st.integers(0, 10_000)
designs = st.builds(
    cr.Network,
    st.lists(st.integers(2, 5), min_size=2, max_size=4),
    activations=st.sampled_from(sorted(ACTIVATIONS.keys() - {"exponential"})),  # towers of it overflow
    cost=st.sampled_from(["half_squared_error", "huber", "categorical_cross_entropy"]),
    reduction=st.sampled_from(["mean", "sum"]),
)


def test_the_product_on_a_transposed_copy_is_the_product(monkeypatch):
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    x, y = (rng.integers(-9, 9, (31, n)).astype(np.float32) for n in (17, 5))
    for wide in (arrays.WIDE, 0):
        monkeypatch.setattr(arrays, "WIDE", wide)
        np.testing.assert_array_equal(arrays.transposed_product(jnp.asarray(x), jnp.asarray(y)), x.T @ y)


# The design


@pytest.mark.parametrize(
    ("layers", "weights", "biases", "parameters"),
    [([400, 14, 8, 2], 5728, 24, 5752), ([400, 100, 40, 2], 44_080, 142, 44_222), ([2, 3, 1], 9, 4, 13)],
)
def test_weights_and_biases_are_counted(layers, weights, biases, parameters):
    network = cr.Network(layers)
    assert (network.n_weights, network.n_biases, network.n_parameters) == (weights, biases, parameters)


@given(network=designs)
def test_the_count_is_that_of_the_arrays(network):
    params = cr.initialize(network)
    assert network.n_weights == sum(W.size for W, _ in params)
    assert network.n_biases == sum(b.size for _, b in params)


def test_connections_that_are_masked_out_are_not_counted():
    network = cr.Network([2, 3, 1], masks=[[[True, False, True], [False, False, True]], None])
    assert (network.n_weights, network.n_biases) == (3 + 3, 4)


def test_one_activation_serves_every_layer():
    assert [a.name for a in cr.Network([2, 3, 4, 1], "tanh").activations] == ["tanh"] * 3


def test_the_defaults_are_sigmoid_half_squared_error_and_mean():
    network = cr.Network([2, 1])
    assert (network.activations[0].name, network.cost.name, network.reduction) == (
        "sigmoid",
        "half_squared_error",
        "mean",
    )


def test_equal_designs_are_equal_and_hash_alike():
    given = {"activations": ["relu", "identity"], "cost": "huber:2", "masks": [None, np.ones((3, 1), bool)]}
    one, other = cr.Network([2, 3, 1], **given), cr.Network((2, 3, 1), **given)
    assert one == other
    assert hash(one) == hash(other)
    assert one != cr.Network([2, 3, 1], **(given | {"cost": "huber:3"}))


def test_a_design_cannot_be_changed():
    with pytest.raises(AttributeError):
        cr.Network([2, 1]).layers = (2, 2)


# Forward


def test_forward_is_the_textbooks():
    network = cr.Network([2, 2, 1], ["tanh", "identity"])
    X = np.array([[1.0, 2.0], [0.5, -1.0]])
    (W1, b1), (W2, b2) = params = cr.initialize(network, seed=4)
    fwd = cr.forward(network, params, X)
    for i, x in enumerate(X):
        z1 = [sum(x[k] * W1[k, j] for k in range(2)) + b1[j] for j in range(2)]
        a1 = np.tanh(z1)
        z2 = sum(a1[k] * W2[k, 0] for k in range(2)) + b2[0]
        np.testing.assert_allclose(fwd.z[0][i], z1)
        np.testing.assert_allclose(fwd.a[1][i], a1)
        np.testing.assert_allclose([fwd.z[1][i, 0], fwd.a[2][i, 0]], [z2, z2])


@given(network=designs, n=st.integers(1, 6))
def test_every_shape_is_batch_by_nodes(network, n, problem):
    case = problem(network, n)
    fwd = cr.forward(network, case.params, case.X)
    bwd = cr.backward(network, case.params, fwd, case.Y)
    shapes = [(n, size) for size in network.layers]
    assert [a.shape for a in fwd.a] == shapes
    assert [z.shape for z in fwd.z] == [e.shape for e in bwd.error] == [d.shape for d in bwd.delta] == shapes[1:]
    assert [layer.W.shape for layer in bwd.gradient] == list(pairwise(network.layers))
    assert np.shape(cr.cost(network, fwd, case.Y)) == ()


def test_the_inputs_are_the_first_activations():
    X = np.ones((3, 2))
    network = cr.Network([2, 1])
    assert cr.forward(network, cr.initialize(network), X).a[0] is X


@given(network=designs, seed=seeds)
def test_a_batch_is_its_rows(network, seed, problem):
    case = problem(network, seed=seed)
    together = cr.forward(network, case.params, case.X).a[-1]
    alone = [cr.forward(network, case.params, row[None]).a[-1][0] for row in case.X]
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32_stays_float32(name):
    network = cr.Network([2, 3, 2], name, l2=0.1, masks=[np.ones((2, 3), bool), None])
    X, Y = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    params = cr.initialize(network, dtype="float32")
    fwd = cr.forward(network, params, X)
    bwd = cr.backward(network, params, fwd, Y, np.ones(5))  # float64 weights too
    arrays = [*fwd.a, *fwd.z, *bwd.error, *bwd.delta, *(x for layer in bwd.gradient for x in layer)]
    assert {array.dtype.name for array in (*arrays, cr.cost(network, fwd, Y, None, params))} == {"float32"}


# Backward


@given(network=designs, seed=seeds)
def test_the_batchs_gradient_is_the_sum_of_its_rows_gradients(network, seed, problem, assert_close):
    case = problem(network, seed=seed)
    rows = [case.gradient(rows=[i]) for i in range(7)]
    share = 1 / 7 if network.reduction == "mean" else 1
    total = [
        cr.Layer(share * sum(r[i].W for r in rows), share * sum(r[i].b for r in rows)) for i in range(len(rows[0]))
    ]
    assert_close(case.gradient(), total, rtol=1e-9, atol=1e-12)


@given(network=designs, seed=seeds, order=st.permutations(range(7)))
def test_the_order_of_the_rows_changes_nothing(network, seed, order, problem, assert_close):
    case = problem(network, seed=seed)
    np.testing.assert_allclose(case.cost(rows=list(order)), case.cost(), rtol=1e-12)
    assert_close(case.gradient(rows=list(order)), case.gradient(), rtol=1e-9, atol=1e-12)


@given(seed=seeds, swap=st.permutations(range(4)))
def test_renumbering_hidden_nodes_renumbers_their_gradients(seed, swap, problem, assert_close):
    case, swap = problem(cr.Network([3, 4, 2], "tanh"), seed=seed), list(swap)
    (dW1, db1), (dW2, db2) = case.gradient()
    (W1, b1), (W2, b2) = case.params
    case.params = cr.Layer(W1[:, swap], b1[swap]), cr.Layer(W2[swap], b2)
    assert_close(case.gradient(), (cr.Layer(dW1[:, swap], db1[swap]), cr.Layer(dW2[swap], db2)), rtol=1e-10)


def test_the_error_passed_back_is_delta_times_the_transposed_weights(problem):
    case = problem(cr.Network([3, 4, 2], "tanh"))
    fwd = cr.forward(case.network, case.params, case.X)
    bwd = cr.backward(case.network, case.params, fwd, case.Y)
    np.testing.assert_allclose(bwd.error[0], bwd.delta[1] @ case.params[1].W.T)
    np.testing.assert_allclose(bwd.delta[0], bwd.error[0] * (1 - fwd.a[1] ** 2))
    np.testing.assert_allclose(bwd.gradient[0].W, case.X.T @ bwd.delta[0])
    np.testing.assert_allclose(bwd.gradient[0].b, bwd.delta[0].sum(axis=0))


def test_nothing_given_is_changed(problem):
    case = problem(cr.Network([3, 4, 2], "relu", l2=0.1, masks=[np.eye(3, 4), None]))
    given = [case.X, case.Y, case.weights, *(x for layer in case.params for x in layer)]
    for array in given:
        array.flags.writeable = False
    case.gradient(weights=case.weights)
    rule = cr.gradient_descent(0.1, momentum=0.9)
    cr.update(rule, case.params, case.gradient(), rule.init(case.params))
    cr.check_gradients(case.network, case.params, case.X, case.Y)


# The penalty


@given(seed=seeds, l2=st.floats(0.001, 10))
def test_l2_adds_half_l2_times_the_squared_weights_and_l2_times_each_weight(seed, l2, problem, assert_close):
    plain = problem(cr.Network([3, 4, 2], "tanh"), seed=seed)
    penal = problem(cr.Network([3, 4, 2], "tanh", l2=l2), seed=seed)
    squares = sum((W**2).sum() for W, _ in plain.params)
    np.testing.assert_allclose(penal.cost(), plain.cost() + l2 / 2 * squares)
    added = [cr.Layer(dW + l2 * W, db) for (dW, db), (W, _) in zip(plain.gradient(), plain.params, strict=True)]
    assert_close(penal.gradient(), added)


def test_the_penalty_does_not_depend_on_the_number_of_rows(problem):
    for reduction in ("mean", "sum"):
        case = problem(cr.Network([3, 2], "identity", reduction=reduction, l2=0.5))
        case.Y = case.X @ case.params[0].W + case.params[0].b  # every target met: the penalty alone is left
        np.testing.assert_allclose(case.cost(), 0.25 * (case.params[0].W ** 2).sum())


def test_a_cost_with_a_penalty_asks_for_the_parameters(problem):
    case = problem(cr.Network([3, 2], l2=0.5))
    fwd = cr.forward(case.network, case.params, case.X)
    with pytest.raises(ValueError, match=r"L2 penalty: call cost\(network, fwd, Y, weights, params\)"):
        cr.cost(case.network, fwd, case.Y)


# Masks


@given(seed=seeds)
def test_masked_weights_stay_out(seed, problem):
    rng = np.random.default_rng(seed)
    masks = [rng.random((3, 4)) < 0.5, rng.random((4, 2)) < 0.5]
    case = problem(cr.Network([3, 4, 2], "tanh", l2=0.1, masks=masks), seed=seed)
    before = case.cost()
    case.params = tuple(cr.Layer(W + 5 * ~mask, b) for (W, b), mask in zip(case.params, masks, strict=True))
    assert case.cost() == before
    for layer, mask in zip(case.gradient(), masks, strict=True):
        assert (layer.W[~mask] == 0).all()


def test_a_mask_of_ones_is_no_mask(problem, assert_close):
    plain = problem(cr.Network([3, 4, 2], "tanh"))
    masked = problem(cr.Network([3, 4, 2], "tanh", masks=[np.ones((3, 4)), np.ones((4, 2))]))
    assert_close(masked.gradient(), plain.gradient(), rtol=0, atol=0)


def test_two_networks_side_by_side_are_one_with_masks(problem):
    """Two 1-2-1 networks equal a 2-4-2 one in which they are not connected."""
    blocks = [[[1, 1, 0, 0], [0, 0, 1, 1]], [[1, 0], [1, 0], [0, 1], [0, 1]]]
    case = problem(cr.Network([2, 4, 2], "tanh", masks=blocks))
    (W1, b1), (W2, b2) = case.params
    output = cr.forward(case.network, case.params, case.X).a[-1]
    for i, nodes in enumerate([slice(0, 2), slice(2, 4)]):
        half = (cr.Layer(W1[i : i + 1, nodes], b1[nodes]), cr.Layer(W2[nodes, i : i + 1], b2[i : i + 1]))
        alone = cr.forward(cr.Network([1, 2, 1], "tanh"), half, case.X[:, i : i + 1]).a[-1]
        np.testing.assert_allclose(alone[:, 0], output[:, i], rtol=1e-12)


# What is imported


def test_looking_imports_neither_jax_nor_any_other_heavy_package():
    program = """
import sys
import numpy as np
import chainrule as cr

network = cr.Network([2, 3, 1], cost="binary_cross_entropy", l2=0.1)
params = cr.initialize(network)
X, Y = np.ones((4, 2)), np.zeros((4, 1))
fwd = cr.forward(network, params, X)
cr.cost(network, fwd, Y, np.ones(4), params)
bwd = cr.backward(network, params, fwd, Y)
rule = cr.gradient_descent(cr.cosine_decay(0.1, steps=10), momentum=0.9, nesterov=True)
cr.update(rule, params, bwd.gradient, rule.init(params))
assert cr.check_gradients(network, params, X, Y).passed
print(*{"jax", "jaxlib", "sklearn", "scipy", "duckdb", "optax", "pyarrow", "typer", "rich"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_every_public_name_is_there():
    assert set(cr.__all__) <= set(dir(cr))
    assert all(getattr(cr, name).__doc__ for name in cr.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sequential'"):
        _ = cr.Sequential


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copy_is_the_same_design(copied):
    network = cr.Network([2, 3, 1], ["relu", "tanh"], "huber:1.5")
    back = copied(network)
    assert back == network
    assert back.activations[0] is network.activations[0]
    assert back.cost is network.cost


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copy_of_ones_own_functions_stays_ones_own(copied):
    own = cr.Activation("relu", math.fabs), cr.Cost("rmse", math.dist, outer=math.sqrt)
    assert tuple(map(copied, own)) == own


def test_lists_are_arrays():
    network = cr.Network([2, 3, 1], "tanh")
    params, X, Y = cr.initialize(network, seed=0), [[0, 1], [1, 0]], [[1], [0]]
    fwd = cr.forward(network, params, X)
    same = cr.forward(network, params, np.array(X, float))
    np.testing.assert_array_equal(fwd.a[-1], same.a[-1])
    assert cr.cost(network, fwd, Y) == cr.cost(network, same, np.array(Y, float))
    ours, theirs = (cr.backward(network, params, fwd, y).gradient for y in (Y, np.array(Y, float)))
    np.testing.assert_array_equal(ours[0].W, theirs[0].W)
    with pytest.raises(ValueError, match=r"expected shape \(observations, 2\).*reshape one observation"):
        cr.forward(network, params, [0, 1])


@pytest.mark.parametrize("mask", [[[0.5], [1]], [[np.nan], [1]], [[2], [1]]])
def test_masks_are_yes_or_no(mask):
    with pytest.raises(ValueError, match=r"masks: expected True or False \(1 or 0\)"):
        cr.Network([2, 1], masks=[mask])


def test_a_design_is_shown_in_a_line():
    own = cr.Activation("cube", lambda z: z**3)
    network = cr.Network([2, 3, 1], [own, "tanh"], "rmse", l2=0.1, masks=[np.eye(2, 3), None])
    assert repr(network) == "Network([2, 3, 1], ['cube', 'tanh'], 'rmse', l2=0.1, masks of 5 weights out of 9)"
    assert repr(cr.Network([2, 1], reduction="sum")) == (
        "Network([2, 1], 'sigmoid', 'half_squared_error', reduction='sum')"
    )
    assert (repr(own), repr(cr.huber(1))) == ("Activation('cube')", "Cost('huber:1.0')")


def test_the_package_says_that_it_is_typed():
    assert (Path(cr.__file__).parent / "py.typed").is_file()

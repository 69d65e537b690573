from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.maths.costs import COSTS, cost_named
from chainrule.maths.pairs import FUSED

NAMES = [*COSTS, "huber:0.3", "pinball:0.9"]
PAIRS = {f"{activation.name} + {cost.name}": (activation, cost) for activation, cost in FUSED}
outputs = st.floats(0.05, 0.95)  # where every cost is defined
apart = st.tuples(outputs, outputs).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-3)  # kinks are where they meet


def column(*numbers):
    return np.array(numbers, float)[:, None]


def cost_of(name, y_hat, y, weights=None, reduction="mean"):
    """The cost of given outputs: through a network of one identity layer."""
    network = cr.Network([y_hat.shape[1]] * 2, replace(LINEAR, name="linear"), name, reduction)
    return cr.cost(network, cr.Forward((y_hat, y_hat), (y_hat,), (None,)), y, weights)


LINEAR = cr.Activation("linear", lambda z: z, lambda z, a: 1)  # not the identity, so that nothing is fused


@pytest.mark.parametrize("name", NAMES)
@given(pair=apart)
def test_the_derivative_is_the_slope(name, pair):
    cost, h = cost_named(name), 1e-6
    y_hat, y = (column(x) for x in pair)
    slope = (cost.f(y_hat + h, y) - cost.f(y_hat - h, y)) / (2 * h)
    np.testing.assert_allclose(cost.error(y_hat, y), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "y_hat", "y", "c"),
    [
        ("half_squared_error", 3.0, 1.0, 2.0),
        ("squared_error", 3.0, 1.0, 4.0),
        ("absolute_error", 3.0, 1.0, 2.0),
        ("rmse", 3.0, 1.0, 2.0),
        ("huber", 1.5, 1.0, 0.125),
        ("huber", 4.0, 1.0, 2.5),
        ("huber:2", 4.0, 1.0, 4.0),
        ("pinball", 3.0, 1.0, 1.0),
        ("pinball:0.9", 1.0, 3.0, 1.8),
        ("pinball:0.9", 3.0, 1.0, 0.2),
        ("poisson", 2.0, 2.0, 0.0),
        ("poisson", 2.0, 0.0, 2.0),
        ("poisson", 1.0, 3.0, 3 * np.log(3) - 2),
        ("binary_cross_entropy", 0.25, 1.0, np.log(4)),
        ("binary_cross_entropy", 0.75, 0.0, np.log(4)),
        ("binary_cross_entropy", 0.5, 0.3, np.log(2)),
    ],
)
def test_known_values(name, y_hat, y, c):
    np.testing.assert_allclose(cost_of(name, column(y_hat), column(y)), c, rtol=1e-12, atol=1e-15)


def test_the_categorical_cross_entropy_is_the_log_of_the_true_classs_probability():
    y_hat, y = np.array([[0.7, 0.2, 0.1], [0.1, 0.4, 0.5]]), np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(cost_of("categorical_cross_entropy", y_hat, y), -(np.log(0.7) + np.log(0.4)) / 2)


def test_an_observations_cost_is_the_sum_over_its_outputs():
    assert cost_of("squared_error", np.array([[1.0, 2.0]]), np.zeros((1, 2))) == 5


def test_the_rmse_is_the_root_over_the_batch():
    np.testing.assert_allclose(cost_of("rmse", column(3, 4), column(0, 0)), np.sqrt((9 + 16) / 2))


def test_the_rmse_has_no_slope_where_every_target_is_met():
    network = cr.Network([1, 1], "identity", "rmse")
    params = (cr.Layer(np.ones((1, 1)), np.zeros(1)),)
    X = column(1, 2)
    gradient = cr.backward(network, params, cr.forward(network, params, X), X).gradient
    assert gradient[0].W == 0
    assert gradient[0].b == 0


@pytest.mark.parametrize(("name", "delta"), [("huber:0.5", [-0.5, -0.25, 0, 0.25, 0.5])])
def test_hubers_slope_is_cut_at_the_threshold(name, delta):
    y_hat = column(-3, -0.25, 0, 0.25, 3)
    np.testing.assert_array_equal(cost_named(name).error(y_hat, 0 * y_hat)[:, 0], delta)


def test_the_pinball_of_one_half_is_half_the_absolute_error():
    y_hat, y = np.random.default_rng(0).normal(size=(2, 9, 1))
    np.testing.assert_allclose(cost_of("pinball", y_hat, y), cost_of("absolute_error", y_hat, y) / 2)


@given(q=st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_the_pinballs_minimum_is_the_quantile(q):
    y = np.random.default_rng(0).normal(size=(1001, 1))
    at = lambda guess: cost_of(f"pinball:{q}", np.full_like(y, guess), y)  # noqa: E731
    quantile = np.quantile(y, q)
    assert at(quantile) < min(at(quantile - 0.05), at(quantile + 0.05))


def test_huber_and_pinball_carry_their_number_in_their_name():
    assert cost_named("huber:1.5") is cr.huber(1.5)
    assert cr.Network([2, 1], cost="pinball:0.9").cost is cr.pinball(0.9)
    assert (cr.huber(1.5).name, cr.pinball(0.9).name) == ("huber:1.5", "pinball:0.9")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mse", "unknown cost 'mse'; did you mean 'squared_error'"),
        ("mae", "unknown cost 'mae'; did you mean 'absolute_error'"),
        ("binary_crossentropy", "did you mean 'binary_cross_entropy'"),
        ("huber:0", "expected a threshold above 0, got 0.0"),
        ("huber:nan", "expected a threshold above 0, got nan"),
        ("huber:", "cost 'huber:'"),
        ("pinball:1", "expected a quantile between 0 and 1, got 1.0"),
        ("pinball:half", "cost 'pinball:half': could not convert"),
        ("rmse:2", "cost 'rmse' takes no number, got 'rmse:2'"),
    ],
)
def test_a_wrong_name_or_number_says_what_was_expected(name, message):
    with pytest.raises(ValueError, match=message):
        cr.Network([2, 1], cost=name)


def fused_and_general(pair, seed, layers=(4, 5, 3)):
    """The same network twice: with the joined output pair, and with an equal cost that has none."""
    activation, cost = PAIRS[pair]
    fused = cr.Network(layers, ["tanh", activation], cost)
    general = cr.Network(layers, ["tanh", activation], replace(cost, name=f"general {cost.name}"))
    assert fused.fused is not None
    assert general.fused is None
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(6, 4)), rng.dirichlet(np.ones(3), 6)
    return fused, general, cr.initialize(fused, seed=seed), X, Y


@pytest.mark.parametrize("pair", PAIRS)
@given(seed=st.integers(0, 1000))
def test_the_fused_pair_equals_the_general_rule(pair, seed):
    fused, general, params, X, Y = fused_and_general(pair, seed)
    fwd = cr.forward(fused, params, X)
    one, other = (cr.backward(network, params, fwd, Y) for network in (fused, general))
    np.testing.assert_allclose(cr.cost(fused, fwd, Y), cr.cost(general, fwd, Y), rtol=1e-12)
    for a, b in zip(one.delta, other.delta, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)
    for a, b in zip(one.error, other.error, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


def test_the_fused_categorical_pair_holds_for_targets_that_do_not_sum_to_1():
    fused, general, params, X, Y = fused_and_general("softmax + categorical_cross_entropy", 0)
    fwd, Y = cr.forward(fused, params, X), 2.5 * Y
    np.testing.assert_allclose(cr.cost(fused, fwd, Y), cr.cost(general, fwd, Y), rtol=1e-12)
    one, other = (cr.backward(network, params, fwd, Y).delta[-1] for network in (fused, general))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize(
    ("activation", "cost", "costs"),
    [
        ("sigmoid", "binary_cross_entropy", [1000, 0, 0, 1000]),
        ("softmax", "categorical_cross_entropy", [1000, 0, 0, 1000]),
    ],
)
def test_cross_entropy_at_the_extremes_is_exact(activation, cost, costs, xp, dtype, x64):
    z = xp.asarray(np.array([[-1000.0], [1000.0], [-1000.0], [1000.0]], dtype))
    y = xp.asarray(np.array([[1.0], [1.0], [0.0], [0.0]], dtype))
    if activation == "softmax":
        z, y = (xp.concat([x, other], axis=1) for x, other in ((z, 0 * z), (y, 1 - y)))
    network = cr.Network([1, z.shape[1]], activation, cost)
    fwd = cr.Forward((z[:, :1], network.activations[0](z)), (z,), (None,))
    assert network.fused is not None
    found = network.fused.costs(z, y).sum(axis=1)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, costs)
    assert cr.cost(network, fwd, y) == 500
    bwd = cr.backward(network, (cr.Layer(xp.ones((1, z.shape[1]), dtype=dtype), z[0]),), fwd, y)
    assert np.isfinite(np.asarray(bwd.error[0])).all()
    np.testing.assert_allclose(4 * bwd.delta[0][:, 0], [-1, 0, 0, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y_hat", [0.0, 1.0])
@pytest.mark.parametrize("name", ["binary_cross_entropy", "categorical_cross_entropy", "poisson"])
def test_a_certain_and_wrong_output_costs_a_finite_amount(name, y_hat, dtype):
    y_hat, y = np.array([[y_hat, 0.5]], dtype), np.array([[1 - y_hat, 1]], dtype)
    for array in (cost_named(name).f(y_hat, y), cost_named(name).error(y_hat, y)):
        assert array.dtype == dtype
        assert np.isfinite(array).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_stays(name, dtype):
    y_hat, y = np.random.default_rng(0).uniform(0.1, 0.9, (2, 4, 2)).astype(dtype)
    cost = cost_named(name)
    assert {x.dtype.name for x in (cost.per_observation(y_hat, y), cost.error(y_hat, y))} == {dtype}


@pytest.mark.parametrize("name", NAMES)
def test_numpy_and_jax_agree(name, x64):
    y_hat, y = np.random.default_rng(0).uniform(0.1, 0.9, (2, 4, 2))
    cost, (y_hat_jax, y_jax) = cost_named(name), (jnp.asarray(y_hat), jnp.asarray(y))
    np.testing.assert_allclose(cost.per_observation(y_hat_jax, y_jax), cost.per_observation(y_hat, y), rtol=1e-13)
    np.testing.assert_allclose(cost.error(y_hat_jax, y_jax), cost.error(y_hat, y), rtol=1e-13)


@pytest.mark.parametrize("y_type", [int, bool])
@pytest.mark.parametrize("name", NAMES)
def test_targets_may_be_whole_numbers_or_booleans(name, y_type):
    y_hat, y = np.random.default_rng(0).uniform(0.1, 0.9, (4, 2)), np.eye(4, 2)
    cost = cost_named(name)
    np.testing.assert_array_equal(cost.per_observation(y_hat, y.astype(y_type)), cost.per_observation(y_hat, y))
    np.testing.assert_array_equal(cost.error(y_hat, y.astype(y_type)), cost.error(y_hat, y))


@pytest.mark.parametrize("y_type", [int, bool])
@pytest.mark.parametrize("pair", PAIRS)
def test_the_targets_of_a_fused_pair_may_be_whole_numbers_or_booleans(pair, y_type):
    fused, _, params, X, _ = fused_and_general(pair, 0)
    fwd, Y = cr.forward(fused, params, X), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    assert cr.cost(fused, fwd, Y.astype(y_type)) == cr.cost(fused, fwd, Y)
    one, other = (cr.backward(fused, params, fwd, targets).delta[-1] for targets in (Y.astype(y_type), Y))
    np.testing.assert_array_equal(one, other)


# Observation weights, in a network: the cost of the batch and its gradient.


def case_of(problem, name, reduction="mean"):
    return problem(cr.Network([3, 4, 2], "sigmoid", name, reduction), n=6)


@pytest.mark.parametrize("name", COSTS)
def test_a_padded_row_changes_nothing(name, problem, assert_close):
    case = case_of(problem, name)
    w, kept = case.weights, slice(0, -1)
    assert w[-1] == 0
    np.testing.assert_allclose(case.cost(w), case.cost(w[kept], kept), rtol=1e-14)
    assert_close(case.gradient(weights=w), case.gradient(weights=w[kept], rows=kept), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", [name for name in COSTS if name != "rmse"])
def test_a_weight_of_3_is_the_row_three_times(name, reduction, problem, assert_close):
    case = case_of(problem, name, reduction)
    w, rows = np.array([1, 3, 1, 2, 1, 0.0]), [0, 1, 1, 1, 2, 3, 3, 4]
    np.testing.assert_allclose(case.cost(w), case.cost(rows=rows), rtol=1e-13)
    assert_close(case.gradient(weights=w), case.gradient(rows=rows), rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in COSTS if name != "rmse"])
def test_the_sum_is_n_times_the_mean(name, problem, assert_close):
    mean, total = (case_of(problem, name, reduction) for reduction in ("mean", "sum"))
    np.testing.assert_allclose(total.cost(), 6 * mean.cost(), rtol=1e-14)
    scaled = [cr.Layer(6 * W, 6 * b) for W, b in mean.gradient()]
    assert_close(total.gradient(), scaled, rtol=1e-12)


@given(seed=st.integers(0, 1000), factor=st.floats(0.01, 100))
def test_the_mean_is_the_same_with_all_weights_scaled(seed, factor, problem, assert_close):
    case = problem(cr.Network([3, 4, 2], "tanh", "rmse"), seed=seed)
    np.testing.assert_allclose(case.cost(factor * case.weights), case.cost(case.weights), rtol=1e-12)
    assert_close(case.gradient(weights=factor * case.weights), case.gradient(weights=case.weights), rtol=1e-10)


@given(seed=st.integers(0, 1000), factor=st.floats(-3, 3))
def test_the_summed_gradient_is_linear_in_the_weights(seed, factor, problem, assert_close):
    case = problem(cr.Network([3, 4, 2], "tanh", "half_squared_error", "sum"), seed=seed)
    one, other = np.random.default_rng(seed).uniform(0, 1, (2, 7))
    together = case.gradient(weights=one + factor * other)
    apart = zip(case.gradient(weights=one), case.gradient(weights=other), strict=True)
    assert_close(together, [cr.Layer(a.W + factor * b.W, a.b + factor * b.b) for a, b in apart], atol=1e-12)


@pytest.mark.parametrize("name", COSTS)
def test_weights_of_1_are_no_weights(name, problem, assert_close):
    case = case_of(problem, name)
    assert case.cost(np.ones(6)) == case.cost()
    assert_close(case.gradient(weights=np.ones(6)), case.gradient(), rtol=0, atol=0)


def test_weights_may_be_whole_numbers(problem):
    case = case_of(problem, "half_squared_error")
    assert case.cost(np.array([1, 2, 0, 1, 1, 1])) == case.cost(np.array([1, 2, 0, 1, 1, 1.0]))


@pytest.mark.parametrize("name", COSTS)
def test_a_batch_of_padded_rows_alone_costs_nothing_and_moves_nothing(name, problem):
    case = case_of(problem, name)
    assert case.cost(np.zeros(6)) == 0
    assert all((array == 0).all() for layer in case.gradient(weights=np.zeros(6)) for array in layer)


@pytest.mark.parametrize(
    ("short", "long"), [("huber", "huber:1"), ("huber:1", "huber:1.0"), ("pinball", "pinball:0.5")]
)
def test_the_same_cost_however_it_is_named(short, long):
    assert cr.Network([2, 1], cost=short) == cr.Network([2, 1], cost=long)
    assert hash(cr.Network([2, 1], cost=short)) == hash(cr.Network([2, 1], cost=long))


@pytest.mark.parametrize("cost", ["binary_cross_entropy", "poisson"])
@pytest.mark.parametrize("activation", ["identity", "tanh", "elu"])
def test_a_cost_whose_domain_the_output_leaves_is_bounded_and_its_gradient_right(cost, activation):
    network = cr.Network([2, 3, 1], ["tanh", activation], cost)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(0, 3, (20, 2)), rng.uniform(0, 1, (20, 1))
    params = cr.initialize(network, seed=1)
    assert cr.cost(network, cr.forward(network, params, X), Y) > 0
    assert cr.check_gradients(network, params, X, Y).passed

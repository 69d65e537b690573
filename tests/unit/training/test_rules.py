from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

import chainrule as cr
from chainrule.training.batches import order_of

NETWORK = cr.Network([3, 4, 2], "tanh")

SCHEDULES = {
    "step": cr.step_decay(0.4, 0.5, every=10),
    "exponential": cr.exponential_decay(0.4, 0.5, every=10),
    "inverse time": cr.inverse_time_decay(0.4, rate=0.1),
    "cosine": cr.cosine_decay(0.4, steps=40),
}


def follow(rule, params, gradients):
    """The parameters after each of the gradients, whatever the parameters are by then."""
    state, path = rule.init(params), []
    for gradient in gradients:
        params, state = cr.update(rule, params, gradient, state)
        path.append(params)
    return path


@pytest.fixture(scope="module")
def start():
    return cr.initialize(NETWORK, seed=0)


@pytest.fixture(scope="module")
def gradients():
    return [cr.initialize(NETWORK, seed=seed) for seed in range(1, 7)]


def flat(params):
    return [array for layer in params for array in layer]


# Schedules


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("step", {0: 0.4, 9: 0.4, 10: 0.2, 19: 0.2, 20: 0.1}),
        ("exponential", {0: 0.4, 5: 0.4 / np.sqrt(2), 10: 0.2, 20: 0.1}),
        ("inverse time", {0: 0.4, 10: 0.2, 30: 0.1}),
        ("cosine", {0: 0.4, 10: 0.2 * (1 + np.sqrt(0.5)), 20: 0.2, 40: 0, 41: 0, 1000: 0}),
    ],
)
def test_rates_are_those_of_the_formula(name, rates):
    np.testing.assert_allclose([SCHEDULES[name](step) for step in rates], list(rates.values()), atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
@given(step=st.integers(0, 200))
def test_schedules_start_fast_and_never_speed_up(name, step):
    assert 0.4 == SCHEDULES[name](0) >= SCHEDULES[name](step) >= SCHEDULES[name](step + 1) >= 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_numpys_and_jaxs_step_counts_give_the_same_rates(name):
    for step in (0, 7, 10, 39, 40, 57):
        rate = SCHEDULES[name](step)
        np.testing.assert_allclose(SCHEDULES[name](np.int32(step)), rate, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(SCHEDULES[name](jnp.int32(step)), rate, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_updates_follow_the_schedule(name, start, gradients):
    path = [start, *follow(cr.gradient_descent(SCHEDULES[name]), start, gradients)]
    for step, gradient in enumerate(gradients):
        moved = path[step + 1][0].W - path[step][0].W
        np.testing.assert_allclose(moved, -SCHEDULES[name](step) * gradient[0].W, rtol=1e-12, atol=1e-15)


def test_any_function_of_the_step_is_a_schedule(start, gradients):
    constant = follow(cr.gradient_descent(0.1), start, gradients)
    function = follow(cr.gradient_descent(lambda step: 0.1 + 0 * step), start, gradients)
    np.testing.assert_array_equal(flat(function[-1])[0], flat(constant[-1])[0])


# Gradient descent


def test_the_plain_rule_is_w_minus_eta_times_the_gradient(start, gradients, assert_close):
    params, state = cr.update(rule := cr.gradient_descent(0.5), start, gradients[0], rule.init(start))
    expected = [cr.Layer(W - 0.5 * dW, b - 0.5 * db) for (W, b), (dW, db) in zip(start, gradients[0], strict=True)]
    assert_close(params, expected, rtol=0, atol=0)
    assert state.step == 1


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_adds_a_share_of_the_last_step(momentum, start, gradients):
    path = [p[0].W for p in (start, *follow(cr.gradient_descent(0.1, momentum), start, gradients))]
    for before, now, after, gradient in zip(path, path[1:], path[2:], gradients[1:], strict=False):
        np.testing.assert_allclose(after - now, momentum * (now - before) - 0.1 * gradient[0].W, rtol=1e-10)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("schedule", [lambda step: 0.1, SCHEDULES["inverse time"]])
def test_momentum_is_scikit_learns(schedule, nesterov, start, gradients):
    theirs = [array.copy() for array in flat(start)]
    optimizer = SGDOptimizer(theirs, momentum=0.9, nesterov=nesterov)
    path = follow(cr.gradient_descent(schedule, momentum=0.9, nesterov=nesterov), start, gradients)
    for step, (ours, gradient) in enumerate(zip(path, gradients, strict=True)):
        optimizer.learning_rate = schedule(step)
        optimizer.update_params(theirs, flat(gradient))
        for one, other in zip(flat(ours), theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0, False), (0.9, False), (0.9, True)])
def test_with_a_constant_rate_momentum_is_optaxs_too(momentum, nesterov, start, gradients, assert_close, x64):
    ours = follow(cr.gradient_descent(0.1, momentum, nesterov), start, gradients)
    theirs = follow(optax.sgd(0.1, momentum or None, nesterov), start, gradients)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_float32_parameters_stay_float32(momentum):
    params = cr.initialize(NETWORK, dtype="float32")
    path = follow(cr.gradient_descent(SCHEDULES["cosine"], momentum), params, [params])
    assert {array.dtype.name for array in flat(path[0])} == {"float32"}


def test_equal_rules_are_equal_and_hash_alike():
    make = lambda: cr.gradient_descent(cr.step_decay(0.5, 0.9, every=7), momentum=0.5)  # noqa: E731
    assert make() == make()
    assert hash(make()) == hash(make())
    assert make() != cr.gradient_descent(cr.step_decay(0.5, 0.9, every=8), momentum=0.5)


# optax


@pytest.mark.parametrize(
    ("name", "options"),
    [("adam", {}), ("adamw", {"weight_decay": 0.1}), ("rmsprop", {"decay": 0.8}), ("adagrad", {}), ("nadam", {})],
)
def test_an_optax_rule_by_name_is_the_object(name, options, start, gradients, assert_close, x64):
    by_name = follow(cr.optax_rule(name, 0.01, **options), start, gradients)
    by_object = follow(getattr(optax, name)(0.01, **options), start, gradients)
    assert_close(by_name[-1], by_object[-1], rtol=0, atol=0)


def test_adams_first_step_is_the_learning_rate_against_each_sign(start, gradients, x64):
    (first, *_) = follow(cr.optax_rule("adam", 0.01), start, gradients)
    np.testing.assert_allclose(first[0].W - start[0].W, -0.01 * np.sign(gradients[0][0].W), rtol=1e-5)


@pytest.mark.parametrize("rule", [cr.optax_rule("adam", 0.01), optax.adam(0.01)], ids=["by name", "by object"])
def test_training_with_adam_is_optaxs_own_loop(rule, problem, assert_close, x64):
    case = problem(NETWORK)
    params, theirs = case.params, optax.adam(0.01)
    state, next_step = theirs.init(params), jax.jit(theirs.update)
    for epoch in (1, 2):
        order = order_of(0, epoch, 7)
        for rows in (order[:3], order[3:6], order[6:]):
            step, state = next_step(case.gradient(rows=rows), state)
            case.params = params = jax.tree.map(np.add, params, step)
    start = problem(NETWORK).params
    fit = cr.train(NETWORK, start, case.X, case.Y, rule=rule, epochs=2, batch_size=3, dtype="float64")
    assert_close(fit.params, params)


def test_an_optax_rule_follows_a_schedule(start, gradients, assert_close, x64):
    schedule = cr.step_decay(0.1, 0.5, every=2)
    ours = follow(cr.optax_rule("sgd", schedule), start, gradients)
    assert_close(ours[-1], follow(cr.gradient_descent(schedule), start, gradients)[-1], rtol=1e-6)


def test_equal_optax_rules_are_equal_and_hash_alike():
    make = lambda rate: cr.optax_rule("adam", rate, b1=0.8, b2=0.9)  # noqa: E731
    assert make(0.1) == make(0.1)
    assert hash(make(0.1)) == hash(make(0.1))
    assert make(0.1) != make(0.2)


# Bad arguments


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "make",
    [
        cr.gradient_descent,
        cr.step_decay,
        cr.exponential_decay,
        cr.inverse_time_decay,
        lambda rate: cr.cosine_decay(rate, steps=10),
        lambda rate: cr.optax_rule("adam", rate),
    ],
)
def test_a_learning_rate_out_of_range_is_refused(make, rate):
    with pytest.raises(ValueError, match=f"learning rate: expected a number above 0, such as 0.1; got {rate}"):
        make(rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cr.gradient_descent(0.1, momentum=1), "momentum: expected a number from 0 to below 1, got 1"),
        (lambda: cr.gradient_descent(0.1, momentum=-0.1), "momentum: .*got -0.1"),
        (lambda: cr.gradient_descent(0.1, nesterov=True), "nesterov needs a momentum above 0, such as 0.9"),
        (lambda: cr.step_decay(0.1, factor=0), "decay factor: expected a number above 0 and at most 1, got 0"),
        (lambda: cr.exponential_decay(0.1, factor=1.1), "decay factor: .*got 1.1"),
        (lambda: cr.step_decay(0.1, every=0), "every: expected a whole number of updates, 1 or more; got 0"),
        (lambda: cr.inverse_time_decay(0.1, rate=-1), "expected a rate of 0 or more, got -1"),
        (lambda: cr.cosine_decay(0.1, steps=0), "steps: expected a whole number of updates, 1 or more; got 0"),
        (lambda: cr.optax_rule("adamm", 0.1), r"optax has no optimiser 'adamm'; did you mean 'adam"),
        (lambda: cr.optax_rule("chain", 0.1), "optax has no optimiser 'chain'"),
        (lambda: cr.optax_rule("adam", 0.1, beta1=0.9), "optax.adam has no option 'beta1'"),
    ],
)
def test_a_wrong_argument_says_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("inner", [cr.gradient_descent(0.1, 0.9), cr.optax_rule("adam", 0.01), optax.sgd(0.1)])
@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_a_clipped_rule_is_optaxs_chain(inner, max_norm):
    network = cr.Network([3, 4, 1], "tanh")
    params = cr.initialize(network, seed=0, dtype="float32")
    gradient = jax.tree.map(lambda x: 10 * x, params)
    ours, theirs = cr.clipped(inner, max_norm), optax.chain(optax.clip_by_global_norm(max_norm), inner)
    a, b, mine, other = params, params, ours.init(params), theirs.init(params)
    for _ in range(3):
        a, mine = cr.update(ours, a, gradient, mine)
        b, other = cr.update(theirs, b, gradient, other)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x.W, y.W, rtol=1e-5)


@pytest.mark.parametrize("max_norm", [0, -1, float("inf"), float("nan")])
def test_a_norm_to_clip_to_is_a_number_above_0(max_norm):
    with pytest.raises(ValueError, match="max_norm: expected a number above 0"):
        cr.clipped(cr.gradient_descent(0.1), max_norm)


def test_a_clipped_rule_in_train_keeps_its_learning_rate_in_the_history():
    network = cr.Network([2, 3, 1])
    X, Y = np.eye(2), np.array([[0.0], [1.0]])
    rule = cr.clipped(cr.gradient_descent(0.5), 0.01)
    fit = cr.train(network, cr.initialize(network, seed=0), X, Y, rule=rule, epochs=2)
    assert fit.history.learning_rate.tolist() == [0.5, 0.5]
    moved = np.sqrt(
        sum(
            ((a - b) ** 2).sum()
            for p, q in zip(fit.params, cr.initialize(network, seed=0), strict=True)
            for a, b in zip(p, q, strict=True)
        )
    )
    assert moved <= 2 * 0.5 * 0.01 * 1.0001


@pytest.mark.parametrize(
    ("name", "rule", "message"),
    [
        ("lbfgs", optax.lbfgs, "performs a line search.*solver='lbfgs'"),
        ("reduce_on_plateau", optax.contrib.reduce_on_plateau, "depends on the cost; use a schedule"),
        ("lookahead", lambda: optax.lookahead(optax.sgd(0.1), 5, 0.5), "two sets of parameters; use .*average="),
        (
            "noisy_sgd",
            lambda: optax.chain(optax.sgd(0.1), optax.polyak_sgd()),
            "a seed of its own|more than a gradient",
        ),
    ],
)
def test_a_rule_that_needs_more_than_a_gradient_is_refused(name, rule, message):
    network, X, Y = cr.Network([2, 3, 1]), np.eye(2), np.array([[0.0], [1.0]])
    params = cr.initialize(network, seed=0)
    with pytest.raises(ValueError, match=message):
        cr.optax_rule(name, 0.1)
    with pytest.raises(ValueError, match=message):
        cr.train(network, params, X, Y, rule=cr.clipped(rule(), 1.0))
    with pytest.raises(ValueError, match=message):
        cr.explain_step(network, params, X, Y, rule=rule())
    with pytest.raises(ValueError, match=message):
        cr.MLPRegressor(rule=rule()).fit(X, Y[:, 0])

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import chainrule as cr
from chainrule import driver
from chainrule.training import memory
from chainrule.training.batches import bucket, order_of

NETWORK = cr.Network([2, 3, 1], "tanh")
RULE = cr.gradient_descent(0.3, momentum=0.5)


class Table:
    """Ten rows of y = sin(x1) and noise, with weights of which one is 0."""

    def __init__(self, n=10, seed=5):
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(n, 2))
        self.Y = np.sin(self.X[:, :1]) + rng.normal(scale=0.1, size=(n, 1))
        self.weights = rng.uniform(0.5, 2, n)
        self.weights[3] = 0


@pytest.fixture(scope="module")
def table():
    return Table()


@pytest.fixture(scope="module")
def start():
    return cr.initialize(NETWORK, seed=3)


LOOKS = cr.MinGradient(1e-300)  # never reached; with mini-batches, gradients are measured if a goal looks at them


def train(table, start, network=NETWORK, **settings):
    settings = {"rule": RULE, "epochs": 5, "dtype": "float64"} | settings
    return cr.train(network, start, table.X, table.Y, **settings)


def assert_same_bits(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


# Batches and their order, against a plain loop over NumPy arrays


@pytest.mark.parametrize(
    ("batch_size", "sample"),
    [(None, "permutation"), *((n, sample) for n in [1, 4, 10] for sample in ("permutation", "with_replacement"))],
)
def test_every_batch_size_is_the_plain_loop(batch_size, sample, table, start, by_hand, assert_close):
    orders = lambda epoch: order_of(7, epoch, 10, sample)  # noqa: E731
    path = by_hand(NETWORK, start, table.X, table.Y, RULE, 5, batch_size=batch_size, orders=orders)
    fit = train(table, start, batch_size=batch_size, sample=sample, seed=7, stop=[LOOKS])
    assert_close(fit.params, path[-1][0])
    np.testing.assert_allclose(fit.history.cost, [cost for _, cost, _ in path], rtol=1e-12)
    np.testing.assert_allclose(fit.history.gradient_norm, [norm for _, _, norm in path], rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("batch_size", "sample"), [(None, "permutation"), (4, "permutation"), (4, "with_replacement")])
def test_observation_weights_are_the_plain_loops(batch_size, reduction, sample, table, start, by_hand, assert_close):
    network, rule = cr.Network([2, 3, 1], "tanh", reduction=reduction), cr.gradient_descent(0.05)
    orders, weights = (lambda epoch: order_of(7, epoch, 10, sample)), table.weights
    given = {"batch_size": batch_size, "weights": weights}
    path = by_hand(network, start, table.X, table.Y, rule, 3, orders=orders, **given)
    fit = train(table, start, network, rule=rule, epochs=3, sample=sample, seed=7, **given)
    assert_close(fit.params, path[-1][0])
    np.testing.assert_allclose(fit.history.cost, [cost for _, cost, _ in path], rtol=1e-12)


def test_a_batch_size_above_the_rows_is_one_batch(table, start):
    assert_same_bits(train(table, start, batch_size=50).params, train(table, start, batch_size=10).params)


def test_a_row_of_weight_0_is_as_if_not_there(table, start, assert_close):
    padded, shorter = train(table, start, weights=table.weights), Table()
    kept = np.arange(10) != 3
    shorter.X, shorter.Y = table.X[kept], table.Y[kept]
    assert_close(padded.params, train(shorter, start, weights=table.weights[kept]).params)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_penalty_is_in_the_history_and_in_the_updates(batch_size, table, start, by_hand, assert_close):
    network, rule = cr.Network([2, 3, 1], "tanh", l2=0.05), cr.gradient_descent(0.3)
    orders = lambda epoch: order_of(0, epoch, 10)  # noqa: E731
    path = by_hand(network, start, table.X, table.Y, rule, 3, batch_size=batch_size, orders=orders)
    fit = train(table, start, network, rule=rule, epochs=3, batch_size=batch_size)
    assert_close(fit.params, path[-1][0])
    np.testing.assert_allclose(fit.history.cost, [cost for _, cost, _ in path])


def test_an_order_of_ones_own_is_taken_epoch_by_epoch(table, start, by_hand, assert_close):
    asked = []

    def backwards(epoch):
        asked.append(epoch)
        return np.roll(np.arange(10)[::-1], epoch)

    fit = train(table, start, batch_size=4, order=backwards)
    assert asked == [1, 2, 3, 4, 5]
    path = by_hand(NETWORK, start, table.X, table.Y, RULE, 5, batch_size=4, orders=backwards)
    assert_close(fit.params, path[-1][0])


@given(seed=st.integers(0, 2**32), epoch=st.integers(1, 10**6), n=st.integers(1, 50))
def test_the_order_is_a_function_of_seed_and_epoch(seed, epoch, n):
    order = order_of(seed, epoch, n)
    assert sorted(order) == list(range(n))
    np.testing.assert_array_equal(order, order_of(seed, epoch, n))
    drawn = order_of(seed, epoch, n, "with_replacement")
    assert len(drawn) == n
    assert set(drawn) <= set(range(n))


def test_another_seed_or_epoch_is_another_order():
    orders = [order_of(seed, epoch, 100).tolist() for seed in (0, 1) for epoch in (1, 2)]
    assert len({tuple(order) for order in orders}) == 4


def test_the_seed_decides_the_run(table, start):
    one, same, other = (train(table, start, batch_size=4, seed=seed).params for seed in (1, 1, 2))
    assert_same_bits(one, same)
    assert not np.array_equal(one[0].W, other[0].W)


# The same run, however it is cut


@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_first_10_epochs_of_20_are_a_run_of_10(batch_size, table, start):
    ten, twenty = (train(table, start, epochs=n, batch_size=batch_size).history for n in (10, 20))
    for name in ("cost", "gradient_norm", "learning_rate"):
        np.testing.assert_array_equal(getattr(ten, name), getattr(twenty, name)[:10])


@pytest.mark.parametrize("batch_size", [None, 4])
def test_resuming_an_order_continues_the_run(batch_size, table, start):
    """Plain gradient descent has no memory: 5 epochs and then 5 more are 10."""
    rule = cr.gradient_descent(0.3)
    half = train(table, start, rule=rule, batch_size=batch_size)
    rest = train(table, half.params, rule=rule, batch_size=batch_size, order=lambda epoch: order_of(0, epoch + 5, 10))
    assert_same_bits(rest.params, train(table, start, rule=rule, epochs=10, batch_size=batch_size).params)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("cut", [{"EPOCHS_PER_DISPATCH": 3}, {"SECONDS_PER_DISPATCH": 0}, {"ORDERS_PER_DISPATCH": 25}])
def test_the_number_of_epochs_per_dispatch_changes_nothing(cut, batch_size, table, start, monkeypatch):
    goal = [cr.CostGoal(float(train(table, start, epochs=8, batch_size=batch_size).history.cost[-1]) * 1.0001)]
    whole = train(table, start, epochs=20, stop=goal, batch_size=batch_size)
    for name, value in cut.items():
        monkeypatch.setattr(driver if name.startswith("SECONDS") else memory, name, value)
    pieces = train(table, start, epochs=20, stop=goal, batch_size=batch_size)
    assert (pieces.epochs, pieces.stopped_by) == (whole.epochs, whole.stopped_by)
    assert_same_bits(pieces.params, whole.params)
    assert_same_bits(pieces.history[:-1], whole.history[:-1])  # all but the seconds


# One program for many tables


class Counted:
    """A tanh that counts how often it is traced: compiled programs do not call it again."""

    def __init__(self):
        self.calls = 0
        self.activation = cr.Activation("counted", self, lambda z, a: 1 - a * a)

    def __call__(self, z):
        self.calls += 1
        return z.__array_namespace__().tanh(z)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_learning_rates_penalties_dropout_and_goals_share_a_program(batch_size, start):
    counted = Counted()
    table, calls = Table(33), []
    for number in (0.1, 0.2, 0.4):
        network = cr.Network([2, 3, 1], counted.activation, l2=number)
        rule = cr.gradient_descent(cr.step_decay(number, number, int(100 * number)))
        how = {"stop": [cr.CostGoal(number / 100), cr.MaxSeconds(100 * number)], "dropout": number, "average": number}
        cr.train(network, start, table.X, table.Y, rule=rule, batch_size=batch_size, epochs=3, **how)
        calls.append(counted.calls)
    assert calls[0] == calls[1] == calls[2] > 0


@pytest.mark.parametrize("batch_size", [None, 8])
def test_tables_of_about_the_same_size_and_any_number_of_epochs_share_a_program(batch_size, start):
    counted = Counted()
    network = cr.Network([2, 3, 1], counted.activation)
    run = lambda n, epochs: train(Table(n), start, network, epochs=epochs, batch_size=batch_size)  # noqa: E731
    run(33, 1)
    calls = counted.calls
    run(34, 7)
    run(36, 3)
    assert counted.calls == calls > 0
    run(65, 1)
    assert counted.calls > calls


def test_equal_designs_rules_and_goals_share_a_program(table, start):
    counted = Counted()

    def run():
        network = cr.Network(
            [2, 3, 1], [counted.activation, "identity"], "huber:2", l2=0.1, masks=[None, np.ones((3, 1))]
        )
        rule = cr.gradient_descent(cr.cosine_decay(0.1, 9))
        return train(table, start, network, rule=rule, stop=[cr.CostGoal(1e-9), cr.Unchanged()])

    run()
    calls = counted.calls
    run()
    assert counted.calls == calls > 0


@given(n=st.integers(1, 10**7))
def test_a_bucket_is_at_most_an_eighth_too_large(n):
    assert n <= bucket(n) <= n + n / 8
    assert bucket(bucket(n)) == bucket(n)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_padding_a_table_to_its_bucket_changes_nothing(batch_size, start, by_hand, assert_close):
    table, n = Table(17), 17
    assert bucket(n) > n
    orders = lambda epoch: order_of(0, epoch, n)  # noqa: E731
    path = by_hand(NETWORK, start, table.X, table.Y, RULE, 2, batch_size=batch_size, orders=orders)
    fit = train(table, start, epochs=2, batch_size=batch_size)
    assert_close(fit.params, path[-1][0])
    np.testing.assert_allclose(fit.history.cost, [cost for _, cost, _ in path])


# Precision


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("callers", [False, True])
def test_the_callers_jax_configuration_is_left_alone(callers, dtype, table, start):
    with jax.enable_x64(callers):
        fit = train(table, start, dtype=dtype)
        assert jax.config.jax_enable_x64 == callers
    assert {array.dtype.name for layer in fit.params for array in layer} == {dtype}


def test_the_callers_jax_configuration_is_left_alone_by_a_failure(table, start):
    with pytest.raises(cr.DivergedError):
        train(table, start, cr.Network([2, 3, 1], "identity"), rule=cr.gradient_descent(1e9), epochs=500)
    assert not jax.config.jax_enable_x64


def test_float32_and_float64_agree_to_float32s_digits(table, start, assert_close):
    one, other = (train(table, start, dtype=dtype) for dtype in ("float32", "float64"))
    assert_close(one.params, other.params, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(one.params[0].W, other.params[0].W)


def test_what_is_given_is_not_changed(table, start):
    arrays = [table.X, table.Y, table.weights, *jax.tree.leaves(start)]
    before = [array.copy() for array in arrays]
    train(table, start, weights=table.weights, validation=(table.X, table.Y))
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_tables_may_be_nested_lists_of_whole_numbers(start):
    lists = Table()
    lists.X, lists.Y = [[0, 1], [1, 0]], [[1], [0]]
    arrays = Table()
    arrays.X, arrays.Y = np.array(lists.X, float), np.array(lists.Y, float)
    assert_same_bits(train(lists, start).params, train(arrays, start).params)


# History


def test_the_history_has_one_row_an_epoch(table, start):
    fit = train(table, start, epochs=7)
    assert fit.history.epoch.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert {column.shape for column in fit.history} == {(7,)}
    assert np.isnan(fit.history.validation_cost).all()
    assert np.isnan(fit.history.validation_metric).all()
    assert (np.diff(fit.history.seconds) >= 0).all()
    assert fit.history.seconds[0] > 0


@pytest.mark.parametrize(
    ("batch_size", "words"), [(None, "at the end of the epoch"), (4, "average over the epoch's batches")]
)
def test_the_fit_says_what_the_cost_is(batch_size, words, table, start):
    assert train(table, start, batch_size=batch_size).cost_is == words


def test_the_last_cost_is_that_of_the_parameters(table, start):
    fit = train(table, start)
    cost = cr.cost(NETWORK, cr.forward(NETWORK, fit.params, table.X), table.Y)
    np.testing.assert_allclose(fit.history.cost[-1], cost, rtol=1e-13)


HALVED = cr.step_decay(0.2, 0.5, every=6)


@pytest.mark.parametrize(
    ("rule", "batch_size", "last_steps"),
    [
        (cr.gradient_descent(HALVED), None, [0, 1, 2, 3]),
        (cr.gradient_descent(HALVED), 4, [2, 5, 8, 11]),
        (cr.optax_rule("sgd", HALVED), 4, [2, 5, 8, 11]),
    ],
)
def test_the_learning_rate_is_that_of_the_epochs_last_update(rule, batch_size, last_steps, table, start):
    fit = train(table, start, rule=rule, epochs=4, batch_size=batch_size)
    np.testing.assert_allclose(fit.history.learning_rate, [0.2 * 0.5 ** (step // 6) for step in last_steps])
    assert int(fit.rule_state.step) == last_steps[-1] + 1


def test_the_learning_rate_inside_an_optax_object_is_not_known(table, start):
    assert np.isnan(train(table, start, rule=optax.sgd(0.1)).history.learning_rate).all()


# Validation


def test_the_best_epochs_parameters_are_returned(table, start):
    path = [start, *(train(table, start, epochs=n).params for n in range(1, 9))]
    X = table.X + 0.5
    Y = cr.forward(NETWORK, path[5], X).a[-1]  # fitted best in epoch 5
    fit = train(table, start, epochs=8, validation=(X, Y))
    assert (fit.best_epoch, fit.epochs, fit.stopped_by) == (5, 8, "epochs")
    assert_same_bits(fit.params, path[5])


def test_validation_changes_nothing_in_the_training(table, start):
    without, with_rows = train(table, start), train(table, start, validation=(table.X + 1, table.Y))
    np.testing.assert_array_equal(with_rows.history.cost, without.history.cost)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_validation_rows_are_weighed(reduction, table, start):
    network, w = cr.Network([2, 3, 1], "tanh", reduction=reduction, l2=0.1), table.weights
    X, Y = table.X + 1, table.Y
    fit = train(table, start, network, rule=cr.gradient_descent(0.01), epochs=1, validation=(X, Y, w))
    fwd = cr.forward(network, fit.params, X)
    plain = cr.Network([2, 3, 1], "tanh", reduction=reduction)  # the penalty is the training's alone
    np.testing.assert_allclose(fit.history.validation_cost, cr.cost(plain, fwd, Y, w), rtol=1e-12)
    rmse = np.sqrt(np.average((fwd.a[-1] - Y)[:, 0] ** 2, weights=w))
    np.testing.assert_allclose(fit.history.validation_metric, rmse, rtol=1e-12)
    assert fit.metric == "rmse"


@pytest.mark.parametrize(
    ("n_out", "activation", "cost"),
    [(1, "sigmoid", "binary_cross_entropy"), (3, "softmax", "categorical_cross_entropy")],
)
def test_with_a_cross_entropy_the_metric_is_the_weighted_accuracy(n_out, activation, cost, table):
    network = cr.Network([2, n_out], activation, cost)
    labels = np.random.default_rng(0).integers(0, max(n_out, 2), 10)
    mixed = Table()
    mixed.Y = labels[:, None] if n_out == 1 else np.eye(3)[labels]
    start = cr.initialize(network, seed=1)
    fit = train(mixed, start, network, epochs=1, validation=(mixed.X, mixed.Y, mixed.weights))
    output = cr.forward(network, fit.params, mixed.X).a[-1]
    told = output[:, 0] > 0.5 if n_out == 1 else output.argmax(axis=1)
    right = np.average(told == labels, weights=mixed.weights)
    assert 0 < right < 1
    np.testing.assert_allclose(fit.history.validation_metric, right)
    assert fit.metric == "accuracy"


# Divergence

LINEAR = cr.Network([2, 1], "identity")


@pytest.mark.parametrize("batch_size", [None, 4])
def test_divergence_names_the_epoch_and_keeps_the_last_good_parameters(batch_size, table):
    start, settings = cr.initialize(LINEAR), {"rule": cr.gradient_descent(50.0), "batch_size": batch_size}
    with pytest.raises(cr.DivergedError, match=r"in epoch (\d+): try a smaller learning rate") as caught:
        train(table, start, LINEAR, epochs=500, dtype="float32", **settings)
    fit = caught.value.fit
    assert 1 < fit.epochs < 500
    assert fit.stopped_by == "diverged"
    assert f"in epoch {fit.epochs + 1}:" in str(caught.value)
    assert f"parameters of epoch {fit.epochs} are kept" in str(caught.value)
    assert len(fit.history.cost) == fit.epochs
    assert all(np.isfinite(array).all() for array in (fit.history.cost, *jax.tree.leaves(fit.params)))
    assert_same_bits(fit.params, train(table, start, LINEAR, epochs=fit.epochs, dtype="float32", **settings).params)


def test_parameters_that_overflow_after_an_epochs_last_cost_are_not_kept():
    network, rule = cr.Network([2, 1], "identity", reduction="sum"), cr.gradient_descent(1e30)
    huge = Table()
    huge.Y = 1e10 * huge.Y  # so that a step is beyond float32, and the cost before it is not
    with pytest.raises(cr.DivergedError, match=r"in epoch 1: ") as caught:
        train(huge, cr.initialize(network), network, rule=rule, batch_size=10, dtype="float32")
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(caught.value.fit.params))


def test_a_run_that_cannot_begin_keeps_the_first_parameters(table, start):
    huge = Table()
    huge.Y = 1e30 * huge.Y  # its square is beyond float32
    with pytest.raises(cr.DivergedError, match=r"in epoch 1: .*\(the parameters of epoch 0 are kept\)") as caught:
        train(huge, start, dtype="float32")
    assert caught.value.fit.epochs == 0
    assert_same_bits(caught.value.fit.params, [cr.Layer(*(x.astype("float32") for x in layer)) for layer in start])


def test_divergence_with_validation_keeps_the_best_parameters(table):
    start = cr.initialize(LINEAR)
    with pytest.raises(cr.DivergedError) as caught:
        train(table, start, LINEAR, rule=cr.gradient_descent(50.0), epochs=500, validation=(table.X, table.Y))
    fit = caught.value.fit
    assert fit.best_epoch == 1 + np.argmin(fit.history.validation_cost)
    assert f"parameters of epoch {fit.best_epoch} are kept" in str(caught.value)


# The keyboard


def test_ctrl_c_ends_the_training_after_the_epoch_and_keeps_what_was_learnt(table, start):
    usual = signal.getsignal(signal.SIGINT)
    fit = train(table, start, epochs=10**6, progress=lambda progress: os.kill(os.getpid(), signal.SIGINT))
    assert fit.stopped_by == "interrupted"
    assert 0 < fit.epochs < 10**6
    assert_same_bits(fit.params, train(table, start, epochs=fit.epochs).params)
    assert signal.getsignal(signal.SIGINT) is usual


def test_ctrl_c_twice_stops_at_once(table, start):
    def impatient(progress):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(table, start, epochs=10**6, progress=impatient)
    assert signal.getsignal(signal.SIGINT) is usual


def test_ctrl_c_in_the_last_epoch_interrupts_nothing(table, start):
    fit = train(table, start, epochs=1, progress=lambda progress: os.kill(os.getpid(), signal.SIGINT))
    assert fit.stopped_by == "epochs"


def test_a_training_in_a_thread_leaves_the_keyboard_alone(table, start):
    usual, fits = signal.getsignal(signal.SIGINT), []
    handlers = []
    look = lambda progress: handlers.append(signal.getsignal(signal.SIGINT))  # noqa: E731
    thread = threading.Thread(target=lambda: fits.append(train(table, start, progress=look)))
    thread.start()
    thread.join()
    assert set(handlers) == {usual}
    assert_same_bits(fits[0].params, train(table, start).params)


def test_progress_is_told_of_the_last_epoch(table, start):
    told = []
    fit = train(table, start, epochs=6, validation=(table.X, table.Y), progress=told.append)
    last = told[-1]
    assert (last.epoch, last.epochs) == (6, 6)
    assert (last.cost, last.validation_cost) == (fit.history.cost[-1], fit.history.validation_cost[-1])
    assert last.seconds == fit.history.seconds[-1]
    assert [progress.epoch for progress in told] == sorted({progress.epoch for progress in told})


# Bad input


def changed(array, at, value):
    array = np.array(array, float)
    array[at] = value
    return array


X, Y, NAN = np.ones((4, 2)), np.ones((4, 1)), float("nan")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X": np.ones((4, 3))}, r"inputs: expected shape \(observations, 2\) for a 2-3-1 network, got \(4, 3\)"),
        ({"X": np.ones(4)}, r"inputs: .*got \(4,\); reshape"),
        ({"Y": np.ones((3, 1))}, r"targets: expected shape \(4, 1\) for a 2-3-1 network, got \(3, 1\)"),
        ({"Y": np.ones(4)}, r"targets: .*got \(4,\); make it a column with Y\[:, None\]"),
        ({"Y": np.ones((4, 2))}, r"targets: expected shape \(4, 1\).*got \(4, 2\)"),
        ({"X": np.ones((0, 2)), "Y": np.ones((0, 1))}, "training: expected one or more observations, got none"),
        (
            {"X": changed(X, (2, 1), NAN)},
            r"training inputs: expected finite numbers, got nan at \(2, 1\) \(row, column\)",
        ),
        ({"Y": changed(Y, (3, 0), -np.inf)}, r"training targets: expected finite numbers, got -inf at \(3, 0\)"),
        ({"weights": np.ones(3)}, r"observation weights: expected shape \(4,\), got \(3,\)"),
        ({"weights": [1, 1, -1, 1]}, "training weights: expected numbers of 0 or more, at least one above 0"),
        ({"weights": [0, 0, 0, 0]}, "training weights: .*at least one above 0"),
        ({"weights": [1, NAN, 1, 1]}, r"training weights: expected finite numbers, got nan at \(1,\)"),
        ({"validation": (X[:, :1], Y)}, r"inputs: expected shape \(observations, 2\).*got \(4, 1\)"),
        ({"validation": (changed(X, (0, 0), NAN), Y)}, r"validation inputs: expected finite.*at \(0, 0\)"),
        ({"validation": (X, Y, -np.ones(4))}, "validation weights: expected numbers of 0 or more"),
        ({"epochs": 0}, "epochs: expected a whole number, 1 or more; got 0"),
        ({"epochs": 1.5}, "epochs: .*got 1.5"),
        ({"batch_size": 0}, r"batch_size: expected None \(the whole table\) or a whole number, 1 or more; got 0"),
        ({"batch_size": 2.5}, "batch_size: .*got 2.5"),
        ({"sample": "bootstrap"}, 'sample: expected "permutation" or "with_replacement", got \'bootstrap\''),
        ({"dtype": "float16"}, 'dtype: expected "float32" or "float64", got \'float16\''),
    ],
)
def test_bad_input_says_what_was_expected_and_what_arrived(given, message, start):
    given = {"X": X, "Y": Y} | given
    with pytest.raises(ValueError, match=message):
        cr.train(NETWORK, start, rule=RULE, **given)


def test_a_batch_size_may_be_a_whole_float(table, start):
    assert_same_bits(train(table, start, batch_size=4.0).params, train(table, start, batch_size=4).params)


def test_draws_with_replacement_need_a_batch_size(start):
    with pytest.raises(ValueError, match="set batch_size"):
        cr.train(NETWORK, start, X, Y, rule=RULE, sample="with_replacement")


@dataclass(frozen=True)
class NoName:
    def reached(self, record):
        return record.cost < 1


SLIPS = {
    "a rule by its bare name": ({"rule": "adam"}, "rule: expected gradient_descent"),
    "a learning rate for a rule": ({"rule": 0.1}, "got 0.1"),
    "a goal without a list": ({"stop": cr.CostGoal(0.1)}, "stop: expected a list of goals"),
    "a goal without a name": ({"stop": [NoName()]}, "stop: expected goals with a name.*got NoName"),
    "a function for a goal": ({"stop": [max]}, "stop: expected goals with a name"),
    "sparse inputs": ({"X": csr_array(X)}, "training inputs: expected an array, got a sparse csr_array"),
    "sparse validation": ({"validation": (csr_array(X), Y)}, "validation inputs: expected an array"),
    "validation inputs alone": ({"validation": np.ones((4, 2))}, r"validation: expected \(X, Y\)"),
}


@pytest.mark.parametrize(("given", "words"), SLIPS.values(), ids=SLIPS)
def test_slips_of_the_hand_are_named(given, words, start):
    with pytest.raises(TypeError, match=words):
        cr.train(NETWORK, start, Y=Y, **{"X": X, "rule": RULE, **given})


@pytest.mark.parametrize("order", [np.arange(3), np.array([0, 1, 2, 4]), np.array([-1, 0, 1, 2])])
def test_an_order_of_ones_own_must_name_rows_that_are_there(order, start):
    with pytest.raises(ValueError, match="order: expected 4 row numbers from 0 to 3"):
        cr.train(NETWORK, start, X, Y, rule=RULE, batch_size=2, order=lambda epoch: order)


@pytest.mark.parametrize(("hidden", "tiny"), [(1, True), (4, True), (5, False)])
def test_deep_networks_are_not_made_one_function(hidden, tiny, monkeypatch):
    from chainrule.training import memory

    asked, program = [], memory.program
    monkeypatch.setattr(memory, "program", lambda *args: asked.append(args[2]) or program(*args[:2]))
    network = cr.Network([2, *[2] * hidden, 1], "tanh")
    cr.train(network, cr.initialize(network, seed=1), X, Y, rule=RULE, epochs=1)
    assert asked == [tiny]


def test_a_fit_is_shown_in_a_line(table, start):
    held = {"validation": (table.X, table.Y), "stop": [cr.CostGoal(1e9)]}
    plain, stopped = (cr.train(NETWORK, start, table.X, table.Y, rule=RULE, epochs=20, **more) for more in ({}, held))
    assert repr(plain).startswith("Fit(2-3-1; epoch 20 of 20; all epochs trained; cost 0.")
    assert repr(stopped).startswith("Fit(2-3-1; epoch 1 of 1; stopped by cost_goal; cost 0.")
    assert ", validation cost down to 0." in repr(stopped)
    assert repr(plain.history).startswith("History(20 rows; cost 0.")
    assert max(len(repr(plain)), len(repr(stopped))) < 160


def test_a_fit_without_an_epoch_is_shown_too(table):
    network = cr.Network([2, 1], "identity")
    with pytest.raises(cr.DivergedError) as raised:
        cr.train(network, cr.initialize(network), 1e20 * table.X, 1e20 * table.Y, rule=cr.gradient_descent(1e20))
    assert "no epoch" in repr(raised.value.fit)


@pytest.mark.parametrize("resumable", [False, True])
def test_processes_that_train_together_compare_their_settings(resumable, start, tmp_path, monkeypatch):
    compared, check_same = [], driver.check_same
    monkeypatch.setattr(driver, "check_same", lambda mine: compared.append(mine) or check_same(mine))
    folder = {"resumable": tmp_path} if resumable else {}
    cr.train(NETWORK, start, X, Y, rule=RULE, epochs=2, together=True, **folder)
    assert len(compared) == 1

"""Every goal stops at the epoch at which a plain loop over NumPy arrays first meets it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

import chainrule as cr
from chainrule.training.batches import order_of

NETWORK = cr.Network([2, 3, 1], "tanh")
RULE = cr.gradient_descent(0.3)
EPOCHS = 30


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(10, 2))
    return X, np.sin(X[:, :1]) + rng.normal(scale=0.1, size=(10, 1))


@pytest.fixture(scope="module")
def start():
    return cr.initialize(NETWORK, seed=3)


@pytest.fixture(scope="module")
def path(table, start, by_hand):
    """(params, cost, gradient norm) at the end of each epoch."""
    X, Y = table
    return by_hand(NETWORK, start, X, Y, RULE, EPOCHS)


def train(table, start, stop, network=NETWORK, **settings):
    X, Y = table
    settings = {"rule": RULE, "epochs": EPOCHS, "dtype": "float64"} | settings
    return cr.train(network, start, X, Y, stop=stop, **settings)


def between(numbers, epoch):
    """A threshold that falling numbers cross at that epoch (counted from 1)."""
    assert (np.diff(numbers) < 0).all()
    return (numbers[epoch - 2] + numbers[epoch - 1]) / 2


def largest_changes(start, path):
    steps = [start, *(params for params, _, _ in path)]
    return [
        max(np.abs(a - b).max() for one, two in zip(after, before, strict=True) for a, b in zip(one, two, strict=True))
        for before, after in pairwise(steps)
    ]


def assert_stopped(fit, name, epoch, path, assert_close):
    assert (fit.stopped_by, fit.epochs, fit.best_epoch, len(fit.history.cost)) == (name, epoch, epoch, epoch)
    assert_close(fit.params, path[epoch - 1][0])


@pytest.mark.parametrize("epoch", [2, 17])
def test_cost_goal(epoch, table, start, path, assert_close):
    goal = cr.CostGoal(between([cost for _, cost, _ in path], epoch))
    assert_stopped(train(table, start, [goal]), "cost_goal", epoch, path, assert_close)


@pytest.mark.parametrize(
    ("reduction", "of", "times"), [("mean", "sum", 10), ("sum", "mean", 1), ("sum", "sum", 10), ("sum", None, 10)]
)
def test_cost_goal_may_be_on_the_sum_or_the_mean_whatever_the_reduction(reduction, of, times, table, start, path):
    goal = cr.CostGoal(times * between([cost for _, cost, _ in path], 7), of)
    network = cr.Network([2, 3, 1], "tanh", reduction=reduction)
    rule = cr.gradient_descent(0.3 if reduction == "mean" else 0.3 / 10)
    assert train(table, start, [goal], network, rule=rule).epochs == 7


def test_the_sum_of_weighted_costs_weighs_them(table, start, by_hand):
    X, Y = table
    weights = np.linspace(0, 2, 10)
    costs = [weights.sum() * cost for _, cost, _ in by_hand(NETWORK, start, X, Y, RULE, 9, weights=weights)]
    goal = cr.CostGoal(between(costs, 6), of="sum")
    assert train(table, start, [goal], weights=weights).epochs == 6


def test_min_gradient(table, start, path, assert_close):
    norms = [norm for _, _, norm in path]
    first = next(i for i, norm in enumerate(norms, 1) if norm < 1.001 * norms[14])
    fit = train(table, start, [cr.MinGradient(1.001 * norms[14])])
    assert_stopped(fit, "min_gradient", first, path, assert_close)


def test_unchanged_by_less_than_a_tolerance(table, start, path, assert_close):
    changes = largest_changes(start, path)
    tolerance = sorted(changes)[10]
    first = next(i for i, change in enumerate(changes, 1) if change <= 1.001 * tolerance)
    assert 1 < first < EPOCHS
    fit = train(table, start, [cr.Unchanged(1.001 * tolerance)])
    assert_stopped(fit, "unchanged", first, path, assert_close)


def test_unchanged_to_the_last_bit(by_hand):
    """w(i+1) = w(i) for one weight that halves its distance to 1 until float32 has no more digits."""
    network, rule = cr.Network([1, 1], "identity"), cr.gradient_descent(0.25)
    start = cr.initialize(network, "zeros", dtype="float32")
    X = Y = np.ones((1, 1), np.float32)
    path = [start, *(params for params, _, _ in by_hand(network, start, X, Y, rule, 60))]
    first = next(i for i in range(1, 61) if path[i] == path[i - 1])
    fit = cr.train(network, start, X, Y, rule=rule, epochs=60, stop=[cr.Unchanged()])
    assert (fit.stopped_by, fit.epochs) == ("unchanged", first)
    assert 20 < first < 30


@pytest.mark.parametrize("checks", [1, 4])
def test_no_improvement_gives_the_best_parameters_back(checks, table, start, path, assert_close):
    X = table[0] + 0.5
    Y = cr.forward(NETWORK, path[7][0], X).a[-1]  # validation rows that no epoch fits as epoch 8 does
    held = [float(cr.cost(NETWORK, cr.forward(NETWORK, params, X), Y)) for params, _, _ in path]
    assert (np.diff(held[:8]) < 0).all()
    assert held[7] == 0 < held[8]
    fit = train(table, start, [cr.NoImprovement(checks)], validation=(X, Y))
    assert (fit.stopped_by, fit.epochs, fit.best_epoch) == ("no_improvement", 8 + checks, 8)
    assert_close(fit.params, path[7][0])
    np.testing.assert_allclose(fit.history.validation_cost, held[: 8 + checks], rtol=1e-9, atol=1e-20)


def test_an_equal_validation_cost_is_no_improvement(table, start):
    """A dead network predicts alike in every epoch."""
    dead = cr.Network([2, 3, 1], cr.Activation("dead", lambda z: 0 * z, lambda z, a: 0 * z))
    fit = train(table, start, [cr.NoImprovement(3)], dead, validation=table)
    assert (fit.stopped_by, fit.epochs, fit.best_epoch) == ("no_improvement", 4, 1)


def test_max_seconds_stops_after_the_dispatch_in_which_the_time_ran_out(table, start):
    fit = train(table, start, [cr.MaxSeconds(1e-9)], epochs=10**6)
    assert (fit.stopped_by, fit.epochs) == ("max_seconds", 1)


def test_without_a_goal_all_epochs_are_trained(table, start, path, assert_close):
    assert_stopped(train(table, start, []), "epochs", EPOCHS, path, assert_close)


def test_a_goal_that_is_not_met_stops_nothing(table, start):
    fit = train(table, start, [cr.CostGoal(0), cr.MinGradient(0), cr.MaxSeconds(3600)])
    assert (fit.stopped_by, fit.epochs) == ("epochs", EPOCHS)


def test_the_goal_that_is_met_first_is_named(table, start, path):
    costs = [cost for _, cost, _ in path]
    changes = largest_changes(start, path)
    late, early = cr.CostGoal(between(costs, 9)), cr.Unchanged(1.001 * changes[0])
    fit = train(table, start, [late, early])
    assert (fit.stopped_by, fit.epochs) == ("unchanged", 1)


@pytest.mark.parametrize("first", ["cost_goal", "min_gradient"])
def test_of_several_met_in_one_epoch_the_first_in_the_list_is_named(first, table, start):
    stop = [cr.CostGoal(1e9), cr.MinGradient(1e9)]
    fit = train(table, start, stop if first == "cost_goal" else stop[::-1])
    assert (fit.stopped_by, fit.epochs) == (first, 1)


def test_goals_are_asked_after_every_epoch_of_mini_batches_too(table, start, by_hand):
    X, Y = table
    orders = lambda epoch: order_of(0, epoch, 10)  # noqa: E731
    costs = [cost for _, cost, _ in by_hand(NETWORK, start, X, Y, RULE, 12, batch_size=4, orders=orders)]
    first = next(i for i, cost in enumerate(costs, 1) if cost < 1.001 * costs[8])
    fit = train(table, start, [cr.CostGoal(1.001 * costs[8])], batch_size=4)
    assert (fit.stopped_by, fit.epochs) == ("cost_goal", first)


@dataclass(frozen=True)
class EveryEpochSince:
    """A goal of one's own."""

    epoch: int
    name: str = "since"

    def reached(self, record):
        return record.epoch >= self.epoch


def test_a_goal_of_ones_own_is_asked(table, start, path, assert_close):
    assert_stopped(train(table, start, [EveryEpochSince(5)]), "since", 5, path, assert_close)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cr.CostGoal(0.1, of="median"), 'CostGoal: of: expected "sum" or "mean", got \'median\''),
        (lambda: cr.Unchanged(-1), "Unchanged: expected a tolerance of 0 or more, got -1"),
        (lambda: cr.Unchanged(float("nan")), "Unchanged: .*got nan"),
        (lambda: cr.NoImprovement(0), "NoImprovement: expected 1 check or more, got 0"),
        (lambda: cr.MaxSeconds(0), "MaxSeconds: expected a number of seconds above 0, got 0"),
    ],
)
def test_a_wrong_argument_says_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_no_improvement_asks_for_validation_rows(table, start):
    with pytest.raises(ValueError, match=r"NoImprovement needs validation rows: pass validation=\(X, Y\)"):
        train(table, start, [cr.NoImprovement()])

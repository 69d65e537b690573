"""Any update of a training, replayed from the nearest checkpoint, is what it was; a trace of it is the same step."""

import jax
import numpy as np
import optax
import pytest

import chainrule as cr
from chainrule.driver import Driver
from chainrule.explaining.trace import trace_step
from chainrule.replay import Before, go_to, next_update
from chainrule.training.memory import Rows
from chainrule.training.settings import TrainingSettings

network = cr.Network([3, 5, 4, 2], ["tanh", "silu", "softmax"], "categorical_cross_entropy", l2=0.01)
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(50, 3)), np.eye(2)[rng.integers(0, 2, 50)]
WEIGHTS = rng.uniform(0.5, 2, 50)
params = cr.initialize(network, "glorot", seed=0)

SETTINGS = {
    "whole table": {"rule": cr.gradient_descent(0.5, 0.9)},
    "whole table, thinned": {"rule": cr.gradient_descent(0.5), "dropout": 0.2},
    "mini-batches": {"rule": cr.optax_rule("adam", 0.01), "batch_size": 16},
    "float64": {"rule": cr.gradient_descent(cr.step_decay(0.5, 0.5, 20)), "batch_size": 7, "dtype": "float64"},
    "everything": {
        "rule": optax.adamw(0.01),
        "batch_size": 16,
        "dropout": 0.1,
        "average": 0.9,
        "weights": WEIGHTS,
        "validation": (X[:9], Y[:9]),
        "seed": 5,
    },
    "one at a time": {"rule": cr.gradient_descent(0.1), "batch_size": 1, "sample": "with_replacement"},
}


def driver_of(weights=None, validation=None, **settings) -> Driver:
    return Driver(TrainingSettings(network, **settings), params, Rows(X, Y, weights, validation))


def replay(settings: dict, epoch: int, step: int = 1, checkpoints=()) -> Before:
    driver = driver_of(**settings)
    go_to(driver, epoch, step, checkpoints)
    return next_update(driver)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_replayed_from_any_checkpoint_the_end_is_the_same(settings):
    checkpoints = []
    whole = cr.train(network, params, X, Y, epochs=21, checkpoint=checkpoints.append, keep_every=10, **settings)
    assert [int(c.epoch) for c in checkpoints] == [0, 1, 2, 4, 8, 10, 16, 20, 21]
    n = 50 if settings.get("batch_size") is None else settings["batch_size"]
    last = checkpoints[-1].params  # `whole.params` are the best, or the average
    for some in ([], checkpoints[:3], checkpoints):
        before = replay(settings, 22, 1, some)
        assert len(before.rows) == n
        for ours, theirs in zip(before.params, last, strict=True):
            np.testing.assert_array_equal(ours.W, theirs.W)
    if not {"validation", "average"} & set(settings):
        np.testing.assert_array_equal(last[0].W, whole.params[0].W)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_steps_epochs_and_a_whole_training_are_the_same_bits(settings):
    whole = cr.train(network, params, X, Y, epochs=4, **settings)
    stepped = driver_of(**settings)
    while stepped.epochs < 2:
        stepped.step()
    stepped.epoch()
    stepped.step()
    stepped.run(4)
    for ours, theirs in zip(stepped.fit().params, whole.params, strict=True):
        np.testing.assert_array_equal(ours.W, theirs.W)
    for ours, theirs in zip(stepped.fit().history[:-1], whole.history[:-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_trace_of_a_replayed_update_leads_to_the_next(settings):
    updates = replay(settings, 1).updates
    places = [
        (epoch, step) for epoch in (1, 6) for step in sorted({1, 2, updates - 1, updates} & {*range(1, updates + 1)})
    ]
    for epoch, step in places:
        before = replay(settings, epoch, step)
        after = replay(settings, epoch + (step == updates), step % updates + 1)
        weights = settings["weights"][before.rows] if "weights" in settings else None
        step_ = trace_step(
            network,
            before.params,
            X[before.rows],
            Y[before.rows],
            rule=settings["rule"],
            rule_state=before.rule_state,
            weights=weights,
            keep=before.keep,
        )
        for ours, theirs in zip(step_.after, after.params, strict=True):
            np.testing.assert_allclose(ours.W, theirs.W, atol=2e-6)
            np.testing.assert_allclose(ours.b, theirs.b, atol=2e-6)


def test_an_update_that_never_was_is_refused():
    settings = {"rule": cr.gradient_descent(0.5), "batch_size": 20}
    for epoch, step in ((0, 1), (1, 0), (1, 4)):
        with pytest.raises(ValueError, match="expected an epoch from 1 and an update from 1 to 3"):
            replay(settings, epoch, step)
    stopped = {**settings, "stop": (cr.CostGoal(100.0),)}
    with pytest.raises(ValueError, match="was not trained: training ended after epoch 1"):
        replay(stopped, 5)


def test_checkpoints_hold_numpy_arrays_only():
    kept = []
    cr.train(network, params, X, Y, rule=cr.gradient_descent(0.1), epochs=3, checkpoint=kept.append)
    assert all(isinstance(x, np.ndarray) for state in kept for x in jax.tree.leaves(state))
    assert [int(state.epoch) for state in kept] == [0, 1, 2, 3]

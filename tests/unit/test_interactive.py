"""A training held in the hand."""

import numpy as np
import optax
import pytest

import chainrule as cr
from chainrule.training import checkpoints

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
Y = (X[:, :1] * X[:, 1:2] > 0).astype(float)
network = cr.Network([3, 5, 1], ["tanh", "sigmoid"], "binary_cross_entropy", l2=0.001)
params = cr.initialize(network, "glorot", seed=0)
HOW = {"rule": cr.optax_rule("adam", 0.01), "batch_size": 16, "seed": 3, "dropout": 0.1}


def training(**settings) -> cr.Training:
    return cr.Training(network, params, X, Y, **{**HOW, **settings})


def same(a, b) -> None:
    for ours, theirs in zip(a, b, strict=True):
        np.testing.assert_array_equal(ours.W, theirs.W)
        np.testing.assert_array_equal(ours.b, theirs.b)


def test_a_run_is_what_train_is():
    held = training(epochs=7)
    fit, whole = held.run(), cr.train(network, params, X, Y, epochs=7, **HOW)
    same(fit.params, whole.params)
    same(held.params, whole.params)
    np.testing.assert_array_equal(held.history.cost, whole.history.cost)


def test_records_are_the_rows_of_the_history():
    held = training(epochs=5)
    records = list(held)
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert [record.cost for record in records] == held.history.cost.tolist()


@pytest.mark.parametrize("rule", [cr.gradient_descent(0.1, momentum=0.5), cr.optax_rule("rmsprop", 0.1)])
def test_a_learning_rate_takes_effect_at_the_next_update(rule):
    held, slow = training(rule=rule), training(rule=rule)
    same(held.params, slow.params)
    held.step(), slow.step()
    held.learning_rate = 0.2
    before = held.params
    held.step(), slow.step()
    assert held.learning_rate == 0.2
    moved, usual = (abs(t.params[0].W - before[0].W).max() for t in (held, slow))
    assert moved > 1.2 * usual
    held.epoch()
    assert held.history.learning_rate[-1] == pytest.approx(0.2)


def test_a_learning_rate_that_cannot_be_set_is_refused():
    with pytest.raises(ValueError, match="does not expose its learning rate"):
        training(rule=optax.sgd(0.1)).learning_rate = 0.2
    with pytest.raises(ValueError, match="above 0"):
        training().learning_rate = -1
    with pytest.raises(ValueError, match="schedule"):
        training().learning_rate = cr.step_decay(0.1)


def test_the_next_update_is_what_explain_says():
    held = training(dropout=0.2)
    held.epoch()
    held.step()
    opened = held.explain(row=3)
    held.step()
    for ours, theirs in zip(opened.trace.after, held.params, strict=True):
        np.testing.assert_allclose(ours.W, theirs.W, atol=1e-6)
    assert "epoch 2" in str(opened)


def test_a_goal_ends_a_run_and_a_run_may_go_on():
    held = training(stop=[cr.CostGoal(10.0)], epochs=50)
    assert (held.run().stopped_by, held.epochs) == ("cost_goal", 1)
    assert len(list(held)) == 0
    held.epoch()
    assert held.epochs == 2
    assert (held.run(5).stopped_by, held.epochs) == ("cost_goal", 3)


def test_a_function_of_the_training_may_end_it():
    seen = []
    held = training(epochs=50)
    held.run(stop_on=lambda t: seen.append(t.params[0].W.copy()) or t.epochs == 4)
    assert held.epochs == len(seen) == 4
    assert not (seen[0] == seen[1]).all()


def test_what_was_saved_goes_on_bit_for_bit(tmp_path):
    whole, begun, other = training(), training(), training()
    whole.run(6)
    begun.run(3)
    begun.save(tmp_path / "states")
    other.resume(tmp_path / "states")
    assert other.epochs == 3
    other.run(3)
    same(whole.params, other.params)
    np.testing.assert_array_equal(whole.history.cost, other.history.cost)
    begun.step()
    with pytest.raises(ValueError, match="update 1 of 4"):
        begun.save(tmp_path / "states")
    with pytest.raises(ValueError, match="other settings"):
        training(seed=9).resume(tmp_path / "states")
    with pytest.raises(ValueError, match="it does not exist"):
        training().resume(tmp_path / "nowhere")


def test_divergence_is_raised_and_what_was_good_is_kept():
    wild = cr.Training(cr.Network([3, 1], "identity"), cr.initialize(cr.Network([3, 1])), X, 1e30 * Y, rule=HOW["rule"])
    wild.learning_rate = 1e30
    with pytest.raises(cr.DivergedError):
        for _ in range(9):
            wild.epoch()
    assert np.isfinite(wild.params[0].W).all()


def test_a_time_limit_ends_a_run_whoever_watches_it():
    limit = {"epochs": 10**9, "stop": [cr.MaxSeconds(0.3)]}
    for run in (lambda t: t.run(stop_on=lambda t: False), lambda t: list(t)):
        held = training(**limit)
        run(held)
        assert held.fit.stopped_by == "max_seconds"


def test_a_run_that_is_watched_holds_its_folder_once(tmp_path, monkeypatch):
    entered, locked = [], checkpoints.locked
    monkeypatch.setattr(checkpoints, "locked", lambda folder: entered.append(folder) or locked(folder))
    training(epochs=5).run(stop_on=lambda t: False, resumable=tmp_path / "states")
    assert len(entered) == 1

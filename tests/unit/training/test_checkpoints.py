import os
import signal
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import InputError
from chainrule.training import checkpoints

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = np.tanh(X[:, :1] - X[:, 1:2])
HELD = (X[40:], Y[40:])
NETWORK = cr.Network([3, 5, 1], "tanh")
WAYS = {
    "whole table": {"rule": cr.gradient_descent(0.1)},
    "momentum, mini-batches": {"rule": cr.gradient_descent(0.05, momentum=0.9), "batch_size": 7},
    "adam, a schedule": {"rule": cr.optax_rule("adam", cr.step_decay(0.01, every=9)), "batch_size": 16},
    "dropout, average": {"rule": cr.gradient_descent(0.1), "batch_size": 8, "dropout": 0.2, "average": 0.9},
    "validation": {"rule": cr.gradient_descent(0.1), "validation": HELD, "stop": [cr.NoImprovement(30)]},
    "float64": {"rule": cr.gradient_descent(0.1), "dtype": "float64", "batch_size": 7},
}


class Cut(Exception):
    pass


def training(**settings):
    return cr.train(NETWORK, cr.initialize(NETWORK, seed=1), X[:40], Y[:40], **settings)


def cut_after(epoch, **settings):
    """Train until an epoch, where the process is thought to end."""

    def end(progress):
        if progress.epoch >= epoch:
            raise Cut

    with pytest.raises(Cut):
        training(progress=end, **settings)


def assert_same(one, other):
    for a, b in zip(one.params, other.params, strict=True):
        np.testing.assert_array_equal(a.W, b.W)
        np.testing.assert_array_equal(a.b, b.b)
    for name, a, b in zip(one.history._fields, one.history, other.history, strict=True):
        if name != "seconds":
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert one[2:7] == other[2:7]


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("at", [1, 13])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, settings, at):
    whole = training(epochs=50, **settings)
    keeping = {"resumable": cr.Resumable(tmp_path, every=1), "epochs": 50, **settings}
    cut_after(at, **keeping)
    cut_after(at + 10, **keeping)
    assert_same(training(**keeping), whole)


def test_more_epochs_may_be_asked_for(tmp_path):
    settings = WAYS["momentum, mini-batches"]
    training(epochs=20, resumable=tmp_path, **settings)
    assert_same(training(epochs=50, resumable=tmp_path, **settings), training(epochs=50, **settings))


def test_a_finished_training_is_not_trained_again(tmp_path):
    settings = {**WAYS["whole table"], "stop": [cr.CostGoal(0.1)], "resumable": tmp_path, "epochs": 5000}
    first, again = training(**settings), training(**settings)
    assert first.stopped_by == again.stopped_by == "cost_goal"
    assert_same(first, again)
    assert first.history.seconds[-1] == again.history.seconds[-1]


def test_a_diverged_training_says_so_again(tmp_path):
    settings = {"rule": cr.gradient_descent(1e6), "resumable": tmp_path, "epochs": 50}
    network = cr.Network([3, 5, 1], "identity")
    for _ in range(2):
        with pytest.raises(cr.DivergedError):
            cr.train(network, cr.initialize(network, seed=1), X, 100 * Y, **settings)


@pytest.mark.parametrize("damage", ["truncated", "a bit", "empty", "not ours"])
def test_a_damaged_state_is_refused_and_the_one_before_it_used(tmp_path, damage):
    keeping = {**WAYS["whole table"], "resumable": cr.Resumable(tmp_path, every=1), "epochs": 50}
    cut_after(13, **keeping)
    newest = sorted(tmp_path.glob("epoch-*"))[-1]
    content = bytearray(newest.read_bytes())
    if damage == "a bit":
        content[-9] ^= 4
    newest.write_bytes({"truncated": content[:-20], "empty": b"", "not ours": b"x" * 500}.get(damage, content))
    with pytest.warns(UserWarning, match=r"epoch-.*; resuming from the checkpoint before it"):
        resumed = training(**keeping)
    assert_same(resumed, training(epochs=50, **WAYS["whole table"]))


def test_states_that_are_all_damaged_are_an_error_not_a_fresh_start(tmp_path):
    keeping = {**WAYS["whole table"], "resumable": cr.Resumable(tmp_path, every=1), "epochs": 50}
    cut_after(13, **keeping)
    for path in tmp_path.glob("epoch-*"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="not a complete safetensors file"):
        training(**keeping)


def test_another_training_is_refused(tmp_path):
    training(epochs=3, resumable=tmp_path, **WAYS["whole table"])
    with pytest.raises(InputError, match="other settings"):
        training(epochs=3, resumable=tmp_path, rule=cr.gradient_descent(0.2))
    with pytest.raises(InputError, match="other settings"):
        training(epochs=3, resumable=tmp_path, seed=1, **WAYS["whole table"])
    with pytest.raises(InputError, match=r"other data.*changed_data=True"):
        cr.train(NETWORK, cr.initialize(NETWORK, seed=1), X, Y, epochs=3, resumable=tmp_path, **WAYS["whole table"])
    accepting = cr.Resumable(tmp_path, changed_data=True)
    fit = cr.train(NETWORK, cr.initialize(NETWORK, seed=1), X, Y, epochs=5, resumable=accepting, **WAYS["whole table"])
    assert fit.history.epoch.tolist() == [1, 2, 3, 4, 5]


def test_a_second_training_in_the_same_folder_is_refused(tmp_path):
    refused = []

    def second(progress):
        if not refused:
            with pytest.raises(InputError, match="another process is training there") as error:
                training(epochs=3, resumable=tmp_path, **WAYS["whole table"])
            refused.append(error)

    training(epochs=3, resumable=tmp_path, progress=second, **WAYS["whole table"])
    assert refused


def test_sigterm_finishes_the_epoch_and_keeps_the_state(tmp_path):
    settings = {**WAYS["momentum, mini-batches"], "epochs": 10**9, "resumable": tmp_path}
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(cr.Terminated) as ended:
        training(**settings)
    assert ended.value.code == 143
    assert ended.value.epoch > 0
    fit = training(**{**settings, "epochs": ended.value.epoch})
    assert fit.epochs == ended.value.epoch
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_few_states_stay(tmp_path):
    training(epochs=20, resumable=cr.Resumable(tmp_path, every=1), **WAYS["whole table"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "epoch-0000000019.safetensors",
        "epoch-0000000020.safetensors",
        "lock",
    ]


def test_how_often_by_default(tmp_path, monkeypatch):
    """So rarely that writing takes less than 2 % of the time."""
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    safe = checkpoints.Safe(tmp_path, {}, written=0.0, took=0.5)
    for seconds, due in ((1.0, False), (20.0, False), (26.0, True)):
        clock[0] = seconds
        assert safe.is_due(1) is due


def test_a_full_disk_keeps_the_last_good_state_and_says_so(tmp_path, monkeypatch):
    settings, real = WAYS["whole table"], checkpoints.write_tensors

    def full(path, document, *rest):
        if document["epoch"] == 10:
            raise InputError(f"{path}: cannot be written: No space left on device")
        real(path, document, *rest)

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    with pytest.warns(UserWarning, match="No space left on device; the last checkpoint is still that of epoch 5"):
        fit = training(epochs=12, resumable=cr.Resumable(tmp_path, every=5), **settings)
    assert_same(fit, training(epochs=12, **settings))


@pytest.mark.parametrize("every", [0, -1, 0.0, float("nan")])
def test_how_often_is_checked(tmp_path, every):
    with pytest.raises(InputError, match="every: expected a number of epochs"):
        training(epochs=3, resumable=cr.Resumable(tmp_path, every), **WAYS["whole table"])


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        training(epochs=3, resumable=tmp_path / "file", **WAYS["whole table"])

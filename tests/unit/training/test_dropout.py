import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule.training.dropout import check_rate, dropped, keep

network = cr.Network([3, 40, 30, 2], ["tanh", "silu", "softmax"], "categorical_cross_entropy")
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(50, 3)), np.eye(2)[rng.integers(0, 2, 50)]
params = cr.initialize(network, "glorot", seed=0)


def masks(rate=0.3, seed=0, epoch=1, step=0, rows=50, dtype="float32"):
    return keep(network, dropped(rate), seed, epoch, step, rows, dtype)


def test_inputs_are_kept_and_what_is_kept_is_scaled_up():
    first, *hidden = masks(0.3, rows=2000)
    assert first is None
    for mask, n in zip(hidden, (40, 30), strict=True):
        assert mask.shape == (2000, n)
        assert np.unique(np.asarray(mask)) == pytest.approx([0, 1 / 0.7])
        assert float(mask.mean()) == pytest.approx(1, abs=0.01)


def test_no_rate_no_masks():
    assert masks(0.0) == ()


def test_masks_are_a_function_of_seed_epoch_and_step():
    base = np.asarray(masks()[1])
    np.testing.assert_array_equal(base, masks()[1])
    for other in ({"seed": 1}, {"epoch": 2}, {"step": 1}):
        assert not np.array_equal(base, masks(**other)[1])
    assert not np.array_equal(np.asarray(masks()[1])[:, :30], masks()[2])


def test_the_same_nodes_are_dropped_in_either_dtype():
    with jax.enable_x64(True):
        wide = np.asarray(masks(dtype="float64")[1])
    np.testing.assert_array_equal(wide > 0, np.asarray(masks()[1]) > 0)


def test_the_backward_pass_of_a_thinned_network_is_jax_grads():
    with jax.enable_x64(True):
        kept = masks(dtype="float64")

        def C(p):
            return cr.cost(network, cr.forward(network, p, jnp.asarray(X), kept), Y)

        theirs = jax.grad(C)(jax.tree.map(jnp.asarray, params))
        kept = tuple(None if k is None else np.asarray(k) for k in kept)
    ours = cr.backward(network, params, cr.forward(network, params, X, kept), Y).gradient
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.W, b.W, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(a.b, b.b, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("batch_size", [None, 20])
def test_training_by_hand_drops_what_the_compiled_training_drops(batch_size):
    rule, epochs = cr.gradient_descent(0.5), 3
    fit = cr.train(
        network, params, X, Y, rule=rule, batch_size=batch_size, epochs=epochs, dropout=0.3, seed=7, dtype="float64"
    )
    from chainrule.training.batches import bucket, order_of

    now, state, size = params, rule.init(params), batch_size or 50
    rows = bucket(50) if batch_size is None else size
    for epoch in range(1, epochs + 1):
        order = np.arange(50) if batch_size is None else order_of(7, epoch, 50)
        for step in range(-(-50 // size)):
            some = order[step * size : (step + 1) * size]
            kept = masks(0.3, seed=7, epoch=epoch, step=step, rows=rows)
            kept = tuple(None if k is None else (np.asarray(k)[: len(some)] > 0) / 0.7 for k in kept)
            fwd = cr.forward(network, now, X[some], kept)
            now, state = cr.update(rule, now, cr.backward(network, now, fwd, Y[some]).gradient, state)
    for ours, theirs in zip(fit.params, now, strict=True):
        np.testing.assert_allclose(ours.W, theirs.W, atol=1e-12)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan"), "some"])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="share to drop"):
        check_rate(rate)
    with pytest.raises(ValueError, match="share to drop"):
        cr.train(network, params, X, Y, rule=cr.gradient_descent(0.1), dropout=rate)

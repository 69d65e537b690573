import numpy as np
import pytest

import chainrule as cr
from chainrule.training.averaging import average_from, averaged, check_decay

network = cr.Network([3, 4, 1], "tanh")
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
params = cr.initialize(network, seed=0)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_training_returns_the_average_over_all_updates(batch_size, decay):
    rule, settings = cr.gradient_descent(0.3), {"batch_size": batch_size, "dtype": "float64", "seed": 3}
    size = batch_size or 40
    updates = -(-40 // size)
    fit = cr.train(network, params, X, Y, rule=rule, epochs=4, average=decay, **settings)
    from chainrule.training.batches import order_of

    now, state, mean = params, rule.init(params), average_from(params)
    for epoch in range(1, 5):
        order = order_of(3, epoch, 40) if batch_size else np.arange(40)
        for step in range(updates):
            some = order[step * size : (step + 1) * size]
            fwd = cr.forward(network, now, X[some])
            now, state = cr.update(rule, now, cr.backward(network, now, fwd, Y[some]).gradient, state)
            mean = averaged(mean, now, decay)
    assert int(mean.updates) == 4 * updates
    for ours, by_hand in zip(fit.params, mean.params, strict=True):
        np.testing.assert_allclose(ours.W, by_hand.W, atol=1e-7)
    plain = cr.train(network, params, X, Y, rule=rule, epochs=4, **settings)
    np.testing.assert_array_equal(plain.history.cost, fit.history.cost)
    for ours, by_hand in zip(plain.params, now, strict=True):
        np.testing.assert_allclose(ours.W, by_hand.W, atol=1e-12)


def test_it_is_the_average_that_is_validated():
    held = (X[:10] + 0.1, Y[:10])
    fit = cr.train(
        network, params, X, Y, rule=cr.gradient_descent(0.5), epochs=6, average=0.9, validation=held, dtype="float64"
    )
    costs = fit.history.validation_cost
    again = cr.cost(network, cr.forward(network, fit.params, held[0]), held[1])
    assert again == pytest.approx(costs[fit.best_epoch - 1], rel=1e-6)
    assert fit.best_epoch == np.argmin(costs) + 1


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan"), "some"])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match="average: expected a decay"):
        check_decay(decay)
    with pytest.raises(ValueError, match="average: expected a decay"):
        cr.train(network, params, X, Y, rule=cr.gradient_descent(0.1), average=decay)

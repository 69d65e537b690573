from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.maths.activations import ACTIVATIONS

ELEMENTWISE = [name for name, activation in ACTIVATIONS.items() if activation.product is None]
EXTREME = [[-1000.0, -100.0, -10.0, 0.0, 10.0, 100.0, 1000.0]]
away_from_kinks = st.floats(1e-3, 20).flatmap(lambda z: st.sampled_from([z, -z]))


def delta(activation, z, error=None):
    return activation.delta(np.ones_like(z) if error is None else error, z, activation(z))


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(z=away_from_kinks)
def test_the_derivative_is_the_slope(name, z):
    activation, h = ACTIVATIONS[name], 1e-5
    slope = (activation(np.array([[z + h]])) - activation(np.array([[z - h]]))) / (2 * h)
    np.testing.assert_allclose(delta(activation, np.array([[z]])), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(z=away_from_kinks, error=st.floats(-10, 10))
def test_the_error_times_the_derivative_is_delta(name, z, error):
    z, activation = np.array([[z]]), ACTIVATIONS[name]
    np.testing.assert_allclose(delta(activation, z, np.array([[error]])), error * delta(activation, z), rtol=1e-12)


@given(z=st.lists(st.floats(-5, 5), min_size=3, max_size=3), error=st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_the_softmax_passes_the_error_through_its_jacobian(z, error):
    z, error, softmax = np.array([z]), np.array([error]), ACTIVATIONS["softmax"]
    a = softmax(z)[0]
    jacobian = np.diag(a) - np.outer(a, a)
    np.testing.assert_allclose(delta(softmax, z, error)[0], jacobian @ error[0], rtol=1e-9, atol=1e-12)


def test_the_softmaxs_jacobian_is_its_slope():
    z, h, softmax = np.array([[0.3, -1.2, 2.0]]), 1e-6, ACTIVATIONS["softmax"]
    for j, step in enumerate(h * np.eye(3)):
        slope = (softmax(z + step) - softmax(z - step)) / (2 * h)
        column = np.array([delta(softmax, z, np.eye(3)[[i]])[0, j] for i in range(3)])  # da_i / dz_j
        np.testing.assert_allclose(column, slope[0], atol=1e-9)


@given(z=st.lists(st.floats(-50, 50), min_size=4, max_size=4), shift=st.floats(-500, 500))
def test_the_softmax_sums_to_1_and_a_shift_changes_nothing(z, shift):
    a = ACTIVATIONS["softmax"](np.array([z]))
    np.testing.assert_allclose(a.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(ACTIVATIONS["softmax"](np.array([z]) + shift), a, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_extremes_are_finite_in_float32(name, xp):
    z = xp.asarray(np.array(EXTREME, np.float32))
    a = ACTIVATIONS[name](z)
    for array in (a, ACTIVATIONS[name].delta(xp.ones_like(z), z, a)):
        assert array.dtype == np.float32
        assert np.isfinite(np.asarray(array)).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_extremes_are_finite_in_float64(name, x64):
    for xp in (np, jnp):
        z = xp.asarray(np.array(EXTREME))
        a = ACTIVATIONS[name](z)
        for array in (a, ACTIVATIONS[name].delta(xp.ones_like(z), z, a)):
            assert array.dtype == np.float64
            assert np.isfinite(np.asarray(array)).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_numpy_and_jax_agree(name, x64):
    z = np.random.default_rng(0).normal(0, 3, (5, 4))
    error = np.random.default_rng(1).normal(size=(5, 4))
    activation = ACTIVATIONS[name]
    np.testing.assert_allclose(activation(jnp.asarray(z)), activation(z), rtol=1e-12, atol=1e-14)
    by_jax = activation.delta(jnp.asarray(error), jnp.asarray(z), activation(jnp.asarray(z)))
    np.testing.assert_allclose(by_jax, delta(activation, z, error), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "z", "a"),
    [
        ("identity", 2.5, 2.5),
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", np.log(3), 0.75),
        ("tanh", 0.5, 0.46211715726000976),
        ("relu", -2.0, 0.0),
        ("relu", 2.0, 2.0),
        ("leaky_relu", -2.0, -0.02),
        ("elu", -1.0, np.exp(-1) - 1),
        ("elu", 1.5, 1.5),
        ("selu", 1.0, 1.0507009873554805),
        ("selu", -1.0, 1.0507009873554805 * 1.6732632423543772 * (np.exp(-1) - 1)),
        ("gelu", 1.0, 0.8411919906082768),  # the tanh form; the exact one gives 0.8413
        ("silu", 1.0, 1 / (1 + np.exp(-1))),
        ("softplus", 0.0, np.log(2)),
    ],
)
def test_known_values(name, z, a):
    np.testing.assert_allclose(ACTIVATIONS[name](np.array([[z]])), [[a]], rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "limit_below", "limit_above"),
    [("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, 1000), ("elu", -1, 1000), ("softplus", 0, 1000)],
)
def test_limits(name, limit_below, limit_above):
    assert ACTIVATIONS[name](np.array([[-1000.0, 1000.0]])).tolist() == [[limit_below, limit_above]]


def test_selu_keeps_mean_0_and_variance_1():
    z = np.random.default_rng(0).normal(size=(1000, 1000))
    a = ACTIVATIONS["selu"](z)
    np.testing.assert_allclose([a.mean(), a.var()], [0, 1], atol=0.01)


def test_an_activation_is_named_or_made():
    own = cr.Activation("double", f=lambda z: 2 * z, derivative=lambda z, a: 2)
    network = cr.Network([2, 3, 1], activations=[own, "relu"])
    assert [activation.name for activation in network.activations] == ["double", "relu"]


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown activation 'sigmoyd'; did you mean 'sigmoid'\? \(expected one of: identity"
    ):
        cr.Network([2, 1], "sigmoyd")


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name != "relu"])  # which has no slope at 0
@pytest.mark.parametrize("z", [-2.0, -0.0, 0.0, 2.0])
def test_jax_differentiates_ours_to_our_derivative(name, z, x64):
    z, activation = jnp.array([[z]]), ACTIVATIONS[name]
    slope = jax.grad(lambda z: activation(z).sum())(z)
    np.testing.assert_allclose(slope, activation.delta(jnp.ones_like(z), z, activation(z)), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "slope"), [("softplus", 0.5), ("elu", 1.0), ("selu", 1.0507009873554805 * 1.6732632423543772)]
)
def test_jax_differentiates_through_the_forward_pass_at_0(name, slope, x64):
    network, zeros = cr.Network([1, 1], name), jnp.zeros((1, 1))
    found = jax.grad(lambda b: cr.forward(network, (cr.Layer(zeros, b),), zeros).a[-1].sum())(jnp.zeros(1))
    assert float(found[0]) == pytest.approx(slope)

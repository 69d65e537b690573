from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule.maths.custom import apply, pull_back

OPERATORS, JAX_NUMPY, EITHER = "operators", "jax.numpy", "the array's own namespace"

ACTIVATIONS = {  # a = z / (1 + |z|), three times; its derivative is 1 / (1 + |z|)^2
    OPERATORS: lambda z: z / (1 + abs(z)),
    JAX_NUMPY: lambda z: z / (1 + jnp.abs(z)),
    EITHER: lambda z: z / (1 + z.__array_namespace__().abs(z)),
}
COSTS = {  # c = |e|^3
    OPERATORS: lambda y_hat, y: abs(y_hat - y) ** 3,
    JAX_NUMPY: lambda y_hat, y: jnp.abs(y_hat - y) ** 3,
    EITHER: lambda y_hat, y: y_hat.__array_namespace__().abs(y_hat - y) ** 3,
}


def softsign_derivative(z, a):
    return 1 / (1 + abs(z)) ** 2


def cubic_derivative(y_hat, y):
    return 3 * (y_hat - y) * abs(y_hat - y)


def in_numpy(x):
    return np.tanh(x)


@dataclass(frozen=True)
class Scaled:
    """An own function that can be compared, so that equal designs share a program."""

    by: float

    def __call__(self, z):
        return self.by * z


@pytest.mark.parametrize("written_with", ACTIVATIONS)
def test_an_own_activation_without_a_derivative_is_differentiated(written_with):
    z = np.array([[-2.0, 0.5, 3.0]])
    activation = cr.Activation("softsign", ACTIVATIONS[written_with])
    np.testing.assert_allclose(activation(z), z / (1 + np.abs(z)), rtol=1e-15)
    delta = activation.delta(2 * np.ones_like(z), z, activation(z))
    np.testing.assert_allclose(delta, 2 * softsign_derivative(z, None), rtol=1e-15)


@pytest.mark.parametrize("written_with", COSTS)
def test_an_own_cost_without_a_derivative_is_differentiated(written_with):
    y_hat, y = np.array([[1.0, -2.0]]), np.array([[0.5, 0.5]])
    cost = cr.Cost("cubic", COSTS[written_with])
    np.testing.assert_allclose(cost.per_observation(y_hat, y), [0.5**3 + 2.5**3], rtol=1e-15)
    np.testing.assert_allclose(cost.error(y_hat, y), cubic_derivative(y_hat, y), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("written_with", ACTIVATIONS)
def test_numpy_arrays_come_back_as_numpy_arrays_of_their_dtype(written_with, dtype):
    z = np.array([[-2.0, 0.5]], dtype)
    activation = cr.Activation("softsign", ACTIVATIONS[written_with])
    for result in (activation(z), activation.delta(np.ones_like(z), z, activation(z))):
        assert isinstance(result, np.ndarray)
        assert result.dtype == dtype


def own_network(written_with, derivatives):
    given = (softsign_derivative, cubic_derivative) if derivatives else (None, None)
    softsign = cr.Activation("softsign", ACTIVATIONS[written_with], given[0])
    return cr.Network([2, 3, 2], softsign, cr.Cost("cubic", COSTS[written_with], given[1]))


@pytest.mark.parametrize("derivatives", [True, False])
@pytest.mark.parametrize("written_with", ACTIVATIONS)
def test_an_own_network_passes_the_gradient_check(written_with, derivatives, problem):
    case = problem(own_network(written_with, derivatives))
    assert cr.check_gradients(case.network, case.params, case.X, case.Y).passed


@pytest.mark.parametrize(
    ("written_with", "derivatives"), [(OPERATORS, True), (OPERATORS, False), (JAX_NUMPY, False), (EITHER, False)]
)
def test_an_own_network_trains(written_with, derivatives, problem, by_hand, assert_close):
    case, rule = problem(own_network(written_with, derivatives)), cr.gradient_descent(0.1)
    fit = cr.train(case.network, case.params, case.X, case.Y, rule=rule, epochs=3, dtype="float64")
    assert_close(fit.params, by_hand(case.network, case.params, case.X, case.Y, rule, 3)[-1][0])


def test_a_cost_that_mixes_the_outputs_is_differentiated(problem):
    longest = cr.Cost("distance", lambda y_hat, y: ((y_hat - y) ** 2).sum(axis=1) ** 0.5)
    case = problem(cr.Network([2, 3, 2], "tanh", longest))
    assert cr.check_gradients(case.network, case.params, case.X, case.Y).passed


def test_an_activation_that_mixes_the_nodes_is_differentiated(problem):
    centred = cr.Activation("centred", lambda z: z - z.mean(axis=1, keepdims=True))
    case = problem(cr.Network([2, 3, 2], [centred, "tanh"]))
    assert cr.check_gradients(case.network, case.params, case.X, case.Y).passed


@pytest.mark.parametrize(
    "network",
    [
        cr.Network([2, 3, 1], cr.Activation("mine", in_numpy)),
        cr.Network([2, 3, 1], cost=cr.Cost("mine", lambda y_hat, y: np.square(y_hat - y))),
    ],
    ids=["activation", "cost"],
)
def test_a_function_that_calls_numpy_is_refused_with_a_way_out(network, problem):
    case = problem(network)
    wanted = r"your function .* calls NumPy, which JAX cannot compile; write it with operators, jax\.numpy, or"
    with pytest.raises(TypeError, match=wanted):
        case.gradient()
    with pytest.raises(TypeError, match=wanted):
        cr.train(network, case.params, case.X, case.Y, rule=cr.gradient_descent(0.1))


def test_the_refusal_names_the_function():
    with pytest.raises(TypeError, match="your function 'in_numpy' calls NumPy"):
        jax.jit(lambda z: apply(in_numpy, z))(jnp.ones(2))


def test_a_function_that_calls_numpy_and_brings_its_derivative_can_be_looked_at():
    activation = cr.Activation("tanh", in_numpy, lambda z, a: 1 - a**2)
    z = np.array([[0.3]])
    np.testing.assert_allclose(activation.delta(np.ones_like(z), z, activation(z)), 1 - np.tanh(z) ** 2)


def test_an_error_of_the_function_itself_is_passed_on():
    def broken(z):
        raise TypeError("mine alone")

    with pytest.raises(TypeError, match=r"^mine alone$"):
        apply(broken, np.ones(2))


def test_pull_back_broadcasts_what_comes_from_above():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(pull_back(lambda x: x**2, np.array(0.5), x), x)


def test_pull_back_leaves_the_callers_jax_configuration_alone():
    before = jax.config.jax_enable_x64
    pull_back(lambda x: x**2, np.ones((1, 1)), np.ones((2, 2)))
    assert jax.config.jax_enable_x64 == before


def test_equal_own_functions_make_equal_designs():
    one, other = (cr.Network([2, 1], cr.Activation("scaled", Scaled(2.0))) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


def test_a_bare_function_is_an_activation_and_a_cost():
    network = cr.Network([2, 3, 1], activations=[lambda z: z**3, "identity"], cost=lambda y_hat, y: (y_hat - y) ** 4)
    X, Y = np.ones((3, 2)), np.zeros((3, 1))
    assert cr.check_gradients(network, cr.initialize(network), X, Y).passed

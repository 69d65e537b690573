import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule.explaining.paths import strongest_paths


def all_paths(network, params, fwd, delta, row):
    """Every path's strength, multiplied out one by one."""
    found = {}
    for nodes in itertools.product(*map(range, network.layers)):
        strength = fwd.a[0][row, nodes[0]]
        for i in range(len(params)):
            masked = params[i].W if network.masks[i] is None else params[i].W * network.masks[i]
            kept = 1 if fwd.keep[i] is None else fwd.keep[i][row, nodes[i]]
            strength *= kept * masked[nodes[i], nodes[i + 1]]
            if i < len(params) - 1:
                z, a = fwd.z[i][row : row + 1], fwd.a[i + 1][row : row + 1]
                strength *= network.activations[i].derivative(z, a)[0, nodes[i + 1]]
        found[nodes] = strength * delta[row, nodes[-1]]
    return found


@pytest.mark.parametrize("layers", [[3, 2], [4, 5, 3], [3, 4, 4, 2]])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_they_are_the_strongest_of_all(layers, dropout):
    rng = np.random.default_rng(0)
    masks = [rng.random((a, b)) < 0.8 for a, b in itertools.pairwise(layers)]
    network = cr.Network(layers, "tanh", masks=masks)
    params = cr.initialize(network, seed=1)
    X, Y = rng.normal(size=(3, layers[0])), rng.normal(size=(3, layers[-1]))
    kept = (None, *((rng.random((3, n)) > dropout) / (1 - dropout) for n in layers[1:-1])) if dropout else ()
    fwd = cr.forward(network, params, X, kept)
    delta = cr.backward(network, params, fwd, Y).delta
    expected = all_paths(network, params, fwd, delta[-1], 2)
    found = strongest_paths(network, params, fwd, delta[-1], row=2, most=6)
    strongest = sorted(expected.values(), key=abs, reverse=True)[:6]
    np.testing.assert_allclose(found.strengths, [s for s in strongest if s], rtol=1e-12)
    for nodes, strength in zip(found.nodes, found.strengths, strict=True):
        assert expected[nodes] == pytest.approx(strength, rel=1e-12)
    assert found.of == len(expected)
    assert found.share == pytest.approx(sum(map(abs, strongest)) / sum(map(abs, expected.values())))


def test_the_strengths_add_up_to_what_the_inputs_send():
    network = cr.Network([2, 3, 1], "sigmoid")
    params, X = cr.initialize(network, seed=0), np.array([[0.5, -1.0]])
    fwd = cr.forward(network, params, X)
    delta = cr.backward(network, params, fwd, np.ones((1, 1))).delta
    paths = strongest_paths(network, params, fwd, delta[-1], most=6)
    assert paths.share == pytest.approx(1)
    assert sum(paths.strengths) == pytest.approx(float((delta[0] @ params[0].W.T * X).sum()))


def test_no_path_carries_anything_where_the_error_is_zero():
    network = cr.Network([2, 1], "identity")
    params, X = cr.initialize(network, "zeros"), np.ones((1, 2))
    fwd = cr.forward(network, params, X)
    paths = strongest_paths(network, params, fwd, np.zeros((1, 1)))
    assert (paths.nodes, paths.share) == ((), 0.0)


CUBES = {
    "without a derivative": cr.Activation("cube", lambda z: z**3),
    "in jax.numpy": cr.Activation("cube", lambda z: jnp.power(z, 3)),
    "as a product": cr.Activation("cube", lambda z: z**3, product=lambda error, z, a: 3 * error * z**2),
    "with a constant slope": cr.Activation("line", lambda z: 12 * z - 16, lambda z, a: 12),
}


@pytest.mark.parametrize("activation", CUBES.values(), ids=CUBES)
def test_the_slope_of_ones_own_activation_is_its_own(activation):
    network = cr.Network([1, 1, 1], [activation, "identity"])
    params = (cr.Layer(np.array([[2.0]]), np.zeros(1)), cr.Layer(np.ones((1, 1)), np.zeros(1)))
    fwd = cr.forward(network, params, np.ones((1, 1)))
    assert strongest_paths(network, params, fwd, np.ones((1, 1))).strengths == pytest.approx((24.0,))


def test_of_an_activation_that_mixes_nodes_it_is_the_diagonal():
    softmax = cr.Activation("mine", lambda z: jnp.exp(z) / jnp.exp(z).sum(axis=-1, keepdims=True))
    given = []
    for activation in ("softmax", softmax):
        network = cr.Network([2, 3, 1], [activation, "identity"])
        params = cr.initialize(network, seed=0)
        fwd = cr.forward(network, params, np.ones((1, 2)))
        given.append(strongest_paths(network, params, fwd, np.ones((1, 1))).strengths)
    np.testing.assert_allclose(*given, rtol=1e-12)

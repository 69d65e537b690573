from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.maths.initializers import SCHEMES

WIDE = cr.Network([200, 300, 50])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_seed_gives_the_same_parameters(scheme, assert_close):
    assert_close(cr.initialize(WIDE, scheme, seed=7), cr.initialize(WIDE, scheme, seed=7), rtol=0, atol=0)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "zeros"])
def test_another_seed_gives_other_parameters(scheme):
    one, other = (cr.initialize(WIDE, scheme, seed=seed) for seed in (0, 1))
    assert (one[0].W != other[0].W).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shapes_are_from_rows_to_columns(scheme):
    assert [(W.shape, b.shape) for W, b in cr.initialize(WIDE, scheme)] == [((200, 300), (300,)), ((300, 50), (50,))]


@pytest.mark.parametrize(
    ("scheme", "weights", "biases"),
    [
        ("uniform", 1 / 3, 1 / 3),
        ("gaussian", 1 / 200, 1),
        ("glorot", 2 / 500, 0),
        ("he", 2 / 200, 0),
        ("lecun", 1 / 200, 0),
        ("zeros", 0, 0),
    ],
)
def test_means_are_0_and_variances_as_published(scheme, weights, biases):
    W, b = cr.initialize(WIDE, scheme)[0]
    np.testing.assert_allclose(W.var(), weights, rtol=0.03)
    np.testing.assert_allclose(b.var(), biases, rtol=0.25)
    assert abs(W.mean()) <= 4 * np.sqrt(weights / W.size)
    assert abs(b.mean()) <= 4 * np.sqrt(biases / b.size)


@pytest.mark.parametrize(("scheme", "bound"), [("uniform", 1), ("glorot", np.sqrt(6 / 500))])
def test_uniform_schemes_keep_within_and_reach_their_bounds(scheme, bound):
    W = cr.initialize(WIDE, scheme)[0].W
    assert 0.999 * bound < W.max() <= bound
    assert -bound <= W.min() < -0.999 * bound


def test_gaussian_schemes_exceed_three_deviations():
    assert np.abs(cr.initialize(WIDE, "gaussian")[0].W).max() > 3 / np.sqrt(200)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_float32_parameters_are_the_rounded_float64_ones(scheme, assert_close):
    narrow = cr.initialize(WIDE, scheme, seed=3, dtype="float32")
    assert {array.dtype.name for layer in narrow for array in layer} == {"float32"}
    wide = cr.initialize(WIDE, scheme, seed=3)
    assert_close(narrow, [cr.Layer(*(array.astype(np.float32) for array in layer)) for layer in wide], rtol=0, atol=0)


def test_given_parameters_are_taken_and_copied():
    W, b = np.array([[1.0], [2.0]]), np.array([3.0])
    (layer,) = cr.initialize(cr.Network([2, 1]), [(W, b)])
    W[:] = b[:] = 0
    assert (layer.W.tolist(), layer.b.tolist()) == ([[1], [2]], [3])


def test_given_parameters_may_be_nested_lists():
    (layer,) = cr.initialize(cr.Network([2, 1]), [([[1], [2]], [3])])
    assert layer.W.dtype == np.float64
    assert layer.W.tolist() == [[1], [2]]


def test_weights_that_are_masked_out_start_at_0():
    network = cr.Network([2, 2], masks=[[[True, False], [True, True]]])
    W = cr.initialize(network)[0].W
    assert (W == 0).tolist() == [[False, True], [False, False]]


def test_a_wrong_scheme_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown initialization 'xavier'.*expected one of: uniform, gaussian, glorot"
    ):
        cr.initialize(WIDE, "xavier")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([([[1], [2]], [3])], "expected 2 for a 2-3-1 network.*got 1"),
        (
            [(np.ones((3, 2)), np.ones(3)), (np.ones((3, 1)), np.ones(1))],
            r"layer 0: expected W \(2, 3\).*got W \(3, 2\)",
        ),
        ([(np.ones((2, 3)), np.ones(3)), (np.ones((3, 1)), np.ones(2))], r"layer 1: .* and b \(1,\).*and b \(2,\)"),
        ([(np.full((2, 3), np.nan), np.ones(3)), (np.ones((3, 1)), np.ones(1))], "layer 0: expected finite numbers"),
    ],
)
def test_given_parameters_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        cr.initialize(cr.Network([2, 3, 1]), given)

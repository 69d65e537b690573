import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from chainrule.tables.quantiles import Quantiles, fit_quantiles, quantiles_from_json

rng = np.random.default_rng(0)
SKEWED = np.exp(rng.normal(size=5000))


def test_the_normal_score_is_scikit_learns_quantile_transformer():
    theirs = StandardScaler().fit_transform(
        QuantileTransformer(output_distribution="normal", n_quantiles=65, subsample=None).fit_transform(SKEWED[:, None])
    )
    ours = fit_quantiles(SKEWED, 1, few=20).encode(SKEWED)
    inner = np.abs(ours[:, 0]) < 2
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.15)
    assert ours.mean() == pytest.approx(0, abs=1e-9)
    assert ours.std() == pytest.approx(1)


@pytest.mark.parametrize("n_pieces", [2, 8, 32])
def test_pieces_hold_the_same_number_of_rows_and_have_mean_zero(n_pieces):
    quantiles = fit_quantiles(SKEWED, n_pieces, few=20)
    encoded = quantiles.encode(SKEWED)
    assert quantiles.n_inputs == encoded.shape[1] == n_pieces == len(quantiles.names("x"))
    np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-12)
    counts = np.histogram(SKEWED, quantiles.knots)[0]
    assert np.ptp(counts) <= 2


def test_the_pieces_add_up_to_the_value_within_the_range():
    quantiles = fit_quantiles(SKEWED, 16, few=20)
    pieces = quantiles.encode(SKEWED) + np.array(quantiles.means)
    np.testing.assert_allclose(pieces @ np.diff(quantiles.knots) + quantiles.knots[0], SKEWED, rtol=1e-9)


@given(st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([1, 5]))
def test_the_encoding_never_falls(a, b, n_pieces):
    quantiles = fit_quantiles(np.log(SKEWED), n_pieces, few=20)
    low, high = quantiles.encode(np.array(sorted([a, b])))
    assert (low <= high).all()


@pytest.mark.parametrize("n_pieces", [1, 5])
def test_slopes_are_the_derivative(n_pieces):
    quantiles = fit_quantiles(SKEWED, n_pieces, few=20)
    x = np.array([-1.0, 0.3, 0.7, 1.234, 2.9, 500.0])
    numeric = (quantiles.encode(x + 1e-7) - quantiles.encode(x - 1e-7)) / 2e-7
    np.testing.assert_allclose(quantiles.slopes(x), numeric, atol=1e-6)


def test_few_values_need_no_quantiles():
    assert fit_quantiles(np.arange(20.0).repeat(9), 8, few=20) is None
    assert fit_quantiles(np.arange(21.0).repeat(9), 8, few=20) is not None
    mostly_zero = np.concatenate([np.zeros(5000), np.arange(25.0)])
    assert fit_quantiles(mostly_zero, 8, few=20) is None


def test_values_that_touch_are_left_alone():
    assert fit_quantiles(np.arange(30.0) * 5e-324, 4, few=20) is None


def test_a_missing_value_stays_missing():
    for n_pieces in (1, 4):
        assert np.isnan(fit_quantiles(SKEWED, n_pieces, few=20).encode(np.array([np.nan]))).all()


def test_plain_data_comes_back_and_nonsense_does_not():
    for n_pieces in (1, 4):
        quantiles = fit_quantiles(SKEWED, n_pieces, few=20)
        assert quantiles_from_json([list(part) for part in quantiles]) == quantiles
    assert quantiles_from_json(None) is None
    for nonsense in (
        Quantiles((0.0, 1.0), (0.0, 1.0), (0.5,)),
        Quantiles((0.0, 1.0)),
        Quantiles((1.0, 0.0), means=(0.5,)),
        Quantiles((0.0, 1.0), means=(0.5, 0.5)),
        Quantiles((0.0, float("inf")), means=(0.5,)),
        Quantiles((0.0, "1"), means=(0.5,)),
    ):
        with pytest.raises(ValueError, match="quantiles: expected"):
            quantiles_from_json([list(part) for part in nonsense])

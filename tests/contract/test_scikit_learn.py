"""The estimators against scikit-learn's own: same loss curves, weights, attributes, warnings and messages."""

import pickle
import warnings

import jax
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)[:300]
y = y[:300]
RX, ry = load_diabetes(return_X_y=True)
RX, ry = scale(RX)[:200], ry[:200] / 100
WEIGHTS = np.random.default_rng(0).uniform(0.2, 2, 300)
ITERS = {"max_iter": 25, "random_state": 1, "hidden_layer_sizes": (16, 8)}


@parametrize_with_checks([cr.MLPClassifier(max_iter=50), cr.MLPRegressor(max_iter=50)])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


def pair(name, **settings):
    return tuple(getattr(package, name)(**{**ITERS, **settings}) for package in (neural_network, cr))


def assert_alike(theirs, ours, tolerance=1e-9):
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(b, a, rtol=0, atol=tolerance)
    for name in ("loss_curve_", "validation_scores_"):
        curve = getattr(theirs, name, None)
        if curve is not None:
            np.testing.assert_allclose(getattr(ours, name), curve, rtol=0, atol=tolerance)
    for name in ("loss_", "best_loss_", "best_validation_score_"):
        if getattr(theirs, name, None) is not None:
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=tolerance)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)


SGD = {"solver": "sgd", "learning_rate_init": 0.05, "tol": 1e-3, "n_iter_no_change": 3}
CLASSIFIERS = {
    "adam": {},
    "adam, early stopping": {"early_stopping": True, "max_iter": 60},
    "adam, one row per batch": {"batch_size": 1, "max_iter": 3},
    "adam, no shuffle, short last batch": {"shuffle": False, "batch_size": 77},
    "adam, betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-4, "alpha": 1.0},
    "sgd": SGD,
    "sgd, plain": {**SGD, "momentum": 0.0},
    "sgd, momentum": {**SGD, "nesterovs_momentum": False},
    "sgd, inverse scaling": {**SGD, "learning_rate": "invscaling", "power_t": 0.3},
    "sgd, adaptive": {**SGD, "learning_rate": "adaptive", "max_iter": 80, "tol": 1e-2},
    "sgd, adaptive, early stopping": {**SGD, "learning_rate": "adaptive", "early_stopping": True, "max_iter": 60},
    "lbfgs": {"solver": "lbfgs", "max_iter": 10},
    "tanh": {"activation": "tanh"},
    "logistic": {"activation": "logistic"},
    "identity, no hidden layer": {"activation": "identity", "hidden_layer_sizes": ()},
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("settings", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_a_classifier_follows_scikit_learns(settings, weights):
    theirs, ours = (model.fit(X, y, sample_weight=weights) for model in pair("MLPClassifier", **settings))
    assert_alike(theirs, ours)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


REGRESSORS = {
    "adam": {},
    "early stopping": {"early_stopping": True},
    "sgd": {**SGD, "learning_rate_init": 0.01},
    "lbfgs": {"solver": "lbfgs", "max_iter": 10},
    "poisson": {"loss": "poisson"},
}


@pytest.mark.parametrize("several", [False, True], ids=["", "several outputs"])
@pytest.mark.parametrize("settings", REGRESSORS.values(), ids=REGRESSORS)
def test_a_regressor_follows_scikit_learns(settings, several):
    targets = np.column_stack([ry, ry**2]) if several else ry
    theirs, ours = (model.fit(RX, targets) for model in pair("MLPRegressor", **settings))
    assert_alike(theirs, ours)
    np.testing.assert_allclose(ours.predict(RX), theirs.predict(RX), atol=1e-9)


TARGETS = {
    "three classes of text": lambda: np.array(["a", "b", "c"])[np.arange(300) % 3],
    "several labels": lambda: np.column_stack([y, X[:, 0] > 0]).astype(int),
    "booleans": lambda: y.astype(bool),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_kind_of_target_is_understood(target):
    theirs, ours = (model.fit(X, target()) for model in pair("MLPClassifier"))
    assert_alike(theirs, ours)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_matrices(form, solver):
    sparse = form(np.where(np.abs(X) > 1, X, 0))
    theirs, ours = (model.fit(sparse, y) for model in pair("MLPClassifier", solver=solver, max_iter=8))
    assert_alike(theirs, ours)
    np.testing.assert_allclose(ours.predict_proba(sparse), theirs.predict_proba(sparse), atol=1e-9)


def test_float32_trains_in_float32_and_leaves_jax_alone():
    before = jax.config.jax_enable_x64  # pyright: ignore
    theirs, ours = (model.fit(X.astype(np.float32), y) for model in pair("MLPClassifier"))
    assert_alike(theirs, ours, tolerance=2e-4)
    assert ours.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert jax.config.jax_enable_x64 == before  # pyright: ignore


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_goes_on_where_it_was(solver):
    theirs, ours = pair("MLPClassifier", solver=solver)
    for part in (slice(0, 100), slice(100, 300), slice(0, 100)):
        for model in (theirs, ours):
            model.partial_fit(X[part], y[part], classes=[0, 1])
        assert_alike(theirs, ours)


def test_warm_start_goes_on_from_the_weights():
    theirs, ours = pair("MLPClassifier", warm_start=True, max_iter=5)
    for _ in range(3):
        theirs.fit(X, y)
        ours.fit(X, y)
    assert_alike(theirs, ours)


@pytest.mark.parametrize("settings", [{}, SGD, {"early_stopping": True}], ids=["adam", "sgd", "early"])
def test_a_random_state_object_is_left_where_scikit_learn_leaves_it(settings):
    draws = []
    for model in pair("MLPClassifier", **{**settings, "max_iter": 60, "tol": 1e-2, "n_iter_no_change": 2}):
        state = np.random.RandomState(3)
        model.set_params(random_state=state).fit(X, y)
        assert model.n_iter_ < 60
        draws.append(state.uniform())
    assert draws[0] == draws[1]


MISTAKES = {
    "no row": (lambda m: m.fit(X[:0], y[:0]), {}),
    "one class unknown": (lambda m: m.partial_fit(X, y, classes=[0, 2]), {}),
    "rows of another width": (lambda m: m.fit(X, y).predict(X[:, :3]), {}),
    "not fitted": (lambda m: m.predict(X), {}),
    "infinite": (lambda m: m.fit(np.full_like(X, np.inf), y), {}),
    "unknown solver": (lambda m: m.fit(X, y), {"solver": "newton"}),
    "layer of no nodes": (lambda m: m.fit(X, y), {"hidden_layer_sizes": (3, 0)}),
    "validation of one row": (lambda m: m.fit(X[:8], y[:8]), {"early_stopping": True}),
    "partial fit with lbfgs": (lambda m: m.partial_fit(X, y), {"solver": "lbfgs"}),
    "partial fit with early stopping": (lambda m: m.partial_fit(X, y, classes=[0, 1]), {"early_stopping": True}),
    "weights that overflow": (lambda m: m.fit(1e300 * X, y), {"solver": "sgd", "learning_rate_init": 1e300}),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("do", "settings"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_get_scikit_learns_own_errors(do, settings):
    errors = []
    for model in pair("MLPClassifier", **settings):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            do(model)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("settings", [{"max_iter": 3}, {"max_iter": 1}, {"batch_size": 1000, "max_iter": 1}])
def test_warnings_are_scikit_learns(settings):
    seen = []
    for model in pair("MLPClassifier", **settings):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y)
        seen.append([(w.category, str(w.message)) for w in caught])
    assert seen[0] == seen[1]
    assert seen[0][-1][0] is ConvergenceWarning


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {**SGD, "learning_rate": "adaptive"}, {"tol": 0.1}])
def test_verbose_prints_scikit_learns_lines(capsys, settings):
    printed = []
    for model in pair("MLPClassifier", verbose=True, **{**settings, "max_iter": 30}):
        model.fit(X, y)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Iteration 1, loss" in printed[0]


def test_pickles_and_clones_predict_the_same():
    model = pair("MLPClassifier")[1].fit(X, y)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    back.partial_fit(X, y)
    model.partial_fit(X, y)
    np.testing.assert_array_equal(back.coefs_[0], model.coefs_[0])


def test_pipelines_grid_searches_and_processes():
    pipeline = make_pipeline(StandardScaler(), cr.MLPClassifier((8,), max_iter=100, random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert (cross_val_score(pipeline, X, y, cv=2, n_jobs=2) > 0.9).all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_bring_their_feature_names(frame):
    columns = {"a": X[:, 0], "b": X[:, 1]}
    model = pair("MLPClassifier")[1].fit(frame(columns), y)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    model.predict(frame(columns))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame(columns).rename({"a": "c"}, **({"axis": 1} if frame is pd.DataFrame else {})))


def test_the_parameters_and_their_defaults_are_scikit_learns():
    for name in ("MLPClassifier", "MLPRegressor"):
        theirs = getattr(neural_network, name)().get_params()
        ours = getattr(cr, name)().get_params()
        assert {key: ours[key] for key in theirs} == theirs


def test_iris_out_of_the_box():
    data, classes = load_iris(return_X_y=True)
    assert (
        cross_val_score(make_pipeline(StandardScaler(), cr.MLPClassifier(random_state=0)), data, classes).mean() > 0.9
    )

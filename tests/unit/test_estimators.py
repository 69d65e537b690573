"""What scikit-learn's MLP does not have. `tests/contract/test_scikit_learn.py` holds what it has."""

import pickle

import numpy as np
import optax
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import scale

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)
TRAIN, HELD = slice(0, 300), slice(300, 569)
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 30}


def test_class_weight_is_a_weight_on_the_rows():
    weights = np.where(y == 1, 5.0, 1.0)
    by_class = cr.MLPClassifier(**SMALL, class_weight={0: 1.0, 1: 5.0}).fit(X, y)
    by_row = cr.MLPClassifier(**SMALL).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(by_class.coefs_[0], by_row.coefs_[0], atol=1e-12)


def test_class_weight_counts_in_partial_fit_too():
    models = [cr.MLPClassifier(**SMALL, class_weight=w) for w in ({0: 1.0, 1: 5.0}, None)]
    models[0].partial_fit(X, y, classes=[0, 1])
    models[1].partial_fit(X, y, sample_weight=np.where(y == 1, 5.0, 1.0), classes=[0, 1])
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], atol=1e-12)
    with pytest.raises(ValueError, match="needs all rows at once"):
        cr.MLPClassifier(**SMALL, class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_a_fitted_model_keeps_no_rows():
    model = cr.MLPClassifier(**SMALL).fit(X[TRAIN], y[TRAIN], X_val=X[HELD], y_val=y[HELD])
    assert max(np.size(value) for value in vars(model).values() if isinstance(value, np.ndarray)) <= 30
    assert len(pickle.dumps(model)) < 40_000


def test_balanced_classes_find_more_of_the_rare_class():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 2))
    rare = features.sum(axis=1) + rng.normal(size=2000) > 3
    told = [cr.MLPClassifier(**SMALL, class_weight=w).fit(features, rare).predict(features) for w in (None, "balanced")]
    scores = [balanced_accuracy_score(rare, t) for t in told]
    assert scores[1] > scores[0] + 0.1


def test_validation_rows_of_ones_own_are_scored_every_pass_and_never_trained_on():
    plain = cr.MLPClassifier(**SMALL).fit(X[TRAIN], y[TRAIN])
    watched = cr.MLPClassifier(**SMALL).fit(X[TRAIN], y[TRAIN], X_val=X[HELD], y_val=y[HELD])
    np.testing.assert_array_equal(plain.coefs_[0], watched.coefs_[0])
    assert len(watched.validation_scores_) == len(watched.validation_loss_curve_) == watched.n_iter_
    assert watched.validation_scores_[-1] == pytest.approx(watched.score(X[HELD], y[HELD]))
    chances = watched.predict_proba(X[HELD])[np.arange(269), y[HELD]]
    assert watched.validation_loss_curve_[-1] == pytest.approx(-np.log(chances).mean())


@pytest.mark.parametrize("stop_on", ["score", "loss"])
def test_early_stopping_restores_the_pass_that_was_best_on_them(stop_on):
    settings = {**SMALL, "max_iter": 400, "learning_rate_init": 0.02, "early_stopping": True, "stop_on": stop_on}
    model = cr.MLPClassifier(**settings).fit(X[TRAIN], y[TRAIN], X_val=X[HELD], y_val=y[HELD])
    assert model.n_iter_ < 400
    score, chances = model.score(X[HELD], y[HELD]), model.predict_proba(X[HELD])[np.arange(269), y[HELD]]
    if stop_on == "score":
        assert score == pytest.approx(max(model.validation_scores_))
    else:
        assert -np.log(chances).mean() == pytest.approx(min(model.validation_loss_curve_))
        assert np.argmin(model.validation_loss_curve_) == model.n_iter_ - 1 - model.n_iter_no_change - 1


def test_weights_count_on_validation_rows_too():
    some = np.r_[np.ones(100), np.zeros(169)]
    model = cr.MLPClassifier(**SMALL).fit(X[TRAIN], y[TRAIN], X_val=X[HELD], y_val=y[HELD], sample_weight_val=some)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[HELD][:100], y[HELD][:100]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"X_val": X[HELD], "y_val": y[:3]}, "expected 269 targets"),
        ({"X_val": X[HELD], "y_val": np.full(269, 7)}, "classes that y does not have"),
        ({"X_val": X[HELD][:, :4], "y_val": y[HELD]}, "30 features"),
    ],
)
def test_validation_rows_that_do_not_fit_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        cr.MLPClassifier(**SMALL).fit(X[TRAIN], y[TRAIN], **given)


def test_restore_best_keeps_the_weights_of_the_lowest_training_loss():
    settings = {**SMALL, "solver": "sgd", "learning_rate_init": 1.5, "batch_size": 16, "n_iter_no_change": 100}
    last, best = (cr.MLPClassifier(**settings, restore_best=keep).fit(X, y) for keep in (False, True))
    at = int(np.argmin(best.loss_curve_)) + 1
    assert at < best.n_iter_  # else this test says nothing
    there = cr.MLPClassifier(**{**settings, "max_iter": at}).fit(X, y)
    np.testing.assert_array_equal(best.coefs_[0], there.coefs_[0])
    assert not np.array_equal(best.coefs_[0], last.coefs_[0])


def test_an_activation_per_layer_and_one_of_ones_own():
    mish = cr.Activation("mish", lambda z: z * z.__array_namespace__().tanh(_softplus(z)))
    model = cr.MLPClassifier((8, 4), activation=["silu", mish], random_state=0, max_iter=60).fit(X, y)
    assert model.score(X, y) > 0.9


def _softplus(z):
    xp = z.__array_namespace__()
    return xp.log1p(xp.exp(-xp.abs(z))) + xp.maximum(z, 0)


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_quantile_regression_covers_its_share(quantile):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (3000, 1))
    target = x[:, 0] + rng.normal(size=3000) * (1 + x[:, 0])
    model = cr.MLPRegressor(
        hidden_layer_sizes=(16,), cost=f"pinball:{quantile}", random_state=0, learning_rate_init=0.01
    ).fit(x, target)
    assert np.mean(target < model.predict(x)) == pytest.approx(quantile, abs=0.03)


def test_a_cost_of_ones_own():
    cubic = cr.Cost("cubic", lambda y_hat, y: abs(y_hat - y) ** 3)
    features, target = load_diabetes(return_X_y=True)
    model = cr.MLPRegressor(hidden_layer_sizes=(8,), cost=cubic, random_state=0, learning_rate_init=0.05).fit(
        scale(features), scale(target)
    )
    assert model.score(scale(features), scale(target)) > 0.3


@pytest.mark.parametrize("rule", [optax.adamw(0.01), cr.optax_rule("rmsprop", 0.01), cr.gradient_descent(0.1, 0.9)])
def test_any_rule(rule):
    assert cr.MLPClassifier(**SMALL, rule=rule).fit(X, y).score(X, y) > 0.85


def test_a_cost_goal_and_seconds_end_the_training():
    model = cr.MLPClassifier(**{**SMALL, "max_iter": 5000}, cost_goal=0.1).fit(X, y)
    assert model.loss_ < 0.1 <= model.loss_curve_[-2]
    assert cr.MLPClassifier(**{**SMALL, "max_iter": 10**9, "tol": 0.0}, max_seconds=0.5, n_iter_no_change=10**9).fit(
        X, y
    )


def test_a_callback_sees_every_pass_and_may_end_the_training():
    seen = []

    def until_five(record):
        seen.append(record)
        return record.n_iter == 5

    model = cr.MLPClassifier(**SMALL, callbacks=[until_five]).fit(X[TRAIN], y[TRAIN], X_val=X[HELD], y_val=y[HELD])
    assert model.n_iter_ == 5
    assert [record.loss for record in seen] == model.loss_curve_
    assert [record.validation_score for record in seen] == model.validation_scores_
    same = cr.MLPClassifier(**{**SMALL, "max_iter": 5}).fit(X[TRAIN], y[TRAIN])
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])


def test_first_weights_of_ones_own():
    donor = cr.MLPClassifier(**SMALL).fit(X, y)
    model = cr.MLPClassifier(**{**SMALL, "max_iter": 1}, initial=(donor.coefs_, donor.intercepts_)).fit(X, y)
    assert model.loss_ < donor.loss_curve_[0] / 2
    with pytest.raises(ValueError, match=r"initial weights 0: expected shape \(30, 8\), got \(2, 2\)"):
        cr.MLPClassifier(**SMALL, initial=([np.eye(2)] * 2, donor.intercepts_)).fit(X, y)


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
def test_explain_gradient_is_the_derivative_of_the_output(activation):
    model = cr.MLPClassifier((8, 4), activation=activation, random_state=0, max_iter=20).fit(X, np.arange(569) % 3)
    gradient = model.explain_gradient(X[:5], output=2)
    for j in range(0, 30, 7):
        up, down = X[:5].copy(), X[:5].copy()
        up[:, j] += 1e-6
        down[:, j] -= 1e-6
        slope = (model.predict_proba(up)[:, 2] - model.predict_proba(down)[:, 2]) / 2e-6
        np.testing.assert_allclose(gradient[:, j], slope, atol=1e-7)


@pytest.mark.parametrize(
    "settings",
    [
        {"stop_on": "cost"},
        {"cost_goal": "low"},
        {"max_seconds": 0},
        {"activation": "sigmoyd"},
        {"class_weight": "even"},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        cr.MLPClassifier(**settings).fit(X, y)

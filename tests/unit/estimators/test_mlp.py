"""What scikit-learn's MLP does not have. `tests/contract/test_scikit_learn.py` holds what it has."""

import pickle

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import scale

import chainrule as cr
from chainrule.maths.costs import cost_of

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
        ({"X_val": X[HELD], "y_val": np.full(269, 7)}, "do not occur in y"),
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
    # a fit of a single pass is made by NumPy, so equal but for rounding
    np.testing.assert_allclose(best.coefs_[0], there.coefs_[0], rtol=1e-9)
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


def test_a_rules_own_learning_rate_is_the_one():
    models = [cr.MLPClassifier(**SMALL, rule=cr.gradient_descent(eta, 0.9)).fit(X, y) for eta in (0.1, 0.001)]
    assert models[0].loss_ < models[1].loss_ / 2
    own = cr.MLPClassifier(**SMALL, solver="sgd", learning_rate_init=0.1, nesterovs_momentum=False).fit(X, y)
    np.testing.assert_array_equal(models[0].coefs_[0], own.coefs_[0])


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


SETTINGS_THAT_CLASH = [
    ({"solver": "lbfgs", "rule": optax.adam(0.1)}, "rule: not supported by solver='lbfgs'"),
    ({"solver": "lbfgs", "dropout": 0.1}, "dropout: not supported by solver='lbfgs'"),
    ({"solver": "lbfgs", "max_seconds": 1.0}, "max_seconds: not supported by solver='lbfgs'"),
    ({"solver": "lbfgs", "warm_start": "resume"}, "warm_start: not supported by solver='lbfgs'"),
    ({"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": cr.step_decay(0.1)}, "use one"),
    ({"rule": optax.adam(0.1), "learning_rate_init": cr.step_decay(0.1)}, "rule has its own learning rate"),
    ({"rule": optax.adam(0.1), "learning_rate_init": 0.5}, "rule has its own learning rate"),
    ({"rule": "adamw"}, r"expected cr.optax_rule\('adamw', 1e-3\)"),
    ({"preset": "tabular", "solver": "lbfgs"}, "preset='tabular' trains with solver='adam'"),
    ({"calibrate": True}, "calibrate=True needs validation rows"),
    ({"dropout": 1.0}, "dropout"),
    ({"max_gradient_norm": 0.0}, "max_gradient_norm"),
    ({"missing": "drop"}, "missing"),
    ({"preset": "images"}, "preset"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS_THAT_CLASH)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cr.MLPClassifier(**settings).fit(X, y)


def test_own_validation_rows_are_refused_where_no_pass_would_look_at_them():
    with pytest.raises(ValueError, match="X_val: not supported by solver='lbfgs'"):
        cr.MLPClassifier(solver="lbfgs").fit(X, y, X_val=X, y_val=y)


def test_dropout_trains_a_thinned_network_and_predicts_with_the_whole():
    plain, thinned = (cr.MLPClassifier(**SMALL, dropout=rate).fit(X, y) for rate in (0.0, 0.5))
    assert thinned.loss_ > plain.loss_ * 1.3
    assert thinned.score(X, y) > 0.9
    again = cr.MLPClassifier(**SMALL, dropout=0.5).fit(X, y)
    np.testing.assert_array_equal(thinned.coefs_[0], again.coefs_[0])
    other = cr.MLPClassifier(**{**SMALL, "random_state": 1}, dropout=0.5).fit(X, y)
    assert not np.array_equal(thinned.coefs_[0], other.coefs_[0])


def test_one_pass_with_dropout_is_the_core_with_its_masks():
    from chainrule.training.dropout import dropped, keep

    settings = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 1, "solver": "sgd", "momentum": 0.0}
    first = cr.MLPClassifier(**settings, alpha=0.0, shuffle=False, batch_size=569, initial=None, dropout=0.5)
    start = cr.MLPClassifier(**settings, learning_rate_init=1e-300).fit(X, y)
    model = first.set_params(learning_rate_init=0.5).fit(X, y)
    network = cr.Network([30, 8, 1], ["relu", "sigmoid"], "binary_cross_entropy")
    params = tuple(map(cr.Layer, start.coefs_, start.intercepts_))
    masks = keep(network, dropped(0.5), model._position.dropout_seed, 1, 0, 569, "float32")
    fwd = cr.forward(network, params, X, [None if k is None else np.asarray(k, float) for k in masks])
    gradient = cr.backward(network, params, fwd, y[:, None].astype(float)).gradient
    for W, p, g in zip(model.coefs_, params, gradient, strict=True):
        np.testing.assert_allclose(W, p.W - 0.5 * g.W, atol=1e-12)


def test_gradient_clipping_bounds_the_step():
    wild = 1000 * X
    settings = {**SMALL, "solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1, "batch_size": 569, "max_iter": 1}
    start = cr.MLPClassifier(**{**settings, "learning_rate_init": 1e-300}).fit(wild, y)
    model = cr.MLPClassifier(**settings, max_gradient_norm=0.5).fit(wild, y)
    pairs = zip(model.coefs_ + model.intercepts_, start.coefs_ + start.intercepts_, strict=True)
    assert np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs)) == pytest.approx(0.05)


def test_a_small_gradient_ends_the_training():
    records = []
    settings = {**SMALL, "max_iter": 3000, "tol": 0.0, "n_iter_no_change": 3000}
    model = cr.MLPClassifier(**settings, min_gradient=0.05, callbacks=[records.append]).fit(X, y)
    assert records[-1].gradient_norm < 0.05 <= records[-2].gradient_norm
    assert model.n_iter_ == len(records) < 3000


@pytest.mark.parametrize("schedule", [cr.cosine_decay(0.05, 60), optax.exponential_decay(0.05, 10, 0.5)])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_schedule_in_place_of_a_learning_rate(solver, schedule):
    model = cr.MLPClassifier(**SMALL, solver=solver, learning_rate_init=schedule).fit(X, y)
    constant = cr.MLPClassifier(**SMALL, solver=solver, learning_rate_init=0.05).fit(X, y)
    assert model.score(X, y) > 0.9
    assert not np.allclose(model.coefs_[0], constant.coefs_[0])


def test_a_constant_schedule_is_a_learning_rate():
    models = [
        cr.MLPClassifier(**SMALL, learning_rate_init=rate).fit(X, y) for rate in (0.01, optax.constant_schedule(0.01))
    ]
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], atol=1e-12)


RESUMABLE = {
    "adam": {},
    "momentum": {"solver": "sgd", "learning_rate_init": 0.05},
    "inverse scaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    "a rule": {"rule": cr.optax_rule("adamw", 0.01)},
    "a schedule": {"learning_rate_init": cr.cosine_decay(0.05, 60)},
    "dropout": {"dropout": 0.3},
    "early stopping": {"early_stopping": True},
    "early stopping on loss": {"early_stopping": True, "stop_on": "loss"},
    "best weights": {"restore_best": True, "learning_rate_init": 0.3},
    "clipped": {"max_gradient_norm": 0.1},
    "preset": {"preset": "tabular"},
}


@pytest.mark.parametrize("settings", RESUMABLE.values(), ids=RESUMABLE)
def test_a_resumed_fit_equals_an_uninterrupted_one_bit_for_bit(settings):
    given = {**SMALL, **settings, "n_iter_no_change": 1000, "warm_start": "resume"}
    whole = cr.MLPClassifier(**{**given, "max_iter": 31}).fit(X, y)
    parts = cr.MLPClassifier(**given)
    for passes in (1, 17, 13):
        parts = pickle.loads(pickle.dumps(parts.set_params(max_iter=passes).fit(X, y)))
    assert parts.loss_curve_ == whole.loss_curve_
    for ours, theirs in zip(parts.coefs_ + parts.intercepts_, whole.coefs_ + whole.intercepts_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if parts.validation_scores_ is not None:
        assert parts.validation_scores_ == whole.validation_scores_


def test_a_plain_warm_start_begins_with_a_new_state():
    whole = cr.MLPClassifier(**{**SMALL, "max_iter": 31}).fit(X, y)
    plain = cr.MLPClassifier(**SMALL, warm_start=True).fit(X, y).set_params(max_iter=1).fit(X, y)
    assert plain.loss_curve_[:30] == whole.loss_curve_[:30]
    assert plain.loss_curve_[30] != whole.loss_curve_[30]


def test_a_missing_value_is_an_error_that_names_its_column():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0], "size": [1.0, np.nan, 3.0, np.nan]})
    with pytest.raises(ValueError, match="NaN: 2 missing values, the first in column 'size', row 1"):
        cr.MLPClassifier().fit(frame, [0, 1, 0, 1])
    model = cr.MLPClassifier(**SMALL).fit(X, y)
    spoilt = X.copy()
    spoilt[7, 3] = np.nan
    for do in (model.predict, model.predict_proba, model.explain_gradient, lambda rows: model.fit(rows, y)):
        with pytest.raises(ValueError, match="NaN: 1 missing values, the first in column 3, row 7"):
            do(spoilt)
    with pytest.raises(ValueError, match="NaN: 1 missing values, the first in column 3, row 7"):
        model.fit(X, y, X_val=spoilt, y_val=y)


def test_missing_values_are_filled_and_indicated():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 3))
    target = (features[:, 0] + rng.normal(size=2000) / 10 > 0).astype(int)
    gone = target * (rng.random(2000) < 0.5) > 0  # that a value is missing says a lot
    features[gone, 1] = np.nan
    settings = {**SMALL, "max_iter": 200}
    model = cr.MLPClassifier(**settings, missing="indicate").fit(features[:1500], target[:1500])
    assert model.n_features_in_ == 3
    assert model.coefs_[0].shape == (4, 8)
    assert model.score(features[1500:], target[1500:]) > 0.95
    filled = np.where(np.isnan(features), np.nanmean(features[:1500], axis=0), features)
    by_hand = np.column_stack([filled, gone])
    same = cr.MLPClassifier(**settings).fit(by_hand[:1500], target[:1500])
    np.testing.assert_allclose(model.predict_proba(features), same.predict_proba(by_hand), atol=1e-12)
    features[:5, 2] = np.nan  # where fit saw none: the mean, and no input to say so
    assert np.isfinite(model.predict_proba(features)).all()
    gradient = model.explain_gradient(features[:5])
    assert (gradient[:, 2] == 0).all()
    assert (gradient[:, 0] != 0).all()


def test_calibrated_probabilities_are_scikit_learns_temperature_scaling():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(569) < 0.15, 1 - y, y)
    settings = {**SMALL, "max_iter": 60, "learning_rate_init": 0.03, "tol": 0.0}
    model = cr.MLPClassifier(**settings, calibrate=True)
    model.fit(X[TRAIN], noisy[TRAIN], X_val=X[HELD], y_val=noisy[HELD])
    plain = cr.MLPClassifier(**settings).fit(X[TRAIN], noisy[TRAIN])
    assert model.temperature_ > 1.2
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))

    def held_loss(chances):
        return -np.log(np.clip(chances[np.arange(269), noisy[HELD]], 1e-15, 1)).mean()

    assert held_loss(model.predict_proba(X[HELD])) < held_loss(plain.predict_proba(X[HELD])) / 1.02
    theirs = CalibratedClassifierCV(FrozenEstimator(plain), method="temperature").fit(X[HELD], noisy[HELD])
    np.testing.assert_allclose(model.predict_proba(X[HELD]), theirs.predict_proba(X[HELD]), atol=2e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_is_that_of_the_lowest_log_loss(classes):
    target = (y + (np.random.default_rng(0).random(569) < 0.2)) % classes
    model = cr.MLPClassifier(**SMALL, calibrate=True)
    model.fit(X[TRAIN], target[TRAIN], X_val=X[HELD], y_val=target[HELD])
    best = model.temperature_

    def held_loss(temperature):
        model.temperature_ = temperature
        return -np.log(model.predict_proba(X[HELD])[np.arange(269), target[HELD]]).mean()

    assert held_loss(best) < min(held_loss(best * 1.01), held_loss(best / 1.01))


def test_the_preset_needs_no_scaling_and_leaves_the_parameters_alone():
    raw, target = load_breast_cancer(return_X_y=True)
    model = cr.MLPClassifier(preset="tabular", random_state=0, max_iter=100)
    before = model.get_params()
    model.fit(raw[::2], target[::2])
    assert model.get_params() == before
    assert model.n_iter_ <= 100
    assert model.network_.activations[0].name == "silu"
    assert model.score(raw[1::2], target[1::2]) > 0.95
    assert model.explain_gradient(raw[:3]).shape == (3, 30)


def test_the_preset_scales_every_chunk_as_the_first():
    raw, target = load_breast_cancer(return_X_y=True)
    model = cr.MLPClassifier(preset="tabular", random_state=0)
    for _ in range(20):
        for rows in (TRAIN, slice(300, 500)):
            model.partial_fit(raw[rows], target[rows], classes=[0, 1])
    np.testing.assert_allclose(model.inputs_.mean, raw[TRAIN].mean(axis=0))
    np.testing.assert_allclose(model.inputs_.std, raw[TRAIN].std(axis=0))
    assert model.score(raw[500:], target[500:]) > 0.95
    assert not model.early_stopping
    with pytest.raises(ValueError, match="first rows given to partial_fit: expected 10 or more, got 9"):
        cr.MLPClassifier(preset="tabular").partial_fit(raw[:9], target[:9], classes=[0, 1])
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        cr.MLPClassifier(preset="tabular", early_stopping=True).partial_fit(raw, target, classes=[0, 1])


def test_chunks_may_follow_a_fit_with_the_preset():
    model = cr.MLPClassifier(preset="tabular", random_state=0, max_iter=20).fit(X[TRAIN], y[TRAIN])
    before = model.inputs_.mean
    model.partial_fit(X[HELD], y[HELD])
    np.testing.assert_array_equal(model.inputs_.mean, before)
    assert model.score(X, y) > 0.9


def test_the_preset_keeps_the_scale_of_the_first_targets():
    features, target = load_diabetes(return_X_y=True)
    model = cr.MLPRegressor(preset="tabular", random_state=0)
    for _ in range(100):
        for rows in (slice(0, 200), slice(200, 400), slice(400, 403)):
            model.partial_fit(features[rows], 1e4 * target[rows])
    assert model.target_mean_ == pytest.approx(1e4 * target[:200].mean())
    assert model.score(features, 1e4 * target) > 0.4


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_preset_answers_in_the_units_of_the_target(outputs):
    features, target = load_diabetes(return_X_y=True)
    target = 1e4 * target if outputs == 1 else np.column_stack([1e4 * target, target / 1e4 - 7])
    model = cr.MLPRegressor(preset="tabular", random_state=0).fit(features, target)
    assert model.score(features, target) > 0.45
    up, down = features[:5].copy(), features[:5].copy()
    up[:, 2] += 1e-5
    down[:, 2] -= 1e-5
    slope = (model.predict(up) - model.predict(down)) / 2e-5
    np.testing.assert_allclose(
        model.explain_gradient(features[:5])[:, 2], slope if outputs == 1 else slope[:, 0], rtol=1e-4
    )
    held = cr.MLPRegressor(preset="tabular", random_state=0).fit(features, target, X_val=features, y_val=target)
    assert held.validation_scores_[-1] > 0.3


def test_whole_numbers_are_encoded_as_the_same_floats():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 100, (300, 4))
    target = whole[:, 0] + whole[:, 1] > 100
    model = cr.MLPClassifier(preset="tabular", random_state=0, max_iter=50).fit(whole, target)
    np.testing.assert_array_equal(model.predict_proba(whole), model.predict_proba(whole.astype(float)))
    assert model.score(whole, target) > 0.95


def test_a_batch_that_weighs_nothing_moves_nothing():
    weights = np.zeros(569)
    weights[::50] = 1
    model = cr.MLPClassifier(**SMALL, batch_size=8).fit(X, y, sample_weight=weights)
    assert np.isfinite(model.loss_curve_).all()
    assert model.score(X[::50], y[::50]) == 1


def test_what_is_asked_for_wins_over_the_preset():
    settings = {"preset": "tabular", "random_state": 0, "max_iter": 5}
    curves = [
        cr.MLPClassifier(**settings, **more).fit(X, y).loss_curve_
        for more in ({}, {"dropout": 0.0}, {"average": 0.0}, {"hidden_layer_sizes": np.array([10, 5])})
    ]
    assert len({tuple(curve) for curve in curves[:1] + curves[1:2] + curves[3:]}) == 3
    validated = [
        cr.MLPClassifier(**settings, average=average).fit(X, y).validation_loss_curve_ for average in (None, 0.0)
    ]
    assert validated[0] != validated[1]


def test_the_average_is_what_predicts():
    raw = cr.MLPClassifier(**SMALL).fit(X, y)
    model = cr.MLPClassifier(**SMALL, average=0.9).fit(X, y)
    assert model.loss_curve_ == raw.loss_curve_
    from chainrule.training.averaging import average_from, averaged

    one = cr.MLPClassifier(**{**SMALL, "max_iter": 1}, batch_size=569, average=0.9).fit(X, y)
    first = cr.MLPClassifier(**{**SMALL, "max_iter": 1}, batch_size=569, learning_rate_init=1e-300).fit(X, y)
    last = cr.MLPClassifier(**{**SMALL, "max_iter": 1}, batch_size=569).fit(X, y)
    mean = averaged(average_from(tuple(map(cr.Layer, first.coefs_, first.intercepts_))), last._params(), 0.9)
    np.testing.assert_allclose(one.coefs_[0], mean.params[0].W, atol=1e-9)


def test_a_temperature_does_not_outlive_its_weights():
    settings = {**SMALL, "calibrate": True}
    model = cr.MLPClassifier(**settings).fit(X[TRAIN], y[TRAIN], X_val=X[HELD], y_val=y[HELD])
    assert model.temperature_ != 1
    assert not hasattr(model.set_params(calibrate=False).partial_fit(X, y), "temperature_")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y_val": y}, "must be given together"),
        ({"X_val": X}, "must be given together"),
        ({"sample_weight_val": np.ones(569)}, "must be given together"),
        ({"X_val": X, "y_val": y[:, None] + 5}, "do not occur in y"),
        ({"X_val": X, "y_val": y[:9]}, "expected 569 targets"),
        ({"X_val": X, "y_val": y, "sample_weight_val": np.ones(3)}, "expected 569 weights"),
    ],
)
def test_validation_rows_in_part_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        cr.MLPClassifier(**SMALL).fit(X, y, **given)


def test_a_resumed_fit_refuses_another_rule():
    for change in ({"learning_rate_init": 0.5}, {"max_gradient_norm": 1.0}, {"solver": "sgd"}):
        model = cr.MLPClassifier(**SMALL, warm_start="resume").fit(X, y)
        with pytest.raises(ValueError, match="continues with the rule and learning rate of the first fit"):
            model.set_params(**change).fit(X, y)


def test_inputs_do_not_change_between_fits():
    model = cr.MLPClassifier(**SMALL, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="preset, missing or categorical_features have changed"):
        model.set_params(missing="indicate").fit(X, y)


@pytest.mark.parametrize("cost", ["poisson", "binary_cross_entropy"])
@pytest.mark.parametrize("preset", [None, "tabular"])
def test_a_cost_of_numbers_within_bounds_brings_its_output(cost, preset):
    shares = 1 / (1 + np.exp(-X[:, 0]))
    model = cr.MLPRegressor(random_state=0, cost=cost, preset=preset, max_iter=50).fit(X, shares)
    told = model.predict(X)
    assert (told > 0).all()
    assert model.score(X, shares) > 0.8


def test_a_table_too_small_for_the_preset_is_told_so():
    with pytest.raises(ValueError, match="expected 10 or more, or X_val; got 6"):
        cr.MLPClassifier(preset="tabular").fit(X[:6], [0, 1] * 3)
    with pytest.raises(ValueError, match="column 1: the values are too large to scale"):
        cr.MLPClassifier(preset="tabular").fit(np.where(np.arange(30) == 1, 1e300 * X, X), y)


@pytest.mark.parametrize("rows", [2_600, 13_000])
def test_quantiles_of_larger_tables_are_carried_back_to_the_columns(rows):
    rng = np.random.default_rng(0)
    features = np.exp(rng.normal(size=(rows, 3)))
    features[:, 2] = rng.integers(0, 3, rows)  # few values: no quantiles
    target = np.log(features[:, 0]) - 0.5 * (features[:, 1] > 1) + 0.1 * features[:, 2]
    model = cr.MLPRegressor(preset="tabular", random_state=0, max_iter=6).fit(features, target)
    assert model.network_.layers[0] == (5 if rows < 12_000 else 3 + 2 * 20)
    assert model.score(features, target) > 0.9
    some = features[10:20]
    for j in range(3):
        up, down = some.copy(), some.copy()
        up[:, j] += 1e-7
        down[:, j] -= 1e-7
        slope = (model.predict(up) - model.predict(down)) / 2e-7
        np.testing.assert_allclose(model.explain_gradient(some)[:, j], slope, rtol=1e-4, atol=1e-5)


def test_a_cost_brings_its_output_however_it_is_given():
    own = cr.Cost("own", lambda y_hat, y: y_hat - y * jnp.log(y_hat), output="exponential", domain=(0, np.inf))
    for cost, output in ((cost_of("poisson"), "softplus"), (own, "exponential"), ("rmse", "identity")):
        model = cr.MLPRegressor(hidden_layer_sizes=(4,), random_state=0, cost=cost, preset="tabular", max_iter=2).fit(
            X, np.exp(X[:, 0])
        )
        assert model.network_.activations[-1].name == output
        assert hasattr(model, "target_mean_") == (cost == "rmse")


def test_a_target_that_the_cost_does_not_have_is_refused():
    with pytest.raises(ValueError, match="cost poisson: expected targets from 0 to inf, got -"):
        cr.MLPRegressor(cost=cost_of("poisson")).fit(X, -np.exp(X[:, 0]))


COPIES = {"itself": lambda model: model, "clone": clone, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_default_that_is_asked_for_wins_over_the_preset(copied):
    settings = {"hidden_layer_sizes": (100,), "activation": "relu", "max_iter": 2, "alpha": 1e-4}
    asked = copied(cr.MLPClassifier(preset="tabular", **settings)).fit(X, y)
    assert asked.network_.layers == (30, 100, 1)
    assert asked.network_.activations[0].name == "relu"
    left = copied(cr.MLPClassifier(preset="tabular").set_params(max_iter=2)).fit(X, y)
    assert left.network_.layers == (30, 64, 32, 1)
    assert left.get_params() == asked.get_params()

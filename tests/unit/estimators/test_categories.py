"""`categorical_features`: columns of text and categories in data frames and arrays."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "colour": RNG.choice(["red", "green", "blue"], 300),
        "size": RNG.normal(10, 2, 300),
        "shape": pd.Categorical(RNG.choice(["round", "square"], 300)),
        "paid": RNG.choice([True, False], 300),
    }
)
FRAME.loc[:9, "colour"] = None
FRAME.loc[10:12, "colour"] = ["amber", "ochre", "teal"]
Y = (FRAME["colour"] == "red") ^ (FRAME["size"] > 10)
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 30}


def by_hand(frame):
    """The inputs that the columns become, with the numbers first."""
    colour = frame["colour"]
    known = [colour == value for value in ("blue", "green", "red")]
    rare = colour.notna() & ~colour.isin(["blue", "green", "red"])
    shapes = [frame["shape"] == value for value in ("round", "square")]
    return np.column_stack([frame["size"], frame["paid"], *known, rare, colour.isna(), *shapes]).astype(float)


def test_categories_are_one_hot_inputs_after_the_numbers():
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(FRAME, Y)
    plain = cr.MLPClassifier(**SMALL).fit(by_hand(FRAME), Y)
    np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])
    np.testing.assert_array_equal(model.predict_proba(FRAME), plain.predict_proba(by_hand(FRAME)))
    assert (model.n_features_in_, model.network_.layers[0]) == (4, 9)
    assert model.feature_names_in_.tolist() == ["colour", "size", "shape", "paid"]


def test_the_preset_scales_the_numbers_beside_them():
    model = cr.MLPClassifier(preset="tabular", categorical_features="from_dtype", random_state=0).fit(FRAME, Y)
    assert model.score(FRAME, Y) > 0.95
    np.testing.assert_allclose(model.inputs_.std, [1, FRAME["size"].std(ddof=0), 1, 1])
    assert not model.explain_gradient(FRAME[:5])[:, [0, 2]].any()
    assert model.explain_gradient(FRAME[:5])[:, 1].all()


@pytest.mark.parametrize(
    "setting", [["colour", "shape"], [0, 2], np.array([2, 0]), [True, False, True, False], ("shape", "colour")], ids=str
)
def test_columns_by_name_number_or_mask(setting):
    models = [cr.MLPClassifier(**SMALL, categorical_features=how).fit(FRAME, Y) for how in (setting, "from_dtype")]
    np.testing.assert_array_equal(models[0].coefs_[0], models[1].coefs_[0])


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(
    "other", [pl.from_pandas, lambda f: f.to_numpy(object), lambda f: pl.from_pandas(f).to_arrow()]
)
def test_frames_and_arrays_mean_the_same(other):
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(FRAME, Y)
    np.testing.assert_array_equal(model.predict_proba(other(FRAME)), model.predict_proba(FRAME))
    again = clone(model).fit(other(FRAME), Y)
    np.testing.assert_array_equal(again.predict_proba(other(FRAME)), model.predict_proba(FRAME))


def test_a_column_of_numbers_can_be_categories():
    numbers = np.column_stack([np.arange(100) % 4, np.arange(100) / 10]).astype(float)
    target = numbers[:, 0] * 2 % 3
    model = cr.MLPRegressor(solver="lbfgs", random_state=0, categorical_features=[0]).fit(numbers, target)
    assert model.network_.layers[0] == 5
    assert model.score(numbers, target) > 0.99
    np.testing.assert_array_equal(model.predict(numbers.astype(int)[:4, :]), model.predict(np.trunc(numbers[:4])))


def test_an_unknown_category_counts_as_rare_or_is_all_zeros():
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(FRAME, Y)
    rows = FRAME[10:12].assign(size=10.0, paid=True, shape="oval")
    rows["colour"] = ["amber", "never seen"]
    told = model.predict_proba(rows)
    np.testing.assert_array_equal(told[0], told[1])
    encoded = model._encoded(model._checked(rows, reset=False))
    assert encoded.tolist() == [[10, 1, 0, 0, 0, 1, 0, 0, 0]] * 2


def test_a_column_that_says_nothing_is_left_out_with_a_warning():
    frame = FRAME.assign(id=[f"row {i}" for i in range(300)])
    with pytest.warns(UserWarning, match="column 'id' is left out: identifies rows"):
        model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(frame, Y)
    plain = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(FRAME, Y)
    np.testing.assert_array_equal(model.predict_proba(frame), plain.predict_proba(FRAME))


def test_missing_numbers_are_indicated_and_missing_categories_are_their_own():
    gaps = FRAME.copy()
    gaps.loc[::7, "size"] = np.nan
    with pytest.raises(ValueError, match="43 missing values, the first in column 'size', row 0"):
        cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(gaps, Y)
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype", missing="indicate").fit(gaps, Y)
    assert model.network_.layers[0] == 10


def test_chunks_are_encoded_as_the_first():
    model = cr.MLPClassifier(**SMALL, preset="tabular", categorical_features="from_dtype")
    for _ in range(100):
        for rows in (slice(0, 200), slice(200, 300)):
            model.partial_fit(FRAME[rows], Y[rows], classes=[False, True])
    assert model.score(FRAME, Y) > 0.9


def test_validation_rows_and_cross_validation():
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype")
    model.fit(FRAME[:200], Y[:200], X_val=FRAME[200:], y_val=Y[200:])
    assert model.validation_scores_[-1] == model.score(FRAME[200:], Y[200:])
    assert len(cross_val_score(model, FRAME, Y, cv=2)) == 2


def test_float32_stays_float32():
    frame = FRAME[["colour", "size"]].astype({"size": np.float32})
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(frame, Y)
    assert model.coefs_[0].dtype == model.predict_proba(frame).dtype == np.float32


@pytest.mark.parametrize(
    ("setting", "X", "words"),
    [
        (["shape"], FRAME, "column 'colour': expected numbers, got text; name it in categorical_features"),
        (["weight"], FRAME, "X has no column 'weight'"),
        ([4], FRAME, "X has no column 4"),
        ([True], FRAME, "a mask of 1 for 4 columns"),
        (["x0"], FRAME.to_numpy(object), "X has no column 'x0'"),
        ("from_dtype", FRAME.assign(size=pd.Timestamp("2026-01-01")), "column 'size': expected numbers, got timestamp"),
        ("from_dtype", FRAME.assign(size=[1, "a"] * 150), "values of one type each"),
        ("from_dtype", csr_array(np.eye(300)), "expected a data frame or a dense array, got a sparse one"),
        ("from_dtype", np.arange(300), "two dimensions, got 1"),
        ("dtype", FRAME, "categorical_features"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_a_sentence(setting, X, words):
    with pytest.raises(ValueError, match=words):
        cr.MLPClassifier(**SMALL, categorical_features=setting).fit(X, Y)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_other_columns_are_refused_as_scikit_learn_does():
    model = cr.MLPClassifier(**SMALL, categorical_features="from_dtype").fit(FRAME, Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(FRAME.rename(columns={"size": "length"}))
    with pytest.raises(ValueError, match="has 3 features, but MLPClassifier is expecting 4"):
        model.predict(FRAME.to_numpy(object)[:, :3])


@pytest.mark.parametrize("setting", [["colour", "shape"], "from_dtype"])
def test_a_loaded_model_is_the_same(tmp_path, setting):
    model = cr.MLPClassifier(**SMALL, preset="tabular", categorical_features=setting).fit(FRAME, Y)
    cr.save(model, tmp_path / "m")
    back = cr.load(tmp_path / "m")
    assert back.get_params() == model.get_params()
    np.testing.assert_array_equal(back.predict_proba(FRAME), model.predict_proba(FRAME))

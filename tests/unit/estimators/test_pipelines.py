"""Pipelines of scalers and an estimator in one file without pickle."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

import chainrule as cr
from chainrule.errors import InputError
from chainrule.storage.models import read_model, write_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8, 4), "random_state": 0, "max_iter": 5}


def fitted(*steps, rows=X, **settings):
    return make_pipeline(*steps, cr.MLPClassifier(**SMALL, **settings)).fit(rows, y)


@pytest.mark.parametrize(
    "steps",
    [
        [StandardScaler()],
        [StandardScaler(with_mean=False)],
        [StandardScaler(with_mean=False, with_std=False)],
        [MinMaxScaler((-1, 1), clip=True)],
        [MinMaxScaler(), "passthrough", StandardScaler()],
        [],
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loaded_pipeline_is_the_same(tmp_path, steps, dtype):
    rows = X.astype(dtype)
    model = fitted(*steps, rows=rows)
    cr.save(model, tmp_path / "m")
    back = cr.load(tmp_path / "m")
    assert isinstance(back, Pipeline)
    assert list(back.named_steps) == [name for name, step in model.steps if step != "passthrough"]
    np.testing.assert_array_equal(back.predict_proba(rows), model.predict_proba(rows))
    np.testing.assert_array_equal(back.predict(rows), model.predict(rows))
    for name, step in back.steps[:-1]:
        assert step.get_params() == model.named_steps[name].get_params()
        assert vars(step).keys() == vars(model.named_steps[name]).keys()


def test_feature_names_come_back(tmp_path):
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(30)])
    model = fitted(StandardScaler(), rows=frame)
    cr.save(model, tmp_path / "m")
    back = cr.load(tmp_path / "m")
    np.testing.assert_array_equal(back.predict_proba(frame), model.predict_proba(frame))
    with pytest.raises(ValueError, match="feature names"):
        back.predict(frame.rename(columns={"column 0": "other"}))


def test_a_regressor_and_its_optimizer(tmp_path):
    rows, target = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), cr.MLPRegressor(**SMALL, warm_start="resume")).fit(rows, target)
    cr.save(model, tmp_path / "m", optimizer=True)
    back = cr.load(tmp_path / "m")
    np.testing.assert_array_equal(back.fit(rows, target).predict(rows), model.fit(rows, target).predict(rows))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([SimpleImputer()], r"step 'simpleimputer' \(SimpleImputer\) cannot be saved as plain data"),
        ([FunctionTransformer(np.sqrt)], r"step 'functiontransformer' \(FunctionTransformer\) cannot be saved"),
        (
            [StandardScaler().set_output(transform="pandas")],
            "step 'standardscaler': cannot be saved as plain data with set_output",
        ),
    ],
)
def test_a_step_that_is_no_plain_data_is_named(tmp_path, steps, words):
    with pytest.raises(InputError, match=words):
        cr.save(fitted(*steps), tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("altered", "words"),
    [
        (
            lambda d, _: d["steps"][0].update({"class": "RobustScaler"}),
            "newer version of Chainrule .it has the step 'RobustScaler",
        ),
        (lambda d, _: d["steps"][0].update({"n_features": 29}), "expected 29 finite numbers"),
        (lambda d, _: d["steps"][0].update({"feature_names": ["a"]}), "expected 30 feature names"),
        (lambda d, _: d["steps"][0]["parameters"].update({"with_mean": "no"}), "with_mean"),
        (lambda d, _: d["of"].update({"class": "SVC"}), "newer version of Chainrule .it has the class 'SVC'"),
        (lambda _, a: a.update({"step.0.mean_": np.full(30, np.nan)}), "mean_: expected 30 finite numbers"),
        (lambda _, a: a.pop("step.0.n_samples_seen_"), "n_samples_seen_ is missing"),
    ],
)
def test_an_altered_file_is_refused(tmp_path, altered, words):
    cr.save(fitted(StandardScaler()), tmp_path / "m")
    network, params, document, arrays = read_model(tmp_path / "m")
    document = {key: x for key, x in document.items() if key not in ("network", "arrays", "format", "format_version")}
    altered(document, arrays)
    write_model(tmp_path / "m", network, params, document, arrays)
    with pytest.raises(InputError, match=words):
        cr.load(tmp_path / "m")

"""Models in one file without pickle: the same predictions, bit for bit; refused when not whole or not sound."""

import json
import pickle
from copy import deepcopy

import numpy as np
import onnxruntime
import optax
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import cross_validate
from sklearn.preprocessing import scale

import chainrule as cr
from chainrule.errors import InputError
from chainrule.storage.tensors import METADATA_KEY, _checksum

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)
NUMBERS = scale(load_diabetes(return_X_y=True)[1])
LARGE = np.random.default_rng(1).normal(size=(13_000, 30))
SMALL = {"hidden_layer_sizes": (8, 4), "random_state": 0, "max_iter": 12}
THREE = np.array(["no", "perhaps", "yes"])[np.arange(569) % 3]
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)


def classifier(**settings):
    return cr.MLPClassifier(**{**SMALL, **settings})


def regressor(**settings):
    return cr.MLPRegressor(**{**SMALL, **settings})


FITTED = {
    "two classes": lambda: classifier().fit(X, y),
    "three of text": lambda: classifier().fit(X, THREE),
    "labels as objects": lambda: classifier().fit(X, THREE.astype(object)),
    "booleans": lambda: classifier().fit(X, y == 1),
    "small whole numbers": lambda: classifier().fit(X, y.astype(np.int8) + 3),
    "labels that are floats": lambda: classifier().fit(X, np.where(y, 1.0, 2.0)),
    "several labels": lambda: classifier().fit(X, np.column_stack([y, 1 - y, X[:, 0] > 0]).astype(int)),
    "float32": lambda: classifier().fit(X.astype(np.float32), y),
    "lbfgs": lambda: classifier(solver="lbfgs").fit(X, y),
    "early stopping": lambda: classifier(early_stopping=True, stop_on="loss").fit(X, y),
    "class weights": lambda: classifier(class_weight={0: 2.0, 1: 1.0}).fit(X, y),
    "calibrated": lambda: classifier(calibrate=True, early_stopping=True).fit(X, y),
    "missing values": lambda: classifier(missing="indicate").fit(GAPS, y),
    "preset": lambda: classifier(preset="tabular").fit(X * 1e3, y),
    "activations of each layer": lambda: classifier(activation=["silu", "gelu"]).fit(X, y),
    "a rule": lambda: classifier(rule=cr.optax_rule("adamw", cr.cosine_decay(0.01, 100), weight_decay=0.1)).fit(X, y),
    "clipped, thinned, scheduled": lambda: classifier(
        learning_rate_init=cr.step_decay(0.1), max_gradient_norm=1.0, dropout=0.2
    ).fit(X, y),
    "ranks of a larger table": lambda: classifier(preset="tabular", max_iter=2).fit(np.tile(X, (5, 1)), np.tile(y, 5)),
    "pieces of a large table": lambda: classifier(preset="tabular", max_iter=2).fit(LARGE, LARGE[:, 0] > 0),
    "numbers": lambda: regressor().fit(X[:442], NUMBERS),
    "quantile": lambda: regressor(cost="pinball:0.9").fit(X[:442], NUMBERS),
    "counts": lambda: regressor(loss="poisson").fit(X[:442], np.exp(NUMBERS)),
    "preset for two numbers": lambda: regressor(preset="tabular").fit(
        X[:442], np.column_stack([NUMBERS * 1e5, NUMBERS - 7])
    ),
}


@pytest.mark.parametrize("fit", FITTED.values(), ids=FITTED)
def test_a_loaded_estimator_is_the_same(tmp_path, fit):
    model = fit()
    cr.save(model, tmp_path / "m.safetensors")
    back = cr.load(tmp_path / "m.safetensors")
    assert type(back) is type(model)
    rows = GAPS if model.missing == "indicate" else X.astype(model.coefs_[0].dtype)
    np.testing.assert_array_equal(back.predict(rows), model.predict(rows))
    assert back.predict(rows).dtype == model.predict(rows).dtype
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(back.predict_proba(rows), model.predict_proba(rows))
        np.testing.assert_array_equal(back.classes_, model.classes_)
        assert back.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(back.explain_gradient(rows[:3]), model.explain_gradient(rows[:3]))
    assert repr(back.get_params()) == repr(model.get_params())
    for name in ("n_iter_", "t_", "loss_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_"):
        assert getattr(back, name) == getattr(model, name), name
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"):
        assert getattr(back, name, None) == getattr(model, name, None), name


def test_saved_twice_is_the_same_file(tmp_path):
    for name in "ab":
        cr.save(FITTED["two classes"](), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_feature_names_come_back(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(30)])
    cr.save(classifier().fit(frame, y), tmp_path / "m")
    back = cr.load(tmp_path / "m")
    assert back.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        back.predict(frame.rename(columns={"column 0": "other"}))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
        {"rule": cr.optax_rule("adamw", cr.cosine_decay(0.01, 100))},
        {"max_gradient_norm": 0.1, "dropout": 0.2, "early_stopping": True, "n_iter_no_change": 100},
        {"missing": "indicate"},
        {"preset": "tabular"},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_saved_with_its_optimizer_goes_on_bit_for_bit(tmp_path, settings, dtype):
    rows = X.astype(dtype)
    model = classifier(**settings, warm_start="resume").fit(rows, y)
    cr.save(model, tmp_path / "m", optimizer=True)
    back = cr.load(tmp_path / "m")
    for each in (model, back):
        each.set_params(max_iter=7).fit(rows, y)
    assert back.loss_curve_ == model.loss_curve_
    for ours, theirs in zip(back.coefs_ + back.intercepts_, model.coefs_ + model.intercepts_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("preset", [None, "tabular"])
def test_partial_fit_goes_on_after_loading(tmp_path, preset):
    model = classifier(preset=preset).partial_fit(X, y, classes=[0, 1])
    cr.save(model, tmp_path / "m", optimizer=True)
    back = cr.load(tmp_path / "m").partial_fit(X, y)
    np.testing.assert_array_equal(back.coefs_[0], model.partial_fit(X, y).coefs_[0])


def test_code_is_left_behind_with_a_warning(tmp_path):
    model = classifier(rule=optax.adam(0.01), callbacks=[lambda record: None]).fit(X, y)
    with pytest.warns(UserWarning, match="saved without callbacks, rule: code cannot be"):
        cr.save(model, tmp_path / "m")
    back = cr.load(tmp_path / "m")
    assert back.rule is None
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    with pytest.raises(InputError, match="is defined by code"), pytest.warns(UserWarning, match="code cannot be"):
        cr.save(model, tmp_path / "m", optimizer=True)


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(tmp_path):
    own = classifier(activation=cr.Activation("mine", lambda z: z * 2)).fit(X, y)
    with pytest.raises(InputError, match="your own function"), pytest.warns(UserWarning, match="activation"):
        cr.save(own, tmp_path / "m")
    cost = cr.Cost("mine", lambda y_hat, y: (y_hat - y) ** 2)
    of_ones_own = regressor(cost=cost).fit(X[:442], NUMBERS)
    with pytest.raises(InputError, match="your own function"), pytest.warns(UserWarning, match="cost"):
        cr.save(of_ones_own, tmp_path / "m")
    with pytest.raises(InputError, match="solver is 'lbfgs'"):
        cr.save(FITTED["lbfgs"](), tmp_path / "m", optimizer=True)
    with pytest.raises(ValueError, match="not fitted"):
        cr.save(cr.MLPClassifier(), tmp_path / "m")
    with pytest.raises(TypeError, match="expected an estimator"):
        cr.save({"weights": 1}, tmp_path / "m")
    with pytest.raises(InputError, match="cannot be written"):
        cr.save(FITTED["two classes"](), tmp_path / "no" / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_bare_network_and_its_parameters(tmp_path):
    network = cr.Network([3, 4, 2], ["tanh", "softmax"], "categorical_cross_entropy")
    cr.save((network, cr.initialize(network, seed=1)), tmp_path / "m")
    back, params = cr.load(tmp_path / "m")
    assert back == network
    np.testing.assert_array_equal(params[0].W, cr.initialize(network, seed=1)[0].W)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A saved model that has every part, as its document and tensors."""
    path = tmp_path_factory.mktemp("whole") / "m"
    model = classifier(
        missing="indicate", calibrate=True, early_stopping=True, warm_start="resume", max_gradient_norm=1.0
    )
    cr.save(model.fit(GAPS, y), path, optimizer=True)
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(file.metadata()[METADATA_KEY])
    return document, tensors


def forged(path, document, tensors):
    """A file with a right checksum, as somebody who reads our source could write it."""
    document = {**document, "arrays": sorted(n.removeprefix("array.") for n in tensors if n.startswith("array."))}
    document.pop("sha256", None)
    document["sha256"] = _checksum(document, tensors)
    save_file(tensors, path, {METADATA_KEY: json.dumps(document)})
    return path


def changed(**changes):
    return lambda document, tensors: ({**document, **changes}, tensors)


def in_part(part, **changes):
    return lambda document, tensors: ({**document, part: {**document[part], **changes}}, tensors)


def tensor(name, change):
    return lambda document, tensors: (document, {**tensors, name: change(tensors[name])})


def without(name):
    return lambda document, tensors: (document, {n: x for n, x in tensors.items() if n != name})


HOSTILE = {
    "quantiles in no order": changed(quantiles=[[[1.0, 0.0, 2.0], [], [0.5, 0.5]]] * 30),
    "quantiles of other columns": changed(quantiles=[None, None]),
    "an l2 beyond any number": in_part("network", l2=10**400),
    "another class": changed(**{"class": "system"}),
    "a class of scikit-learn": changed(**{"class": "MLPRegressor"}),
    "an unknown kind": changed(kind="program"),
    "no parameters": changed(parameters=None),
    "an unknown parameter": in_part("parameters", shell="rm"),
    "a parameter out of range": in_part("parameters", alpha=-1),
    "a parameter of an unknown kind": in_part("parameters", rule={"is": "code", "of": "exit()"}),
    "an activation that is not ours": in_part("parameters", activation={"is": "activation", "of": "__import__"}),
    "fitted numbers that are text": in_part("fitted", n_iter_="twelve"),
    "a temperature of 0": in_part("fitted", temperature_=0.0),
    "more features than inputs": in_part("fitted", n_features_in_=31),
    "other outputs": in_part("fitted", n_outputs_=2),
    "labels of objects": in_part("labels", dtype="|O", of=[{"a": 1}, 2]),
    "three labels for two": in_part("labels", of=[0, 1, 2]),
    "labels out of order": in_part("labels", of=[1, 0]),
    "a label type of nonsense": changed(label_type="continuous"),
    "names for other features": changed(feature_names=["a"]),
    "deviations of 0": tensor("array.inputs.std", np.zeros_like),
    "an indicator of no column": tensor("array.inputs.indicated", lambda x: x + 99),
    "fills that are not finite": tensor("array.inputs.fill", lambda x: x * np.nan),
    "inputs without means": without("array.inputs.mean"),
    "a state of another shape": tensor("array.position.state.1", lambda x: x[:3]),
    "a state that is missing": without("array.position.state.2"),
    "an order that is none": tensor("array.position.order", np.zeros_like),
    "a random state too short": tensor("array.position.random.0", lambda x: x[:9]),
    "a rule of another optax function": in_part(
        "position", rule={"is": "OptaxRule", "name": "inject_hyperparams", "learning_rate": 0.1, "options": []}
    ),
    "a rule of words": in_part(
        "position", rule={"is": "GradientDescent", "learning_rate": 0.1, "momentum": "much", "nesterov": False}
    ),
    "weights that are not finite": tensor("0.W", lambda x: x * np.nan),
    "weights of another shape": tensor("0.W", lambda x: x[:-1]),
    "a missing tensor": without("1.b"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_forged_file_is_refused(tmp_path, whole, change):
    path = forged(tmp_path / "m", *change(*whole))
    with pytest.raises(InputError, match="m: "):
        cr.load(path)


def test_the_forger_forges_well(tmp_path, whole):
    """Without a change the forged file loads: the refusals above are not of the forgery itself."""
    assert cr.load(forged(tmp_path / "m", *whole)).temperature_ > 0


def test_a_tensor_that_nothing_asks_for_is_refused(tmp_path, whole):
    document, tensors = whole
    for name in ("9.W", "array.more"):
        extra = {**tensors, name: np.ones(2)}
        with pytest.raises(InputError, match=r"more|9\.W"):
            cr.load(forged(tmp_path / "m", document, extra))


@pytest.mark.parametrize("keep", [0, 7, 100, 3000, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    cr.save(FITTED["two classes"](), tmp_path / "m")
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:keep])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        cr.load(tmp_path / "m")


def test_a_flipped_bit_is_found(tmp_path):
    cr.save(FITTED["two classes"](), tmp_path / "m")
    data = bytearray((tmp_path / "m").read_bytes())
    data[-9] ^= 1
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(InputError, match="damaged or altered"):
        cr.load(tmp_path / "m")


def test_an_estimator_is_no_model_of_a_table(tmp_path):
    from chainrule.tables.run_folder import load_table_model

    cr.save(FITTED["two classes"](), tmp_path / "m")
    with pytest.raises(InputError, match=r"contains an estimator.*cr\.load"):
        load_table_model(tmp_path / "m")


@pytest.mark.parametrize("column", ["x", 3, None, [1]])
def test_a_forged_table_is_refused(tmp_path, column):
    from chainrule.storage.models import write_model

    network = cr.Network([1, 1], "sigmoid", "binary_cross_entropy")
    document = {
        "kind": "table",
        "encoding": {"columns": [column], "dropped": []},
        "target": {},
        "frequencies": [],
        "about": {},
    }
    write_model(tmp_path / "m", network, cr.initialize(network), document)
    with pytest.raises(InputError, match="not a model of a table"):
        cr.load(tmp_path / "m")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such"):
        cr.load(tmp_path / "m")


COPIES = {"pickled": lambda model: pickle.loads(pickle.dumps(model)), "copied": deepcopy}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cost", [None, "huber:1.5", cr.pinball(0.9)])
def test_a_copy_is_saved_and_exported_like_the_model(tmp_path, copied, cost):
    model = copied(regressor(cost=cost, activation=["silu", "relu"]).fit(X[:442], NUMBERS))
    cr.save(model, tmp_path / "m")
    np.testing.assert_array_equal(cr.load(tmp_path / "m").predict(X), model.predict(X))
    cr.to_onnx(model, tmp_path / "m.onnx")
    [told] = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"X": X})
    np.testing.assert_allclose(told, model.predict(X), atol=1e-5)


def test_a_model_from_another_process_is_saved(tmp_path):
    found = cross_validate(classifier(), X, y, cv=2, n_jobs=2, return_estimator=True)
    cr.save(found["estimator"][0], tmp_path / "m")
    np.testing.assert_array_equal(cr.load(tmp_path / "m").predict(X), found["estimator"][0].predict(X))


@pytest.mark.parametrize(
    ("change", "has"),
    [
        (in_part("parameters", shell="rm"), "the parameter 'shell'"),
        (changed(**{"class": "MLPRanker"}), "the class 'MLPRanker'"),
        (changed(kind="forest"), "a model of the kind 'forest'"),
    ],
)
def test_what_a_later_version_added_is_told_as_that(tmp_path, whole, change, has):
    with pytest.raises(InputError, match=rf"written by a newer version of Chainrule \(it has {has}\); upgrade"):
        cr.load(forged(tmp_path / "m", *change(*whole)))


@pytest.mark.parametrize("given", [{}, {"hidden_layer_sizes": (100,)}])
def test_what_was_left_to_the_preset_stays_left(tmp_path, given):
    model = cr.MLPClassifier(preset="tabular", max_iter=2, random_state=0, **given).fit(X, y)
    cr.save(model, tmp_path / "m")
    back = cr.load(tmp_path / "m")
    assert back.get_params() == model.get_params()
    assert back.fit(X, y).network_ == model.network_

"""onnxruntime on exported files against our own predictions, to 1e-5."""

import csv
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler, scale

import chainrule as cr
from chainrule.errors import InputError, UsageError
from chainrule.maths.activations import ACTIVATIONS
from chainrule.session.stages import prepared_in_memory, ready_in_memory, scored, trained
from chainrule.tables.predict import predict_to
from chainrule.tables.reading import open_table
from chainrule.tables.request import Request

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)
NUMBERS = scale(load_diabetes(return_X_y=True)[1])
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
SMALL = {"hidden_layer_sizes": (8, 4), "random_state": 0, "max_iter": 10}


def run(path, **inputs):
    return dict(zip(*(lambda s: ([o.name for o in s.get_outputs()], s.run(None, inputs)))(session(path)), strict=True))


def session(path):
    return onnxruntime.InferenceSession(path)


CLASSIFIERS = {
    "two classes": ({}, y),
    "three of text": ({}, np.array(["no", "perhaps", "yes"])[np.arange(569) % 3]),
    "numbers as labels": ({}, y * 2 - 7),
    "booleans": ({}, y == 1),
    "several labels": ({}, np.column_stack([y, X[:, 0] > 0, X[:, 1] > 1]).astype(int)),
    "calibrated": ({"calibrate": True, "early_stopping": True}, y),
    "preset": ({"preset": "tabular"}, y),
    "missing values": ({"missing": "indicate"}, y),
    "preset with missing values": ({"missing": "indicate", "preset": "tabular"}, y),
    "lbfgs": ({"solver": "lbfgs"}, y),
    "ranks of a larger table": ({"preset": "tabular"}, np.tile(y, 5)),
    "pieces of a large table": ({"preset": "tabular"}, np.tile(y, 23)),
    **{f"activation {name}": ({"activation": name}, y) for name in ACTIVATIONS if name != "softmax"},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("settings", "target"), CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_a_classifier_answers_alike(tmp_path, settings, target, dtype):
    rows = np.tile(GAPS if "missing" in settings else X, (len(target) // 569, 1)).astype(dtype)
    model = cr.MLPClassifier(**SMALL, **settings).fit(rows, target)
    cr.to_onnx(model, tmp_path / "m.onnx")
    told = run(tmp_path / "m.onnx", X=rows)
    np.testing.assert_allclose(told["probabilities"], model.predict_proba(rows), atol=1e-5)
    assert told["probabilities"].dtype == dtype
    sure = np.abs(model.predict_proba(rows) - 0.5).min(axis=1) > 1e-5
    np.testing.assert_array_equal(told["label"][sure], model.predict(rows)[sure])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({}, NUMBERS),
        ({}, np.column_stack([NUMBERS, -NUMBERS])),
        ({"loss": "poisson"}, np.exp(NUMBERS)),
        ({"cost": "pinball:0.9"}, NUMBERS),
        ({"preset": "tabular", "max_iter": 100}, 50 + 10 * NUMBERS),
        ({"output_activation": "softplus", "cost": "huber:1.5"}, np.exp(NUMBERS)),
    ],
)
def test_a_regressor_answers_alike(tmp_path, settings, target, dtype):
    rows = X[:442].astype(dtype)
    model = cr.MLPRegressor(**{**SMALL, **settings}).fit(rows, target)
    cr.to_onnx(model, tmp_path / "m.onnx")
    told = run(tmp_path / "m.onnx", X=rows)["prediction"]
    assert told.shape == model.predict(rows).shape
    np.testing.assert_allclose(told, model.predict(rows), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file with columns of all kinds, missing values, rare ones, and two targets."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("table") / "all.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a number", "count", "colour", "paid", "day", "at", "seen", "odd date", "y", "z", "kind"])
        for i in range(300):
            number = rng.normal(1e6, 3)
            colour = rng.choice(["red", "green", "blue", "", "n/a" if i == 7 else "red", f"one of {i}"])
            at = datetime.fromtimestamp(1.6e9 + 1e5 * i + 7.25 * i, UTC)
            writer.writerow(
                [
                    "" if i % 11 == 0 else repr(number),
                    i % 9,
                    colour,
                    ["true", "false", ""][i % 3],
                    at.date(),
                    at.strftime("%H:%M:%S"),
                    at.strftime("%Y-%m-%d %H:%M:%S"),
                    "" if i % 13 == 0 else at.strftime("%d.%m.%Y"),
                    number * 1e3 - i,
                    float(i % 9) / 1e3,
                    "abc"[(i + (colour == "red")) % 3],
                ]
            )
    return str(path)


RUNS = {
    "two classes": Request(target=("paid",)),
    "three classes": Request(target=("kind",)),
    "a number": Request(target=("y",)),
    "two numbers": Request(target=("y", "z")),
    "counts": Request(target=("count",), cost="poisson"),
    "not normalized": Request(target=("kind",), normalize=False, drop=("day", "seen", "a number")),
    "no hidden layer": Request(target=("kind",), hidden=()),
}


def table_model(path, request):
    ready = ready_in_memory(prepared_in_memory(open_table([path]), request), request)
    return scored(ready, trained(ready)).model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("request_", RUNS.values(), ids=RUNS)
def test_a_table_model_takes_raw_columns(tmp_path, table, request_, dtype):
    model = table_model(table, replace(request_, epochs=3, dtype=dtype))
    cr.to_onnx(model, tmp_path / "m.onnx")
    predict_to(model, open_table([table]), str(tmp_path / "told.csv"))
    with open(tmp_path / "told.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    told = run(tmp_path / "m.onnx", **{column.name: raw_column(rows, column) for column in model.encoding.columns})
    names = [name for name in rows[0] if name.startswith(("prediction", "probability"))]
    if model.target.task == "regression":
        ours = np.array([[float(row[name]) for name in names] for row in rows])
        scaled = np.abs(told["prediction"] - ours) / np.array(model.target.std)
        assert scaled.max() < 1e-5
    else:
        ours = np.array([[float(row[name]) for name in names[1:]] for row in rows])
        np.testing.assert_allclose(told["probabilities"], ours, atol=1e-5)
        assert told["prediction"].ravel().tolist() == [row["prediction"] for row in rows]


def raw_column(rows, column):
    texts = [row[column.name] for row in rows]
    if column.kind == "text":
        return np.array(texts, dtype=object)[:, None]
    reads = {
        "number": float,
        "boolean": lambda text: float(text == "true"),
        "time": lambda text: sum(int(x) * s for x, s in zip(text.split(":"), (3600, 60, 1), strict=True)),
        "date": lambda text: seconds(text, column.date_format or "%Y-%m-%d"),
        "timestamp": lambda text: seconds(text, "%Y-%m-%d %H:%M:%S"),
    }
    return np.array([[reads[column.kind](text) if text else np.nan] for text in texts], dtype=np.float64)


def seconds(text, form):
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("rows", [4_000, 16_000])
def test_quantiles_of_a_larger_table(tmp_path, rows):
    rng = np.random.default_rng(0)
    skewed = np.exp(rng.normal(size=rows))
    frame = {"/income": np.where(rng.random(rows) < 0.1, np.nan, skewed), "Identity_3": rng.normal(size=rows)}
    target = np.log(skewed) + frame["Identity_3"]
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*frame, "y"])
        writer.writerows(
            zip(*(np.where(np.isnan(x), "", x.astype(str)) for x in (*frame.values(), target)), strict=True)
        )
    model = table_model(str(tmp_path / "t.csv"), Request(target=("y",), epochs=2))
    assert model.network.layers[0] == (5 if rows == 4_000 else 3 + 2 * 20)
    cr.to_onnx(model, tmp_path / "m.onnx")
    told = run(tmp_path / "m.onnx", **{name: x[:, None] for name, x in frame.items()})["prediction"]
    predict_to(model, open_table([str(tmp_path / "t.csv")]), str(tmp_path / "told.csv"))
    with open(tmp_path / "told.csv", newline="") as file:
        ours = np.array([float(row["prediction"]) for row in csv.DictReader(file)])
    assert np.abs(told[:, 0] - ours).max() / model.target.std[0] < 1e-5


def frame_of(dtype):
    colours = np.array(["red", "green", "blue", "", "one of a kind"])[np.arange(569) % 5].astype(object)
    colours[np.arange(569) % 5 == 4] = [f"one of {i}" for i in range(len(colours[4::5]))]
    numbers = {"X": GAPS[:, 0].astype(dtype), "label of it": X[:, 1].astype(dtype)}
    shapes = np.array(["round", "square", None, "round"], dtype=object)[np.arange(569) % 4]
    return pd.DataFrame({"colour": pd.Series(colours, dtype=object), **numbers, "shape": shapes})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", [{}, {"preset": "tabular"}], ids=str)
def test_categories_go_in_as_text(tmp_path, settings, dtype):
    frame = frame_of(dtype)
    model = cr.MLPClassifier(**SMALL, **settings, missing="indicate", categorical_features="from_dtype").fit(frame, y)
    cr.to_onnx(model, tmp_path / "m.onnx")
    unseen = frame.assign(colour=["never seen", "red"] + ["blue"] * 567)
    for rows in (frame, unseen):
        columns = {name: rows[name].fillna("") if rows[name].dtype.kind not in "f" else rows[name] for name in rows}
        inputs = {name: x.to_numpy(dtype if x.dtype.kind == "f" else object)[:, None] for name, x in columns.items()}
        np.testing.assert_allclose(
            run(tmp_path / "m.onnx", **inputs)["probabilities"], model.predict_proba(rows), atol=1e-5
        )


def test_categories_alone(tmp_path):
    frame = frame_of("float64")[["shape"]]
    model = cr.MLPClassifier(**SMALL, categorical_features=[0]).fit(frame, y)
    cr.to_onnx(model, tmp_path / "m.onnx")
    told = run(tmp_path / "m.onnx", shape=frame.fillna("").to_numpy(object))["probabilities"]
    np.testing.assert_allclose(told, model.predict_proba(frame), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_bare_network(tmp_path, dtype):
    network = cr.Network([30, 4, 3], ["tanh", "softmax"], cost="categorical_cross_entropy")
    params = cr.initialize(network, "glorot", seed=1, dtype=dtype)
    cr.to_onnx((network, params), tmp_path / "m.onnx")
    [told] = run(tmp_path / "m.onnx", X=X.astype(dtype)).values()
    np.testing.assert_allclose(told, cr.forward(network, params, X.astype(dtype)).a[-1], atol=1e-6)


STEPS = {
    "standard": [StandardScaler()],
    "standard, centred only": [StandardScaler(with_std=False)],
    "standard, scaled only": [StandardScaler(with_mean=False)],
    "range": [MinMaxScaler((-1, 2))],
    "range, clipped": [MinMaxScaler(clip=True)],
    "means": [SimpleImputer(), StandardScaler()],
    "medians": [SimpleImputer(strategy="median"), MinMaxScaler()],
    "passed through": ["passthrough"],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_pipeline_answers_alike(tmp_path, steps, dtype):
    has_gaps = isinstance(steps[0], SimpleImputer)
    rows = ((GAPS if has_gaps else X) * 50 + 7).astype(dtype)
    model = make_pipeline(*steps, cr.MLPClassifier(**SMALL)).fit(rows[:300], y[:300])
    cr.to_onnx(model, tmp_path / "m.onnx")
    np.testing.assert_allclose(run(tmp_path / "m.onnx", X=rows)["probabilities"], model.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (RobustScaler(), r"step 'robustscaler' \(RobustScaler\) has no ONNX form here"),
        (SimpleImputer(add_indicator=True), "step 'simpleimputer' .* without add_indicator"),
        (SimpleImputer(missing_values=0.0), "step 'simpleimputer' .* one that fills NaN"),
    ],
)
def test_a_step_without_an_onnx_form_is_named(tmp_path, step, words):
    model = make_pipeline(step, cr.MLPClassifier(**SMALL)).fit(X, y)
    with pytest.raises(InputError, match=words):
        cr.to_onnx(model, tmp_path / "m.onnx")


def test_a_pipeline_that_ends_in_another_model_is_refused(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(InputError, match=r"step 'logisticregression' .* expected the last step to be MLPClassifier"):
        cr.to_onnx(model, tmp_path / "m.onnx")


def test_one_class_alone(tmp_path):
    model = cr.MLPClassifier(**SMALL).fit(X, np.ones(569, int))
    cr.to_onnx(model, tmp_path / "m.onnx")
    np.testing.assert_allclose(run(tmp_path / "m.onnx", X=X)["probabilities"], model.predict_proba(X), atol=1e-5)


def test_an_activation_of_ones_own_is_refused_and_nothing_is_written(tmp_path):
    own = cr.Activation("mine", lambda z: z * 2)
    model = cr.MLPRegressor(hidden_layer_sizes=(3,), activation=own, max_iter=2).fit(X[:442], NUMBERS)
    with pytest.raises(InputError, match="'mine' is your own function"):
        cr.to_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(TypeError, match="expected an estimator"):
        cr.to_onnx(own, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    model = cr.MLPRegressor(hidden_layer_sizes=(), max_iter=2).fit(X[:442], NUMBERS)
    with pytest.raises(UsageError, match=r"pip install 'chainrule\[onnx\]'"):
        cr.to_onnx(model, tmp_path / "m.onnx")

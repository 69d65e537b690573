"""Files that released versions wrote: they load, and predict what they predicted then."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import chainrule as cr
from chainrule.errors import InputError
from chainrule.tables.predict import predict_to
from chainrule.tables.reading import open_table

FILES = Path(__file__).parents[1] / "files"
VERSIONS = sorted(path.name for path in FILES.iterdir() if path.is_dir() and path.name[0].isdigit())
ROUNDING = {"rtol": 1e-6, "atol": 1e-9}  # another processor, another order of sums


@pytest.fixture(params=VERSIONS)
def folder(request):
    return FILES / request.param


@pytest.fixture
def answers(folder):
    return np.load(folder / "answers.npz")


def test_estimators(folder, answers):
    classifier, regressor = (cr.load(folder / f"{kind}.safetensors") for kind in ("classifier", "regressor"))
    np.testing.assert_allclose(classifier.predict_proba(answers["X"]), answers["probabilities"], **ROUNDING)
    np.testing.assert_allclose(regressor.predict(answers["X"]), answers["numbers"], **ROUNDING)
    assert classifier.classes_.tolist() == ["no", "perhaps", "yes"]
    assert (classifier.preset, classifier.missing, classifier.categorical_features) == ("tabular", "indicate", None)


def test_an_estimator_saved_with_its_optimizer_goes_on(folder, answers):
    classifier = cr.load(folder / "classifier.safetensors")
    before = classifier.coefs_[0].copy()
    classifier.partial_fit(answers["X"], classifier.predict(answers["X"]))
    assert 0 < np.abs(classifier.coefs_[0] - before).max() < 0.1


def test_a_network(folder, answers):
    network, params = cr.load(folder / "network.safetensors")
    outputs = cr.forward(network, params, np.nan_to_num(answers["X"])).a[-1]
    np.testing.assert_allclose(outputs, answers["outputs"], **ROUNDING)
    assert (network.l2, network.n_weights) == (0.01, 19)


def test_the_model_of_a_table(folder, tmp_path):
    model = cr.load(folder / "table.safetensors")
    predict_to(model, open_table([str(folder / "table.csv")]), str(tmp_path / "told.csv"))
    now, then = (read(path) for path in (tmp_path / "told.csv", folder / "table-predictions.csv"))
    assert [row["prediction"] for row in now] == [row["prediction"] for row in then]
    probabilities = [
        [float(row[f"probability {kind}"]) for kind in model.target.classes for row in t] for t in (now, then)
    ]
    np.testing.assert_allclose(*probabilities, atol=1e-6)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_saved_again_is_the_same_model(folder, answers, tmp_path):
    cr.save(cr.load(folder / "classifier.safetensors"), tmp_path / "m", optimizer=True)
    told = [cr.load(path).predict_proba(answers["X"]) for path in (folder / "classifier.safetensors", tmp_path / "m")]
    np.testing.assert_array_equal(*told)


def test_a_checkpoint_of_a_run_is_told_from_its_model(tmp_path):
    table = pa.table({"x": list(range(100)), "y": [0.5 * x for x in range(100)]})
    cr.fit_table(table, target="y", epochs=2, keep_every=1, path=tmp_path / "run")
    checkpoint = next(path for path in (tmp_path / "run").rglob("*.safetensors") if path.name != "model.safetensors")
    with pytest.raises(
        InputError, match="a checkpoint to replay a training from, not a model; load the folder of the run"
    ):
        cr.load(checkpoint)

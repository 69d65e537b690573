"""Models as safetensors and JSON: whole, equal for equal models, and refused when they are not."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import chainrule as cr
from chainrule.errors import InputError
from chainrule.storage.models import read_model, write_model
from chainrule.storage.tensors import CHECKPOINT, METADATA_KEY, read_tensors, write_tensors

NETWORK = cr.Network([3, 4, 2], ["tanh", "softmax"], "categorical_cross_entropy", l2=0.1)


def written(path, network=NETWORK, **document):
    write_model(path, network, cr.initialize(network, seed=1, dtype="float32"), document)
    return path


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        cr.Network([2, 1], "identity", "huber:1.5"),
        cr.Network([2, 1], "identity", "pinball:0.9", reduction="sum"),
        cr.Network([2, 2, 1], masks=[np.eye(2, dtype=bool), None]),
    ],
)
def test_design_parameters_and_document_come_back(tmp_path, network):
    path = written(tmp_path / "m.safetensors", network, note={"it's": [1, 2.5, None]})
    back, params, document, arrays = read_model(path)
    assert arrays == {}
    assert back == network
    assert hash(back) == hash(network)
    assert document["note"] == {"it's": [1, 2.5, None]}
    for layer, saved in zip(cr.initialize(network, seed=1, dtype="float32"), params, strict=True):
        assert saved.W.dtype == np.float32
        assert np.array_equal(layer.W, saved.W)
        assert np.array_equal(layer.b, saved.b)


def test_equal_models_are_equal_files(tmp_path):
    files = [written(tmp_path / f"{i}.safetensors", a=1, b=2).read_bytes() for i in range(8)]
    assert len(set(files)) == 1


@pytest.mark.parametrize(
    "network",
    [
        cr.Network([2, 1], cr.Activation("mine", lambda z: z * 2)),
        cr.Network([2, 1], cr.Activation("sigmoid", lambda z: z * 2)),
        cr.Network([2, 1], cost=cr.Cost("mine", lambda y_hat, y: y_hat - y)),
        cr.Network([2, 1], cost=cr.Cost("rmse", lambda y_hat, y: y_hat - y)),
    ],
)
def test_a_function_of_ones_own_cannot_be_saved(tmp_path, network):
    with pytest.raises(InputError, match="your own function"):
        written(tmp_path / "m.safetensors", network)
    assert list(tmp_path.iterdir()) == []


def forged(path, tensors, **changes):
    """A file with a right checksum, as somebody who reads our source could write it."""
    from chainrule.storage.models import design_to_json
    from chainrule.storage.tensors import _checksum

    document = {"format": "chainrule-model", "format_version": 1, "network": design_to_json(NETWORK), **changes}
    signed = {**document, "sha256": _checksum(document, tensors)}
    save_file(tensors, path, {METADATA_KEY: json.dumps(signed)})
    return path


def tensors_of(network=NETWORK):
    return {f"{i}.{name}": x for i, layer in enumerate(cr.initialize(network)) for name, x in layer._asdict().items()}


HOSTILE = {
    "a missing tensor": (lambda t: {k: v for k, v in t.items() if k != "1.b"}, {}, "1.b"),
    "an extra tensor": (lambda t: {**t, "2.W": np.ones(3)}, {}, "2.W"),
    "a wrong shape": (lambda t: {**t, "0.W": np.ones((3, 5))}, {}, "expected W"),
    "weights that are not finite": (lambda t: {**t, "0.b": np.full(4, np.nan)}, {}, "finite"),
    "a newer format": (lambda t: t, {"format_version": 99}, "newer"),
    "no design": (lambda t: t, {"network": None}, "not a model"),
    "a design of nonsense": (lambda t: t, {"network": {"layers": [3, "x"]}}, "not a model"),
    "an unknown activation": (lambda t: t, {"network": {"layers": [3, 4, 2], "activations": "__import__"}}, "unknown"),
    "an unknown field": (lambda t: t, {"network": {"layers": [3, 4, 2], "eval": "1"}}, "the setting .eval"),
}


@pytest.mark.parametrize(("change", "document", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_with_a_reason(tmp_path, change, document, words):
    path = forged(tmp_path / "m.safetensors", change(tensors_of()), **document)
    with pytest.raises(InputError, match=words):
        read_model(path)


def test_metadata_that_is_not_json_is_refused(tmp_path):
    save_file(tensors_of(), tmp_path / "m.safetensors", {METADATA_KEY: "[" * 100_000})
    with pytest.raises(InputError, match="not a model"):
        read_model(tmp_path / "m.safetensors")


def test_a_checkpoint_is_told_from_a_model(tmp_path):
    network, X, Y = cr.Network([2, 1]), np.eye(2), np.array([[0.0], [1.0]])
    cr.train(network, cr.initialize(network), X, Y, rule=cr.gradient_descent(0.1), epochs=2, resumable=tmp_path / "run")
    [*_, state] = sorted((tmp_path / "run").glob("epoch-*"))
    with pytest.raises(InputError, match="a checkpoint to resume a training from, not a model; load the folder"):
        cr.load(state)
    write_tensors(tmp_path / "checkpoint", {}, {"0": np.ones(2)}, CHECKPOINT)
    with pytest.raises(InputError, match="a checkpoint to replay a training from, not a model; load the folder"):
        cr.load(tmp_path / "checkpoint")
    with pytest.raises(InputError, match=r"a model, not a checkpoint to replay a training from$"):
        read_tensors(written(tmp_path / "model"), CHECKPOINT)

import threading

import numpy as np
import pyarrow as pa
import pytest

import chainrule as cr
from chainrule.driver import Driver
from chainrule.scaling import streaming
from chainrule.scaling.shards import ShardWriter, scatter, shuffled_blocks
from chainrule.scaling.streaming import InFiles, read_ahead
from chainrule.training.batches import Table
from chainrule.training.settings import TrainingSettings


def train_shards(network, params, rows, validation=None, progress=None, resumable=None, **settings):
    settings = TrainingSettings(network, dtype=rows.dtype, **settings)
    return Driver(settings, params, InFiles(rows, validation)).run(progress=progress, resumable=resumable)


rng = np.random.default_rng(0)
N, HELD = 1003, 211
X = rng.normal(size=(N, 3))
Y = np.tanh(X[:, :1] - X[:, 1:2])
CLASSES = np.eye(3)[np.clip(np.round(Y[:, 0] + 1), 0, 2).astype(int)]
WEIGHTS = rng.uniform(0.5, 2, N)

WAYS = {
    "sgd": {"rule": cr.gradient_descent(0.05)},
    "adam, dropout, average": {"rule": cr.optax_rule("adam", 0.01), "dropout": 0.2, "average": 0.9},
    "a goal on gradients": {"rule": cr.gradient_descent(0.05), "stop": [cr.MinGradient(0.1)]},
    "patience": {"rule": cr.gradient_descent(0.3), "stop": [cr.NoImprovement(2)]},
}
DESIGNS = {
    "half squared error": (cr.Network([3, 5, 1], "tanh", l2=0.01), Y),
    "rmse": (cr.Network([3, 5, 1], "tanh", "rmse"), Y),
    "a sum": (cr.Network([3, 5, 1], "tanh", reduction="sum", l2=0.01), Y),
    "classes": (cr.Network([3, 5, 3], ["tanh", "softmax"], "categorical_cross_entropy"), CLASSES),
}


def shards_of(folder, X, Y, weights, n_shards=4):
    return scatter([Table(X, Y, weights)], ShardWriter(folder, n_shards, 0, X.shape[1], Y.shape[1], "float64"))


def order_of(folder, batch):
    """The order that a stream learns the rows in, from a column that numbers them."""
    n = N - HELD
    table = Table(np.arange(n)[:, None], np.zeros((n, 1)), np.ones(n))
    numbered = scatter([table], ShardWriter(folder, 4, 0, 1, 1, "float64"))
    blocks = lambda epoch: shuffled_blocks(numbered, 10 * batch, 0, epoch)  # noqa: E731
    return lambda epoch: np.concatenate([b[:there, 0] for b, there in blocks(epoch)]).astype(int)


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("batch", [16, 250])
def test_a_stream_is_the_same_training_in_another_order(tmp_path, monkeypatch, settings, design, batch):
    monkeypatch.setattr(streaming, "BLOCK_NUMBERS", 1000)  # several blocks
    network, targets = design
    if network.reduction == "sum":
        settings = {**settings, "rule": cr.gradient_descent(1e-3)}
    train, held = np.s_[: N - HELD], np.s_[N - HELD :]
    common = {"epochs": 6, "batch_size": batch, "seed": 0, **settings}
    params = cr.initialize(network, seed=1)
    kept = cr.train(
        network,
        params,
        X[train],
        targets[train],
        weights=WEIGHTS[train],
        validation=(X[held], targets[held], WEIGHTS[held]),
        order=order_of(tmp_path / "order", batch),
        dtype="float64",
        **common,
    )
    rows, validation = (
        shards_of(tmp_path / name, X[some], targets[some], WEIGHTS[some])
        for name, some in (("train", train), ("held", held))
    )
    streamed = train_shards(network, params, rows, validation=validation, **common)
    for a, b in zip(kept.params, streamed.params, strict=True):
        np.testing.assert_allclose(a.W, b.W, rtol=1e-9, atol=1e-12)
    for name in ("cost", "validation_cost", "validation_metric", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(getattr(kept.history, name), getattr(streamed.history, name), rtol=1e-9)
    assert kept[2:7] == streamed[2:7]


def test_a_stream_is_resumed_bit_for_bit(tmp_path):
    network, targets = DESIGNS["half squared error"]
    rows = shards_of(tmp_path / "rows", X, targets, WEIGHTS)
    common = {"epochs": 9, "batch_size": 16, **WAYS["adam, dropout, average"]}
    whole = train_shards(network, cr.initialize(network, seed=1), rows, **common)

    def cut(progress):
        if progress.epoch == 4:
            raise KeyboardInterrupt

    keeping = {**common, "resumable": cr.Resumable(tmp_path / "states", every=1)}
    with pytest.raises(KeyboardInterrupt):
        train_shards(network, cr.initialize(network, seed=1), rows, progress=cut, **keeping)
    resumed = train_shards(network, cr.initialize(network, seed=1), rows, **keeping)
    for a, b in zip(whole.params, resumed.params, strict=True):
        np.testing.assert_array_equal(a.W, b.W)
    np.testing.assert_array_equal(whole.history.cost, resumed.history.cost)


def test_divergence_ends_it(tmp_path):
    network = cr.Network([3, 5, 1], "identity")
    rows = shards_of(tmp_path / "rows", X, 100 * Y, WEIGHTS)
    with pytest.raises(cr.DivergedError) as error:
        train_shards(network, cr.initialize(network), rows, rule=cr.gradient_descent(1e6), batch_size=16)
    assert np.isfinite(error.value.fit.params[0].W).all()


def test_rows_of_another_width_are_refused(tmp_path):
    rows = shards_of(tmp_path / "rows", X, Y, WEIGHTS)
    network = cr.Network([4, 1])
    with pytest.raises(ValueError, match="expected rows of 4 inputs and 1 targets, got 3 and 1"):
        train_shards(network, cr.initialize(network), rows, rule=cr.gradient_descent(0.1), batch_size=16)


def test_what_goes_wrong_in_reading_is_raised_where_it_is_read():
    def blocks():
        yield 1
        raise OSError("the disk is gone")

    ahead = read_ahead(blocks())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_no_thread_stays_when_reading_is_given_up():
    before = threading.active_count()
    ahead = read_ahead(iter(range(1000)))
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == before


def record_batches(n=N):
    columns = {"a": X[:n, 0], "y": Y[:n, 0], "b": X[:n, 1], "c": X[:n, 2], "w": WEIGHTS[:n]}
    return pa.table(columns).to_batches(max_chunksize=100)


def test_record_batches(tmp_path):
    network = cr.Network([3, 5, 1], "tanh")
    settings = {"rule": cr.gradient_descent(0.05), "batch_size": 16, "epochs": 4, "validation": (X[:50], Y[:50])}
    params = cr.initialize(network, seed=1)
    fit = cr.train(network, params, iter(record_batches()), ["y"], weights="w", **settings)
    assert fit.epochs == 4
    assert fit.history.cost[-1] < fit.history.cost[0]
    assert fit.params[0].W.dtype == np.float32
    again = cr.train(network, params, pa.Table.from_batches(record_batches()).to_reader(), "y", weights="w", **settings)
    np.testing.assert_array_equal(fit.params[0].W, again.params[0].W)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"Y": ["z"]}, "expected a column 'z'; they have 'a', 'y', 'b', 'c', 'w'"),
        ({"weights": "v"}, "expected a column 'v'"),
        ({"batch_size": None}, "set batch_size"),
        ({"batch_size": 2.5}, "batch_size: expected None"),
        ({"epochs": 0}, "epochs: expected a whole number, 1 or more; got 0"),
        ({"dtype": "float16"}, "dtype: expected"),
        ({"stop": [cr.NoImprovement(3)]}, "NoImprovement needs validation rows"),
        ({"sample": "with_replacement"}, "sample: not supported for streaming"),
        ({"X": []}, "one or more rows"),
        ({"network": cr.Network([7, 1])}, r"7-1 network, got \(100, 3\)"),
    ],
)
def test_record_batches_that_do_not_fit(wrong, words):
    settings = {"network": cr.Network([3, 5, 1], "tanh"), "X": record_batches(), "Y": "y", "weights": "w"}
    settings |= {"rule": cr.gradient_descent(0.1), "batch_size": 16, **wrong}
    with pytest.raises(ValueError, match=words):
        cr.train(params=cr.initialize(settings["network"]), **settings)


def test_columns_are_told_by_their_names_in_every_batch():
    network = cr.Network([3, 5, 1], "tanh")
    settings = {"rule": cr.gradient_descent(0.05), "batch_size": 16, "epochs": 2, "weights": "w"}
    first, *rest = record_batches()
    turned = [first, *(batch.select(["w", "c", "b", "y", "a"]) for batch in rest)]
    fits = [cr.train(network, cr.initialize(network), x, "y", **settings) for x in ([first, *rest], turned)]
    np.testing.assert_array_equal(*(fit.params[0].W for fit in fits))
    table = cr.train(network, cr.initialize(network), pa.Table.from_batches([first, *rest]), "y", **settings)
    np.testing.assert_array_equal(table.params[0].W, fits[0].params[0].W)
    with pytest.raises(ValueError, match="as in the first"):
        cr.train(network, cr.initialize(network), [first, rest[0].select(["a", "y", "w"])], "y", **settings)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([1.0, None], "column 'b': expected numbers, got 1 missing values"),
        ([1, None], "column 'b': expected numbers, got 1 missing values"),
        (["x", "y"], "column 'b': expected numbers, got values of type string"),
    ],
)
@pytest.mark.parametrize("weights", [None, "b"])
def test_a_column_without_numbers_is_named(column, words, weights):
    batch = pa.record_batch({"a": [1.0, 2.0], "b": column, "y": [0.0, 1.0]})
    network = cr.Network([2 if weights is None else 1, 1])
    with pytest.raises(ValueError, match=words):
        cr.train(
            network, cr.initialize(network), [batch], "y", weights=weights, rule=cr.gradient_descent(0.1), batch_size=2
        )

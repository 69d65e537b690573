"""Scores are scikit-learn's, however the rows are cut into batches, and in bounded memory."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs

from chainrule.explaining.console import score_lines
from chainrule.tables import curves, metrics
from chainrule.tables.columns import Column
from chainrule.tables.curves import Reservoir
from chainrule.tables.metrics import ClassScores, NumberScores
from chainrule.tables.target import Target


def classes_of(k):
    return Target((Column("y", "text"),), "binary" if k == 2 else "multiclass", tuple(f"c{i}" for i in range(k)))


def numbers_of(mean):
    return Target(
        tuple(Column(f"y{i}", "number") for i in range(len(mean))), "regression", (), tuple(mean), (1.0,) * len(mean)
    )


def added(scored, told, truth, cuts=()):
    for some, true in zip(np.split(told, cuts), np.split(truth, cuts), strict=True):
        scored.add(some, true)
    return scored.scores()


def scored_classes(p, truth, frequencies, cuts=()):
    return added(ClassScores(classes_of(p.shape[1]), frequencies), p, truth, cuts)


def scikit_learns(p, truth):
    """The same metrics by scikit-learn; no AUC where a class is absent."""
    p, k = p.astype(float), p.shape[1]
    told, present = p.argmax(axis=1), np.unique(truth)
    safe = np.clip(p, 1e-15, 1)
    columns = [1] if k == 2 else range(k)
    whole = len(present) == k
    return {
        "accuracy": theirs.accuracy_score(truth, told),
        "balanced_accuracy": theirs.recall_score(truth, told, labels=present, average="macro", zero_division=0.0),
        "roc_auc": np.mean([theirs.roc_auc_score(truth == i, safe[:, i]) for i in columns]) if whole else None,
        "log_loss": theirs.log_loss(truth, safe / safe.sum(axis=1, keepdims=True), labels=list(range(k))),
    }


def assert_same(ours, expected, rel):
    assert list(ours) == list(expected)
    for name, value in expected.items():
        assert ours[name] == (None if value is None else pytest.approx(value, rel=rel, abs=1e-12)), name


@st.composite
def answers(draw):
    """Probabilities, some of them tied and some 0; true classes, of which some may be absent; places to cut at."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 60)), draw(st.integers(2, 6))
    p = rng.integers(0, 4, (n, k)) + 1e-3 if draw(st.booleans()) else rng.dirichlet(np.full(k, 0.1), n)
    p = (p / p.sum(axis=1, keepdims=True)).astype(draw(st.sampled_from(["float32", "float64"])))
    return p, rng.integers(0, draw(st.integers(1, k)), n), np.sort(rng.integers(0, n + 1, draw(st.integers(0, 4))))


@given(answers())
def test_of_classes_they_are_scikit_learns(drawn):
    p, truth, cuts = drawn
    frequencies = np.arange(1, p.shape[1] + 1) / np.arange(1, p.shape[1] + 1).sum()
    scores = scored_classes(p, truth, frequencies, cuts)
    for ours, given_ in ((scores.network, p), (scores.baseline, np.tile(frequencies, (len(p), 1)))):
        assert_same(ours, scikit_learns(given_, truth), rel=1e-6)
    expected = theirs.confusion_matrix(truth, p.argmax(axis=1), labels=range(p.shape[1]))
    assert scores.confusion == expected.tolist()
    assert (scores.rows, scores.left_out, scores.auc_rows) == (len(p), 0, None)


@given(answers())
def test_cutting_rows_into_batches_changes_no_score(drawn):
    p, truth, cuts = drawn
    even = np.full(p.shape[1], 1 / p.shape[1])
    one, several = scored_classes(p, truth, even), scored_classes(p, truth, even, cuts)
    assert_same(several.network, one.network, rel=1e-12)
    assert several.confusion == one.confusion


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 50),
    st.sampled_from([0.0, 1.0, 1e8]),
    st.sampled_from([0.0, 1e-4, 1.0]),
    st.integers(0, 4),
)
def test_of_numbers_they_are_scikit_learns(seed, targets, n, at, spread, cuts):
    rng = np.random.default_rng(seed)
    truth = at + spread * rng.integers(-9, 9, (n, targets))
    told = truth + rng.normal(size=truth.shape) * rng.choice([0.0, 1.0])
    mean = truth.mean(axis=0) + 0.5
    scores = added(NumberScores(numbers_of(mean)), told, truth, np.sort(rng.integers(0, n + 1, cuts)))
    for ours, given_ in ((scores.network, told), (scores.baseline, np.tile(mean, (n, 1)))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one row has no R2
            r2 = theirs.r2_score(truth, given_)
        assert ours["r2"] == (None if n == 1 else pytest.approx(r2, rel=1e-6, abs=1e-9))
        assert ours["rmse"] == pytest.approx(theirs.root_mean_squared_error(truth, given_))
        assert ours["mae"] == pytest.approx(theirs.mean_absolute_error(truth, given_))


def test_what_cannot_be_told_is_not():
    scores = added(NumberScores(numbers_of([0.0])), np.array([[1e300], [1.0]]), np.array([[0.0], [2.0]]))
    assert scores.network == {"r2": None, "rmse": None, "mae": pytest.approx(5e299)}
    p = np.array([[np.nan, np.nan], [0.5, 0.5]])
    scores = scored_classes(p, np.array([0, 1]), np.array([0.5, 0.5]))
    assert scores.network["log_loss"] is scores.network["roc_auc"] is None
    json.dumps(scores.to_json(), allow_nan=False)


@pytest.mark.parametrize("k", [2, 5])
def test_beyond_its_room_the_area_is_of_a_sample_and_says_so(monkeypatch, k):
    rng = np.random.default_rng(0)
    truth = np.append(rng.integers(0, k - 1, 20_000), [k - 1] * 12)  # few rows of the last class
    p = rng.dirichlet(np.ones(k), len(truth))
    p[np.arange(len(p)), truth] += 0.3
    exact = scored_classes(p, truth, np.full(k, 1 / k))
    monkeypatch.setattr(curves, "MOST_NUMBERS", 2**12 * k)
    scores = [scored_classes(p, truth, np.full(k, 1 / k), cuts) for cuts in ([], [3, 4000, 4000, 15_000])]
    assert_same(scores[0].network, scores[1].network, rel=1e-12)
    assert scores[0].auc_rows == (2**13 if k == 2 else 2**12)
    assert exact.auc_rows is None
    assert scores[0].network["roc_auc"] == pytest.approx(exact.network["roc_auc"], abs=0.02)
    assert scores[0].network | {"roc_auc": 0} == pytest.approx(exact.network | {"roc_auc": 0})
    assert f"computed on a random sample of {scores[0].auc_rows:,} rows" in "\n".join(score_lines(scores[0], "given"))
    assert "sample" not in "\n".join(score_lines(exact, "given"))


def test_a_reservoir_is_a_uniform_sample_of_each_group():
    group = np.repeat([0, 1, 2], [2000, 300, 4])
    number = np.concatenate([np.arange(n) for n in (2000, 300, 4)])
    taken = np.zeros(2000)
    for seed in range(200):
        reservoir, order = Reservoir(3, 50, seed), np.random.default_rng(seed).permutation(len(group))
        order = order[np.argsort(number[order], kind="stable")]
        for some in np.array_split(order, 7):
            reservoir.add(number[some], group[some])
        assert [len(set(reservoir.of(k))) for k in range(3)] == [50, 50, 4]
        taken[reservoir.of(0)] += 1
    per_quarter = taken.reshape(4, 500).sum(axis=1) / 200
    np.testing.assert_allclose(per_quarter, 12.5, atol=0.8)


def many_classes(k=200, n=5000):
    rng = np.random.default_rng(0)
    frequencies = np.roll(np.arange(k, 0, -1) / np.arange(k, 0, -1).sum(), 7)
    truth = rng.choice(k, n, p=frequencies)
    p = rng.dirichlet(np.ones(k), n).astype(np.float32)
    p[np.arange(n), truth] += 0.02
    return p, truth, frequencies


def test_of_many_classes_the_confusion_matrix_has_the_most_frequent():
    p, truth, frequencies = many_classes()
    scores = scored_classes(p, truth, frequencies, [1000])
    whole = theirs.confusion_matrix(truth, p.argmax(axis=1), labels=range(200))
    named = np.arange(7, 57)
    assert scores.confusion_classes == [*(f"c{i}" for i in named), metrics.OTHERS]
    assert scores.left_out == 150
    counts = np.array(scores.confusion)
    np.testing.assert_array_equal(counts[:-1, :-1], whole[np.ix_(named, named)])
    np.testing.assert_array_equal(counts.sum(axis=1)[:-1], whole.sum(axis=1)[named])
    np.testing.assert_array_equal(counts.sum(axis=0)[:-1], whole.sum(axis=0)[named])
    assert counts.sum() == len(p)
    assert_same(scores.network, scikit_learns(p, truth), rel=1e-6)
    assert len(json.dumps(scores.to_json())) < 20_000


def test_what_is_printed_has_fewer_and_says_what_is_left_out():
    p, truth, frequencies = many_classes()
    scores = scored_classes(p, truth, frequencies)
    shown = scores.most_confused(12)
    assert len(shown.confusion_classes) == 13
    assert shown.left_out == 188
    assert np.sum(shown.confusion) == len(p)
    assert shown.most_confused(12) == shown
    lines = score_lines(scores, "given")
    assert lines[-1] == "the 12 most frequent of 200 classes; (others) combines the other 188"
    assert len(lines) == 5 + 1 + 14 + 1
    few = scored_classes(p[:, :5], truth % 5, np.full(5, 0.2))
    assert few.most_confused(12) == few
    assert "(others)" not in "\n".join(score_lines(few, "given"))

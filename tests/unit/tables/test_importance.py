import numpy as np
import pyarrow as pa
import pytest
from sklearn.inspection import permutation_importance
from sklearn.neural_network import MLPRegressor

import chainrule as cr
from chainrule.tables.columns import Column, NumberColumn, TextColumn
from chainrule.tables.encoding import Encoding
from chainrule.tables.fit import TableModel
from chainrule.tables.importance import MOST_COLUMNS, importance_of
from chainrule.tables.target import Target


def linear_model(weights, columns):
    weights = np.atleast_2d(np.asarray(weights, float)).T
    network = cr.Network([len(weights), 1], "identity")
    target = Target((Column("y", "number"),), "regression", (), (0.0,), (1.0,))
    return TableModel(network, (cr.Layer(weights, np.zeros(1)),), Encoding(tuple(columns), ()), target, (), {})


def numbers(n):
    return [NumberColumn(f"x{i}", "number", 0.0, 1.0, False) for i in range(n)]


def test_of_a_linear_model_the_rise_is_known():
    """With y = 3 a + b and nothing else, shuffling a makes the RMSE sqrt(2) * 3, without it 0."""
    X = np.random.default_rng(0).normal(size=(2000, 3))
    told = importance_of(linear_model([3, 1, 0], numbers(3)), X, pa.table({"y": X @ [3, 1, 0]}))
    assert told.columns == ("x0", "x1", "x2")
    np.testing.assert_allclose(told.rise, [3 * 2**0.5, 2**0.5, 0], rtol=0.05, atol=1e-12)
    assert told.measure == "RMSE"
    assert told.spread[0] < 0.1


def test_it_agrees_with_scikit_learns():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(800, 3))
    y = X @ [2, -1, 0.5] + rng.normal(size=800)
    peer = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", activation="identity", max_iter=500, random_state=0).fit(
        X, y
    )
    theirs = permutation_importance(
        peer, X, y, scoring="neg_root_mean_squared_error", n_repeats=20, random_state=0
    ).importances_mean
    told = importance_of(
        linear_model(peer.coefs_[0][:, 0], numbers(3)), X - 0, pa.table({"y": y - peer.intercepts_[0][0]})
    )
    ours = [told.rise[told.columns.index(f"x{i}")] for i in range(3)]
    np.testing.assert_allclose(ours, theirs, rtol=0.1)


def test_the_inputs_of_a_column_are_shuffled_together():
    columns = [TextColumn("c", ("u", "v"), False, False), *numbers(1)]
    X = np.column_stack([np.tile([1, 0], 50), np.tile([0, 1], 50), np.zeros(100)]).astype(float)
    told = importance_of(linear_model([1, -1, 5], columns), X, pa.table({"y": X @ [1, -1, 0]}))
    assert told.columns == ("c", "x0")
    assert told.rise[0] == pytest.approx(2**0.5, rel=0.2)  # half of the rows off by 2
    assert told.rise[1] == 0


def test_of_many_columns_those_of_little_weight_are_left_out():
    n = MOST_COLUMNS + 5
    X = np.random.default_rng(0).normal(size=(50, n))
    weights = np.arange(n, dtype=float)
    told = importance_of(linear_model(weights, numbers(n)), X, pa.table({"y": X @ weights}))
    assert told.left_out == 5
    assert len(told.columns) == MOST_COLUMNS
    assert not {"x0", "x1", "x2", "x3", "x4"} & set(told.columns)

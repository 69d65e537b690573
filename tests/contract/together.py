"""One of several processes, or several devices of one, that train together: a script for the tests beside it.

    python together.py COORDINATOR PROCESSES PROCESS OUT CASE...

The first process writes what came out, of the cases, to the npz file OUT.
"""

import sys

import numpy as np

import chainrule as cr
from chainrule.scaling import processes

ROWS, HELD = 203, 31
CASES = {
    "mini-batches": {"batch_size": 32},
    "rmse": {"batch_size": 32, "cost": "rmse"},
    "rmse of whole tables": {"cost": "rmse"},
    "weighted": {"batch_size": 32, "weighted": True},
    "early stopping": {"batch_size": 32, "learning_rate": 0.05, "stop": [cr.NoImprovement(2)]},
    "gradient goal": {"batch_size": 32, "stop": [cr.MinGradient(0.15)]},
    "sums": {"batch_size": 32, "reduction": "sum", "l2": 0.01, "learning_rate": 1e-4},
    "with replacement": {"batch_size": 50, "sample": "with_replacement"},
    "dropout and averages": {"batch_size": 32, "dropout": 0.3, "average": 0.9, "l2": 0.01},
    "dropout of whole tables": {"dropout": 0.3, "l2": 0.01},
    "float64": {"batch_size": 7, "dtype": "float64"},
    "classes": {"batch_size": 32, "cost": "categorical_cross_entropy", "weighted": True},
    "one row at a time": {"batch_size": 1, "epochs": 3},
}


def table(cost):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(ROWS + HELD, 5)), rng.uniform(0.5, 2, ROWS + HELD)
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=len(X))
    Y = np.eye(3)[np.digitize(y, [-0.5, 0.5])] if cost == "categorical_cross_entropy" else y[:, None]
    return X, Y, weights


def mine(rows, process, processes):
    """An uneven share: the first process has the fewest rows."""
    cuts = np.round(len(rows) * (np.arange(processes + 1) / processes) ** 1.5).astype(int)
    return rows[cuts[process] : cuts[process + 1]]


def fitted(case, share, together):
    of = dict(CASES[case])
    cost = of.pop("cost", "squared_error")
    X, Y, weights = table(cost)
    output = "softmax" if cost == "categorical_cross_entropy" else "identity"
    shape = {"reduction": of.pop("reduction", "mean"), "l2": of.pop("l2", 0.0)}
    network = cr.Network([5, 12, Y.shape[1]], ["tanh", output], cost, **shape)
    parts = [[share(x) for x in (X[i], Y[i], weights[i])] for i in (slice(ROWS), slice(ROWS, None))]
    (X, Y, w), held = parts
    weighted = of.pop("weighted", False)
    rule = cr.optax_rule("adam", of.pop("learning_rate", 2e-3))
    settings = {"epochs": 20, "rule": rule, "weights": w if weighted else None, **of}
    settings["validation"] = tuple(held if weighted else held[:2])
    return cr.train(network, cr.initialize(network, "glorot", seed=1), X, Y, together=together, **settings)


def numbers(fit):
    """Parameters and history as one array, but for the seconds."""
    arrays = [x for layer in fit.params for x in layer] + [fit.epochs, fit.best_epoch]
    arrays += [getattr(fit.history, name) for name in fit.history._fields if name not in ("epoch", "seconds")]
    return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in arrays])


def main(coordinator, n, process, out, *cases):
    n, process = int(n), int(process)
    if n > 1:
        processes.join(processes.Place(coordinator, n, process))
    found = {case: numbers(fitted(case, lambda rows: mine(rows, process, n), True)) for case in cases}
    if process == 0:
        np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The lecture's network, 8,000 full-batch epochs in float64: Chainrule against scikit-learn's MLP and plain NumPy.

Interleaved rounds in one process; medians. Run with `make bench` or `python benchmarks/lecture.py`.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import chainrule as cr
from chainrule.examples.lecture import lecture_setting

EPOCHS, ROUNDS = 8000, 5
NETWORK, PARAMS, X, Y, RULE = lecture_setting()


def ours() -> None:
    cr.train(NETWORK, PARAMS, X, Y, rule=RULE, epochs=EPOCHS, dtype="float64")


def numpy_loop() -> None:
    """The same functions, executed eagerly."""
    params, state = PARAMS, RULE.init(PARAMS)
    for _ in range(EPOCHS):
        fwd = cr.forward(NETWORK, params, X)
        params, state = cr.update(RULE, params, cr.backward(NETWORK, params, fwd, Y).gradient, state)


def scikit_learn() -> None:
    """scikit-learn's nearest: full batch, plain SGD, the same number of updates (its cost is the log loss)."""
    settings = {"momentum": 0.0, "n_iter_no_change": EPOCHS, "batch_size": len(X), "shuffle": False, "alpha": 0.0}
    model = MLPClassifier((3,), "logistic", solver="sgd", max_iter=EPOCHS, tol=0.0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, Y[:, 0])


def seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    runs = {"chainrule": ours, "the same in NumPy": numpy_loop, "scikit-learn MLPClassifier": scikit_learn}
    first = seconds(ours)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(seconds(run))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"{EPOCHS:,} full-batch epochs of the 2-3-1 network, median of {ROUNDS} rounds")
    for name, median in medians.items():
        spread = f"{min(times[name]):.3f} to {max(times[name]):.3f}"
        print(f"{name:<28}{median:8.3f} s  ({spread})  {median / medians['chainrule']:7.1f} x")
    print(f"first call of chainrule, with compiling: {first:.2f} s")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "lecture.json").write_text(json.dumps({"seconds": times, "first_call": first}, indent=2))


if __name__ == "__main__":
    main()

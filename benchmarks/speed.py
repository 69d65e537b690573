"""Chainrule against its peers: whole public calls, interleaved, the same data, threads and updates.

    python benchmarks/speed.py                     everything
    python benchmarks/speed.py --quick             fewer rounds, and the four peers that matter most
    python benchmarks/speed.py --only A E J        some workloads

Ratios are a peer's median over ours: above 1, ours is faster. Every contestant has run once before it is timed, so
compiling is not in the medians; the first call is told beside them. Writes benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from contestants import CONTESTANTS
from workloads import TRAININGS, data_of

HERE = Path(__file__).parent
SETTLE = 0.3  # seconds in which threads of the contestant before stop spinning
OURS, LIMIT = "chainrule", "matrix products"
QUICK = (OURS, "scikit-learn", "PyTorch eager", "JAX + optax, expert", LIMIT)


class Taken(NamedTuple):
    """Seconds of the first call, of which some may be compiling, and of each round."""

    first: float
    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def main() -> None:
    """Measure, print a table per workload, write the JSON file."""
    options = _options()
    warnings.simplefilter("ignore")
    results = {}
    for name in options.only:
        measure = EXTRA.get(name)
        taken = measure(options) if measure else trainings(name, options)
        results[name] = {who: {**t._asdict(), "median": t.median} for who, t in taken.items()}
        print(_table(name, taken), flush=True)
    path = HERE / "results" / ("speed-quick.json" if options.quick else "speed.json")
    path.parent.mkdir(exist_ok=True)
    before = json.loads(path.read_text())["results"] if path.is_file() else {}
    results = {name: told for name in TITLES if (told := results.get(name, before.get(name)))}
    made = {"machine": _machine(), "rounds": options.rounds, "results": results}
    path.write_text(json.dumps(made, indent=1) + "\n")
    print(_markdown(results))


def trainings(name: str, options: Any) -> dict[str, Taken]:
    """A to F: every contestant trains the same network (Keras not A: its 8,000 epochs take minutes)."""
    workload = TRAININGS[name]
    data = data_of(workload)
    names = [who for who in (QUICK if options.quick else CONTESTANTS) if workload.batch or who != "Keras on JAX"]
    makers = {who: lambda make=CONTESTANTS[who]: make(workload, data) for who in names}
    return interleaved(makers, options.rounds)


def interleaved(makers: dict[str, Callable[[], Callable[[], Any]]], rounds: int) -> dict[str, Taken]:
    """Each contestant once, to compile, then all of them in turn, round after round, another one first in each."""
    runs, first = {}, {}
    for who, make in makers.items():
        began = time.perf_counter()
        runs[who] = make()
        runs[who]()
        first[who] = time.perf_counter() - began
    taken: dict[str, list[float]] = {who: [] for who in runs}
    order = list(runs.items())
    for i in range(rounds):
        for who, run in order[i % len(order) :] + order[: i % len(order)]:
            time.sleep(SETTLE)
            began = time.perf_counter()
            run()
            taken[who].append(time.perf_counter() - began)
    return {who: Taken(first[who], seconds) for who, seconds in taken.items()}


COLD = """
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_breast_cancer
from {room} import MLPClassifier
X, y = load_breast_cancer(return_X_y=True)
MLPClassifier(random_state=0).fit(X, y)
"""


def cold(options: Any) -> dict[str, Taken]:
    """G: the whole process, from its start to a fitted default estimator; ours with an empty and with a warm cache."""
    folder = tempfile.mkdtemp()
    warm = {**os.environ, "JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    rooms = {OURS: ("chainrule", os.environ), "ours, warm cache": ("chainrule", warm)}
    rooms |= {"scikit-learn": ("sklearn.neural_network", os.environ)}

    def process(room: str, environment: Any) -> Callable[[], None]:
        command = [sys.executable, "-c", COLD.format(room=room)]
        return lambda: subprocess.run(command, check=True, env=dict(environment)) and None

    makers = {who: lambda told=told: process(*told) for who, told in rooms.items()}
    return interleaved(makers, options.rounds)


def search(options: Any) -> dict[str, Taken]:
    """H: a grid of 12 points by 5 folds on breast_cancer, in one process."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    import chainrule as cr

    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    grid = {"alpha": [1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3], "hidden_layer_sizes": [(32,), (64,)]}

    def searching(kind: Any) -> Callable[[], Any]:
        return lambda: GridSearchCV(kind(random_state=0, max_iter=100), grid, cv=5, refit=False).fit(X, y)

    kinds = {OURS: cr.MLPClassifier, "scikit-learn": MLPClassifier}
    return interleaved({who: lambda kind=kind: searching(kind) for who, kind in kinds.items()}, options.rounds)


def predicting(rows: int, repeats: int) -> Callable[[Any], dict[str, Taken]]:
    """I and J: `predict_proba` of a fitted 20-64-32-2 classifier, so many rows at a time."""

    def measure(options: Any) -> dict[str, Taken]:
        from sklearn.neural_network import MLPClassifier

        import chainrule as cr

        rng = np.random.default_rng(0)
        X = rng.normal(size=(2000, 20)).astype(np.float32)
        y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
        asked = rng.normal(size=(rows, 20)).astype(np.float32)

        def ready(kind: Any) -> Callable[[], None]:
            model = kind((64, 32), max_iter=5, random_state=0).fit(X, y)

            def run() -> None:
                for _ in range(repeats):
                    model.predict_proba(asked)

            return run

        kinds = {OURS: cr.MLPClassifier, "scikit-learn": MLPClassifier}
        return interleaved({who: lambda kind=kind: ready(kind) for who, kind in kinds.items()}, options.rounds)

    return measure


def eight(options: Any) -> dict[str, Taken]:
    """K: eight networks of E's shape from different seeds, in two threads and one after another."""
    import chainrule as cr

    workload, data = TRAININGS["E"], data_of(TRAININGS["E"])
    network = cr.Network(workload.layers, ["relu", "relu", "sigmoid"], "binary_cross_entropy")
    rule = cr.optax_rule("adam", workload.learning_rate)
    settings = {"rule": rule, "batch_size": workload.batch, "epochs": workload.epochs}

    def one(seed: int) -> Any:
        return cr.train(network, cr.initialize(network, "glorot", seed), data.X, data.Y, seed=seed, **settings)

    def in_threads() -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(one, range(8)))

    makers = {OURS: lambda: in_threads, "one after another": lambda: lambda: [one(seed) for seed in range(8)]}
    return interleaved(makers, options.rounds)


EXTRA: dict[str, Callable[[Any], dict[str, Taken]]] = {
    "G": cold,
    "H": search,
    "I": predicting(1, 200),
    "J": predicting(1_000_000, 1),
    "K": eight,
}
TITLES = {
    **{name: workload.name for name, workload in TRAININGS.items()},
    "G": "G cold: a whole process",
    "H": "H search: 12 points x 5 folds",
    "I": "I 200 x predict_proba of one row",
    "J": "J predict_proba of 1,000,000 rows",
    "K": "K eight of E's, in two threads",
}


def _table(name: str, taken: dict[str, Taken]) -> str:
    lines, ours = [TITLES[name]], taken[OURS].median
    for who, t in taken.items():
        spread = f"{min(t.rounds) * 1e3:.1f} to {max(t.rounds) * 1e3:.1f}"
        ratio = f"{100 * t.median / ours:6.0f} % of it" if who == LIMIT else f"{t.median / ours:8.2f} x"
        lines.append(f"  {who:<22}{t.median * 1e3:12.1f} ms  ({spread}){ratio:>14}   first {t.first:.2f} s")
    return "\n".join(lines)


def _markdown(results: dict[str, dict[str, Any]]) -> str:
    """The table of docs/measured.md: our seconds, and how many times as long the others take."""
    peers = [who for who in CONTESTANTS if who != OURS]
    lines = ["| workload | ours | " + " | ".join(peers) + " |", "|---" * (len(peers) + 2) + "|"]
    for name, taken in results.items():
        ours = taken[OURS]["median"]
        cells = [f"{taken[who]['median'] / ours:.2f}" if who in taken else "" for who in peers]
        lines.append(f"| {TITLES[name]} | {ours:.4g} s | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _machine() -> dict[str, Any]:
    packages = ("chainrule", "jax", "numpy", "scikit-learn", "torch", "keras", "optax")
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    return options


if __name__ == "__main__":
    main()

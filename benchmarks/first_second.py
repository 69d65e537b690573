"""What a person waits for: whole processes and first calls, with an empty and with a warm cache, beside scikit-learn.

    python benchmarks/first_second.py                     everything
    python benchmarks/first_second.py --only search fits  some rows
    python benchmarks/first_second.py --rounds 5

Every measurement is a fresh process. In each round scikit-learn, ours with an empty cache and ours with the cache of
the process before take turns; the numbers are medians. Writes benchmarks/results/first_second.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
PENGUINS = HERE.parent / "examples" / "penguins.csv"
EMPTY, WARM, PEER = "ours, first use", "ours, warm", "scikit-learn"


def classifier(who: str) -> Any:
    """The class to measure; importing it is not timed."""
    if who == PEER:
        from sklearn.neural_network import MLPClassifier
    else:
        from chainrule import MLPClassifier
    return MLPClassifier


def scaled(n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """breast_cancer, Z-scored: (569, 30) and its classes, or the first n rows."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X)[:n], y[:n]


def chunks(sizes: range, **settings: Any) -> Callable[[Any], None]:
    """`partial_fit` of one model, a chunk of each size."""
    X, y = scaled()

    def run(kind: Any) -> None:
        model = kind(random_state=0, **settings)
        for n in sizes:
            model.partial_fit(X[:n], y[:n], classes=[0, 1])

    return run


def fits(kind: Any) -> None:
    """Six fits of other numbers of rows."""
    X, y = scaled()
    for n in range(250, 501, 50):
        kind(random_state=0).fit(X[:n], y[:n])


def searching(n_jobs: int) -> Callable[[Any], None]:
    """Eight designs by three folds."""

    def run(kind: Any) -> None:
        from sklearn.model_selection import RandomizedSearchCV

        X, y = scaled()
        sizes = [(16,), (24,), (32,), (48,), (64,), (16, 16), (32, 16), (64, 32)]
        model = kind(random_state=0, max_iter=100)
        RandomizedSearchCV(
            model, {"hidden_layer_sizes": sizes}, n_iter=8, cv=3, n_jobs=n_jobs, random_state=0, refit=False
        ).fit(X, y)

    return run


def designs(kind: Any) -> float:
    """Megabytes that 200 designs in one process leave behind."""
    X, y = scaled(100)
    kind((8,), random_state=0, max_iter=5).fit(X, y)
    before = _megabytes()
    for i in range(200):
        kind((8 + i,), random_state=0, max_iter=5).fit(X, y)
    return _megabytes() - before


def one_row(kind: Any) -> float:
    """Milliseconds of `predict_proba` for one row."""
    X, y = scaled()
    model = kind(random_state=0, max_iter=5).fit(X, y)
    taken = []
    for _ in range(2000):
        began = time.perf_counter()
        model.predict_proba(X[:1])
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


TIMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "chunks": ("`partial_fit`, 20 chunks of different sizes, s", lambda kind: chunks(range(40, 440, 20))(kind)),
    "batches": (
        "the same, 12 sizes, `batch_size=32`, s",
        lambda kind: chunks(range(50, 290, 20), batch_size=32)(kind),
    ),
    "fits": ("6 fits with 250 to 500 rows, s", fits),
    "search": ("`RandomizedSearchCV`, 8 designs x 3 folds, s", searching(1)),
    "search2": ("the same, `n_jobs=2`, s", searching(2)),
    "designs": ("200 designs in one process, MB more", designs),
    "one-row": ("`predict_proba` of one row, ms", one_row),
}
FIT = """
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_breast_cancer
from {room} import MLPClassifier
X, y = load_breast_cancer(return_X_y=True)
MLPClassifier(random_state=0).fit(X, y)
"""
SERVE = """
import numpy as np, chainrule
print(chainrule.load("model.safetensors").predict_proba(np.zeros((1, 30)))[0, 0])
"""
SERVED = """
import joblib, numpy as np
print(joblib.load("model.joblib").predict_proba(np.zeros((1, 30)))[0, 0])
"""


class Process(NamedTuple):
    """A whole process, to be timed from its start to its end: ours, and the peer's where there is one."""

    title: str
    ours: list[str]
    peer: list[str] | None = None


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _chainrule(*words: str) -> list[str]:
    return [sys.executable, "-m", "chainrule", *words]


PROCESSES = {
    "fit": Process(
        "a process that fits breast_cancer, s",
        _python(FIT.format(room="chainrule")),
        _python(FIT.format(room="sklearn.neural_network")),
    ),
    "train": Process(
        "`chainrule train penguins.csv`, s",
        _chainrule("train", "penguins.csv", "--target", "species", "-q", "-o", "new"),
    ),
    "explain": Process(
        "`chainrule explain RUN --epoch 3 --html`, s",
        _chainrule("explain", "run", "--epoch", "3", "--html", "page.html"),
    ),
    "evaluate": Process("`chainrule evaluate`, s", _chainrule("evaluate", "run", "penguins.csv")),
    "predict": Process("`chainrule predict`, s", _chainrule("predict", "run", "penguins.csv", "-o", "answers.csv")),
    "serve": Process("loading a saved estimator and predicting a row, s", _python(SERVE), _python(SERVED)),
}


def main() -> None:
    """Measure, print the table, write the JSON file."""
    options = _options()
    if options.one:
        print(_inside(options.one, options.who))
        return
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _prepare(folder)
        for name in options.only:
            title = TIMED[name][0] if name in TIMED else PROCESSES[name].title
            taken = _rounds(name, folder, options.rounds)
            results[title] = {who: statistics.median(values) for who, values in taken.items()} | {"rounds": taken}
            print(_row(title, results[title]), flush=True)
    path = HERE / "results" / "first_second.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | results, indent=1) + "\n")


def _rounds(name: str, folder: Path, rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for who, value in _round(name, folder):
            taken.setdefault(who, []).append(value)
    return taken


def _round(name: str, folder: Path) -> Iterator[tuple[str, float]]:
    if name in TIMED:
        for who in (PEER, EMPTY, WARM):
            command = [sys.executable, __file__, "--one", name, "--who", who]
            yield who, float(_run(command, folder).splitlines()[-1])
        return
    _, ours, peer = PROCESSES[name]
    for who, command in ((PEER, peer), (EMPTY, ours), (WARM, ours)):
        if command:
            shutil.rmtree(folder / "new", ignore_errors=True)
            began = time.perf_counter()
            _run(command, folder)
            yield who, time.perf_counter() - began


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _prepare(folder: Path) -> None:
    """A table, a run and two saved models to ask."""
    import joblib

    import chainrule as cr

    shutil.copy(PENGUINS, folder)
    _run(_chainrule("train", "penguins.csv", "--target", "species", "-q", "-o", "run"), folder)
    X, y = scaled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cr.save(classifier(EMPTY)(max_iter=5).fit(X, y), folder / "model.safetensors")
        joblib.dump(classifier(PEER)(max_iter=5).fit(X, y), folder / "model.joblib")


def _inside(name: str, who: str) -> float:
    """The measurement itself, in a process of its own: seconds, or what the function returns."""
    warnings.simplefilter("ignore")
    kind, run = classifier(who), TIMED[name][1]
    scaled()
    began = time.perf_counter()
    told = run(kind)
    return time.perf_counter() - began if told is None else told


def _megabytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _row(title: str, told: dict[str, Any]) -> str:
    cells = (f"{told[who]:.3g}" if who in told else "-" for who in (PEER, EMPTY, WARM))
    return f"| {title} | {' | '.join(cells)} |"


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*TIMED, *PROCESSES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=list(TIMED), help=argparse.SUPPRESS)
    parser.add_argument("--who", default=EMPTY, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

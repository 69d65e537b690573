"""The numbers of some forty trainings, as digests: what must not change when the code around them does.

    python tests/contract/frozen_numbers.py write     into frozen_numbers.json
    python tests/contract/frozen_numbers.py compare   with it; exit status 1 where a digest differs

On one machine the same trainings give the same bits. Where a change is to alter the order of operations, `compare
--rounding` holds the rounded summaries (weights, costs and predictions to six digits) instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

FILE = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).parents[2]
COSTS = {
    "half_squared_error": "identity",
    "squared_error": "identity",
    "absolute_error": "identity",
    "rmse": "identity",
    "huber:1.5": "identity",
    "pinball:0.9": "identity",
    "poisson": "exponential",
    "binary_cross_entropy": "sigmoid",
    "categorical_cross_entropy": "softmax",
}


def rows(cost: str = "squared_error", n: int = 130, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    z = X[:, 0] * X[:, 1] + np.sin(X[:, 2])
    if cost == "categorical_cross_entropy":
        return X, np.eye(3)[np.digitize(z, [-0.5, 0.5])]
    if cost == "binary_cross_entropy":
        return X, (z > 0)[:, None].astype(float)
    if cost == "poisson":
        return X, rng.poisson(np.exp(z / 2))[:, None].astype(float)
    return X, np.column_stack([z])


def trained(cost: str = "squared_error", hidden: tuple[int, ...] = (6, 5), l2: float = 0.0, **settings: Any) -> Any:
    X, Y = rows(cost)
    output = COSTS.get(cost, "identity")
    network = cr.Network([4, *hidden, Y.shape[1]], [*["tanh"] * len(hidden), output], cost, l2=l2)
    how = {"rule": cr.gradient_descent(0.05), "epochs": 12, "seed": 3, **settings}
    if how.pop("validated", False):
        how["validation"] = rows(cost, 60, 1)
    fit = cr.train(network, cr.initialize(network, "glorot", seed=1), X, Y, **how)
    return numbers_of(fit, np.asarray(cr.forward(network, fit.params, X).a[-1]))


def numbers_of(fit: Any, predictions: np.ndarray) -> list[np.ndarray]:
    columns = [np.asarray(getattr(fit.history, name)) for name in fit.history._fields if name != "seconds"]
    return [*(np.asarray(x) for layer in fit.params for x in layer), *columns, predictions]


def streamed(**settings: Any) -> Any:
    import pyarrow as pa

    X, Y = rows()
    batches = pa.table({**{f"x{i}": x for i, x in enumerate(X.T)}, "y": Y[:, 0]}).to_batches(max_chunksize=50)
    network = cr.Network([4, 6, 1], ["tanh", "identity"])
    how = {"rule": cr.optax_rule("adam", 1e-2), "batch_size": 20, "epochs": 8, **settings}
    fit = cr.train(network, cr.initialize(network, seed=1), batches, ["y"], **how)
    return numbers_of(fit, np.asarray(cr.forward(network, fit.params, X).a[-1]))


def resumed() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        keeping = cr.Resumable(folder, every=1)
        trained(batch_size=16, epochs=5, rule=cr.optax_rule("adam", 1e-2), resumable=keeping)
        return trained(batch_size=16, epochs=12, rule=cr.optax_rule("adam", 1e-2), resumable=keeping)


def estimated(kind: str, **settings: Any) -> Any:
    X, Y = rows("binary_cross_entropy" if kind == "MLPClassifier" else "squared_error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(cr, kind)(random_state=0, hidden_layer_sizes=(7,), max_iter=15, **settings).fit(X, Y[:, 0])
    answers = model.predict_proba(X) if kind == "MLPClassifier" else model.predict(X)
    return [
        *model.coefs_,
        *model.intercepts_,
        np.asarray(model.loss_curve_ if settings.get("solver") != "lbfgs" else []),
        answers,
    ]


def commanded(*words: str) -> Any:
    """A run of the command line, in a process of its own: its model, history and predictions."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        environment = {**os.environ, "XLA_FLAGS": ""}
        for command in (
            ["train", *words, "-q", "-o", str(run)],
            ["predict", str(run), words[0], "-o", f"{folder}/p.csv"],
        ):
            subprocess.run([sys.executable, "-m", "chainrule.cli", *command], check=True, cwd=ROOT, env=environment)
        params = cr.load(run)[1]
        history = [line.rsplit(",", 1)[0] for line in (run / "history.csv").read_text().splitlines()]
        predicted = Path(folder, "p.csv").read_bytes()
        texts = [np.frombuffer(text, np.uint8) for text in ("\n".join(history).encode(), predicted)]
        return [*(np.asarray(x) for layer in params for x in layer), *texts]


ADAM = partial(cr.optax_rule, "adam", 1e-2)
PENGUINS = "examples/penguins.csv"
STOPS = [cr.NoImprovement(5)]
SHORT = ("--epochs", "6", "--hidden", "5")
TRAININGS: dict[str, Callable[[], Any]] = {
    **{f"cost {cost}": partial(trained, cost) for cost in COSTS},
    "batch": partial(trained, epochs=30),
    "mini-batch": partial(trained, batch_size=16),
    "one row": partial(trained, batch_size=1, epochs=3),
    "float64": partial(trained, batch_size=16, dtype="float64"),
    "momentum": lambda: trained(rule=cr.gradient_descent(0.05, momentum=0.9), batch_size=16),
    "nesterov": lambda: trained(rule=cr.gradient_descent(0.05, momentum=0.9, nesterov=True)),
    "step decay": lambda: trained(rule=cr.gradient_descent(cr.step_decay(0.1, 0.5, 5)), batch_size=16),
    "adam": lambda: trained(rule=ADAM(), batch_size=16),
    "adamw": lambda: trained(rule=cr.optax_rule("adamw", 1e-2), batch_size=16),
    "clipped": lambda: trained(rule=cr.clipped(cr.gradient_descent(0.5), 0.1)),
    "l2": partial(trained, l2=0.01, batch_size=16),
    "dropout": lambda: trained(rule=ADAM(), batch_size=16, dropout=0.2),
    "average": lambda: trained(rule=ADAM(), batch_size=16, average=0.9, validated=True),
    "weights": lambda: trained(weights=np.linspace(0.1, 2, 130), batch_size=16),
    "with replacement": partial(trained, batch_size=16, sample="with_replacement"),
    "early stopping": lambda: trained(rule=ADAM(), batch_size=16, epochs=99, validated=True, stop=STOPS),
    "cost goal": lambda: trained(epochs=300, stop=[cr.CostGoal(0.4)]),
    "gradient goal": lambda: trained(epochs=300, batch_size=16, stop=[cr.MinGradient(0.3)]),
    "unchanged": lambda: trained(epochs=300, stop=[cr.Unchanged(1e-3)]),
    "no hidden layer": partial(trained, hidden=()),
    "streamed": streamed,
    "streamed, dropout": partial(streamed, dropout=0.1, average=0.9),
    "resumed": resumed,
    **{
        f"{kind} {solver}": partial(estimated, kind, solver=solver)
        for kind in ("MLPClassifier", "MLPRegressor")
        for solver in ("sgd", "adam", "lbfgs")
    },
    "MLPClassifier early stopping": partial(estimated, "MLPClassifier", early_stopping=True),
    "MLPRegressor tabular": lambda: estimated_tabular(),
    "command penguins": partial(commanded, PENGUINS, "--target", "species", *SHORT),
    "command body mass": partial(commanded, PENGUINS, "--target", "body_mass_g", *SHORT),
    "command streamed": partial(commanded, PENGUINS, "--target", "species", "--stream", *SHORT),
    "command two processes": partial(commanded, PENGUINS, "--target", "species", "--processes", "2", *SHORT),
    "command lecture": partial(
        commanded, "examples/lecture/normalized.csv", "--target", "Y", "--task", "binary", "--batch-size", "all",
        "--rule", "gradient_descent", "--learning-rate", "0.5", "--no-normalize", "--test-size", "0",
        "--validation-size", "0", "--hidden", "3", "--epochs", "50", "--dtype", "float64",
    ),
}  # fmt: skip


def estimated_tabular() -> Any:
    X, Y = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = cr.MLPRegressor(random_state=0, preset="tabular", max_iter=8).fit(X, Y[:, 0])
    return [*model.coefs_, *model.intercepts_, model.predict(X)]


def digests() -> Iterator[tuple[str, dict[str, str]]]:
    for name, training in TRAININGS.items():
        arrays = [np.ascontiguousarray(x) for x in training()]
        bits = hashlib.blake2b(b"".join(x.tobytes() for x in arrays), digest_size=12).hexdigest()
        summary = [float(f"{np.nansum(np.abs(x.astype(float))):.6g}") for x in arrays]
        yield name, {"bits": bits, "rounded": json.dumps(summary)}
        print(name, bits, file=sys.stderr)


def main(what: str, *flags: str) -> int:
    """Write the digests, or compare them with those that were written."""
    found = dict(digests())
    if what == "write":
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    known, how = json.loads(FILE.read_text()), "rounded" if "--rounding" in flags else "bits"
    unlike = [name for name in known if known[name][how] != found.get(name, {}).get(how)]
    print(f"{len(known) - len(unlike)} of {len(known)} equal", *(f"unlike: {name}" for name in unlike), sep="\n")
    return int(bool(unlike))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

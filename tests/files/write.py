"""Writes files of every kind of model, with their predictions, by the Chainrule on PYTHONPATH.

For a release: `python tests/files/write.py tests/files/VERSION`. Those in `0.1.0` are from commit 4785460.
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import chainrule as cr


def write_table(out: Path, rng: np.random.Generator) -> None:
    with open(out / "table.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["size", "colour", "paid", "day", "kind"])
        for i in range(120):
            size = "" if i % 11 == 0 else f"{rng.normal(10, 2):.3f}"
            colour = ["red", "green", "blue", ""][i % 4] if i % 29 else f"one of {i}"
            kind = "large" if size and float(size) > 10 else ["odd", "small"][i % 2]
            writer.writerow(
                [size, colour, ["true", "false"][i % 3 // 2], f"2026-{1 + i % 12:02}-{1 + i % 28:02}", kind]
            )
    train = ["train", "table.csv", "-t", "kind", "-o", "run", "--hidden", "6", "--epochs", "40"]
    predict = ["predict", "run", "table.csv", "-o", "table-predictions.csv"]
    for command in (train, predict):
        subprocess.run([sys.executable, "-m", "chainrule", *command], cwd=out, check=True, stdout=subprocess.DEVNULL)
    cr.save(cr.load(out / "run"), out / "table.safetensors")
    shutil.rmtree(out / "run")


def write_models(out: Path, rng: np.random.Generator) -> None:
    X = rng.normal(10, 3, (40, 3))
    X[::7, 1] = np.nan
    kinds = np.array(["no", "perhaps", "yes"])[np.arange(40) % 3]
    settings = {
        "hidden_layer_sizes": (4,),
        "preset": "tabular",
        "missing": "indicate",
        "max_iter": 15,
        "random_state": 0,
    }
    classifier = cr.MLPClassifier(**settings).fit(X, kinds)
    regressor = cr.MLPRegressor(**settings, activation=["tanh"], cost="pinball:0.9").fit(X, 1e3 * X[:, 0])
    cr.save(classifier, out / "classifier.safetensors", optimizer=True)
    cr.save(regressor, out / "regressor.safetensors")

    mask = np.ones((3, 4), bool)
    mask[0, 1] = False
    network = cr.Network([3, 4, 2], ["silu", "softmax"], "categorical_cross_entropy", l2=0.01, masks=[mask, None])
    params = cr.initialize(network, "glorot", seed=3)
    cr.save((network, params), out / "network.safetensors")

    whole = np.nan_to_num(X)
    np.savez(
        out / "answers.npz",
        X=X,
        probabilities=classifier.predict_proba(X),
        numbers=regressor.predict(X),
        outputs=cr.forward(network, params, whole).a[-1],
    )


if __name__ == "__main__":
    folder, numbers = Path(sys.argv[1]), np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, numbers)
    write_models(folder, numbers)

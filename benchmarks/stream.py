"""Rows beyond memory: peak memory, rows a second and final cost of a streamed training, beside the same in memory.

    python benchmarks/stream.py                      up to 20,000,000 rows of 20 columns (some minutes, 6 GB of disk)
    python benchmarks/stream.py --rows 100000 1000000

Every training is a process of its own: 20-64-32-1 relu, Adam, batches of 256, 2 epochs. Writes
benchmarks/results/stream.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
WAYS = ("streamed", "command", "in memory")
COLUMNS, PIECE, EPOCHS, BATCH = 20, 250_000, 2, 256
MOST_IN_MEMORY = 5_000_000


def main() -> None:
    """Make the files, train on each in processes of their own, print and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10**5, 10**6, 5 * 10**6, 2 * 10**7])
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FILE"))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*options.child)))
        return
    told = {}
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        for rows in options.rows:
            path = Path(folder, "rows.parquet")
            write(path, rows)
            ways = WAYS if rows <= MOST_IN_MEMORY else WAYS[:2]
            told[str(rows)] = {way: _process(way, path) for way in ways}
            for way, taken in told[str(rows)].items():
                print(f"{rows:>12,} rows {way:<10}", " ".join(f"{k} {v:,.4g}" for k, v in taken.items()), flush=True)
    (HERE / "results" / "stream.json").write_text(json.dumps(told, indent=1) + "\n")


def write(path: Path, rows: int) -> None:
    """A Parquet file of normal columns and a target that depends on them, sorted by it within every piece."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rng, writer = np.random.default_rng(0), None
    for start in range(0, rows, PIECE):
        X = rng.normal(size=(min(PIECE, rows - start), COLUMNS))
        y = np.tanh(X[:, 0] - X[:, 1] * X[:, 2]) + 0.1 * rng.normal(size=len(X))
        order = np.argsort(y)
        columns = {f"x{i}": X[order, i] for i in range(COLUMNS)} | {"y": y[order]}
        batch = pa.table(columns)
        writer = writer or ParquetWriter(path, batch.schema)
        writer.write_table(batch)
    if writer:
        writer.close()


def command(path: str) -> dict[str, Any]:
    """The command line with --stream: seconds in all and of an epoch, rows to train on a second, peak memory."""
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        run = Path(folder, "run")
        words = ["train", path, "--target", "y", "--stream", "--no-quantiles", "--out", str(run), "--quiet"]
        words += ["--hidden", "64,32", "--activation", "relu", "--rule", "adam", "--learning-rate", "0.001"]
        words += ["--batch-size", str(BATCH), "--epochs", str(EPOCHS), "--validation-size", "0", "--test-size", "0.01"]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "chainrule.cli", *words], check=True, stdout=subprocess.DEVNULL)
        rows = json.loads((run / "metrics.json").read_text())
        history = (run / "history.csv").read_text().splitlines()
        seconds = [float(line.rsplit(",", 1)[1]) for line in history[1:]]
        return {
            "seconds_in_all": time.perf_counter() - began,
            "seconds_of_an_epoch": seconds[-1] - seconds[-2],
            "test_r2": rows["test_scores"]["network"]["r2"],
            "peak_megabytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3,
        }


def child(way: str, path: str) -> dict[str, Any]:
    """Train on a file: seconds until the first epoch and of an epoch, rows a second, final cost, peak memory."""
    if way == "command":
        return command(path)
    from pyarrow.parquet import ParquetFile

    import chainrule as cr

    file = ParquetFile(path, pre_buffer=False)  # else it keeps all it will read
    network = cr.Network([COLUMNS, 64, 32, 1], ["relu", "relu", "identity"])
    settings: dict[str, Any] = {"rule": cr.optax_rule("adam", 1e-3), "batch_size": BATCH, "epochs": EPOCHS}
    began, ends = time.perf_counter(), []
    settings["progress"] = lambda progress: ends.append((progress.epoch, time.perf_counter()))
    batches = file.iter_batches(batch_size=50_000)
    if way == "streamed":
        fit = cr.train(network, cr.initialize(network, "he"), batches, "y", **settings)
    else:
        X, Y = (
            np.empty((file.metadata.num_rows, COLUMNS), np.float32),
            np.empty((file.metadata.num_rows, 1), np.float32),
        )
        start = 0
        for batch in batches:
            some = slice(start, start := start + batch.num_rows)
            for i in range(COLUMNS):
                X[some, i] = batch.column(i)
            Y[some, 0] = batch.column(COLUMNS)
        fit = cr.train(network, cr.initialize(network, "he"), X, Y, **settings)
    seconds = float(np.diff(fit.history.seconds)[-1])
    return {
        "seconds_before": ends[0][1] - began - float(fit.history.seconds[0]),
        "seconds_of_an_epoch": seconds,
        "rows_a_second": file.metadata.num_rows / seconds,
        "final_cost": float(fit.history.cost[-1]),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def _process(way: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", way, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

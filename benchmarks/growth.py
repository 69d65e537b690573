"""How the time of a pass over the table grows with rows, width, batch and depth, ours and the peers'.

    python benchmarks/growth.py                    all four (some minutes)
    python benchmarks/growth.py --only width       one

Each point is one public call that trains for one epoch, the best of three after one that compiles (one alone where a
pass takes more than 5 s). Writes benchmarks/results/growth.json and docs/growth.svg.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

from contestants import CONTESTANTS
from workloads import Workload, data_of

HERE = Path(__file__).parent
WHO = ("chainrule", "scikit-learn", "PyTorch eager", "JAX + optax, expert", "matrix products")
COLOURS = dict(zip(WHO, ("#0a5", "#e80", "#c33", "#57c", "#999"), strict=True))
SLOW = 5.0  # seconds of a pass, beyond which it is taken once


def _table(rows: int = 20_000, hidden: tuple[int, ...] = (64, 32), batch: int = 200) -> Workload:
    return Workload("growth", (20, *hidden, 2), "relu", "sigmoid", rows, batch, "adam", 1)


AXES: dict[str, tuple[str, dict[int, Workload]]] = {
    "rows": ("rows (20-64-32-2, batches of 200)", {n: _table(rows=n) for n in (10**3, 10**4, 10**5, 10**6, 10**7)}),
    "width": (
        "nodes in each of two hidden layers (2,048 rows, batches of 256)",
        {w: _table(2048, (w, w), 256) for w in (8, 32, 128, 512, 1024, 2048, 4096)},
    ),
    "batch": (
        "rows of a batch (20-64-32-2, 20,000 rows)",
        {b: _table(batch=b) for b in (1, 4, 16, 64, 256, 1024, 4096)},
    ),
    "depth": (
        "hidden layers of 64 (20,000 rows, batches of 200)",
        {d: _table(hidden=(64,) * d) for d in (1, 2, 4, 8, 16)},
    ),
}


def main() -> None:
    """Measure, print, write the JSON file and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(AXES), default=list(AXES))
    chosen = parser.parse_args().only
    warnings.simplefilter("ignore")
    path = HERE / "results" / "growth.json"
    told = json.loads(path.read_text()) if path.is_file() else {}
    for axis in chosen:
        told[axis] = {who: {} for who in WHO}
        for x, workload in AXES[axis][1].items():
            for who, seconds in point(workload).items():
                told[axis][who][str(x)] = seconds
            print(axis, x, {who: round(told[axis][who][str(x)], 4) for who in WHO}, flush=True)
        path.write_text(json.dumps(told, indent=1) + "\n")
    draw(told, HERE.parent / "docs" / "growth.svg")


def point(workload: Workload) -> dict[str, float]:
    """Seconds of a pass over the table, of each contestant."""
    data = data_of(workload)
    return {who: _seconds(CONTESTANTS[who](workload, data)) for who in WHO}


def _seconds(run: Any) -> float:
    taken = []
    while len(taken) < 4 and (len(taken) < 2 or taken[-1] < SLOW):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def draw(told: dict[str, Any], path: Path) -> None:
    """Four panels, both scales logarithmic."""
    from matplotlib import pyplot as plt

    plt.rcParams["svg.hashsalt"] = "growth"
    figure, panels = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for panel, (axis, (label, _)) in zip(panels.flat, AXES.items(), strict=True):
        for who, points in told.get(axis, {}).items():
            xs, style = [int(x) for x in points], "--" if who == "matrix products" else "o-"
            panel.loglog(xs, list(points.values()), style, color=COLOURS[who], label=who, markersize=4)
        panel.set(xlabel=label, ylabel="seconds of a pass over the table")
        panel.grid(alpha=0.3)
    panels.flat[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()

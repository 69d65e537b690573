"""What a fit takes beside time: memory, and how long starting takes.

    python benchmarks/footprint.py

Every number comes from a process of its own. Writes benchmarks/results/footprint.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROWS, COLUMNS, ROUNDS = 1_000_000, 50, 7

PEAK = """
import resource, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from {room} import MLPClassifier

def table(rows):
    X = np.random.default_rng(0).random((rows, {columns}), dtype=np.float32)
    return X, (X[:, 0] > 0.5).astype(np.int32)

def fit(X, y):
    MLPClassifier((64, 32), max_iter=1, random_state=0, batch_size=200).fit(X, y)

fit(*table(60_000))  # what a first fit imports and compiles
resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
fit(*table({rows}))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(peak - resident, peak)
"""

STARTS = {
    "python": [sys.executable, "-c", "pass"],
    "python, numpy": [sys.executable, "-c", "import numpy"],
    "python, numpy, chainrule": [sys.executable, "-c", "import numpy, chainrule"],
    "chainrule --help": [str(Path(sys.executable).with_name("chainrule")), "--help"],
    "chainrule train --help": [str(Path(sys.executable).with_name("chainrule")), "train", "--help"],
}


def main() -> None:
    """Measure, print, write the JSON file."""
    rooms = {"chainrule": "chainrule", "scikit-learn": "sklearn.neural_network"}
    peaks = {who: [_peak(room) for _ in range(3)] for who, room in rooms.items()}
    starts = {what: [] for what in STARTS}
    for _ in range(ROUNDS):
        for what, command in STARTS.items():
            starts[what].append(_seconds(command))
    table = ROWS * COLUMNS * 4
    print(f"peak memory of a fit of {ROWS:,} rows x {COLUMNS} ({table / 1e6:.0f} MB), the table included")
    for who, taken in peaks.items():
        above, whole = (statistics.median(x) / 1e6 for x in zip(*taken, strict=True))
        print(f"  {who:<26}{above:8.0f} MB above a process that has fitted once,{whole:8.0f} MB in all")
    for what, seconds in starts.items():
        print(f"  {what:<26}{statistics.median(seconds):8.3f} s")
    told = {"table_bytes": table, "peak_bytes": peaks, "seconds": starts}
    (HERE / "results" / "footprint.json").write_text(json.dumps(told, indent=1) + "\n")


def _peak(room: str) -> list[int]:
    """Bytes at the peak: above those of the process after its first fit, and in all."""
    code = PEAK.format(room=room, rows=ROWS, columns=COLUMNS)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""A run of a million epochs: whether it grows in memory or slows down.

    python benchmarks/endurance.py        some 3 minutes

Each run is a process of its own; it keeps its states as `chainrule train` does. The history of the long one is thinned.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time

EPOCHS = (100_000, 1_000_000)


def child(way: str, epochs: int) -> None:
    """One training; prints seconds, peak memory and epochs in its history."""
    import chainrule as cr
    from chainrule.examples.lecture import lecture_setting

    network, params, X, Y, _ = lecture_setting()
    batch_size = None if way == "whole table" else 5
    rule = cr.optax_rule("adam", 1e-4)
    with tempfile.TemporaryDirectory() as folder:
        cr.train(network, params, X, Y, rule=rule, epochs=2, batch_size=batch_size)
        began = time.perf_counter()
        fit = cr.train(network, params, X, Y, rule=rule, epochs=epochs, batch_size=batch_size, resumable=folder)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert fit.epochs == epochs
    print(json.dumps({"seconds": seconds, "peak": peak, "history": len(fit.history.cost)}))


def main() -> None:
    """Run all and print a line each."""
    for way in ("whole table", "mini-batches"):
        for epochs in EPOCHS:
            words = [sys.executable, __file__, way, str(epochs)]
            told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            print(
                f"{way:12}  {epochs:>9,} epochs  {1e6 * told['seconds'] / epochs:6.2f} us an epoch  "
                f"peak {told['peak']:,.0f} MB  {told['history']:,} epochs in the history"
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], int(sys.argv[2]))
    else:
        main()

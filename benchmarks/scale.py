"""Several processes: time of an update beside their number and the batch, the reduction's cost, many hosts on paper.

    python benchmarks/scale.py            some 8 minutes; writes results/scale.json and docs/scale.md's tables
    python benchmarks/scale.py --paper    computes the tables anew from what was measured

Processes share the cores as they do under `chainrule train --processes`; one is also measured with a core alone, which
is what the model of many hosts, in `on_paper`, takes a host to be. Its numbers are measured here but for the networks'
bandwidth and latency, which are assumed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results" / "scale.json", HERE.parent / "docs" / "scale.md"
NETWORKS = {"narrow": (20, 64, 32, 1), "wide": (1024, 2048, 2048, 100)}
BATCHES = {"narrow": (16, 256, 4096, 65_536), "wide": (16, 128, 512, 2048)}
SETUPS = {"1 process, 1 core": 1, "1 process": 1, "2 processes": 2, "4 processes": 4}
ONE_CORE, ALONE, TWO = list(SETUPS)[:3]
FLOATS = (1_000, 100_000, 1_000_000, 6_500_000)
ROUNDS = 5
SECONDS = 0.7  # that one timing takes, about
HOSTS = (1, 8, 64, 512)
LINKS = {"10 Gbit/s": (10e9 / 8, 30e-6), "100 Gbit/s": (100e9 / 8, 10e-6)}  # bytes a second, seconds a message
ON_PAPER = {"narrow": (256, 65_536), "wide": (512, 8192)}  # batches: of all hosts (strong), or of each (weak)


def main() -> None:
    """Measure, or only compute; print the tables and put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--child", nargs=4, metavar=("COORDINATOR", "PROCESSES", "PROCESS", "OUT"))
    options = parser.parse_args()
    if options.child:
        where, n, i, out = options.child
        child(where, int(n), int(i), Path(out))
        return
    if not options.paper:
        RESULTS.write_text(json.dumps({setup: measured(setup) for setup in SETUPS}, indent=1) + "\n")
    told = json.loads(RESULTS.read_text())
    page = PAGE.read_text()
    for name, lines in {"measured": measured_table(told), "paper": paper_tables(told)}.items():
        print("\n".join(lines), end="\n\n")
        marks = f"<!-- {name} -->"
        page = re.sub(f"{marks}.*?{marks}", "\n".join([marks, *lines, marks]), page, flags=re.S)
    PAGE.write_text(page)


def measured(setup: str) -> dict[str, Any]:
    """What the processes of a setup measured."""
    n = SETUPS[setup]
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{one.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "told.json")
        words = [sys.executable, __file__, "--child", where, str(n)]
        core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if setup == ONE_CORE else []
        running = [subprocess.Popen([*core, *words, str(i), str(out)], stdout=subprocess.DEVNULL) for i in range(n)]
        if max(process.wait() for process in running):
            raise SystemExit("a process failed")
        return json.loads(out.read_text())


def child(where: str, n: int, process: int, out: Path) -> None:
    """One of n processes: all updates, all reductions; the first one writes the medians, in seconds."""
    from chainrule.scaling.processes import Place, join

    join(Place(where, n, process))
    updates = {
        f"{name} {batch}": update_seconds(layers, batch, n, process)
        for name, layers in NETWORKS.items()
        for batch in BATCHES[name]
    }
    reductions = {str(k): reduction_seconds(k) for k in FLOATS}
    if process == 0:
        out.write_text(json.dumps({"update": updates, "reduction": reductions}))


def update_seconds(layers: tuple[int, ...], batch: int, n: int, process: int) -> float:
    """Of one update with `batch` rows of all processes together."""
    import chainrule as cr

    rng = np.random.default_rng(process)
    rows = batch // n
    X, Y = rng.normal(size=(rows, layers[0])), rng.normal(size=(rows, layers[-1]))
    network = cr.Network(layers, ["relu"] * (len(layers) - 2) + ["identity"])
    params = cr.initialize(network, "he", seed=0)

    def updates(count: int) -> None:
        rule = cr.gradient_descent(1e-4)
        cr.train(network, params, X, Y, rule=rule, batch_size=batch, epochs=count, order=order, together=True)

    def order(epoch: int) -> np.ndarray:
        return np.arange(batch)

    return _per_run(updates)


def reduction_seconds(floats: int) -> float:
    """Of one sum of so many float32 numbers over all processes."""
    import jax
    from jax.sharding import PartitionSpec

    from chainrule.scaling.devices import on_all
    from chainrule.scaling.processes import AXIS, mesh

    def sums(x: Any, count: Any) -> Any:
        return jax.lax.fori_loop(0, count, lambda i, x: jax.lax.psum(x, AXIS) * 0.5, x)

    same = PartitionSpec()
    program = jax.jit(jax.shard_map(sums, mesh=mesh(), in_specs=(same, same), out_specs=same))
    x = on_all(np.ones(floats, np.float32))
    return _per_run(lambda count: jax.block_until_ready(program(x, np.int32(count))))


def _per_run(run: Callable[[int], Any]) -> float:
    """Seconds of one more of what `run` does so many of: the median difference of two counts."""
    from chainrule.scaling.processes import told

    def seconds(count: int) -> float:
        began = time.perf_counter()
        run(count)
        return time.perf_counter() - began

    run(1)
    few = more = 2
    for _ in range(3):  # a call takes some time of its own: what one more takes is seen in many
        each = float(told(np.array(seconds(few + more) / (few + more)))[0])
        more = max(2, min(4000, int(SECONDS / each)))
    return statistics.median((seconds(few + more) - seconds(few)) / more for _ in range(ROUNDS))


def measured_table(told: dict[str, Any]) -> list[str]:
    """Milliseconds of an update, and of the reduction alone."""
    lines = ["| | " + " | ".join(SETUPS) + " |", "|---|" + "---|" * len(SETUPS)]
    for kind, words in (("update", "{} rows"), ("reduction", "sum of {:,} numbers")):
        for key in told[ALONE][kind]:
            name = words.format(int(key)) if kind == "reduction" else words.format(key.replace(" ", ", "))
            lines.append(
                f"| {name} | " + " | ".join(f"{_three(1000 * told[setup][kind][key])} ms" for setup in SETUPS) + " |"
            )
    return lines


def _three(number: float) -> str:
    """A number with three digits that count."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def compute_seconds(told: dict[str, Any], name: str, rows: float) -> float:
    """An update of one process with one core: between the rows measured on a line, beyond them in proportion."""
    there = np.array(BATCHES[name], float)
    seconds = np.array([told[ONE_CORE]["update"][f"{name} {b}"] for b in BATCHES[name]])
    return float(np.interp(rows, there, seconds)) * max(1.0, rows / there[-1])


def on_paper(told: dict[str, Any], name: str, hosts: int, batch: int, link: tuple[float, float]) -> float:
    """Seconds of an update of `batch` rows on so many hosts of one core each.

    Each host computes its share, with room for the unevenness of shares; then the gradients go round a ring, as
    2 (hosts - 1) messages of a part each, at the link's rate or, if slower, that at which this machine adds up.
    """
    share = batch / hosts
    room = min(batch, share + 4 * math.sqrt(share * (1 - 1 / hosts)))
    if hosts == 1:
        return compute_seconds(told, name, batch)
    layers = NETWORKS[name]
    size = 4 * sum((m + 1) * k for m, k in pairwise(layers))
    rate, latency = link
    most, least = max(FLOATS), min(FLOATS)
    here = told[TWO]["reduction"]
    own_rate = 4 * (most - least) / (here[str(most)] - here[str(least)])
    own_latency = here[str(least)] / 2  # two messages
    messages = 2 * (hosts - 1)
    sent = 2 * size * (1 - 1 / hosts) / min(rate, own_rate)
    return compute_seconds(told, name, room) + messages * (latency + own_latency) + sent


def paper_tables(told: dict[str, Any]) -> list[str]:
    """Speed beside one host: strong and weak scaling of both networks, over both links."""
    lines = ["| | link | " + " | ".join(f"{n} host{'s' if n > 1 else ''}" for n in HOSTS) + " |"]
    lines += ["|---|---|" + "---|" * len(HOSTS)]
    for name, batches in ON_PAPER.items():
        for batch in batches:
            for way in ("strong", "weak"):
                for link, numbers in LINKS.items():
                    cells = []
                    for n in HOSTS:
                        rows = batch * n if way == "weak" else batch
                        seconds = on_paper(told, name, n, rows, numbers)
                        gain = on_paper(told, name, 1, rows, numbers) / seconds
                        cells.append(f"{_three(1000 * seconds)} ms, {_three(gain)} x")
                    of = "each" if way == "weak" else "in all"
                    lines.append(f"| {name}, {way}: {batch:,} rows {of} | {link} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()

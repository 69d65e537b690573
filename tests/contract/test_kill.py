"""kill -9 at random moments, while a state is written too: what goes on ends with the bits of what was never killed.

CHAINRULE_KILLS=200 makes the long form of it.
"""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

KILLS = int(os.environ.get("CHAINRULE_KILLS", "6"))

# A process that has imported everything and started nothing: its children begin to train at once.
NURSERY = """
import os, signal, sys
import numpy as np
import optax, safetensors.numpy
import pyarrow as pa
import chainrule as cr
from chainrule import driver

def train(way, folder):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    rows = X[:200], X[:200, :1] ** 2
    if way == "streamed":
        columns = [*rows[0].T, rows[1][:, 0]]
        rows = pa.RecordBatch.from_arrays([pa.array(x) for x in columns], names=list("abcdy")), "y"
        rows = [rows[0][:70], rows[0][70:]], "y"
    network = cr.Network([4, 8, 1], ["tanh", "identity"])
    fit = cr.train(
        network, cr.initialize(network, seed=0), *rows, rule=cr.optax_rule("adam", 1e-3),
        batch_size=20, epochs=80, dropout=0.1, average=0.9, validation=(X[200:], X[200:, :1] ** 2),
        stop=[cr.NoImprovement(1000)], resumable=cr.Resumable(folder, every=1),
    )
    columns = [getattr(fit.history, name) for name in fit.history._fields if name != "seconds"]
    arrays = [x for layer in fit.params for x in layer] + columns
    np.save(folder + ".part.npy", np.concatenate([np.ravel(x).astype(np.float64) for x in arrays]))
    os.rename(folder + ".part.npy", folder + ".npy")

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        train(*line.split())
        os._exit(0)
    print(pid, flush=True)
"""


@pytest.fixture(scope="module")
def born():
    """A function that starts a training in a folder and gives its process number."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", NURSERY], **pipes) as nursery:
        assert nursery.stdout.readline() == "ready\n"

        def train(way, folder):
            print(way, folder, file=nursery.stdin, flush=True)
            return int(nursery.stdout.readline())

        yield train
        nursery.stdin.close()


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pid, seconds):
    """Whether the process ends by itself within so many seconds."""
    until = time.monotonic() + seconds
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.002)
    return not is_there(pid)


@pytest.mark.parametrize("way", ["kept", "streamed"])
def test_kill_9_at_random_moments(born, tmp_path, way):
    began = time.monotonic()
    assert ended(born(way, tmp_path / "whole"), 60)
    took = time.monotonic() - began
    whole = np.load(tmp_path / "whole.npy")
    moments, killed, runs = random.Random(0), 0, 0
    while killed < KILLS / 2:
        folder = tmp_path / f"run-{runs}"
        runs += 1
        longest = took
        while not ended(pid := born(way, folder), moments.uniform(0, longest)):
            os.kill(pid, 9)
            assert ended(pid, 10)
            killed += 1
            longest *= 1.1  # so that it comes to an end when the machine is busier than at first
        np.testing.assert_array_equal(np.load(f"{folder}.npy"), whole)
    print(f"{way}: {killed} kills in {runs} runs of {took:.1f} s")

"""A process that was forked after JAX had started says so, where it would wait for ever."""

import subprocess
import sys

import pytest

CODE = """
import os, sys, warnings
import numpy as np
import chainrule as cr

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(40, 2))

def train():
    network = cr.Network([2, 1], "identity")
    cr.train(network, cr.initialize(network), X, X[:, :1], rule=cr.gradient_descent(0.1), epochs=2)

def fit():
    cr.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, solver=sys.argv[2]).fit(X, X[:, 0])

def stream():
    import pyarrow as pa
    network = cr.Network([1, 1], "identity")
    rows = pa.table({"a": X[:, 0], "y": X[:, 1]}).to_batches()
    cr.train(network, cr.initialize(network), rows, ["y"], rule=cr.gradient_descent(0.1), epochs=2, batch_size=8)

before, after = sys.argv[1] == "before", {"train": train, "stream": stream}.get(sys.argv[2], fit)
if before:
    train()
pid = os.fork()
if not pid:
    try:
        after()
    except ValueError as error:
        print(str(error), flush=True)
        os._exit(3)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def forked(when, what):
    done = subprocess.run([sys.executable, "-c", CODE, when, what], capture_output=True, text=True, timeout=60)
    return done.stdout, done.stderr


@pytest.mark.parametrize("what", ["train", "stream", "adam", "lbfgs"])
def test_after_a_training_it_is_refused(what):
    out, err = forked("before", what)
    assert "this process was forked after JAX had started its threads" in out, err
    assert 'get_context("spawn")' in out
    assert out.splitlines()[-1] == "3"


def test_before_any_training_it_works():
    out, err = forked("not", "train")
    assert out == "0\n", err

"""However many processes or devices train together, the result is that of one, to rounding."""

import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.scaling import agreement, devices
from chainrule.training.batches import Table
from chainrule.training.memory import Rows
from chainrule.training.settings import TrainingSettings
from chainrule.training.state import Span, at_beginning
from tests.contract.together import CASES, fitted, numbers

SCRIPT = Path(__file__).parent / "together.py"
LONG = pytest.mark.skipif("CHAINRULE_LONG" not in os.environ, reason="long; CHAINRULE_LONG=1 runs it")
ALL = tuple(CASES)
SOME = ("rmse", "weighted", "early stopping")
FEW = ("rmse", "early stopping")
MORE = ("rmse of whole tables", "sums", "with replacement", "dropout and averages", "float64", "classes")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run_all(folder, processes, devices, cases):
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    words = [sys.executable, str(SCRIPT), f"127.0.0.1:{free_port()}", str(processes)]
    out = folder / f"{processes}-{devices}.npz"
    running = [
        subprocess.Popen([*words, str(i), str(out), *cases], env=environment, stderr=subprocess.PIPE, text=True)
        for i in range(processes)
    ]
    told = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * processes, told
    return dict(np.load(out))


@cache
def alone(case):
    return numbers(fitted(case, lambda rows: rows, False))


@pytest.mark.parametrize(
    ("processes", "devices", "cases"),
    [(1, 3, MORE), (2, 1, SOME), (4, 1, FEW), *(pytest.param(*x, ALL, marks=LONG) for x in ((1, 3), (2, 1), (2, 2)))],
)
def test_the_same_as_alone(tmp_path, processes, devices, cases):
    found = run_all(tmp_path, processes, devices, cases)
    assert list(found) == list(cases)
    for case in cases:
        np.testing.assert_allclose(found[case], alone(case), rtol=1e-5, atol=1e-6, err_msg=case)


@LONG
def test_the_cases_are_different():
    seen = {tuple(alone(case).round(9).tolist()) for case in CASES}
    assert len(seen) == len(CASES)


def test_one_reduction_a_step(monkeypatch):
    """The program has one all-reduce in the update, one for the rows of epochs and table, and one to validate."""
    import jax

    network = cr.Network([5, 12, 1], ["tanh", "identity"])
    rng = np.random.default_rng(0)
    table = Table(*(x.astype("float32") for x in (rng.normal(size=(8, 5)), np.ones((8, 1)), np.ones(8))))
    rule = cr.optax_rule("adam", 1e-3)
    params = cr.initialize(network, seed=0, dtype="float32")
    settings = TrainingSettings(network, rule, batch_size=4)
    executor = devices.OverDevices(settings, params, Rows(*table, tuple(table)))
    seen, program = [], devices.batch_program

    def spied(*shape):
        return lambda *arguments: seen.append(jax.make_jaxpr(program(*shape))(*arguments)) or (None, None, None)

    monkeypatch.setattr(devices, "batch_program", spied)
    executor.run(at_beginning(executor.first()), Span(1), settings)
    assert str(seen[0]).count("psum") == 4


def test_rows_have_the_same_digest_in_whatever_hands(monkeypatch):
    rng = np.random.default_rng(0)
    table = Table(rng.normal(size=(11, 3)), rng.normal(size=(11, 1)), np.ones(11))
    cut = [Table(*(x[some] for x in table)) for some in (slice(4), slice(4, None))]
    parts = agreement.digest_sum(cut[0], 0), agreement.digest_sum(cut[1], 4)
    whole = agreement.digest_sum(table, 0)
    assert sum(parts) % 2**64 == whole
    swapped = Table(*(x[[1, 0, *range(2, 11)]] for x in table))
    assert agreement.digest_sum(swapped, 0) != whole
    table.X[3, 1] = np.nextafter(table.X[3, 1], 9)
    assert agreement.digest_sum(table, 0) != whole


def test_rows_that_are_streamed_are_refused():
    network = cr.Network([2, 1])
    with pytest.raises(ValueError, match="together: not supported for streaming"):
        cr.train(network, cr.initialize(network), [], ["y"], rule=cr.gradient_descent(0.1), batch_size=2, together=True)

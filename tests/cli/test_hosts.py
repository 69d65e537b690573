"""Several hosts, each with its own copy of the data, joined by real sockets: over fast, slow and broken links."""

import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.conftest import PENGUINS
from tests.contract.hosts import Slow, cut, hosts, mend

PORT = 47_011
TRAIN = [sys.executable, "-m", "chainrule.cli", "train", PENGUINS.name, "--target", "species", "--hidden", "4"]
SETTINGS = ["--dropout", "0", "--batch-size", "32", "--patience", "999", "--save-every", "1", "-q", "-o", "run"]


def host_folder(tmp_path, i):
    folder = tmp_path / f"host-{i}"
    folder.mkdir()
    shutil.copy(PENGUINS, folder)
    return folder


@pytest.fixture
def network_of():
    """`hosts`, or a skipped test where they cannot be made."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(*words):
            try:
                return stack.enter_context(hosts(*words))
            except (PermissionError, FileNotFoundError) as error:
                pytest.skip(f"hosts cannot be made here: {error}")

        yield make


def start(host, i, n, coordinator, folder, programs, epochs):
    place = ["--coordinator", f"{coordinator.address}:{PORT}", "--num-processes", str(n), "--process-id", str(i)]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(programs), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    words = host.exec([*TRAIN, *SETTINGS, *place, "--epochs", str(epochs)])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=folder, env={**os.environ, **cache}, **pipes)


def run_on(made, tmp_path, programs, epochs, meanwhile=None):
    folders = [host_folder(tmp_path, i) for i in range(len(made))]
    running = [
        start(host, i, len(made), made[0], folder, programs, epochs)
        for i, (host, folder) in enumerate(zip(made, folders, strict=True))
    ]
    try:
        if meanwhile:
            meanwhile(running[0], folders[0] / "run")
        told = [process.communicate(timeout=200) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * len(made), told
    assert not any((folder / "run").exists() for folder in folders[1:])
    return folders[0] / "run", told


def alone(tmp_path, epochs):
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(PENGUINS, folder)
    words = [*TRAIN, *SETTINGS, "--processes", "1", "--epochs", str(epochs)]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder / "run"


def costs(run):
    table = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
    return np.stack([table["cost"], table["validation_cost"]])


@pytest.fixture
def programs(tmp_path_factory):
    return tmp_path_factory.getbasetemp().parent / "programs"


def test_two_hosts_and_a_cut_link(network_of, tmp_path, programs):
    first, other = network_of(2)
    (tmp_path / "whole").mkdir()
    whole, _ = run_on([first, other], tmp_path / "whole", programs, 90)
    np.testing.assert_allclose(costs(whole), costs(alone(tmp_path, 90)), rtol=1e-4)

    def cut_for_a_while(process, run):
        until = time.monotonic() + 120
        while not any(int(p.stem.removeprefix("epoch-")) >= 3 for p in run.glob("resume/epoch-*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.005)
        cut(other)
        time.sleep(20)
        mend(other)

    (tmp_path / "cut").mkdir()
    run, told = run_on([first, other], tmp_path / "cut", programs, 90, cut_for_a_while)
    assert "restarting all processes from the last checkpoint" in told[0][1] + told[1][1]
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_three_hosts_and_a_slow_link(network_of, tmp_path, programs):
    made = network_of(3, Slow(delay=0.01, rate=10e6 / 8))
    (tmp_path / "slow").mkdir()
    run, _ = run_on(made, tmp_path / "slow", programs, 5)
    np.testing.assert_allclose(costs(run), costs(alone(tmp_path, 5)), rtol=1e-4)
    assert there_and_back(made[0], made[2]) > 0.02 > there_and_back(made[0], made[1])


def there_and_back(host, other):
    """Seconds until a connection is refused."""
    code = (
        "import contextlib, socket, time\n"
        "began = time.perf_counter()\n"
        f"with contextlib.suppress(ConnectionRefusedError): socket.create_connection(({other.address!r}, 9))\n"
        "print(time.perf_counter() - began)"
    )
    words = host.exec([sys.executable, "-S", "-c", code])
    return min(float(subprocess.run(words, capture_output=True, check=True).stdout) for _ in range(9))


def test_processes_of_one_host_listen_to_no_other(network_of, tmp_path, programs):
    (host,) = network_of(1)
    words = host.exec([*TRAIN, *SETTINGS, "--processes", "2", "--epochs", "100000", "--patience", "100000"])
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(programs)}
    running = subprocess.Popen(words, cwd=host_folder(tmp_path, 0), env=environment, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while len(found := listening(host)) < 3:  # the coordinator, and Gloo in each process
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < until, found
            time.sleep(0.05)
    finally:
        running.terminate()
        running.communicate()
    assert set(found) == {"127.0.0.1"}


def listening(host):
    """The addresses at which some process of the host waits for others."""
    tables = subprocess.run(host.exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"]), capture_output=True, text=True)
    rows = [line.split() for line in tables.stdout.splitlines()]
    ends = [row[1].partition(":")[0] for row in rows if row[3] == "0A"]
    words = [[end[i : i + 8] for i in range(0, len(end), 8)] for end in ends]  # IPv4 is the last of IPv6's
    assert all(len(word) == 1 or word[:3] == ["00000000", "00000000", "FFFF0000"] for word in words), ends
    return [socket.inet_ntoa(bytes.fromhex(word[-1])[::-1]) for word in words]

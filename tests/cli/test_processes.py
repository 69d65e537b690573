"""Several processes: the same run, and the same again when one of them is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from chainrule.scaling import supervisor
from tests.cli.conftest import PENGUINS
from tests.contract.test_processes import LONG, free_port

COMMAND = [sys.executable, "-m", "chainrule.cli", "train"]
SETTINGS = [PENGUINS, "--target", "species", "--hidden", "4", "--dropout", "0", "--epochs", "90", "--patience", "99"]
RUN = [*map(str, SETTINGS), "--batch-size", "32", "--save-every", "1", "-q", "-o", "run"]


@pytest.fixture(scope="module", autouse=True)
def kept_programs(tmp_path_factory):
    """One cache for all the runs, which are of one design."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "CACHE", str(tmp_path_factory.getbasetemp().parent / "programs"))
        yield


CACHE = ""


def start(*words, cwd, **more):
    cache = {"JAX_COMPILATION_CACHE_DIR": CACHE, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    environment = {**os.environ, **cache, **more}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *words], cwd=cwd, env=environment, **pipes)


def trained(*words, cwd, code=0):
    with start(*words, cwd=cwd) as process:
        out, err = process.communicate()
    assert process.returncode == code, err
    return out, err


def history(run):
    return np.genfromtxt(run / "history.csv", delimiter=",", names=True)


def model(run):
    return (run / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("two")
    trained(*RUN, "--processes", "2", cwd=folder)
    return folder / "run"


def test_one_process_does_the_same(two, tmp_path):
    trained(*RUN, "--processes", "1", cwd=tmp_path)
    for name in ("epoch", "cost", "validation_cost", "validation_metric"):
        np.testing.assert_allclose(history(tmp_path / "run")[name], history(two)[name], rtol=1e-4, err_msg=name)
    scores = [json.loads((run / "metrics.json").read_text())["test_scores"] for run in (two, tmp_path / "run")]
    assert scores[0]["network"].keys() == scores[1]["network"].keys()
    assert scores[0]["network"]["accuracy"] == scores[1]["network"]["accuracy"]


def process_of(supervisor, number):
    """The pid of one of the processes that a supervisor has started, when it has."""
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        told = [x for x in Path(f"/proc/{child}/environ").read_text().split("\0") if x.startswith("CHAINRULE_PROCESS=")]
        if told and json.loads(told[0].partition("=")[2])[0][2] == number:
            return int(child)
    raise AssertionError(f"process {number} is not there")


def wait_for_a_state(process, folder, epoch=3):
    until = time.monotonic() + 120
    while latest_state(folder) < epoch:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def latest_state(folder):
    return max((int(p.stem.removeprefix("epoch-")) for p in folder.glob("run/resume/epoch-*")), default=0)


def test_lost_processes_change_nothing(two, tmp_path):
    with start(*RUN, "--processes", "2", "--max-restarts", "1", cwd=tmp_path) as process:
        for number in (0, 1):
            wait_for_a_state(process, tmp_path, latest_state(tmp_path) + 3)
            os.kill(process_of(process.pid, number), signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == 75
    anew, no_more, how = err.splitlines()
    assert anew == "chainrule: process 0 was ended by SIGKILL; restarting all processes from the last checkpoint (1/1)"
    assert no_more == "chainrule: process 1 was ended by SIGKILL; maximum number of restarts (1) reached"
    assert how == "chainrule: resume with: chainrule train --resume run"
    trained("--resume", "run", cwd=tmp_path)
    assert model(tmp_path / "run") == model(two)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(p.name for p in two.iterdir())


@LONG  # tests/unit/test_supervising.py has the short form
def test_a_process_that_stands_still_changes_nothing(two, tmp_path):
    with start(*RUN, "--processes", "2", cwd=tmp_path) as process:
        wait_for_a_state(process, tmp_path)
        os.kill(process_of(process.pid, 1), signal.SIGSTOP)
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert err == "chainrule: process 1 was suspended; restarting all processes from the last checkpoint (1/3)\n"
    assert model(tmp_path / "run") == model(two)


@LONG
def test_sigterm_then_more_processes(two, tmp_path):
    with start(*RUN, "--processes", "2", cwd=tmp_path) as process:
        wait_for_a_state(process, tmp_path)
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 143
    assert "resume with: chainrule train --resume run" in err
    trained("--resume", "run", "--processes", "3", cwd=tmp_path)
    np.testing.assert_allclose(history(tmp_path / "run")["cost"], history(two)["cost"], rtol=1e-4)


def by_hand():
    return ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id"]


def test_by_hand_at_a_coordinator_and_resumed(two, tmp_path):
    """Process 1 is in a folder of its own, as on another host: it never sees the run."""
    place, elsewhere = by_hand(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    with start(*RUN, *place, "1", cwd=elsewhere) as other, start(*RUN, *place, "0", cwd=tmp_path) as first:
        wait_for_a_state(first, tmp_path)
        first.terminate()
        told = first.communicate()[1], other.communicate()[1]
    assert (first.returncode, other.returncode) == (143, 143), told
    assert told[1] == "chainrule: terminated\n"
    place = by_hand()
    again = ["--resume", "run", "-q", *place, "0"]
    with start(*RUN, *place, "1", cwd=elsewhere) as other, start(*again, cwd=tmp_path) as first:
        told = first.communicate(), other.communicate()
    assert (first.returncode, other.returncode) == (0, 0), told
    assert told == (("run\n", ""), ("", ""))
    assert model(tmp_path / "run") == model(two)
    assert not list(elsewhere.iterdir())


def test_interrupted_before_training_it_ends(tmp_path):
    with start(*RUN, "--epochs", "100000", "--patience", "99999", "--processes", "2", cwd=tmp_path) as process:
        time.sleep(2)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode in (143, -signal.SIGTERM), err
    assert "restarting" not in err


def test_another_table_elsewhere(tmp_path):
    place, elsewhere = by_hand(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    rows = Path(PENGUINS).read_text()
    (tmp_path / "penguins.csv").write_text(rows)
    (elsewhere / "penguins.csv").write_text(rows.replace("181", "182"))
    words = ["penguins.csv", *RUN[1:]]
    with start(*words, *place, "1", cwd=elsewhere) as other, start(*words, *place, "0", cwd=tmp_path) as first:
        told = first.communicate()[1], other.communicate()[1]
    assert (first.returncode, other.returncode) == (1, 1)
    assert (
        told
        == ("chainrule: process 1 has different files from process 0; they must be the same in all processes\n",) * 2
    )
    assert not (tmp_path / "run").exists()


def test_a_run_of_several_hosts_goes_on_in_one_process(two, tmp_path):
    place = by_hand()
    with start(*RUN, *place, "1", cwd=tmp_path) as other, start(*RUN, *place, "0", cwd=tmp_path) as first:
        wait_for_a_state(first, tmp_path)
        first.terminate()
        told = first.communicate()[1], other.communicate()[1]
    assert "resume with: chainrule train --resume run" in told[0]
    trained("--resume", "run", cwd=tmp_path)
    np.testing.assert_allclose(history(tmp_path / "run")["cost"], history(two)["cost"], rtol=1e-4)


def test_that_the_data_have_changed_is_passed_on_and_not_recorded(two, chainrule, tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "resume").mkdir(parents=True)
    (run / "request.json").write_bytes((two / "request.json").read_bytes())
    seen = []
    monkeypatch.setattr(supervisor, "supervise", lambda command, *_: seen.append(command[3:]) or 0)
    chainrule("train", PENGUINS, "--resume", str(run), "--changed-data")
    assert seen == [["train", str(PENGUINS), "--resume", str(run), "--changed-data"]]
    assert (run / "request.json").read_bytes() == (two / "request.json").read_bytes()


SLURM = {"SLURM_JOB_ID": "77", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1"}


def test_under_slurm(two, tmp_path):
    of = [{**SLURM, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in range(2)]
    with start(*RUN, cwd=tmp_path, **of[0]) as first, start(*RUN, cwd=tmp_path, **of[1]) as other:
        told = first.communicate(), other.communicate()
    assert (first.returncode, other.returncode) == (0, 0), told
    assert model(tmp_path / "run") == model(two)


def test_what_one_refuses_all_refuse(tmp_path):
    _, err = trained("nowhere.csv", "--target", "y", "--processes", "2", "-o", "run", cwd=tmp_path, code=1)
    assert err == "chainrule: nowhere.csv: no such file\n"
    assert not (tmp_path / "run").exists()


def test_other_settings_elsewhere(tmp_path):
    place = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id"]
    with (
        start(*RUN, *place, "1", "--learning-rate", "0.5", cwd=tmp_path) as other,
        start(*RUN, *place, "0", cwd=tmp_path) as first,
    ):
        told = first.communicate()[1], other.communicate()[1]
    assert first.returncode == other.returncode == 1
    assert all(x.startswith("chainrule: process 1 has another network, other initial parameters") for x in told)
    assert "Traceback" not in "".join(told)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--processes", "0"], "--processes: expected 1 or more, got 0"),
        (["--processes", "2", "--max-restarts", "-1"], "--max-restarts: expected 0 or more, got -1"),
        (
            ["--processes", "2", "--process-id", "1"],
            "it cannot be combined with --coordinator, --num-processes or --process-id",
        ),
        (["--coordinator", "a:1"], "--coordinator, --num-processes and --process-id must be given together"),
        (["--coordinator", "a", "--num-processes", "2", "--process-id", "1"], "expected HOST:PORT"),
        (["--coordinator", "a:1", "--num-processes", "2", "--process-id", "2"], "--process-id: expected 0 to 1"),
        (["--coordinator", "a:99999", "--num-processes", "2", "--process-id", "1"], "expected HOST:PORT"),
        (["--coordinator", "a:1", "--num-processes", "0", "--process-id", "0"], "--num-processes: expected 1 or more"),
        (["--processes", "2", "--dry-run"], "--dry-run cannot be combined with --processes"),
        (["--processes", "2", "--stream"], "--stream cannot be used with several processes"),
        (["--processes", "2", "--keep-every", "5"], "--keep-every cannot be used with several processes"),
    ],
)
def test_wrong_use(chainrule, words, why):
    result = chainrule("train", PENGUINS, "--target", "species", *words)
    assert result.code == 2
    assert why in result.err

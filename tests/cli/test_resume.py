"""A run that is cut off at any moment goes on, and ends as if nothing had happened."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from chainrule.storage.files import written_aside
from tests.cli.conftest import PENGUINS

COMMAND = [sys.executable, "-m", "chainrule.cli", "train"]
SETTINGS = ["--target", "species", "--hidden", "4", "--epochs", "60", "--patience", "60", "--save-every", "1", "-q"]


def start(*words, cwd):
    return subprocess.Popen([*COMMAND, *map(str, words)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    done = subprocess.run([*COMMAND, PENGUINS, *SETTINGS, "-o", "run"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def assert_same_run(run, other):
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    without_seconds = [
        [line.rsplit(",", 1)[0] for line in (r / "history.csv").read_text().splitlines()] for r in (run, other)
    ]
    assert without_seconds[0] == without_seconds[1]
    names = [sorted(p.name for p in r.rglob("*")) for r in (run, other)]
    assert names[0] == names[1]
    for path in run.glob("checkpoints/*"):
        assert path.read_bytes() == (other / "checkpoints" / path.name).read_bytes()


def killed_at_random(run, words, moments, cwd):
    """Start, wait until there is a state, and some more; kill. Whether there was anything left to kill."""
    process = start(*words, cwd=cwd)
    while process.poll() is None and not any(run.glob("resume/epoch-*")):
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 1.2))
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


KILLS = 4  # tests/contract/test_kill.py has many


def test_kill_9_at_random_moments(whole, tmp_path):
    moments, killed, began = random.Random(0), 0, 0
    while killed < KILLS:
        run = tmp_path / f"run-{began}"
        words, began = [PENGUINS, *SETTINGS, "-o", run.name], began + 1
        for _ in range(4):
            if killed_at_random(run, words, moments, tmp_path):
                killed += 1
            if (run / "metrics.json").exists():
                break
            assert any(run.glob("resume/epoch-*"))
            words = ["--resume", run.name]
        done = subprocess.run([*COMMAND, "--resume", run.name], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert_same_run(run, whole)
        assert json.loads((run / "request.json").read_text())["command"][1:3] == ["train", str(PENGUINS)]
        shutil.rmtree(run)


def test_what_a_killed_process_had_begun_to_write_goes(chainrule, cut_off, whole, tmp_path):
    cut = tmp_path / cut_off()
    for folder in (cut, cut / "checkpoints", cut / "resume"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pathlib.Path.unlink", lambda *a, **k: None)
            with contextlib.suppress(RuntimeError), written_aside(folder / "plan.json") as aside:
                raise RuntimeError("killed")
        assert aside.exists()
    assert chainrule("train", "--resume", "cut").code == 0
    assert_same_run(cut, whole)
    (cut / "resume").mkdir()  # as if killed between the metrics and the last tidying
    (cut / "lock").touch()
    assert chainrule("train", "--resume", "cut").code == 0
    assert_same_run(cut, whole)


def test_sigterm_then_resume(whole, tmp_path):
    process = start(PENGUINS, *SETTINGS, "-o", "run", cwd=tmp_path)
    while not any((tmp_path / "run").glob("resume/epoch-*")):
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate()
    if process.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert process.returncode == 143
    assert "terminated after epoch" in err.decode()
    assert "resume with: chainrule train --resume run" in err.decode()
    done = subprocess.run([*COMMAND, "--resume", "run"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "run", whole)


@contextlib.contextmanager
def at_epoch_5(happen):
    """Have something happen in this process when the state after the fifth epoch is kept."""
    from chainrule.training.checkpoints import Safe

    real = Safe.keep

    def keep(safe, state, rows):
        real(safe, state, rows)
        if int(state.epoch) == 5:
            happen()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Safe, "keep", keep)
        yield


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def cut_off(chainrule):
    """A run in which the epochs from the sixth on never came."""

    def cut(path=PENGUINS):
        with at_epoch_5(interrupt):
            result = chainrule("train", path, *SETTINGS, "-o", "cut")
        assert result.code == 130
        assert result.err == "chainrule: interrupted; resume with: chainrule train --resume cut\n"
        return "cut"

    return cut


def test_a_cut_off_run_says_how_to_go_on_and_does(chainrule, cut_off, whole, tmp_path):
    result = chainrule("predict", cut_off(), PENGUINS)
    assert result.code == 1
    assert "its training was interrupted; resume with: chainrule train --resume cut" in result.err
    result = chainrule("train", "--resume", "cut")
    assert result.code == 0, result.err
    assert_same_run(tmp_path / "cut", whole)
    result = chainrule("train", "--resume", "cut")
    assert result.code == 0
    assert result.out == "cut is already finished: 60 epochs, stopped by epochs\n"
    assert json.loads(chainrule("train", "--resume", "cut", "--json").out)["epochs"] == 60
    result = chainrule("train", "--resume", "cut", "--epochs", "90")
    assert result.code == 2
    assert "cut is already finished" in result.err


def test_a_run_that_is_trained_by_another_process_is_refused(chainrule, cut_off, tmp_path):
    from chainrule.storage.files import locked

    cut_off()
    with locked(tmp_path / "cut"):
        result = chainrule("train", "--resume", "cut")
    assert result.code == 1
    assert "another process is training there" in result.err


def test_the_way_it_began_is_the_way_it_goes_on(chainrule, cut_off, whole, tmp_path, monkeypatch):
    """Though by now memory would be short."""
    from chainrule.tables import streamed

    cut_off()
    monkeypatch.setattr(streamed, "SHARE_OF_MEMORY", 1e-9)
    result = chainrule("train", "--resume", "cut")
    assert result.code == 0, result.err
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("request_", ['{"request": {"data": 3}}', "[]", "{}", "{", '{"request": {"sql": ["x"]}}'])
def test_a_request_that_makes_no_sense(chainrule, tmp_path, request_):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "request.json").write_text(request_)
    result = chainrule("train", "--resume", "e")
    assert result.code == 1
    assert "request.json: not a document of this version of Chainrule" in result.err


def test_a_run_of_an_earlier_version_cannot_go_on(chainrule, tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "command.json").write_text('{"command": ["chainrule", "train", "--resume", "e"], "folder": "."}')
    result = chainrule("train", "--resume", "e")
    assert result.code == 1
    assert "written by Chainrule 0.1" in result.err


def test_from_another_folder(chainrule, cut_off, whole, tmp_path, monkeypatch):
    cut_off()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = chainrule("train", "--resume", "../cut")
    assert result.code == 0, result.err
    assert_same_run(tmp_path / "cut", whole)


def test_more_epochs(chainrule, cut_off):
    result = chainrule("train", "--resume", cut_off(), "--epochs", "70", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["epochs"] == 70


ADVICE = "train another run with other settings"
OTHER_SETTINGS = {
    "--learning-rate 0.5": "--learning-rate: the run began with none given",
    "--seed 5": "--seed: the run began with 0",
    "--hidden 9": "--hidden: the run began with 4",
    "--balanced": "--balanced: the run began with False",
    "--drop sex": "--drop: the run began with none given",
    "--dtype float64": "--dtype: the run began with float32",
}


def test_other_settings_are_refused_and_the_run_stays_as_it_is(chainrule, cut_off, whole, tmp_path):
    recorded = (tmp_path / cut_off() / "request.json").read_bytes()
    for flags, why in OTHER_SETTINGS.items():
        result = chainrule("train", "--resume", "cut", *flags.split())
        assert (result.code, result.err) == (2, f"chainrule: {why}, and goes on with what it began with; {ADVICE}\n")
    assert (tmp_path / "cut" / "request.json").read_bytes() == recorded
    result = chainrule("train", "--resume", "cut", "--target", "species", "--seed", "0")  # as it began
    assert result.code == 0, result.err
    assert_same_run(tmp_path / "cut", whole)


def test_changed_data_are_refused_unless_told(chainrule, cut_off, table, tmp_path):
    lines = PENGUINS.read_text().splitlines(keepends=True)
    path = table("".join(lines), "mine.csv")
    cut_off(path)
    path.write_text("".join([lines[0], lines[1].replace("39.1", "40.1"), *lines[2:]]))
    result = chainrule("train", "--resume", "cut")
    assert result.code == 1
    assert f"{path}: has changed since the run was trained on it" in result.err
    assert "chainrule train FILES --resume cut --changed-data" in result.err
    result = chainrule("train", path, "--resume", "cut")
    assert result.code == 1
    assert "checkpoint of a training on other data" in result.err
    assert "--changed-data" in result.err
    result = chainrule("train", path, "--resume", "cut", "--changed-data")
    assert result.code == 0, result.err
    assert len((tmp_path / "cut" / "history.csv").read_text().splitlines()) == 61


def test_a_damaged_state_is_passed_over(chainrule, cut_off, whole, tmp_path):
    newest = sorted((tmp_path / cut_off() / "resume").glob("epoch-*"))[-1]
    newest.write_bytes(newest.read_bytes()[:-7])
    result = chainrule("train", "--resume", "cut")
    assert result.code == 0
    assert f"{newest.name}: not a complete safetensors file" in result.err
    assert "resuming from the checkpoint before it" in result.err
    assert_same_run(tmp_path / "cut", whole)


def test_a_full_disk_loses_nothing(chainrule, small_disk, whole):
    def fill():
        with open(small_disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    with at_epoch_5(fill):
        result = chainrule("train", PENGUINS, *SETTINGS, "-o", small_disk / "run")
    assert result.code == 1
    assert "No space left on device; the last checkpoint is still that of epoch 5" in result.err
    assert "once that is fixed, resume with: chainrule train --resume" in result.err
    (small_disk / "filler").unlink()
    result = chainrule("train", "--resume", small_disk / "run")
    assert result.code == 0, result.err
    assert_same_run(small_disk / "run", whole)


def test_nothing_to_resume(chainrule, tmp_path):
    result = chainrule("train", "--resume", "nowhere")
    assert result.code == 1
    assert "nowhere" in result.err
    (tmp_path / "empty").mkdir()
    assert chainrule("train", "--resume", "empty").code == 1


def test_a_wrong_setting_leaves_no_folder(chainrule, tmp_path):
    result = chainrule("train", PENGUINS, "--target", "body_mass_g", "--balanced", "-o", "run")
    assert result.code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("every", ["0", "-3", "x", "0s", "s"])
def test_how_often_is_checked(chainrule, every):
    result = chainrule("train", PENGUINS, "--target", "species", "--save-every", every)
    assert result.code == 2
    assert "--save-every: expected epochs or seconds above 0" in result.err

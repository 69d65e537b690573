"""A power cut at any moment of a training: what was reported as done is there, and what was not can go on."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.power import Event, chances, disks

ROOT = Path(__file__).parents[2]
WORDS = ["--target", "species", "--hidden", "3", "--epochs", "9", "--patience", "9", "--save-every", "3"]
WAYS = {"kept": [], "streamed": ["--stream", "-o", "runs/a/run"]}
RUNS = {"kept": "runs/penguins-1/", "streamed": "runs/a/run/"}  # the first is the name that a run gets by itself
WHOLE = ("request.json", "plan.json", "model.safetensors", "history.csv", "report.html", "metrics.json")


@pytest.fixture(scope="module", params=WAYS)
def training(request, tmp_path_factory):
    """A folder with a finished training below its `root`, and all that the command did there."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "root").mkdir()
    shutil.copy(ROOT / "examples" / "penguins.csv", folder / "penguins.csv")
    words = ["train", "../penguins.csv", *WORDS, *WAYS[request.param]]
    command = [sys.executable, ROOT / "tests/contract/power.py", folder / "journal", folder / "root", *words]
    done = subprocess.run(command, cwd=folder / "root", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, RUNS[request.param], [Event(*event) for event in pickle.loads((folder / "journal").read_bytes())]


def write(found, folder):
    for path, data in found:
        if data is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(data)


def is_begun(names):
    """What a killed command may leave that did not begin its run."""
    return all(name == "lock" or name.startswith(".request.json.") for name in names)


def test_every_file_is_whole_or_not_there(training):
    """Under its own name; and what was reported as done is there as it was reported."""
    folder, run, events = training
    final = {str(p.relative_to(folder / "root")): p.read_bytes() for p in (folder / "root").rglob("*") if p.is_file()}
    cuts = after_the_word = 0
    for i, (disk, said) in enumerate(disks(events)):
        for survives in chances(i):
            found = dict(disk.after_power_cut(survives))
            cuts += 1
            for name in (name for name in WHOLE if run + name in found):
                assert found[run + name] == final[run + name], name
            states = {path: data for path, data in found.items() if "epoch-" in path and not path.endswith(".aside")}
            assert all(states.values())
            if run + "metrics.json" in found or "run folder: " in said:
                assert {path: found.get(path) for path in final} == final
            after_the_word += "run folder: " in said
    assert cuts > 150
    assert after_the_word


def test_the_simulation_finds_a_folder_that_was_not_flushed(training):
    """Without the flushes of folders, files that were reported as written are gone."""
    *_, events = training
    *_, (disk, said) = disks([event for event in events if event.what != "flush"])
    assert "run folder: " in said
    assert not dict(disk.after_power_cut(lambda: False))


def test_what_is_left_goes_on_or_begins_anew(training, tmp_path, monkeypatch, chainrule):
    folder, name, events = training
    final = (folder / "root" / name / "model.safetensors").read_bytes()
    shutil.copy(folder / "penguins.csv", tmp_path / "penguins.csv")
    distinct = {}
    for i, (disk, _) in enumerate(disks(events)):
        for survives in chances(i):
            found = tuple(disk.after_power_cut(survives))
            distinct.setdefault(tuple(path for path, _ in found), found)
    tried = list(distinct.values())[:: max(1, len(distinct) // 8)]
    streamed = ["--stream"] if any("/rows/" in event.path for event in events) else []
    for i, found in enumerate(tried):
        place = tmp_path / f"disk-{i}"
        place.mkdir()
        write(found, place)
        run = place / name
        begins = not run.exists() or is_begun(os.listdir(run))
        words = [folder / "penguins.csv", *WORDS, *streamed, "-o", run] if begins else ["--resume", run]
        told = chainrule("train", *words)
        assert told.code == 0, (sorted(p for p, _ in found), told.err)
        assert (run / "model.safetensors").read_bytes() == final
    assert len(tried) > 5

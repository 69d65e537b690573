"""Files are whole or not there; what they replace keeps its rights; folders are emptied of nothing foreign."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from chainrule.errors import InputError
from chainrule.storage.files import (
    check_own,
    locked,
    make_folder,
    remove_left_aside,
    remove_own,
    write_text,
    written_aside,
)
from tests.cli.conftest import PENGUINS


def write(path, text="new"):
    write_text(path, lambda file: file.write(text))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_aside(path) as aside:
        aside.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_mode_that_any_new_file_has(tmp_path):
    (tmp_path / "other").touch()
    write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_is_replaced_keeps_its_mode_and_owner(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    before = path.stat()
    write(path)
    after = path.stat()
    assert path.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "a.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["a.txt"]


def test_a_read_only_file_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(InputError, match="is read-only"):
        write(path)
    assert path.read_text() == "old"


def test_a_pipe_is_written_to(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write(path)
    reader.join(10)
    assert read == ["new"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(InputError, match="already exists and is not a regular file"):
        write(tmp_path)


KILLED = """
import sys, time
from chainrule.storage.files import written_aside
with written_aside(sys.argv[1]) as aside:
    aside.write_text("half")
    print(aside, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_at_the_next_write_and_what_one_is_writing_stays(tmp_path):
    path = tmp_path / "a.txt"
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True) as killed:
        left = killed.stdout.readline().strip()
        write(path)
        assert os.path.exists(left)  # it is being written
        remove_left_aside(tmp_path)
        assert os.path.exists(left)
        killed.kill()
        killed.wait()
    assert os.path.exists(left)
    write(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


SLOW = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it may be ignored where the tests run
from chainrule import cli
from chainrule.tables import predict

def slowly(*args, real=predict._answers):
    for table in real(*args):
        print("writing", flush=True)
        time.sleep(60)
        yield table

predict._answers = slowly
sys.argv = ["chainrule", "predict", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_nothing_aside(tmp_path, penguins_run, ends):
    command = [sys.executable, "-c", SLOW, penguins_run, PENGUINS, "-o", tmp_path / "out.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(ends)
        process.communicate(timeout=60)
    assert process.returncode == 128 + ends
    assert not list(tmp_path.iterdir())


def test_folders_are_made_and_one_process_holds_one(tmp_path):
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    with locked(folder), pytest.raises(InputError, match="another process is training there"), locked(folder):
        pass
    with locked(folder):
        pass


def test_only_our_own_files_are_removed(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "rows-0000.bin").touch()
    remove_own(mine, ["rows-*.bin"])
    assert not mine.exists()
    mine.symlink_to(theirs)
    remove_own(mine, ["rows-*.bin"])
    assert (theirs / "rows-0000.bin").exists()
    (theirs / "notes.txt").touch()
    (theirs / "rows-0001.bin").symlink_to(tmp_path)
    remove_own(theirs, ["rows-*.bin"])
    assert sorted(p.name for p in theirs.iterdir()) == ["notes.txt", "rows-0001.bin"]


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/etc/passwd"), lambda p: os.mkfifo(p)])
def test_links_and_pipes_in_a_run_folder_are_refused(tmp_path, make):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "plan.json").touch()
    check_own(tmp_path / "run")
    make(tmp_path / "run" / "checkpoints" / "x")
    with pytest.raises(InputError, match=r"checkpoints/x: is (a link|neither)"):
        check_own(tmp_path / "run")

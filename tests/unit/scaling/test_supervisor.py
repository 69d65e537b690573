"""Processes are watched: what is lost starts anew, what was answered is passed on."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from chainrule.scaling import supervisor
from chainrule.scaling.processes import Place
from chainrule.scaling.supervisor import LOST_OTHERS, supervise

CHILD = """
import json, os, pathlib, signal, sys, time
told = json.loads(os.environ["CHAINRULE_PROCESS"])
place, run, goes_on = told[0], pathlib.Path(told[1]), told[2]
me = place[2]
with open(run / f"starts-{me}", "a") as file:
    file.write(f"{int(goes_on)}")
starts = len((run / f"starts-{me}").read_text())
def meet():
    os.write(1, b"\\nchainrule: met\\n")
"""


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(supervisor, "PAUSE", 0.0)
    monkeypatch.setattr(supervisor, "GRACE", 1.0)
    monkeypatch.setattr(supervisor, "LOST_AFTER", 0.5)


def supervised(folder, body, processes=2, max_restarts=2, goes_on=False):
    said = []
    places = [Place("127.0.0.1:1", processes, i) for i in range(processes)]
    command = [sys.executable, "-c", CHILD + textwrap.dedent(body)]
    code = supervise(command, lambda: places, str(folder), goes_on, max_restarts, said.append)
    return code, said, [(folder / f"starts-{i}").read_text() for i in range(processes)]


def test_all_end_well(tmp_path):
    assert supervised(tmp_path, "") == (0, [], ["0", "0"])


def test_a_killed_process_starts_all_anew(tmp_path):
    code, said, starts = supervised(
        tmp_path,
        """
        if starts == 1 and me == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2 if starts > 1 else 60)
        """,
    )
    assert code == 0
    assert said == ["process 1 was ended by SIGKILL; restarting all processes from the last checkpoint (1/2)"]
    assert starts == ["01", "01"]


def test_a_process_that_stands_still_is_lost(tmp_path):
    code, said, starts = supervised(
        tmp_path,
        """
        if starts == 1 and me == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
        """,
    )
    assert code == 0
    assert said == ["process 0 was suspended; restarting all processes from the last checkpoint (1/2)"]
    assert starts == ["01", "01"]


def test_who_stood_still_is_blamed_and_not_who_lost_him(tmp_path):
    _, said, _ = supervised(
        tmp_path,
        """
        if starts == 1:
            meet()
            os.kill(os.getpid(), signal.SIGSTOP if me else signal.SIGABRT)
        """,
    )
    assert "process 1 was suspended" in said[0]


def test_not_more_often_than_told(tmp_path, capfd):
    code, said, starts = supervised(
        tmp_path, f"meet(); print('what went wrong', file=sys.stderr); sys.exit({LOST_OTHERS})"
    )
    assert code == LOST_OTHERS
    assert said[-1] == "process 0 lost its connection to the others; maximum number of restarts (2) reached"
    assert starts == ["011", "011"]
    assert capfd.readouterr().err == "what went wrong\n"


def test_who_never_met_the_others_is_not_started_anew(tmp_path, capfd):
    code, (said,), starts = supervised(tmp_path, "os.write(2, b'a stack trace'); os.abort()")
    assert (code, starts) == (1, ["0", "0"])
    assert said.startswith(
        "process 0 did not connect to the others within 60 seconds: check that all of them were started"
    )
    assert capfd.readouterr().err == ""


def test_who_never_meets_them_again_is(tmp_path):
    code, said, starts = supervised(tmp_path, "meet() if starts == 1 else None\nos.abort()")
    assert (code, starts) == (LOST_OTHERS, ["011", "011"])
    assert (
        said[0]
        == "process 0 lost its connection to the others; restarting all processes from the last checkpoint (1/2)"
    )


def test_one_that_does_not_end_when_it_lost_the_others(tmp_path):
    _, said, starts = supervised(
        tmp_path,
        f"""
        meet()
        if starts == 1:
            sys.exit({LOST_OTHERS}) if me else time.sleep(60)
        """,
    )
    assert said == [
        "process 1 lost its connection to the others; restarting all processes from the last checkpoint (1/2)"
    ]
    assert starts == ["01", "01"]


def test_what_happens_when_all_is_written_does_not_matter(tmp_path):
    code, said, starts = supervised(tmp_path, "meet()\nif me:\n    time.sleep(0.3)\n    os.kill(os.getpid(), 9)")
    assert (code, said, starts) == (0, [], ["0", "0"])


@pytest.mark.parametrize("status", [1, 2, 130, 143])
def test_an_answer_is_passed_on(tmp_path, status):
    code, said, starts = supervised(
        tmp_path, f"sys.exit({status}) if me == 0 else os.kill(os.getpid(), signal.SIGABRT)"
    )
    assert (code, said, starts) == (status, [], ["0", "0"])


def test_the_others_are_ended(tmp_path):
    began = time.monotonic()
    code, _, _ = supervised(
        tmp_path, "(run / str(me)).write_text(str(os.getpid())); sys.exit(1) if me else time.sleep(60)"
    )
    assert code == 1
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "0").read_text()), 0)


def test_the_first_may_end_after_the_others(tmp_path):
    code, said, _ = supervised(tmp_path, "time.sleep(2 if me == 0 else 0)")
    assert (code, said) == (0, [])


def test_only_the_first_speaks(tmp_path, capfd):
    supervised(
        tmp_path,
        """
        from chainrule.scaling.supervisor import told_by_supervisor
        os.write(1, b"a library's noise")
        told_by_supervisor()
        print(f"process {me}")
        print(f"process {me}, too", file=sys.stderr)
        """,
    )
    out, err = capfd.readouterr()
    assert (out, err) == ("process 0\n", "process 0, too\n")


OUTER = """
import sys
from chainrule.scaling.processes import Place
from chainrule.scaling.supervisor import supervise
places = [Place("127.0.0.1:1", 2, i) for i in range(2)]
sys.exit(supervise([sys.executable, "-c", sys.argv[2]], lambda: places, sys.argv[1], False, 1, print))
"""


def outer(folder, body):
    words = [sys.executable, "-u", "-c", OUTER, str(folder), CHILD + textwrap.dedent(body)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def wait_for(path):
    until = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until, f"{path} was never written"
        time.sleep(0.01)
    return path.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_first_process(tmp_path, number):
    body = f"""
        if me:
            sys.exit(0)
        signal.signal({int(number)}, lambda *_: sys.exit(99))
        (run / "ready").write_text("1")
        time.sleep(60)
    """
    with outer(tmp_path, body) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(number)
        assert process.wait(30) == 99


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_starts_anew_when_somebody_interrupted_it(tmp_path, number):
    body = f"""
        signal.signal({int(number)}, signal.SIG_DFL)
        (run / "ready").write_text("1")
        time.sleep(60)
    """
    with outer(tmp_path, body) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert "restarting" not in process.stdout.read()


def test_interrupted_between_two_starts(tmp_path):
    with outer(tmp_path, "os.kill(os.getpid(), 9)") as process:
        assert "restarting" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 143
    assert (tmp_path / "starts-0").read_text() == "0"


def test_processes_end_with_their_supervisor(tmp_path):
    body = """
        from chainrule.scaling.supervisor import told_by_supervisor
        told_by_supervisor()
        (run / f"pid-{me}").write_text(str(os.getpid()))
        time.sleep(60)
    """
    with outer(tmp_path, body) as process:
        pids = [int(wait_for(tmp_path / f"pid-{i}")) for i in range(2)]
        process.kill()
        process.wait()
        until = time.monotonic() + 30
        while any(os.path.exists(f"/proc/{pid}/fd/0") for pid in pids):
            assert time.monotonic() < until
            time.sleep(0.05)

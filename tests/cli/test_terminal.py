"""What is printed cannot steer a terminal, wherever it comes from."""

import pytest

from chainrule.cli.common import Filtered
from chainrule.errors import in_one_line

HARM = "\x1b[2J\x9b31m\r\x07\u2028\u202e\x85"


def harmless(text):
    return not set(text) & set("\x1b\x9b\r\x07\u2028\u202e\x85")


@pytest.fixture
def rows(tmp_path):
    """A table whose class labels and column names mean harm."""
    labels = [f"a{HARM}a", f"b{HARM}b"]
    lines = [f'"x{HARM}x",z,y'.replace("\r", ""), *(f'{i % 7},{i % 3},"{labels[i % 2]}"' for i in range(60))]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    return path


def test_of_labels_and_names(chainrule, rows):
    for words in (
        ["train", rows, "-t", "y", "--epochs", "2", "--hidden", "3", "-o", "run"],
        ["train", rows, "-t", "y", "--dry-run"],
        ["evaluate", "run", rows],
        ["explain", "run"],
        ["export", "run", "m.onnx"],
    ):
        told = chainrule(*words)
        assert told.code == 0, told.err
        assert harmless(told.out + told.err), words
        assert "\ufffd" in told.out


def test_of_values_that_are_printed_on_a_terminal_and_of_no_others(chainrule, rows, monkeypatch):
    from chainrule.cli.common import Filtered

    assert chainrule("train", rows, "-t", "y", "--epochs", "2", "--hidden", "3", "-o", "run").code == 0
    piped = chainrule("predict", "run", rows)
    assert "\x9b" in piped.out  # data are data
    monkeypatch.setattr(Filtered, "isatty", lambda _: True, raising=False)
    shown = chainrule("predict", "run", rows)
    assert harmless(shown.out)
    assert shown.out.count("\ufffd") > 100


@pytest.mark.parametrize(
    "words",
    [
        ["train", f"no{HARM}such.csv", "-t", "y"],
        ["train", "t.csv", "-t", f"no{HARM}such"],
        ["predict", f"no{HARM}run", "t.csv"],
        ["explain", f"no{HARM}run"],
        ["train", "t.csv", "-t", "y", "--task", f"no{HARM}task"],
        [f"no{HARM}command"],
        ["train", f"--no{HARM}flag"],
        ["count", f"4{HARM}"],
        ["examples", f"no{HARM}example"],
    ],
)
def test_of_errors(chainrule, rows, words):
    told = chainrule(*words)
    assert told.code in (1, 2)
    assert told.err
    assert harmless(told.out + told.err)


def test_a_name_stays_in_its_line(chainrule, table):
    rows = "\n".join(f'{i % 7},"a\nchainrule: all is well {i % 2}"' for i in range(60))
    told = chainrule("train", table(f"x,y\n{rows}\n"), "-t", "y", "--epochs", "2", "--hidden", "3", "-o", "run")
    assert told.code == 0
    assert not any(line.startswith("chainrule: all is well") for line in told.out.splitlines())


def test_what_cannot_be_encoded_is_written_as_an_escape(tmp_path):
    with open(tmp_path / "out.txt", "w", encoding="ascii") as file:
        print("caf\u00e9 \udcff", file=Filtered(file))
    assert (tmp_path / "out.txt").read_text() == "caf\\xe9 \\udcff\n"


def test_one_line():
    assert in_one_line("a\tb\nc\x0cd") == "a\tb\ufffdc\ufffdd"

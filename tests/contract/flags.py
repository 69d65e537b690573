"""Command lines made by chance, run in this process: each ends in an answer or in a message, soon, and in good order.

    python tests/contract/flags.py SECONDS [SEED]

tries as many as there is time for, and prints how many of what, and what is wrong with which.
"""

from __future__ import annotations

import io
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CODES = (0, 1, 2, 130, 143)
LONGEST = 30  # seconds
NOT_UTF8 = os.fsdecode(b"\xff")
CONTROLS = re.compile("[\x00-\x08\x0b\x0d-\x1f\x7f-\x9f]")
NUMBERS = [
    "0", "1", "-1", "-0", "2", "7", "0.5", "1e-320", "1e300", "-1e300", "1e39", "1e400", "inf", "-inf", "nan", "",
    " ", "x", "0x10", "1_000", "1,5", "\u0661\u0662", "\u00b2", "2147483647", "2147483648", "9223372036854775807",
    "9223372036854775808", "99999999999999999999", "9" * 5000, "-99999999999999999999",
]  # fmt: skip
TEXTS = [
    "", " ", "x", "\x1b[2J", "a\rb", "a\nb", "\x9b31m", "\u202e", NOT_UTF8, "\U0001f4a5", "x" * 300, "x" * 5000,
    "-", "--", ",", ":", "a,b", "a:b", "huber:", "huber:nan", "huber:1e400", "step:0:0", "../x", "%s", "{}", "*",
    "[", "'", '"',
]  # fmt: skip
PATHS = [
    ".", "..", "/", "/dev/null", "/dev/full", "/proc/self/mem", "/proc/x/y", "/tmp/no/such", "nowhere.csv", "a" * 300,
    "run", "run/", "a/b/c", "new.onnx", "new.csv", "new.parquet", "new.jsonl", "new.tsv", "new.html", "*.csv", "~",
    f"{NOT_UTF8}.csv", f"{NOT_UTF8}.onnx", f"{NOT_UTF8}.html", "a\nb.csv", "\x1b[2J.csv", "\x1b[2J.onnx", "[.csv",
]  # fmt: skip
# what of each parameter may well be right; files are those of `Ground`
GOOD: dict[str, Sequence[str]] = {
    "activation": ["relu", "tanh", "sigmoid", "softmax", "relu,sigmoid", "leaky-relu", "exponential", "identity"],
    "average": ["0", "0.9", "0.998"],
    "batch": ["1", "2"],
    "batch_size": ["8", "1", "8", "64", "1000", "all"],
    "cost": ["rmse", "huber:1.5", "pinball:0.9", "poisson", "squared_error", "absolute-error", "binary_cross_entropy"],
    "cost_goal": ["0.1", "0"],
    "database": ["shop.duckdb", "table.csv", "postgres://127.0.0.1:9/shop", "https://a@127.0.0.1:9/shop.duckdb"],
    "digits": ["1", "4", "17"],
    "drop": ["x", "z"],
    "dropout": ["0", "0.2", "0.99"],
    "dtype": ["float32", "float64"],
    "epoch": ["1", "2", "3"],
    "epochs": ["1", "2", "5"],
    "hidden": ["0", "1", "4,3", "8-8"],
    "initial": ["uniform", "gaussian", "he", "zeros", "first.json", "hostile.json"],
    "keep_every": ["1", "2"],
    "l2": ["0", "0.01", "3"],
    "layer": ["0", "1", "2"],
    "layers": ["4", "5", "3", "1", "40"],
    "learning_rate": ["0.01", "0.5", "3"],
    "max_restarts": ["0", "1"],
    "max_seconds": ["1", "0.01"],
    "min_gradient": ["0.001", "0"],
    "name": ["lecture", "mazur", "first.json", "hostile.json", "example.json"],
    "node": ["H1", "O1", "ON"],
    "num_processes": ["2"],
    "output": ["yes", "no", "y"],
    "out": ["run", "new.csv", "-", "new.onnx", "new.parquet", "runs/a"],
    "patience": ["1", "3"],
    "process_id": ["0"],
    "processes": ["1", "2"],
    "reduction": ["mean", "sum"],
    "row": ["1", "2", "5", "60"],
    "rule": ["gradient_descent", "momentum", "nesterov", "adam", "rmsprop", "adamw", "lion", "sgd", "lbfgs"],
    "save_every": ["1", "10", "0.1s"],
    "schedule": ["step:0.5:1", "exponential:0.9:2", "inverse_time:0.01", "cosine"],
    "seed": ["0", "1", "7"],
    "sql": ["SELECT * FROM 'table.csv'", "SELECT 1 AS x, 2 AS y", "SELECT", "DROP TABLE x", "SELECT 1; SELECT 2"],
    "target": ["y", "y", "y", "n", "x", "nothing"],
    "task": ["binary", "multiclass", "regression"],
    "test_size": ["0", "0.2", "0.9"],
    "validation_size": ["0", "0.2", "0.9"],
    "what": ["4", "5", "3", "run", "table.csv"],
}  # fmt: skip
TABLES = ("data", "test_file", "predict")
RUNS = ("run", "resume")
OUT = {"train": ["-o", "run"], "predict": ["-o", "new.csv"], "export": ["new.onnx"]}
SELDOM = (
    "coordinator",
    "num_processes",
    "process_id",
    "processes",
    "resume",
    "sql",
    "database",
    "dry_run",
    "test_file",
    "html",
)
QUICK = ("--epochs", "2", "--hidden", "3", "--max-seconds", "3")
DIGITS = "0123456789"
Choose = Callable[[Sequence[Any]], Any]


class TooLong(BaseException):
    """What is raised when a command goes on for longer than `LONGEST`; nothing that a command catches."""


class Ground(NamedTuple):
    """A folder with tables, a finished run and one that was cut off, beside an empty one to be in."""

    folder: Path
    tables: tuple[str, ...]
    runs: tuple[str, ...]


class Ended(NamedTuple):
    """How a command ended: its code, or the error that nobody caught; what it said; and for how long it ran."""

    code: int | None
    error: BaseException | None
    out: str
    err: str
    seconds: float


def prepared(folder: Path) -> Ground:
    """Tables, good and bad, and runs of the good one."""
    from unittest.mock import patch

    from chainrule.errors import InputError

    words = ("red", "blue", "green")
    rows = [f"{i},{i * i % 13},{words[i % 3]},{'no' if i % 2 else 'yes'},{i * 7 % 11}.5" for i in range(60)]
    (folder / "table.csv").write_text("\n".join(["x,z,color,y,n", *rows, ""]))
    (folder / "short.csv").write_text("x,z,color,y,n\n1,2,red,no,0.5\n")
    (folder / "other.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "empty.csv").write_text("")
    (folder / "bad.csv").write_bytes(b"x,z,color,y,n\n\x1b[2J,inf,\xff,a\0b\n")
    (folder / f"{NOT_UTF8}.csv").write_text("x,y\n1,2\n")
    (folder / "first.json").write_text('{"W1": [[1]], "b1": [1]}')
    (folder / "hostile.json").write_text('{"W1": [[1e999, "\\u001b"], 7], "b1": {}, "name": "\\u001b[2J"}')
    (folder / "example.json").write_text(
        '{"name": "a\\u001b[2J", "layers": [1, 1], "activations": "tanh", "cost": "squared_error", "learning_rate": 1,'
        '"initial": {"W1": [[1]], "b1": [0]}, "x": [[1]], "y": [[2]]}'
    )
    os.chdir(folder)
    assert run(["train", "table.csv", "-t", "y", "-o", "finished", *QUICK]).code == 0
    with patch("chainrule.session.stages.finish_run", side_effect=InputError("a full disk")):
        assert run(["train", "table.csv", "-t", "y", "-o", "cut", *QUICK]).code == 1
    tables = ("table.csv", "short.csv", "other.csv", "empty.csv", "bad.csv", f"{NOT_UTF8}.csv")
    return Ground(folder, tables, ("finished", "cut", "finished/model.safetensors"))


def commands() -> dict[str, Any]:
    """Each command with its parameters, as the command line has them."""
    import typer

    from chainrule.cli import app

    return dict(typer.main.get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]


def made_up(ground: Ground, rng: random.Random) -> list[str]:
    """A command line: mostly the arguments that the command needs, some of its flags, a few values that mean harm."""
    known = commands()
    name = rng.choice([*known, *(["train"] * 5), *(["explain"] * 3)])
    words = [name, *(QUICK if name == "train" else ())]
    if rng.random() < 0.02:
        words[0] = rng.choice(TEXTS)
    harm = rng.choice([0.0, 0.15, 0.5])
    for parameter in known[name].params:
        if parameter.name == "out" and rng.random() > harm:
            words += OUT[name]
        elif parameter.name not in SELDOM or rng.random() < 0.2:
            words += _words_of(parameter, ground, rng, harm)
    if rng.random() < 0.05:
        words.insert(rng.randrange(len(words) + 1), rng.choice([*TEXTS, "--help", "-h", "--no-such", "-o"]))
    return words


def _words_of(parameter: Any, ground: Ground, rng: random.Random, harm: float) -> list[str]:
    """What a command line says of one parameter; often nothing."""
    if parameter.param_type_name == "argument":
        n = rng.choice([1, 1, 1, 0, 2, 3]) if parameter.nargs == -1 else 1
        n = rng.choice([2, 3, 4]) if parameter.name in ("layers", "what") and rng.random() < 0.8 else n
        n = n if rng.random() < 0.95 else 0
        return [_value(parameter.name, ground, rng, harm) for _ in range(n)]
    needed = parameter.name in ("target", "out") and rng.random() < 0.9
    if not needed and rng.random() > 0.12:
        return []
    flag = rng.choice([*parameter.opts, *parameter.secondary_opts])
    if getattr(parameter, "is_flag", False):
        return [flag]
    value = _value(parameter.name, ground, rng, harm)
    return [f"{flag}={value}"] if flag.startswith("--") and rng.random() < 0.5 else [flag, value]


def _value(name: str, ground: Ground, rng: random.Random, harm: float) -> str:
    if rng.random() < harm:
        return rng.choice(
            NUMBERS if rng.random() < 0.7 and GOOD.get(name, "x")[0][0] in DIGITS else rng.choice([TEXTS, PATHS])
        )
    if name in TABLES:
        return str(ground.folder / (rng.choice(ground.tables) if rng.random() < harm else ground.tables[0]))
    if name in RUNS or (name == "what" and rng.random() < 0.3):
        return str(ground.folder / rng.choice(ground.runs))
    if name == "html":
        return "new.html"
    value = rng.choice(GOOD.get(name, TEXTS))
    return str(ground.folder / value) if value.endswith((".json", "table.csv")) else value


def run(words: Sequence[str]) -> Ended:
    """Run a command line in this process; what it would do with other processes is left out."""
    from unittest.mock import patch

    from chainrule import cli

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(2))
    began, code, error = time.monotonic(), None, None
    with (
        patch.object(sys, "argv", ["chainrule", *words]),
        patch.object(sys, "stdin", io.StringIO()),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        patch("chainrule.scaling.supervisor.supervise", lambda *_: 0),
        _in_time(),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException as unexpected:
            error = unexpected
    told = (stream.buffer.getvalue().decode("utf-8", "backslashreplace") for stream in (out, err))  # pyright: ignore
    return Ended(code, error, *told, time.monotonic() - began)


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise `TooLong` in whatever goes on for twice as long as it may."""

    def end(number: int, frame: Any) -> None:
        raise TooLong

    usual = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 2 * LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def wrong_with(words: Sequence[str], ended: Ended, left: Sequence[str]) -> str:
    """What is wrong with how a command ended, and with what it left behind; "" for nothing."""
    if ended.error is not None:
        return f"{type(ended.error).__name__}: {str(ended.error)[:100]!r} at {_where(ended.error)}"
    is_table = words[0] == "predict" and ended.code == 0  # which may hold anything
    shown = ended.err if is_table else ended.out + ended.err
    said = " ".join(ended.err.split())
    checks = {
        f"the exit code {ended.code}": ended.code not in CODES,
        "no message": ended.code in (1, 2) and not ended.err.strip() and words[0] != "check",
        "a traceback": "Traceback" in shown,
        "a control character": CONTROLS.search(shown) is not None,
        f"{LONGEST} s": ended.seconds > LONGEST,
        "a warning of Python's": "Warning: " in ended.err,
        "left behind": bool(ended.code and left and not re.search("they are in|resume with", said)),
    }
    return ", ".join(what for what, is_so in checks.items() if is_so)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = ([f for f in frames if "/chainrule/" in f.filename] or frames)[-1]
    return f"{Path(ours.filename).name}:{ours.lineno}"


def try_one(ground: Ground, words: Sequence[str]) -> tuple[Ended, str]:
    """Run a command line in an empty folder: how it ended, and what is wrong with that."""
    here = ground.folder / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    os.chdir(here)
    spare = {name: ground.folder / f"{name} spare" for name in ("finished", "cut")}
    for name, kept in spare.items():
        if not kept.exists():
            shutil.copytree(ground.folder / name, kept)
    ended = run(words)
    os.chdir(ground.folder)
    for name, kept in spare.items():  # whatever was done to it
        shutil.rmtree(ground.folder / name)
        shutil.copytree(kept, ground.folder / name)
    return ended, wrong_with(words, ended, os.listdir(here))


def how(ended: Ended) -> str:
    return f"exit code {ended.code}" if ended.error is None else "uncaught"


def main(seconds: float, seed: int) -> None:
    """Try command lines for so long."""
    folder = Path(tempfile.mkdtemp(prefix="chainrule-flags-"))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "jax")
    warnings.simplefilter("default")
    ground, rng = prepared(folder), random.Random(seed)
    told, slowest, began = Counter(), 0.0, time.monotonic()
    while time.monotonic() - began < seconds:
        words = made_up(ground, rng)
        (folder / "last").write_text(shlex.join(words), errors="backslashreplace")  # should it take the process down
        ended, wrong = try_one(ground, words)
        told[words[0] if words[0] in commands() else "another", how(ended)] += 1
        slowest = max(slowest, ended.seconds)
        if wrong:
            told["DEFECT", wrong] += 1
            if told["DEFECT", wrong] == 1:
                print(f"{wrong}: {shlex.join(w[:400] for w in words)!a}", flush=True)
    print(f"{sum(n for (what, _), n in told.items() if what != 'DEFECT'):,} command lines, slowest {slowest:.1f} s")
    for (what, ending), count in sorted(told.items()):
        print(f"{count:>8,} {what}: {ending}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)

"""Run folders as a stranger might send them, and every command tried on each of them.

    python tests/contract/stranger.py make PLACE
    python tests/contract/stranger.py try PLACE

The first makes PLACE/good, a finished run; PLACE/cut, one that was cut off; PLACE/outside, which nobody has named; and
PLACE/sent/NAME, the hostile folders. The second tries the commands on each and prints a line of JSON for each command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainrule.storage.tensors import read_tensors, write_tensors

ROOT = Path(__file__).parents[2]
WORDS = ["--target", "species", "--hidden", "3", "--epochs", "6", "--patience", "6", "--save-every", "1", "-q"]
SECRET = "the secret of somebody else"
Change = Callable[[Path, Path], None]  # of a run folder, with the folder outside


def make(place: Path) -> None:
    """The good runs, what lies outside, and the hostile folders."""
    from chainrule.training.checkpoints import Safe

    os.chdir(place)
    shutil.copy(ROOT / "examples" / "penguins.csv", "penguins.csv")
    assert called("train", "penguins.csv", *WORDS, "-o", "good")[0] == 0
    real = Safe.keep

    def keep(safe: Safe, state: Any, rows: Any) -> None:
        real(safe, state, rows)
        if int(state.epoch) == 2:
            raise KeyboardInterrupt

    Safe.keep = keep  # pyright: ignore[reportAttributeAccessIssue]
    try:
        assert called("train", "penguins.csv", *WORDS, "-o", "cut")[0] == 130
    finally:
        Safe.keep = real  # pyright: ignore[reportAttributeAccessIssue]
    outside = place / "outside"
    for folder in ("train", "validation", "resume", "checkpoints"):
        (outside / folder).mkdir(parents=True)
        for name in ("rows-0000.bin", "epoch-0000000001.safetensors", "notes.txt"):
            (outside / folder / name).write_text(SECRET)
    size = (place / "penguins.csv").stat().st_size
    (outside / "secret.csv").write_text(f"species,{SECRET}\n".ljust(size, "x"))
    (outside / "secret.json").write_text(json.dumps({"W1": [[1.0]], "b1": [SECRET]}))
    for name, (base, change) in FOLDERS.items():
        run = place / "sent" / name
        shutil.copytree(place / base, run)
        change(run, outside)


def changed(name: str, *way: Any, to: Any) -> Change:
    """A field of a JSON document replaced; OUTSIDE in a text is the folder outside."""

    def change(run: Path, outside: Path) -> None:
        document = json.loads((run / name).read_text())
        inner = document
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = json.loads(json.dumps(to).replace("OUTSIDE", str(outside)))
        (run / name).write_text(json.dumps(document))

    return change


def linked(name: str, to: str) -> Change:
    """A file or folder of the run replaced by a link."""

    def change(run: Path, outside: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(outside / to)

    return change


def piped(name: str) -> Change:
    def change(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return change


def in_model(*way: Any, to: Any) -> Change:
    """A field of the model's document replaced, and the file signed anew."""

    def change(run: Path, outside: Path) -> None:
        document, tensors = read_tensors(run / "model.safetensors")
        inner = document
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = json.loads(json.dumps(to).replace("OUTSIDE", str(outside)))
        write_tensors(run / "model.safetensors", document, tensors, document.pop("format"))

    return change


def query(sql: str, base: str = "cut") -> tuple[str, Change]:
    def change(run: Path, outside: Path) -> None:
        for field, value in (("sql", sql), ("data", []), ("stream", True)):
            changed("request.json", "request", field, to=value)(run, outside)
        changed("request.json", "files", to=[])(run, outside)

    return base, change


def database(target: str, base: str = "cut", files: Any = ()) -> tuple[str, Change]:
    """A query of a database."""

    def change(run: Path, outside: Path) -> None:
        query("SELECT * FROM penguins")[1](run, outside)
        changed("request.json", "request", "database", to=target)(run, outside)
        changed("request.json", "files", to=list(files))(run, outside)

    return base, change


def at_a_url(run: Path, outside: Path) -> None:
    changed("request.json", "request", "data", to=["http://127.0.0.1:9/x.csv"])(run, outside)
    changed("request.json", "files", to=[])(run, outside)


def in_rows(run: Path, outside: Path) -> None:
    """A run of a query that has kept its rows, so that the query need not run again."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    query(COPY)[1](run, outside)
    changed("request.json", "streamed", to=True)(run, outside)
    (run / "rows").mkdir()
    write_table(pa.table({"species": ["a", "b"] * 40, "x": range(80)}), run / "rows" / "query.parquet")


def file(path: str, digest: str = "0" * 32, size: int | None = None) -> dict[str, Any]:
    size = (ROOT / "examples" / "penguins.csv").stat().st_size if size is None else size
    return {"path": path, "bytes": size, "digest": digest}


COPY = "SELECT 1); COPY (SELECT 'x') TO 'OUTSIDE/written.csv'; SELECT * FROM (SELECT 1"
FOLDERS: dict[str, tuple[str, Change]] = {
    "nothing changed": ("good", lambda run, outside: None),
    "nothing changed in a run that was cut off": ("cut", lambda run, outside: None),
    "a query that closes its bracket": query(COPY),
    "the same in a finished run": query(COPY, "good"),
    "a query that closes its bracket, with rows kept": ("cut", in_rows),
    "a query that copies": query("COPY (SELECT 1) TO 'OUTSIDE/written.csv'"),
    "a query that copies in its WITH": query(
        "WITH c AS MATERIALIZED (COPY (SELECT 1) TO 'OUTSIDE/written.csv') SELECT * FROM c", "good"
    ),
    "a query that reads a secret": query("SELECT * FROM read_text('OUTSIDE/secret.csv')", "good"),
    "a query that reads a secret, to go on with": query("SELECT * FROM read_text('OUTSIDE/secret.csv')"),
    "a query that attaches": query("ATTACH 'OUTSIDE/new.db'; SELECT 1"),
    "a query that installs": query("INSTALL httpfs; LOAD httpfs; SELECT 1"),
    "a query from the network": query("SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')", "good"),
    "a database outside": database("OUTSIDE/secret.csv", "good"),
    "a database outside, with its digest": database("OUTSIDE/secret.csv", files=[file("OUTSIDE/secret.csv")]),
    "a database in the network": database("postgresql://127.0.0.1:9/shop", "good"),
    "a database in the network, to go on with": database("http://127.0.0.1:9/shop.duckdb"),
    "a database without a query": ("cut", changed("request.json", "request", "database", to="OUTSIDE/secret.csv")),
    "a table at a URL": ("cut", at_a_url),
    "a file outside": ("good", changed("request.json", "files", to=[file("OUTSIDE/secret.csv")])),
    "a file outside, to go on with": ("cut", changed("request.json", "files", to=[file("OUTSIDE/secret.csv")])),
    "a file above": ("good", changed("request.json", "files", to=[file("../../outside/secret.csv")])),
    "a glob outside": ("cut", changed("request.json", "files", to=[file("OUTSIDE/*.csv")])),
    "a device": ("good", changed("request.json", "files", to=[file("/dev/zero", size=0)])),
    "a table in the network": ("cut", changed("request.json", "files", to=[file("http://127.0.0.1:9/x.csv")])),
    "test rows outside": ("cut", changed("request.json", "test_files", to=[file("OUTSIDE/secret.csv")])),
    "data outside": ("cut", changed("request.json", "request", "data", to=["OUTSIDE/secret.csv"])),
    "another test file": ("cut", changed("request.json", "request", "test_file", to="OUTSIDE/secret.csv")),
    "first weights outside": ("cut", changed("request.json", "request", "initial", to="OUTSIDE/secret.json")),
    "a folder outside": ("cut", changed("request.json", "folder", to="OUTSIDE")),
    "a command": ("cut", changed("request.json", "command", to=["chainrule", "train", "--out", "OUTSIDE/run"])),
    "a coordinator": ("cut", changed("request.json", "request", "coordinator", to="127.0.0.1:9")),
    "a thousand processes": ("cut", changed("request.json", "request", "processes", to=1000)),
    "a number for a path": ("cut", changed("request.json", "files", to=[{"path": 3, "bytes": 1, "digest": "x"}])),
    "a null byte in a path": ("cut", changed("request.json", "files", to=[file("OUTSIDE/\0secret.csv")])),
    "a rule that is a program": (
        "good",
        changed("plan.json", "training", "rule", to={"is": "system", "name": "touch OUTSIDE/x"}),
    ),
    "an optax name that is none": (
        "good",
        changed(
            *("plan.json", "training", "rule"),
            to={"is": "OptaxRule", "name": "__import__", "learning_rate": 1, "options": []},
        ),
    ),
    "a target that closes its name": (
        "good",
        changed("plan.json", "preparing", "targets", to=['species" FROM (SELECT 1']),
    ),
    "a column of SQL": (
        "good",
        in_model("encoding", "columns", 0, "name", to="x\" FROM read_text('OUTSIDE/secret.csv')--"),
    ),
    "a date format of SQL": (
        "good",
        in_model("encoding", "columns", 1, "date_format", to="%d') FROM read_text('OUTSIDE/secret.csv')--"),
    ),
    "a target of SQL": ("good", in_model("target", "columns", 0, 0, to="x\" FROM read_text('OUTSIDE/secret.csv')--")),
    "a linked model": ("good", linked("model.safetensors", "secret.csv")),
    "a linked request": ("cut", linked("request.json", "secret.json")),
    "a linked plan": ("good", linked("plan.json", "secret.json")),
    "linked rows": ("cut", linked("rows", ".")),
    "linked rows of a finished run": ("good", linked("rows", ".")),
    "linked states": ("cut", linked("resume", "resume")),
    "linked checkpoints": ("cut", linked("checkpoints", "checkpoints")),
    "a linked lock": ("cut", linked("lock", "secret.csv")),
    "a request that is a pipe": ("cut", piped("request.json")),
    "metrics that are a pipe": ("good", piped("metrics.json")),
    "a history that is a pipe": ("good", piped("history.csv")),
    "a model that is a pipe": ("good", piped("model.safetensors")),
}  # fmt: skip


def called(*words: object) -> tuple[int, str, str]:
    """The command line in this process: its exit status, and what it printed."""
    from chainrule import cli

    sys.argv = ["chainrule", *map(str, words)]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


def from_python(name: str, run: Path) -> tuple[int, str, str]:
    import chainrule as cr

    try:
        return 0, str(getattr(cr, name)(run)), ""
    except ValueError as error:
        return 1, "", str(error)


def attempt(place: Path) -> None:
    """Every command on every folder."""
    os.chdir(place)
    for name in FOLDERS:
        run = place / "sent" / name
        ways: dict[str, Callable[[Path], tuple[int, str, str]]] = {
            "explain": lambda run: called("explain", run),
            "explain --html": lambda run: called("explain", run, "--html", "page.html"),
            "predict": lambda run: called("predict", run, "penguins.csv", "-o", "predicted.csv"),
            "evaluate": lambda run: called("evaluate", run, "penguins.csv"),
            "export": lambda run: called("export", run, "model.onnx"),
            "cr.load": lambda run: from_python("load", run),
            "cr.explain": lambda run: from_python("explain", run),
            "train --resume": lambda run: called("train", "--resume", run),
        }
        for way, call in ways.items():
            code, out, err = call(run)
            print(json.dumps({"folder": name, "way": way, "code": code, "out": out, "err": err}), flush=True)


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2]).absolute()
    make(place) if what == "make" else attempt(place)

"""Files that mean harm, or were harmed: made from good ones, and read in every way that Chainrule reads a file.

    python tests/contract/hostile.py SECONDS [commands | atheris] [SEED]

tries as many as there is time for, by chance or led by atheris where that is installed, and prints how many of what.
With `commands` whole run folders are opened, each with a file or two of that kind in it: by the commands that read
run_folder, as `flags` runs them, and by `cr.explain` and `cr.load`.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.storage.tensors import FORMAT, read_tensors, write_tensors

try:
    from tests.contract import flags
except ModuleNotFoundError:  # run as a script
    import flags

ROOT = Path(__file__).parents[2]
PENGUINS = ROOT / "examples" / "penguins.csv"
MODEL, CHECKPOINT = "model.safetensors", "checkpoints/epoch-00000002.safetensors"
TEXTS = ("plan.json", "request.json", "metrics.json", "history.csv")
STATE = "resume/epoch-0000000002.safetensors"
KINDS = ("model", "checkpoint", *TEXTS)
# how a run folder is opened: by a command, or by a function of that name
WAYS: list[tuple[str, list[str]]] = [
    ("explain", ["explain", "{RUN}", "--epoch", "{EPOCH}"]),
    ("explain --html", ["explain", "{RUN}", "--epoch", "{EPOCH}", "--html", "{FOLDER}/page.html"]),
    ("explain --json", ["explain", "{RUN}", "--epoch", "{EPOCH}", "--json"]),
    ("explain --predict", ["explain", "{RUN}", "--predict", "{TABLE}", "--html", "{FOLDER}/page.html"]),
    ("predict", ["predict", "{RUN}", "{TABLE}", "-o", "{FOLDER}/told.csv"]),
    ("evaluate", ["evaluate", "{RUN}", "{TABLE}"]),
    ("export", ["export", "{RUN}", "{FOLDER}/model.onnx"]),
    ("train --resume", ["train", "--resume", "{RUN}"]),
    ("train --resume", ["train", "--resume", "{RUN}", "--epochs", "3", "--changed-data"]),
    ("examples", ["examples", "{RUN}/example.json"]),
    ("examples", ["examples", "{RUN}/example.json", "--html", "{FOLDER}/page.html"]),
    ("examples", ["examples", "{RUN}/example.json", "--exercise"]),
    ("cr.explain", []),
    ("cr.load", []),
]
Choose = Callable[[int], int]  # a number from 0 to below the one given
ANYTHING: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 10**12, 2**63, -(2**70), 0.5, -0.0, 1e-320, 1e308, "", "x", "0",
    "number", "text", "relu", "float32", "\0", "\ud7ff", "\u202e" * 3, "9" * 400, [], {}, [[]], [None], [1, 2],
    ["a", "b"],
    {"is": "Adam"}, {"": {}}, [10**12] * 3,
]  # fmt: skip
# what a field may well hold by its type, so that only its sense is wrong
ALIKE: dict[type, list[Any]] = {
    bool: [True, False],
    int: [0, 1, 2, 3, 5, 100, 2**31 - 1, 2**31, 2**32, 2**63 - 1],
    float: [0.0, 1e-30, 0.5, 0.999999, 1.0, 3.0, 1e30, 1e38, 1e300, -1.0],
    str: [
        "",
        "float64",
        "binary",
        "regression",
        "year",
        "sigmoid",
        "rmse",
        "Adam",
        "StepDecay",
        "../../x",
        "/",
        "\x1b[2J",
    ],
}
ONE_BYTE = tuple(bytes([x]) for x in b'\0\xff"[{},\n')
BYTES = (b"", *ONE_BYTE, b"1e999", b"NaN", b"\xf0\x9f\x92\xa5", b"\0" * 64, b"[" * 99_999)


class Good(NamedTuple):
    """What to begin with: a finished run, one that was cut off, an estimator's file; a state and network of the run."""

    run: Path
    cut: Path
    estimator: Path
    like: Any
    network: Any


def good(folder: Path) -> Good:
    """Trained once, a small network."""
    from unittest.mock import patch

    import chainrule as cr
    from chainrule.driver import Driver
    from chainrule.tables.fit import rows_of
    from chainrule.tables.plan import read_plan
    from chainrule.tables.prepare import prepare
    from chainrule.tables.reading import open_table

    words = ["train", str(PENGUINS), "--target", "species", "--hidden", "3", "--epochs", "2", "-q", "-o"]
    assert flags.run([*words, str(folder / "run")]).code == 0
    with patch("chainrule.session.stages.finish_run", side_effect=InputError("a full disk")):
        assert flags.run([*words, str(folder / "cut")]).code == 1
    lecture = json.loads((ROOT / "src" / "chainrule" / "examples" / "lecture.json").read_text())
    needed = ("name", "layers", "activations", "cost", "learning_rate", "initial")
    rows, published = lecture["normalized_rows"], {"cost": 3.5, "cost_after_3": 2.7, "a": [1, 2, 3, 4]}
    example = {name: lecture[name] for name in needed} | {
        "x": [row[1:] for row in rows],
        "y": [row[:1] for row in rows],
    }
    (folder / "run" / "example.json").write_text(json.dumps({**example, "published": published}))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    model = cr.MLPClassifier(hidden_layer_sizes=(3,), max_iter=2, solver="adam", early_stopping=True)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cr.save(model.fit(X, (X[:, 0] > 0).astype(int)), folder / "estimator.safetensors")
    from chainrule.network import initialize
    from chainrule.tables.run_folder import load_table_model

    network = load_table_model(folder / "run").network
    plan = read_plan(folder / "run" / "plan.json", network)
    prepared = prepare(open_table([str(PENGUINS)]), **vars(plan.preparing))
    rows = rows_of(prepared, plan.balanced)
    state = Driver(plan.settings, initialize(network, seed=0), rows).at.begin
    import jax

    return Good(
        folder / "run", folder / "cut", folder / "estimator.safetensors", jax.tree.map(np.asarray, state), network
    )


def read_all(of: Good, what: str, path: Path) -> str:
    """Read the file at `path` as what it is said to be, and use it; how that went."""
    from chainrule.saving import load
    from chainrule.tables import recorded, run_folder
    from chainrule.tables.predict import predict_to
    from chainrule.tables.reading import open_table

    try:
        if what == "model":
            model = run_folder.load_table_model(path)
            predict_to(model, open_table([str(PENGUINS)]), str(path.parent / "told.csv"))
        elif what == "estimator":
            load(path).predict(np.zeros((2, 3)))
        elif what == "checkpoint":
            run_folder.read_checkpoint(path.parent.parent, 2, of.like)
        else:
            reader = {
                "plan.json": lambda folder: run_folder.plan_of_run(folder, of.network),
                "request.json": recorded.read_recorded,
                "metrics.json": run_folder.read_metrics,
                "history.csv": run_folder.read_history,
            }[what]
            reader(path.parent)
    except InputError as error:
        return "refused" if str(error) else "refused without a word"
    except ValueError as error:  # what an estimator says of wrong inputs, as scikit-learn's do
        if what == "estimator" and "features" in str(error):
            return "refused"
        raise
    return "read"


def places_of(tree: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something could be changed in a JSON document."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place, *(p for key, value in inner for p in places_of(value, (*place, key)))]


def changed_document(document: Any, choose: Choose) -> Any:
    """The document with something in it replaced, left out, or put where something else was."""
    document = json.loads(json.dumps(document))
    for _ in range(1 + choose(3)):
        places = places_of(document)[1:]
        if not places:
            return document
        *way, last = places[choose(len(places))]
        parent = document
        for key in way:
            parent = parent[key]
        kind = choose(6)
        if kind > 3:
            others = ALIKE.get(type(parent[last]), [parent[last]])
            parent[last] = others[choose(len(others))]
        elif kind == 0:
            del parent[last]
        elif kind == 1:
            *other, end = places[choose(len(places))]
            found = document
            try:
                for key in (*other, end):
                    found = found[key]
                parent[last] = json.loads(json.dumps(found))
            except (KeyError, IndexError, TypeError):
                pass  # it was what is gone now
        else:
            parent[last] = deepcopy(ANYTHING[choose(len(ANYTHING))])
    return document


def changed_bytes(data: bytes, choose: Choose) -> bytes:
    """The bytes cut, flipped, doubled, or with others between them."""
    for _ in range(1 + choose(4)):
        at = choose(min(len(data), 2000) + 1) if choose(2) else choose(len(data) + 1)
        kind = choose(4)
        if kind == 0:
            data = data[:at]
        elif kind == 1 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << choose(8)]) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + BYTES[choose(len(BYTES))] + data[at + choose(3) :]
        else:
            data = data[:at] + data[at : at + 50] + data[at:]
    return data


def changed_tensors(tensors: dict[str, np.ndarray], choose: Choose) -> dict[str, np.ndarray]:
    """One of them left out, of another shape or dtype, or with numbers that are none."""
    name = sorted(tensors)[choose(len(tensors))]
    x, kind = tensors[name], choose(5)
    others = {key: value for key, value in tensors.items() if key != name}
    if kind == 0:
        return others
    if kind == 1:
        return {**others, name: x.reshape(-1)[: choose(4)]}
    if kind == 2:
        return {**others, name: x.astype([np.int64, np.float16, np.uint8, np.float64][choose(4)])}
    if kind == 3:
        return {**others, name + "'": x}
    return {
        **others,
        name: np.full_like(x, [0, 1, 2][choose(3)] if x.dtype.kind in "iub" else [np.nan, np.inf, 1e30][choose(3)]),
    }


def try_one(of: Good, folder: Path, choose: Choose) -> tuple[str, str]:
    """Make one hostile file and read it: what it was, and how that went; other errors are raised."""
    run = folder / "run"
    if not run.exists():
        shutil.copytree(of.run, run)
    what = ("model", "estimator", "checkpoint", *TEXTS)[choose(3 + len(TEXTS))]
    written, how = harmed(of, run, what, choose)
    return (f"{what}: {how}", read_all(of, what, written) if written else "cannot be written")


def try_run(of: Good, folder: Path, choose: Choose) -> tuple[str, str]:
    """Harm a run folder and open it in one of the ways there are: what was done, and how that went."""
    import chainrule as cr

    way = choose(len(WAYS))
    name, words = WAYS[way]
    goes_on = name == "train --resume"
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(of.cut if goes_on else of.run, run)
    kinds = ("request.json", STATE) if goes_on else (*TEXTS, *KINDS) if name != "examples" else ("example.json",)
    what = kinds[choose(len(kinds))]
    _, how = harmed(of, run, what, choose)
    epoch = ("1", "2", "3", "2147483647")[choose(4)]
    if words:
        known = {"RUN": str(run), "TABLE": str(PENGUINS), "EPOCH": epoch, "FOLDER": str(folder)}
        ended = flags.run([word.format(**known) for word in words])
        wrong = flags.wrong_with(words, ended, ())
        if ended.error is not None:
            raise ended.error
        return f"{name}, {what}: {how}", f"WRONG: {wrong}" if wrong else flags.how(ended)
    try:
        if name == "cr.load":
            cr.load(run / MODEL)
        else:
            opened = cr.explain(run, int(epoch))
            assert str(opened)
            assert opened.to_html()
            assert opened.to_json()
    except InputError as error:
        return f"{name}, {what}: {how}", "refused" if str(error) else "WRONG: refused without a word"
    return f"{name}, {what}: {how}", "read"


def harmed(of: Good, run: Path, what: str, choose: Choose) -> tuple[Path | None, str]:
    """Write a file of a kind with something changed: where it is, or None if it cannot be written; what was changed."""
    source, path = {
        "model": (of.run / MODEL, run / MODEL),
        "estimator": (of.estimator, run / "estimator.safetensors"),
        "checkpoint": (of.run / CHECKPOINT, run / CHECKPOINT),
        STATE: (of.cut / STATE, run / STATE),
    }.get(what, (of.run / what, run / what))
    way = choose(3)
    if what == "history.csv" or way == 0:
        path.write_bytes(changed_bytes(source.read_bytes(), choose))
        how = "bytes"
    elif what.endswith(".json"):
        path.write_text(json.dumps(changed_document(json.loads(source.read_text()), choose)), encoding="utf-8")
        how = "document"
    else:  # signed anew, so that the checksum does not keep it out
        format_ = {"checkpoint": "chainrule-checkpoint", STATE: "chainrule-resume"}.get(what, FORMAT)
        document, tensors = read_tensors(source, format_)
        if way == 1:
            document = changed_document(document, choose)
        else:
            tensors = changed_tensors(tensors, choose)
        how = ("", "document, signed", "tensors, signed")[way]
        try:
            write_tensors(path, document, tensors, document.pop("format", format_))
        except (ValueError, TypeError, UnicodeEncodeError):
            return None, how
    return path, how


def main(seconds: float, led: bool, commands: bool, seed: int) -> None:
    """Try hostile files for so long."""
    import resource
    import warnings

    warnings.simplefilter("ignore")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="chainrule-jax-"))
    told, folder, began, slowest = Counter(), Path(tempfile.mkdtemp(prefix="chainrule-hostile-")), time.monotonic(), 0.0
    of = good(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def one(choose: Choose) -> None:
        nonlocal slowest
        start = time.monotonic()
        try:
            tried = (try_run if commands else try_one)(of, folder / "tried", choose)
            told[tried] += 1
            if "WRONG" in tried[1] and told[tried] == 1:
                print(*tried, flush=True)
        except Exception as error:  # anything but a clear refusal
            frames = traceback.extract_tb(error.__traceback__)
            where, ours = frames[-1], ([f for f in frames if "/chainrule/" in f.filename] or frames)[-1]
            defect = f"{type(error).__name__}: {str(error)[:80]} at {ours.filename}:{ours.lineno} ({where.name})"
            told["DEFECT", defect] += 1
            if told["DEFECT", defect] == 1:
                print(defect, flush=True)
        if time.monotonic() - start > flags.LONGEST / 3:
            print(f"{time.monotonic() - start:.0f} s: {folder / 'tried'}", flush=True)
        slowest = max(slowest, time.monotonic() - start)
        if sum(told.values()) % 5000 == 0:
            report()

    def report(all_of_it: bool = False) -> None:
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{sum(told.values()):,} files, slowest {slowest:.2f} s, memory grown by {grown:.0f} MB", flush=True)
        for (what, how), count in sorted(told.items()) if all_of_it else ():
            print(f"{count:>8,} {what}: {how}", flush=True)

    (folder / "tried").mkdir()
    if led:
        import atheris  # pyright: ignore[reportMissingImports]

        def led_by(data: bytes) -> None:
            provider = atheris.FuzzedDataProvider(data)
            one(lambda n: provider.ConsumeIntInRange(0, n - 1))
            if time.monotonic() - began > seconds:
                report(all_of_it=True)
                os._exit(0)

        functions = [x for x in gc.get_objects() if isinstance(x, FunctionType)]
        for function in functions:
            if str(function.__module__).startswith(("chainrule.", "safetensors.")):
                atheris.instrument_func(function)
        atheris.Setup([sys.argv[0], "-max_len=4096", "-rss_limit_mb=8192"], led_by)
        atheris.Fuzz()
    rng = random.Random(seed)
    while time.monotonic() - began < seconds:
        one(rng.randrange)
    report(all_of_it=True)


if __name__ == "__main__":
    seeds = [int(word) for word in sys.argv[2:] if word.isdecimal()]
    main(float(sys.argv[1]), "atheris" in sys.argv[2:], "commands" in sys.argv[2:], sum(seeds))

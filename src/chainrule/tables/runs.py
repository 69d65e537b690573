"""The run folder: the command and the states to go on from while it trains; model, history and metrics at the end."""

from __future__ import annotations

import csv
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.artifacts import (
    Stored,
    parsed,
    read_model,
    read_tensors,
    remove_left_aside,
    save_json,
    write_model,
    write_tensors,
    write_text,
)
from chainrule.errors import InputError
from chainrule.history import History
from chainrule.loop import State
from chainrule.outcome import Fit
from chainrule.resuming import LOCK, locked
from chainrule.tables.encoding import encoding_from_json
from chainrule.tables.fitting import TableModel
from chainrule.tables.plan import Plan, plan_from_json
from chainrule.tables.reading import Source
from chainrule.tables.target import target_from_json

MODEL, HISTORY, METRICS, COMMAND = "model.safetensors", "history.csv", "metrics.json", "command.json"
PLAN, CHECKPOINTS, CHECKPOINT_FORMAT = "plan.json", "checkpoints", "chainrule-checkpoint"
REPORT, RESUME, ROWS = "report.html", "resume", "rows"


def save_table_model(path: str | os.PathLike[str], model: TableModel) -> None:
    """Write the model to one safetensors file."""
    document = {
        "encoding": model.encoding.to_json(),
        "target": model.target.to_json(),
        "frequencies": list(model.frequencies),
        "about": model.about,
    }
    write_model(path, model.network, model.params, {"kind": "table", **document})


def load_table_model(path: str | os.PathLike[str]) -> TableModel:
    """The model in a run folder or in a model file.

    Raises
    ------
    InputError
        If it is missing, truncated, altered, or not a model of a table.
    """
    path = Path(path)
    if path.is_dir():
        if (path / RESUME).is_dir() and not is_finished(path):
            raise InputError(f"{path}: its training was cut off; go on with: chainrule train --resume {path}")
        if not (path / MODEL).is_file():
            raise InputError(f"{path}: not a run folder: there is no {MODEL} in it")
        path = path / MODEL
    elif not path.exists():
        raise InputError(f"{path}: no such run folder; chainrule train makes one")
    return table_model_of(read_model(path), path)


def table_model_of(stored: Stored, path: str | os.PathLike[str]) -> TableModel:
    """The model in what was read from `path`; an InputError if it is none of a table."""
    network, params, document, _ = stored
    kind = document.get("kind", "table")
    if kind != "table":
        what = {"estimator": "an estimator", "network": "a bare network"}.get(str(kind), repr(kind))
        raise InputError(f"{path}: holds {what}, not the model of a table; in Python cr.load reads it")
    try:
        encoding, target = encoding_from_json(document["encoding"]), target_from_json(document["target"])
        model = TableModel(network, params, encoding, target, tuple(document["frequencies"]), document["about"])
        names = [column.name for column in (*encoding.columns, *target.columns)]
        if len(set(names)) < len(names) or len(set(target.classes)) < len(target.classes):
            raise ValueError("two columns or two classes of one name")
        frequencies = np.array(model.frequencies, float)
        if frequencies.shape != (len(target.classes),) or not (frequencies >= 0).all():
            raise ValueError(f"{len(target.classes)} classes, and {len(frequencies)} frequencies")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: not a model of a table: {error!r}") from error
    if (len(encoding.inputs), target.n_outputs) != (network.layers[0], network.layers[-1]):
        raise InputError(f"{path}: the encoding has {len(encoding.inputs)} inputs, the network {network.layers[0]}")
    return model


def trained_on(run: str | os.PathLike[str], source: Source) -> bool:
    """Whether a run folder was trained on one of the files of `source`."""
    command = Path(run) / COMMAND
    if not command.is_file():
        return False
    try:
        made = parsed(command.read_text(encoding="utf-8"))
        trained = {Path(made["folder"], file["path"]).resolve() for file in made["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False  # a note is not worth an error
    return any(Path(path).resolve() in trained for path in source.files)


def free_run_path(wanted: str | None, name: str) -> Path:
    """Where to write a run: the wanted folder, which must not hold anything, or the next free runs/NAME-N."""
    if wanted is None:
        number = 1
        while Path("runs", f"{name}-{number}").exists():
            number += 1
        path = Path("runs", f"{name}-{number}")
    else:
        path = Path(wanted)
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise _taken(path)
    parent = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise InputError(f"--out {path}: cannot be written: {parent} is not a folder that you may write to")
    return path


def _taken(path: Path) -> InputError:
    return InputError(f"--out {path}: is already there; name another folder, or remove it first")


@contextmanager
def claimed(path: Path, going_on: bool) -> Iterator[None]:
    """The folder, held against other processes until the run is finished, and removed if nothing was kept in it.

    Raises
    ------
    InputError
        If another process holds it, or has written to it since it was found to be free.
    """
    with locked(path):
        if not going_on and any(p.name != LOCK for p in path.iterdir()):
            raise _taken(path)
        for folder in (path, path / CHECKPOINTS):
            remove_left_aside(folder)
        try:
            yield
        finally:
            if not is_finished(path) and not going_on and not any((path / RESUME).glob("epoch-*")):
                shutil.rmtree(path, ignore_errors=True)


def begin_run(path: Path, command: dict[str, Any]) -> None:
    """Make the folder, with how it was called: all that `--resume` needs beside the states, and no run yet."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        save_json(path / COMMAND, command)
        (path / CHECKPOINTS).mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def is_finished(run: str | os.PathLike[str]) -> bool:
    """Whether a run was trained to its end: the metrics are written last."""
    return (Path(run) / METRICS).is_file()


def finish_run(
    path: Path,
    model: TableModel,
    fit: Fit,
    metrics: dict[str, Any],
    command: dict[str, Any],
    plan: Plan | None,
    report: str,
) -> None:
    """Write what came out, each file whole or not at all, the metrics last; then forget what the training needed.

    Without a plan, which a streamed training has none of, its updates cannot be replayed.
    """
    save_table_model(path / MODEL, model)
    write_text(path / HISTORY, lambda file: _write_history(file, fit))
    save_json(path / COMMAND, command)
    if plan:
        save_json(path / PLAN, plan.to_json())
    write_text(path / REPORT, lambda file: file.write(report))
    save_json(path / METRICS, metrics)
    forget_how_to_resume(path)


def forget_how_to_resume(path: Path) -> None:
    """Remove what only the training needed from a finished run."""
    for folder in (RESUME, ROWS):
        shutil.rmtree(path / folder, ignore_errors=True)
    (path / LOCK).unlink(missing_ok=True)


def read_plan(run: str | os.PathLike[str]) -> Plan:
    """How a run was trained.

    Raises
    ------
    InputError
        If the folder has no plan, or one that cannot be read.
    """
    path = Path(run) / PLAN
    if not path.is_file():
        raise InputError(
            f"{run}: there is no {PLAN} in it, so its training cannot be replayed (a streamed run has none): train it "
            "again, not streamed"
        )
    try:
        return plan_from_json(parsed(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a plan that this Chainrule can read: {error!r}") from error


def read_command(run: str | os.PathLike[str]) -> dict[str, Any]:
    """How the run was called, and on which files."""
    path = Path(run) / COMMAND
    if not Path(run).is_dir():
        raise InputError(f"{run}: no such run folder")
    try:
        read = parsed(path.read_text(encoding="utf-8"))
        return {**read, "command": [str(word) for word in read["command"]], "folder": str(read["folder"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def trained_epochs(run: str | os.PathLike[str]) -> int:
    """How many epochs the run was trained for."""
    return read_metrics(run)["epochs"]


def read_metrics(run: str | os.PathLike[str]) -> dict[str, Any]:
    """How the run ended, and its scores.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    path = Path(run) / METRICS
    try:
        metrics = parsed(path.read_text(encoding="utf-8"))
        whole = {key: int(metrics[key]) for key in ("epochs", "best_epoch")}
        return {**metrics, **whole, "history_cost_is": str(metrics["history_cost_is"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def read_history(run: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The columns of the run's history, NaN where nothing was measured.

    Raises
    ------
    InputError
        If it cannot be read, or lacks a column.
    """
    path = Path(run) / HISTORY
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        numbers = np.array([[float(x) if x else np.nan for x in row] for row in rows]).reshape(-1, len(header))
        columns = dict(zip(header, numbers.T, strict=True))
        return {name: columns[name] for name in History._fields}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error!r}") from error


def checkpoint_epochs(run: str | os.PathLike[str]) -> list[int]:
    """The epochs that the run has checkpoints of."""
    files = (Path(run) / CHECKPOINTS).glob("epoch-*.safetensors")
    epochs = [path.stem.removeprefix("epoch-") for path in files]
    return sorted(int(epoch) for epoch in epochs if epoch.isdecimal())


def read_checkpoint(run: str | os.PathLike[str], epoch: int, like: State) -> State:
    """The state after an epoch; `like` is a state of the same training, for its structure.

    Raises
    ------
    InputError
        If the file is missing, damaged, or of another training.
    """
    import jax

    path = _checkpoint_path(Path(run) / CHECKPOINTS, epoch)
    _, tensors = read_tensors(path, CHECKPOINT_FORMAT)
    leaves, structure = jax.tree.flatten(like)
    found = [tensors.get(str(i), np.empty(0)) for i in range(len(leaves))]
    if len(tensors) != len(leaves) or [(x.shape, x.dtype) for x in found] != [(x.shape, x.dtype) for x in leaves]:
        raise InputError(f"{path}: a checkpoint of another training")
    return jax.tree.unflatten(structure, found)


def write_checkpoint(run: Path, state: State) -> None:
    """Write a state that updates can be replayed from."""
    import jax

    tensors = {str(i): x for i, x in enumerate(jax.tree.leaves(state))}
    write_tensors(_checkpoint_path(run / CHECKPOINTS, int(state.epoch)), {}, tensors, CHECKPOINT_FORMAT)


def _checkpoint_path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:08d}.safetensors"


def _write_history(file: Any, fit: Fit) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(fit.history._fields)
    for row in zip(*(column.tolist() for column in fit.history), strict=True):
        writer.writerow("" if isinstance(x, float) and math.isnan(x) else x for x in row)

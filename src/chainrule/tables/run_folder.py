"""The run folder: the request and saved states during training; model, history and metrics at its end.

A folder may come from anyone: its contents are read as data, links in it are refused, and only files that Chainrule
itself writes are removed from it.
"""

from __future__ import annotations

import csv
import math
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import InputError, is_utf8
from chainrule.network import Network
from chainrule.scaling.shards import FILES as SHARD_FILES
from chainrule.storage.documents import read_document, save_json
from chainrule.storage.files import (
    ASIDE,
    LOCK,
    check_own,
    flush_folder,
    locked,
    make_folder,
    remove_left_aside,
    remove_own,
    write_text,
)
from chainrule.storage.models import Stored, read_model, write_model
from chainrule.storage.tensors import CHECKPOINT, read_tensors, write_tensors
from chainrule.tables.encoding import encoding_from_json
from chainrule.tables.fit import TableModel
from chainrule.tables.plan import Plan, read_plan
from chainrule.tables.reading import Source
from chainrule.tables.recorded import REQUEST, Recorded, read_recorded, write_recorded
from chainrule.tables.request import MOST
from chainrule.tables.streamed import QUERY
from chainrule.tables.target import target_from_json
from chainrule.training.history import MOST_ROWS, History
from chainrule.training.result import Fit
from chainrule.training.state import State

MODEL, HISTORY, METRICS, PLAN, REPORT = "model.safetensors", "history.csv", "metrics.json", "plan.json", "report.html"
CHECKPOINTS = "checkpoints"
RESUME, ROWS, RUNS = "resume", "rows", "runs"
STATES = ("epoch-*.safetensors", LOCK)
LONGEST_HISTORY = 200 * (MOST_ROWS + 2)  # bytes


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
    """Load a model from a run folder or a model file.

    Parameters
    ----------
    path : str or os.PathLike
        The run folder or model file.

    Returns
    -------
    TableModel
        The trained network with its encoding and target.

    Raises
    ------
    InputError
        If the model is missing, truncated, altered, or not a model of a table.
    """
    path = Path(path)
    if path.is_dir():
        check_own(path)
        if (path / RESUME).is_dir() and not is_finished(path):
            raise InputError(f"{path}: its training was interrupted; {how_to_resume(path)}")
        if not (path / MODEL).is_file():
            raise InputError(f"{path}: not a run folder: it contains no {MODEL}")
        path = path / MODEL
    elif not path.exists():
        raise InputError(f"{path}: no such run folder; create one with chainrule train")
    return table_model_of(read_model(path), path)


def table_model_of(stored: Stored, path: str | os.PathLike[str]) -> TableModel:
    """Build the model from what was read from `path`; an InputError if it is not a model of a table."""
    network, params, document, _ = stored
    kind = document.get("kind", "table")
    if kind != "table":
        what = {"estimator": "an estimator", "network": "a bare network"}.get(str(kind), repr(kind))
        raise InputError(f"{path}: contains {what}, not a model of a table; load it in Python with cr.load")
    try:
        encoding, target = encoding_from_json(document["encoding"]), target_from_json(document["target"])
        model = TableModel(network, params, encoding, target, tuple(document["frequencies"]), document["about"])
        names = [column.name for column in (*encoding.columns, *target.columns)]
        if len(set(names)) < len(names) or len(set(target.classes)) < len(target.classes):
            raise ValueError("two columns or two classes have the same name")
        frequencies = np.array(model.frequencies, float)
        if frequencies.shape != (len(target.classes),) or not (frequencies >= 0).all():
            raise ValueError(f"{len(target.classes)} classes, but {len(frequencies)} frequencies")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: not a model of a table: {error!r}") from error
    if (len(encoding.inputs), target.n_outputs) != (network.layers[0], network.layers[-1]):
        raise InputError(
            f"{path}: the encoding has {len(encoding.inputs)} inputs, but the network has {network.layers[0]}"
        )
    return model


def how_to_resume(run: str | os.PathLike[str]) -> str:
    """A hint with the command that resumes a run, quoted for a shell."""
    return f"resume with: chainrule train --resume {shlex.quote(str(run))}"


@dataclass(frozen=True)
class Metrics:
    """How a run ended, and its scores."""

    stopped_by: str
    epochs: int
    best_epoch: int
    seconds: float
    history_cost_is: str
    history_validation_metric_is: str
    test_scores: dict[str, Any] | None = None
    training_scores: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.best_epoch <= self.epochs <= MOST:
            raise ValueError(f"best epoch {self.best_epoch} of {self.epochs} epochs")

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


def trained_on(run: str | os.PathLike[str], source: Source) -> bool:
    """Whether a run folder was trained on one of the files of `source`."""
    if not Path(run, REQUEST).is_file():
        return False
    try:
        trained = {os.path.realpath(file.path) for file in read_recorded(run).files}
    except ValueError:
        return False  # this only decides about a note
    return any(os.path.realpath(path) in trained for path in source.files)


def new_run_folder(wanted: str | None, name: str) -> Path:
    """The folder for a new run: the requested one, which must be empty, or the next runs/NAME-N, created here.

    Raises
    ------
    InputError
        If the folder is not empty or cannot be written.
    """
    if not is_utf8(os.path.abspath(wanted or "")):
        raise InputError(
            f"--out {wanted or '.'}: expected a path in UTF-8; choose another folder, or change the working directory"
        )
    if wanted is None:
        return _next_of(RUNS, name)
    path = Path(wanted)
    if path.is_symlink() or (path.exists() and not _is_free(path)):
        raise _taken(path)
    parent = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise InputError(f"--out {path}: cannot be written: {parent} is not a folder with write permission")
    return path


def _next_of(folder: str, name: str) -> Path:
    try:
        for number in count(1):
            path = Path(folder, f"{name}-{number}")
            make_folder(path.parent)
            with suppress(FileExistsError):
                path.mkdir()  # fails if another process has created it
                flush_folder(path.parent)
                return path
    except OSError as error:
        raise InputError(
            f"{folder}/{name}-1: cannot be written: {error.strerror}; choose a folder with --out"
        ) from error
    raise AssertionError


def _is_free(path: Path) -> bool:
    """Whether a folder is empty, apart from what a command leaves if it is killed before its run begins."""
    return path.is_dir() and all(name == LOCK or _is_begun(name) for name in os.listdir(path))


def _is_begun(name: str) -> bool:
    return name.startswith(f".{REQUEST}.") and name.endswith(ASIDE)


def _taken(path: Path) -> InputError:
    return InputError(f"--out {path}: already exists; choose another folder, or remove it first")


@contextmanager
def claimed(path: Path, going_on: bool) -> Iterator[None]:
    """Lock the folder until the run is finished; remove it if no state was saved in it.

    Raises
    ------
    InputError
        If another process holds the lock, or has written to the folder since it was found to be empty.
    """
    if going_on:
        check_own(path)
    with locked(path):
        if not going_on and not _is_free(path):
            raise _taken(path)
        if going_on and is_finished(path):
            raise InputError(f"{path}: has been finished by another process in the meantime")
        for folder in (path, path / CHECKPOINTS):
            remove_left_aside(folder)
        try:
            yield
        finally:
            if not is_finished(path) and not going_on and not any((path / RESUME).glob("epoch-*")):
                _remove_run(path)


def begin_run(path: Path, recorded: Recorded) -> None:
    """Record the request, which is all that `--resume` needs apart from saved states."""
    write_recorded(path, recorded)
    try:
        make_folder(path / CHECKPOINTS)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def is_finished(run: str | os.PathLike[str]) -> bool:
    """Whether the training of a run has ended: the metrics are written last."""
    return (Path(run) / METRICS).is_file()


def finish_run(
    path: Path,
    model: TableModel,
    fit: Fit,
    metrics: Metrics,
    plan: Plan | None,
    report: str,
) -> None:
    """Write the results, each file atomically and the metrics last; then remove the saved states.

    Streamed trainings have no plan; without one, updates cannot be replayed.
    """
    save_table_model(path / MODEL, model)
    write_text(path / HISTORY, lambda file: _write_history(file, fit))
    if plan:
        save_json(path / PLAN, plan.to_json())
    write_text(path / REPORT, lambda file: file.write(report))
    save_json(path / METRICS, metrics.to_json())
    forget_how_to_resume(path)


def forget_how_to_resume(path: Path) -> None:
    """Remove the files that only the training needed from a finished run."""
    remove_own(path / RESUME, STATES)
    for part in ("train", "validation"):
        remove_own(path / ROWS / part, [SHARD_FILES])
    remove_own(path / ROWS, [QUERY])
    (path / LOCK).unlink(missing_ok=True)


def _remove_run(path: Path) -> None:
    """Remove a run of which no state was saved."""
    forget_how_to_resume(path)
    remove_own(path / CHECKPOINTS, STATES)
    remove_own(path, [MODEL, HISTORY, METRICS, PLAN, REPORT, REQUEST])
    if path.parent == Path(RUNS):  # `new_run_folder` may have created it for this run alone
        remove_own(path.parent, [])


def plan_of_run(run: str | os.PathLike[str], network: Network) -> Plan:
    """Read how a run was trained.

    Raises
    ------
    InputError
        If the folder has no plan, or one that cannot be read.
    """
    path = Path(run) / PLAN
    if not path.is_file():
        raise InputError(
            f"{run}: it contains no {PLAN}, so its training cannot be replayed (a streamed run has none); train it "
            "again with --no-stream"
        )
    return read_plan(path, network)


def read_metrics(run: str | os.PathLike[str]) -> Metrics:
    """Read how the run ended, and its scores.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return read_document(Path(run) / METRICS, Metrics)


def read_history(run: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the columns of the run's history; NaN where a value was not measured.

    Raises
    ------
    InputError
        If the file cannot be read, or lacks a column.
    """
    path = Path(run) / HISTORY
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_HISTORY:
            raise ValueError(f"expected a file of at most {LONGEST_HISTORY:,} bytes")
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        numbers = np.array([[float(x) if x else np.nan for x in row] for row in rows]).reshape(-1, len(header))
        columns = dict(zip(header, numbers.T, strict=True))
        _check_epochs(columns["epoch"])
        return {name: columns[name] for name in History._fields}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error!r}") from error


def _check_epochs(epochs: np.ndarray) -> None:
    whole = (epochs == np.floor(epochs)).all()
    if len(epochs) and not (whole and epochs[0] >= 1 and epochs[-1] <= MOST and (np.diff(epochs) > 0).all()):
        raise ValueError("expected increasing epochs, from 1")


def checkpoint_epochs(run: str | os.PathLike[str]) -> list[int]:
    """The epochs after which the run has checkpoints."""
    files = (Path(run) / CHECKPOINTS).glob("epoch-*.safetensors")
    epochs = [path.stem.removeprefix("epoch-") for path in files]
    return sorted(int(epoch) for epoch in epochs if epoch.isdecimal())


def read_checkpoint(run: str | os.PathLike[str], epoch: int, like: State) -> State:
    """Read the checkpoint after an epoch; `like` is a state of the same training, for its structure.

    Raises
    ------
    InputError
        If the file is missing, damaged, or from another training.
    """
    import jax

    path = _checkpoint_path(Path(run) / CHECKPOINTS, epoch)
    _, tensors = read_tensors(path, CHECKPOINT)
    leaves, structure = jax.tree.flatten(like)
    found = [tensors.get(str(i), np.empty(0)) for i in range(len(leaves))]
    if len(tensors) != len(leaves) or [(x.shape, x.dtype) for x in found] != [(x.shape, x.dtype) for x in leaves]:
        raise InputError(f"{path}: a checkpoint of another training")
    state = jax.tree.unflatten(structure, found)
    if not all(np.isfinite(x).all() for layer in state.params for x in layer):
        raise InputError(f"{path}: contains parameters that are not finite")
    if int(state.epoch) != epoch:
        raise InputError(f"{path}: contains the state after epoch {int(state.epoch)}, which does not match its name")
    return state


def write_checkpoint(run: Path, state: State) -> None:
    """Write a checkpoint, from which updates can be replayed."""
    import jax

    tensors = {str(i): x for i, x in enumerate(jax.tree.leaves(state))}
    write_tensors(_checkpoint_path(run / CHECKPOINTS, int(state.epoch)), {}, tensors, CHECKPOINT)


def _checkpoint_path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:08d}.safetensors"


def _write_history(file: Any, fit: Fit) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(fit.history._fields)
    for row in zip(*(column.tolist() for column in fit.history), strict=True):
        writer.writerow("" if isinstance(x, float) and math.isnan(x) else x for x in row)

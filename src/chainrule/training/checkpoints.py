"""Resuming interrupted trainings: checkpoints in a folder, from which a training continues bit for bit.

A checkpoint is written to a temporary file and renamed. It contains a checksum, the digests of its training, the state
with the best parameters, and the history so far. The last `KEPT` checkpoints are kept in case the newest is damaged.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.storage.files import locked, remove_left_aside
from chainrule.storage.tensors import STATE, read_tensors, write_tensors
from chainrule.training.history import NO_ROWS
from chainrule.training.state import State

KEPT = 2
LEAST_SECONDS = 5.0  # default minimum between two checkpoints,
MOST_TIME = 0.02  # extended if writing would take more than this share of the time
HISTORY = "history"
OTHER = "checkpoint of a training with other settings; name another folder to start a new training"


class Resumable(NamedTuple):
    """A folder for checkpoints to resume from, and how often they are written.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    every : int or float, optional
        Interval in epochs (an int) or seconds (a float). By default, at least 5 seconds and at most 2 % of the time
        are spent on checkpoints.
    changed_data : bool, default=False
        Resume even if the data have changed since the training began.

    Examples
    --------
    >>> Resumable("runs/states", every=100).changed_data
    False
    """

    folder: str | os.PathLike[str]
    every: int | float | None = None
    changed_data: bool = False


class Saved(NamedTuple):
    """A checkpoint: a state as NumPy arrays, and the history up to it."""

    state: State
    rows: np.ndarray


@dataclass
class Safe:
    """The folder of a training's checkpoints, the digests that identify it, and when the last one was written."""

    folder: Path
    digests: dict[str, str]
    every: int | float | None = None
    changed_data: bool = False
    epoch: int = 0  # of the last checkpoint
    written: float = field(default_factory=time.monotonic)
    took: float = 0.0
    trouble: str = ""  # why the last checkpoint could not be written

    def is_due(self, epoch: int) -> bool:
        """Whether a checkpoint is due after `epoch`."""
        if isinstance(self.every, int):
            return epoch // self.every > self.epoch // self.every
        wanted = max(LEAST_SECONDS, self.took / MOST_TIME) if self.every is None else self.every
        return time.monotonic() - self.written >= wanted

    def epochs_left(self, done: int) -> int:
        """Epochs until the next checkpoint, if the interval is in epochs."""
        return self.every - done % self.every if isinstance(self.every, int) else 2**31

    def keep(self, state: State, rows: np.ndarray) -> None:
        """Write a checkpoint; if that fails, warn and keep the previous ones."""
        import jax

        began, epoch = time.monotonic(), int(state.epoch)
        tensors = {str(i): np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))} | {HISTORY: rows}
        path = self.folder / f"epoch-{epoch:010d}.safetensors"
        try:
            write_tensors(path, {"epoch": epoch, **self.digests}, tensors, STATE)
        except InputError as error:
            if not self.trouble:
                warnings.warn(f"{error}; the last checkpoint is still that of epoch {self.epoch:,}", stacklevel=2)
            self.trouble = str(error)
        else:
            self.epoch, self.trouble = epoch, ""
            for old in _files(self.folder)[:-KEPT]:
                old.unlink(missing_ok=True)
        self.written = time.monotonic()
        self.took = self.written - began


@contextmanager
def safe_in(resumable: Resumable | str | os.PathLike[str], digests: dict[str, str]) -> Iterator[Safe]:
    """Lock a folder for the checkpoints of one training; it is created if it does not exist.

    `digests`, "design" and "data", identify the training.

    Raises
    ------
    InputError
        If another process is using the folder, or if it cannot be written.
    """
    wanted = resumable if isinstance(resumable, Resumable) else Resumable(resumable)
    if wanted.every is not None and not wanted.every > 0:
        raise InputError(f"every: expected a number of epochs (int) or seconds (float) above 0, got {wanted.every!r}")
    with locked(Path(wanted.folder)):
        remove_left_aside(wanted.folder)
        yield Safe(Path(wanted.folder), digests, wanted.every, wanted.changed_data)


def newest(safe: Safe, like: State) -> tuple[Saved | None, list[str]]:
    """The newest intact checkpoint of this training, and why newer ones were refused; `like` has its structure.

    Raises
    ------
    InputError
        If there are checkpoints, but none of them can be used.
    """
    refused = []
    for path in reversed(_files(safe.folder)):
        try:
            return _read(path, safe, like), refused
        except InputError as error:
            refused.append(str(error))
    if refused:
        raise InputError("; ".join(refused))
    return None, []


def as_numpy(state: State) -> State:
    """Copy the state to NumPy arrays."""
    import jax

    return jax.tree.map(np.array, state)


def resumed(safe: Safe, first: State) -> tuple[State, np.ndarray]:
    """Read the newest checkpoint and its history; if there is none, write the first state as a checkpoint."""
    import jax

    saved, refused = newest(safe, first)
    for why in refused:
        warnings.warn(f"{why}; resuming from the checkpoint before it", stacklevel=4)
    if saved is None:
        safe.keep(as_numpy(first), NO_ROWS)
        if safe.trouble:
            raise InputError(safe.trouble)
        return first, NO_ROWS
    safe.epoch = int(saved.state.epoch)
    return jax.device_put(saved.state), saved.rows


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.safetensors"))


def _read(path: Path, safe: Safe, like: State) -> Saved:
    import jax

    document, tensors = read_tensors(path, STATE)
    if document.get("design") != safe.digests["design"]:
        raise InputError(f"{path}: {OTHER}")
    if document.get("data") != safe.digests["data"] and not safe.changed_data:
        raise InputError(
            f"{path}: checkpoint of a training on other data; restore that data, or allow resuming with changed data: "
            "changed_data=True, on the command line --changed-data"
        )
    rows = tensors.pop(HISTORY, np.empty(0))
    leaves, structure = jax.tree.flatten(like)
    found = [tensors.get(str(i), np.empty(0)) for i in range(len(leaves))]
    if rows.shape[1:] != NO_ROWS.shape[1:] or [(x.shape, x.dtype) for x in found] != [
        (x.shape, x.dtype) for x in leaves
    ]:
        raise InputError(f"{path}: {OTHER}")
    if len(rows) and not (rows[-1, 0] == document.get("epoch") and np.isfinite(rows[:, (0, -1)]).all()):
        raise InputError(f"{path}: its history does not match the epoch of its state")
    return Saved(jax.tree.unflatten(structure, found), rows)


def data_digest(arrays: Iterable[Any]) -> str:
    """Digest of arrays, any of which may be None."""
    digest = hashlib.blake2b(digest_size=16)
    for x in (np.ascontiguousarray(np.empty(0) if x is None else x) for x in arrays):
        digest.update(repr((x.shape, x.dtype)).encode())
        digest.update(x.data)
    return digest.hexdigest()

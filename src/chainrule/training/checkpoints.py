"""Never losing a run: the state of a training in a folder, from which the same training goes on, bit for bit.

A file is written aside and renamed, and carries a checksum, what it belongs to and the history so far. The last
`KEPT` of them stay, so that where one is damaged the one before it is used. The best parameters are in every state.
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
from chainrule.training.program import State

KEPT = 2
LEAST_SECONDS = 5.0  # between two of them, unless told otherwise,
MOST_TIME = 0.02  # and more where writing takes more than this share
HISTORY = "history"
OTHER = "of a training with other settings; name another folder to begin anew"


class Resumable(NamedTuple):
    """The folder that a training keeps its state in, how often, and what it may go on from.

    Parameters
    ----------
    folder : path           made if it is not there
    every : int, float or None
        Epochs (an int), seconds (a float), or None: so that under 2 % of the time goes there.
    changed_data : bool     whether to go on although the data are not those that the training began with
    """

    folder: str | os.PathLike[str]
    every: int | float | None = None
    changed_data: bool = False


class Saved(NamedTuple):
    """A state, as NumPy arrays, and the rows of the history up to it."""

    state: State
    rows: np.ndarray


@dataclass
class Safe:
    """Where a training keeps its state, what tells it from others, and how it went so far."""

    folder: Path
    digests: dict[str, str]
    every: int | float | None = None
    changed_data: bool = False
    epoch: int = 0  # of the last state that was kept
    written: float = field(default_factory=time.monotonic)
    took: float = 0.0
    trouble: str = ""  # why the last state could not be kept

    def is_due(self, epoch: int) -> bool:
        """Whether the state after `epoch` is to be kept."""
        if isinstance(self.every, int):
            return epoch // self.every > self.epoch // self.every
        wanted = max(LEAST_SECONDS, self.took / MOST_TIME) if self.every is None else self.every
        return time.monotonic() - self.written >= wanted

    def epochs_left(self, done: int) -> int:
        """How many epochs there are until the next state is due, as far as epochs decide it."""
        return self.every - done % self.every if isinstance(self.every, int) else 2**31

    def keep(self, state: State, rows: np.ndarray) -> None:
        """Write the state; where that fails, warn, and leave those before it alone."""
        import jax

        began, epoch = time.monotonic(), int(state.epoch)
        tensors = {str(i): np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))} | {HISTORY: rows}
        path = self.folder / f"epoch-{epoch:010d}.safetensors"
        try:
            write_tensors(path, {"epoch": epoch, **self.digests}, tensors, STATE)
        except InputError as error:
            if not self.trouble:
                warnings.warn(f"{error}; the state to go on from is still that of epoch {self.epoch:,}", stacklevel=2)
            self.trouble = str(error)
        else:
            self.epoch, self.trouble = epoch, ""
            for old in _files(self.folder)[:-KEPT]:
                old.unlink(missing_ok=True)
        self.written = time.monotonic()
        self.took = self.written - began


@contextmanager
def safe_in(resumable: Resumable | str | os.PathLike[str], digests: dict[str, str]) -> Iterator[Safe]:
    """The folder as a safe of this training alone, made if it is not there.

    `digests`, "design" and "data", tell this training from others.

    Raises
    ------
    InputError
        If another process is training there, or if the folder cannot be written.
    """
    wanted = resumable if isinstance(resumable, Resumable) else Resumable(resumable)
    if wanted.every is not None and not wanted.every > 0:
        raise InputError(f"every: expected a number of epochs (int) or seconds (float) above 0, got {wanted.every!r}")
    with locked(Path(wanted.folder)):
        remove_left_aside(wanted.folder)
        yield Safe(Path(wanted.folder), digests, wanted.every, wanted.changed_data)


def newest(safe: Safe, like: State) -> tuple[Saved | None, list[str]]:
    """The newest state that is whole and of this training, and why newer ones were refused; `like` has its structure.

    Raises
    ------
    InputError
        If there are states, and none that could be used.
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
    """The state as NumPy arrays that no one else holds."""
    import jax

    return jax.tree.map(np.array, state)


def resumed(safe: Safe, first: State) -> tuple[State, np.ndarray]:
    """The newest state that is kept and the history up to it; or the first, which is kept then."""
    import jax

    saved, refused = newest(safe, first)
    for why in refused:
        warnings.warn(f"{why}; going on from the state before it", stacklevel=4)
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
            f"{path}: of a training on other data; bring those back, or say that it may go on with these: "
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
        raise InputError(f"{path}: its history is not that of the epochs up to its state")
    return Saved(jax.tree.unflatten(structure, found), rows)


def data_digest(arrays: Iterable[Any]) -> str:
    """Of arrays; None is one of them."""
    digest = hashlib.blake2b(digest_size=16)
    for x in (np.ascontiguousarray(np.empty(0) if x is None else x) for x in arrays):
        digest.update(repr((x.shape, x.dtype)).encode())
        digest.update(x.data)
    return digest.hexdigest()

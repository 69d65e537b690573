"""Checkpoints during a training: those to replay from, and those to resume from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.training.checkpoints import Safe, as_numpy
from chainrule.training.state import State

NEVER = 2**31  # epochs


class Kept:
    """When and where states are saved. `checkpoint` and `keep_every` are those of `Driver.run`; `safe` is a folder."""

    def __init__(self, checkpoint: Callable[[State], None] | None, keep_every: int | None, safe: Safe | None):
        self.checkpoint, self.keep_every, self.safe = checkpoint, keep_every, safe
        self.epoch = -1  # of the last checkpoint to replay from

    def epochs_left(self, done: int) -> int:
        """Epochs until the next resumable checkpoint, if its interval is in epochs."""
        return self.safe.epochs_left(done) if self.safe else NEVER

    def is_due(self, done: int) -> bool:
        """Whether a resumable checkpoint is due after epoch `done`."""
        return self.safe is not None and self.safe.is_due(done)

    def epochs_to_checkpoint(self, done: int) -> int:
        """Epochs until the next checkpoint to replay from."""
        return _next_kept(done, self.keep_every) - done if self.checkpoint else NEVER

    def begins(self, state: State) -> None:
        """Called before the first dispatch."""
        self.epoch = int(state.epoch)
        if self.checkpoint and not self.epoch:
            self.checkpoint(as_numpy(state))

    def after(self, state: State) -> None:
        """Called after a dispatch that completed epochs."""
        done = int(state.epoch)
        if done == _next_kept(done - 1, self.keep_every):
            self._checkpoint(state)

    def keep(self, state: State, rows: np.ndarray) -> None:
        """Write a resumable checkpoint with the history up to it."""
        if self.safe:
            self.safe.keep(as_numpy(state), rows)

    def ends(self, state: State, rows: np.ndarray) -> None:
        """Called after the last dispatch."""
        if self.epoch < int(state.epoch):
            self._checkpoint(state)
        if self.safe and self.safe.epoch < int(state.epoch):
            self.keep(state, rows)

    def _checkpoint(self, state: State) -> None:
        if self.checkpoint:
            self.checkpoint(as_numpy(state))
            self.epoch = int(state.epoch)


def _next_kept(done: int, keep_every: int | None) -> int:
    """The next epoch after `done` with a checkpoint: a power of two, or a multiple of `keep_every`."""
    power = 1 << done.bit_length()
    return min(power, (done // keep_every + 1) * keep_every) if keep_every else power

"""Replay of a past update: the same program repeats the updates before it, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.driver import Driver
from chainrule.network import Params
from chainrule.training.batches import bucket
from chainrule.training.dropout import dropped, keep
from chainrule.training.history import NO_ROWS
from chainrule.training.memory import InMemory, checked_order
from chainrule.training.state import Span, State


class Before(NamedTuple):
    """What an update starts from: parameters, rule state, its rows in order, dropout masks; and updates per epoch."""

    params: Params
    rule_state: Any
    rows: np.ndarray
    keep: tuple[Any, ...]
    updates: int


def go_to(driver: Driver, epoch: int, step: int = 1, checkpoints: Sequence[State] = ()) -> None:
    """Repeat the training up to update `step` of `epoch` (both from 1), from the nearest checkpoint before it.

    Raises
    ------
    ValueError
        If there is no such update.
    """
    updates = driver.updates_per_epoch
    if epoch < 1 or not 1 <= step <= updates:
        raise ValueError(f"expected an epoch from 1 and an update from 1 to {updates}; got {epoch} and {step}")
    start = max((c for c in checkpoints if int(c.epoch) < epoch), key=lambda c: int(c.epoch), default=driver.start)
    with driver.precision():
        driver.go_on_from(start, NO_ROWS)  # repeated epochs are not part of the history
        while driver.epochs < epoch - 1:
            k = min(driver.executor.room, epoch - 1 - driver.epochs)
            if not driver.advance(Span(k)) or driver.reason:
                raise ValueError(f"epoch {epoch} was not trained: training ended after epoch {driver.epochs}")
        if step > 1:
            driver.advance(Span(0, 0, step - 1))


def order_at(driver: Driver, epoch: int) -> np.ndarray:
    """The row numbers of an epoch (from 1) in their order; a ValueError if the rows are not in memory."""
    executor = driver.executor
    if not isinstance(executor, InMemory):
        raise ValueError("the update cannot be explained: its rows are in files or distributed over several devices")
    return np.arange(executor.rows) if executor.batch is None else checked_order(executor.order(epoch), executor.rows)


def next_update(driver: Driver) -> Before:
    """What the next update starts from; a ValueError if the rows are not in memory."""
    import jax

    settings, epoch, step = driver.settings, driver.epochs + 1, driver.at.updates
    n, batch, rows = driver.executor.rows, driver.executor.batch, order_at(driver, epoch)
    rows = rows if batch is None else rows[step * batch : (step + 1) * batch]
    with driver.precision():
        drops, size = dropped(settings.dropout), batch or bucket(n)
        masks = keep(settings.network, drops, driver.at.begin.seed, epoch, step, size, settings.dtype)
    masks = tuple(None if k is None else np.asarray(k)[: len(rows)] for k in masks)
    params, rule_state = jax.tree.map(np.array, (driver.at.now.params, driver.at.now.rule_state))
    return Before(params, rule_state, rows, masks, driver.updates_per_epoch)

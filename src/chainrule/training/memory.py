"""The executor for rows in memory: whole epochs of a compiled program on one device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule.maths.arrays import Array
from chainrule.network import Params
from chainrule.training.arguments import arguments_of, shape_of_settings
from chainrule.training.batches import checked_table, on_device, order_of, room_for
from chainrule.training.checkpoints import data_digest
from chainrule.training.compiling import SMALL_PASS
from chainrule.training.program import EPOCHS_PER_DISPATCH, program, with_evaluated
from chainrule.training.settings import TrainingSettings
from chainrule.training.state import Moment, Span, State, Sums, first_state

ORDERS_PER_DISPATCH = 2**20
TINY = 10_000  # multiplications of a forward pass up to which its operations are compiled into one function,
SHALLOW = 5  # and layers of weights; with more, XLA takes minutes to compile it


class Looked(NamedTuple):
    """The driver's observations and decisions between two dispatches; the same in all processes."""

    epochs: int  # to dispatch next
    seconds: float
    is_due: bool  # whether a checkpoint is due
    pressed: bool
    terminated: bool


class Executor(Protocol):
    """Executes the updates of a training: in memory, on files of rows, or over devices and processes.

    Attributes
    ----------
    rows : int
        Training rows of all processes.
    batch : int or None
        Rows per update; None for all.
    room : int
        Maximum number of epochs per dispatch.
    together : bool
        Whether the rows are distributed over several processes or devices.
    """

    rows: int
    room: int
    together: bool

    @property
    def batch(self) -> int | None: ...

    def first(self) -> State:
        """The state before the first update."""
        ...

    def run(self, at: Moment, span: Span, settings: TrainingSettings) -> tuple[State, Sums, Array]:
        """Make the updates of a span; returns the state, the sums of an unfinished epoch and history rows."""
        ...

    def digest(self) -> str:
        """Digest of the data."""
        ...

    def agreed(self, looked: Looked) -> Looked:
        """Reach the same decision in all processes."""
        ...


class Rows(NamedTuple):
    """Training rows as arrays (n, n_in), (n, n_out) and (n,), and validation rows as a tuple of the same."""

    X: Any
    Y: Any
    weights: Any = None
    validation: tuple[Any, ...] | None = None


class InMemory:
    """The executor for rows in memory. See `Executor`."""

    together = False

    def __init__(
        self,
        settings: TrainingSettings,
        params: Params,
        rows: Rows,
        order: Callable[[int], np.ndarray] | None = None,
    ):
        network, dtype = settings.network, settings.dtype
        table = checked_table(network, rows.X, rows.Y, rows.weights, dtype, "training")
        held = None
        if rows.validation is not None:
            held = checked_table(network, *three(rows.validation), dtype, "validation")
        self.settings, self.params, self.given = settings, params, rows
        self.rows = n = len(table.X)
        self.batch = settings.batch_of(n)
        self.data = on_device(table, room_for(n, self.batch))
        self.held = None if held is None else on_device(held)
        self.order = order or partial(order_of, settings.seed, n=n, sample=settings.sample)
        self.slots = order_slots(n, self.batch)
        self.room = len(self.slots)
        self.tiny = (self.batch or n) * network.n_weights <= TINY and len(params) <= SHALLOW
        self.quickly = n * network.n_weights <= SMALL_PASS

    def first(self) -> State:
        state = first_state(self.settings, self.params, self.held is not None)
        return state if self.batch else with_evaluated(state, self.settings, self.data)

    def run(self, at: Moment, span: Span, settings: TrainingSettings) -> tuple[State, Sums, Array]:
        fill_orders(self.slots, self.order, self.batch, self.rows, at, span)
        run = program(shape_of_settings(settings), self.batch, self.tiny, span.divides, self.quickly)
        counts = np.int32(self.rows), Span(*map(np.int32, span))
        return run(*at[:3], self.data, self.held, self.slots, *counts, arguments_of(settings))

    def digest(self) -> str:
        X, Y, weights, validation = self.given
        return data_digest((X, Y, weights, *(validation or ())))

    def agreed(self, looked: Looked) -> Looked:
        return looked


def check_validation(validation: Any) -> None:
    """Raise a TypeError unless `validation` is None or a tuple of two or three arrays."""
    if validation is not None and not (isinstance(validation, tuple | list) and len(validation) in (2, 3)):
        raise TypeError("validation: expected (X, Y) or (X, Y, weights)")


def three(validation: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Complete (X, Y) or (X, Y, weights) to three elements."""
    return (*validation, None) if len(validation) == 2 else validation  # pyright: ignore[reportReturnType]


def order_slots(n: int, batch: int | None) -> np.ndarray:
    """Array for the row orders of one dispatch: (epochs, rows), padded to whole batches."""
    if batch is None:
        return np.zeros((EPOCHS_PER_DISPATCH, 0), np.int32)
    rows = -(-room_for(n, batch) // batch) * batch
    return np.zeros((max(1, min(EPOCHS_PER_DISPATCH, ORDERS_PER_DISPATCH // rows)), rows), np.int32)


def fill_orders(
    slots: np.ndarray, order: Callable[[int], np.ndarray], batch: int | None, n: int, at: Moment, span: Span
) -> None:
    """Write the row orders of a span's epochs into the slots."""
    if batch is None:
        return
    epoch = int(at.begin.epoch) + 1
    for i in range(max(1, span.epochs)):
        slots[i, :n] = checked_order(order(epoch + i), n)


def checked_order(order: np.ndarray, n: int) -> np.ndarray:
    """Return the row numbers of an epoch, or raise a ValueError."""
    if np.shape(order) != (n,) or np.min(order) < 0 or np.max(order) >= n:
        raise ValueError(f"order: expected {n} row numbers from 0 to {n - 1}, got an array of shape {np.shape(order)}")
    return order

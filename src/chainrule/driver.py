r"""The one host loop: it dispatches updates to an executor, a fraction of a second at a time, until a goal is met.

Python looks at the clock and at the keyboard in between. An executor has its rows in memory, in files, or over devices
and processes; the order of the rows is a function of the seed and the epoch alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import InputError
from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Network, Params
from chainrule.scaling.agreement import check_same, of_first
from chainrule.scaling.devices import OverDevices
from chainrule.scaling.processes import is_first, one_fate
from chainrule.scaling.streaming import InFiles, InShards, check_streamable, is_names, scattered
from chainrule.training.checkpoints import Resumable, Safe, as_numpy, newest, resumed, safe_in
from chainrule.training.goals import Stop
from chainrule.training.history import NO_ROWS, appended
from chainrule.training.interrupts import Keyboard, interruptible
from chainrule.training.keeping import Kept
from chainrule.training.memory import Executor, InMemory, Looked, Rows, check_validation
from chainrule.training.result import Fit, Progress, Terminated, checked, finished, reason_name
from chainrule.training.rules import Rule
from chainrule.training.settings import TrainingSettings, design_digest
from chainrule.training.state import RUNNING, Moment, Span, State, at_beginning

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float

SECONDS_PER_DISPATCH = 0.2
FIRST_DISPATCH = 5e7  # multiplications, about, of the epochs that are dispatched before any time is known


def train(
    network: Network,
    params: Params,
    X: Float[Array, "n n_in"] | Iterable[pa.RecordBatch],
    Y: Float[Array, "n n_out"] | Sequence[str],
    *,
    rule: Rule,
    batch_size: int | None = None,
    epochs: int = 100,
    stop: Sequence[Stop] = (),
    seed: int = 0,
    dtype: str = "float32",
    weights: Float[Array, " n"] | str | None = None,
    validation: tuple[Array, ...] | None = None,
    sample: str = "permutation",
    order: Callable[[int], np.ndarray] | None = None,
    dropout: float = 0.0,
    average: float = 0.0,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: Callable[[State], None] | None = None,
    keep_every: int | None = None,
    resumable: Resumable | str | os.PathLike[str] | None = None,
    together: bool = False,
) -> Fit:
    """Train until a goal is met.

    Parameters
    ----------
    network, params
        The design and the first parameters, from `initialize`.
    X, Y, weights
        Inputs, targets, and optional observation weights. Or Arrow record batches, any iterable of them, the names
        of their target columns, and the name of the column of weights: the other columns are the inputs. They may be
        more than memory holds: see `chainrule.scaling.streaming`.
    rule
        From `gradient_descent`, `optax_rule`, or any optax transformation.
    batch_size
        None: the whole table (batch gradient descent); 1: one observation at a time; else mini-batches.
    epochs
        At most so many passes over the table.
    stop
        Goals: `CostGoal`, `MinGradient`, `Unchanged`, `NoImprovement`, `MaxSeconds`, or your own. Where
        several are met in one epoch, the first in the list is named.
    seed, sample
        The order of the rows: a fresh "permutation" every epoch, or draws "with_replacement".
    dtype
        "float32" or "float64"; the caller's JAX configuration is left alone.
    validation
        (X, Y) or (X, Y, weights): rows that are not trained on. Their cost is taken every epoch and the
        parameters with the lowest are returned.
    order
        epoch (from 1) -> row numbers, instead of the order made from `seed`.
    dropout
        The share of the hidden nodes that each update leaves out: see `chainrule.training.dropout`. The training
        cost is then that of the thinned network; validation and the returned parameters are of the whole one.
    average
        The decay of an average over the updates, such as 0.998: see `chainrule.training.averaging`. It is the average
        that is validated and returned; the training cost is that of the parameters themselves.
    progress
        Called a few times a second.
    checkpoint, keep_every
        Called with the state (as NumPy arrays) before the first epoch, after epochs 1, 2, 4, 8 ..., every
        `keep_every` epochs, and the last; `replay` goes on from the nearest.
    resumable
        A folder in which the state is kept, or a `Resumable`, which says how often. The same call, after it was cut
        off, goes on from there and ends with the same numbers, bit for bit; it may ask for more `epochs`. SIGTERM
        finishes the epoch, keeps the state and raises `Terminated`, a SystemExit.
    together
        Whether the processes of `jax.distributed` train one network, each with its own rows: all their rows, in the
        order of the processes, are the table, and so are the validation rows. All call `train` with the same
        arguments but for the rows, and all get the same fit, that of one process with the whole table but for
        rounding: see `chainrule.scaling.devices`. Also for several devices of one process.

    Returns
    -------
    Fit
        With the whole table per update, `history.cost` and `gradient_norm` are those of the parameters at the
        epoch's end. With mini-batches they are taken over the epoch's batches, each before its own update: the
        average cost, and the root mean square of the gradients' norms (only where a goal looks at it, else NaN); an
        L2 penalty is that of the parameters at the epoch's end. `fit.cost_is` says which.

    Raises
    ------
    DivergedError
        If the cost turns NaN or infinite; its `fit` has the last good parameters.
    ValueError
        If shapes, values or settings do not fit; an `InputError`, which is one, if `resumable` holds the states of
        another training, or if another process is training there.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
    >>> Y = np.array([[0], [1], [1], [0.0]])
    >>> network = cr.Network([2, 3, 1], "tanh", "half_squared_error", reduction="sum")
    >>> fit = cr.train(network, cr.initialize(network, seed=1), X, Y, rule=cr.gradient_descent(0.2),
    ...                epochs=2000, stop=[cr.CostGoal(0.001)])
    >>> fit.stopped_by
    'cost_goal'
    """
    settings = TrainingSettings(
        network,
        rule,
        batch_size,
        epochs,
        stop,  # pyright: ignore[reportArgumentType]
        seed=seed,
        dtype=dtype,
        dropout=dropout,
        average=average,
        sample=sample,
    )
    run = {"progress": progress, "checkpoint": checkpoint, "keep_every": keep_every, "resumable": resumable}
    check_validation(validation)
    settings.check_validated(validation is not None)
    if is_names(Y):
        check_streamable(settings, order, checkpoint, together)
        with scattered(settings, X, Y, weights, validation) as shards:  # pyright: ignore[reportArgumentType]
            return train_on(settings, params, InFiles(*shards), **run)
    return train_on(settings, params, Rows(X, Y, weights, validation), order=order, together=together, **run)


def train_on(
    settings: TrainingSettings,
    params: Params,
    rows: Rows | InFiles,
    *,
    order: Callable[[int], np.ndarray] | None = None,
    together: bool = False,
    **run: Any,
) -> Fit:
    """`train`, for settings that are a record; `run` are the arguments of `Driver.run`."""
    return Driver(settings, params, rows, order=order, together=together).run(**run)


class Driver:
    """A training and where it is: `at`, the state and the updates of this epoch; `course`, the rows of its history."""

    def __init__(
        self,
        settings: TrainingSettings,
        params: Params,
        rows: Rows | InFiles,
        *,
        order: Callable[[int], np.ndarray] | None = None,
        together: bool = False,
    ):
        shapes.check_params(settings.network.layers, params)
        self.settings = self._began_as = settings
        self.given = params
        with self.precision():
            self.executor: Executor = (
                InShards(settings, params, *rows)
                if isinstance(rows, InFiles)
                else (OverDevices if together else InMemory)(settings, params, rows, order)
            )
            self.at = at_beginning(self.executor.first())
        self.course, self.seconds = NO_ROWS, 0.0
        self.start = self.at.begin

    def begin_from(self, state: State) -> None:
        """Another state before the first epoch, such as that of a checkpoint."""
        with self.precision():
            import jax

            self.start = jax.device_put(state)
            self.at = at_beginning(self.start)

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return int(self.at.begin.epoch)

    @property
    def reason(self) -> int:
        """Why training ended, RUNNING if it has not: see `State`."""
        return int(self.at.begin.reason)

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time limit is reached."""
        return self.seconds >= self.settings.seconds

    @property
    def updates_per_epoch(self) -> int:
        """Updates of one epoch."""
        return 1 if self.executor.batch is None else -(-self.executor.rows // self.executor.batch)

    def advance(self, span: Span, began: float | None = None) -> int:
        """Make the updates of a span, and return how many epochs ended; `began` is where the seconds count from."""
        since = time.perf_counter() - self.seconds if began is None else began
        before = self.epochs
        state, sums, block = self.executor.run(self.at, span, self.settings)
        if span.epochs:
            self.at = at_beginning(state)
        else:
            self.at = Moment(self.at.begin, state, sums, span.last)
        block, ran = np.asarray(block, np.float64), self.epochs - before
        now = time.perf_counter() - since
        numbers = np.arange(before + 1, before + ran + 1)
        times = np.linspace(self.seconds, now, ran + 1)[1:]
        self.course = appended(self.course, np.column_stack([numbers, block[:ran], times])) if ran else self.course
        self.seconds = now
        return ran

    def step(self) -> None:
        """Make one update, whether or not a goal is met."""
        with self.precision():
            self.go_on()
            done = self.at.updates + 1
            if done == self.updates_per_epoch:
                self.advance(Span(1, self.at.updates))
            else:
                self.advance(Span(0, self.at.updates, done))

    def epoch(self) -> None:
        """Make the updates that are left of this epoch, whether or not a goal is met."""
        with self.precision():
            self.go_on()
            self.advance(Span(1, self.at.updates))

    def go_on(self) -> None:
        """Forget the goal that was met."""
        if self.reason != RUNNING:
            state = self.at.begin
            self.at = at_beginning(state._replace(reason=np.zeros_like(state.reason)))

    def run(
        self,
        epochs: int | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
        checkpoint: Callable[[State], None] | None = None,
        keep_every: int | None = None,
        resumable: Resumable | str | os.PathLike[str] | None = None,
        until: Callable[[], bool] | None = None,
    ) -> Fit:
        """Train until a goal is met, or up to `epochs` epochs in all; the other parameters are those of `train`.

        Parameters
        ----------
        until : callable, optional
            Asked after every epoch; True ends the training.

        Raises
        ------
        DivergedError, InputError, Terminated
            As `train`.
        """
        epochs = self.settings.epochs if epochs is None else epochs
        with (
            self.precision(),
            interruptible(terminable=resumable is not None) as keyboard,
            ExitStack() as stack,
        ):
            if self.executor.together:
                check_same(f"{design_digest(self.settings, self.given)} {epochs}")
            safe = None if resumable is None else self._resumed(stack, resumable)
            kept = Kept(checkpoint, keep_every, safe)
            looked = self._drive(epochs, keyboard, kept, progress, until)
            if looked.terminated and self.epochs < epochs and self.reason == RUNNING:
                raise Terminated(safe.epoch if safe else 0)
            pressed = looked.pressed and self.epochs < epochs
            return checked(self.fit(pressed))

    def fit(self, interrupted: bool = False) -> Fit:
        """What was trained so far; of an unfinished epoch nothing."""
        stopped_by = reason_name(self.reason, self.settings.stop, self.is_out_of_time, interrupted)
        return finished(self.at.begin, self.course, stopped_by, self.settings.network, self.executor.batch)

    def _drive(
        self,
        epochs: int,
        keyboard: Keyboard,
        kept: Kept,
        progress: Callable[[Progress], None] | None,
        until: Callable[[], bool] | None,
    ) -> Looked:
        """Dispatch epochs until the program or the clock says stop; what was seen last."""
        work = self.executor.rows * self.settings.network.n_weights
        limit, began = self.settings.seconds, time.perf_counter() - self.seconds
        kept.begins(self.at.begin)

        def look(k: int) -> Looked:
            k = min(k, kept.epochs_left(self.epochs))
            looked = Looked(k, self.seconds, kept.is_due(self.epochs), keyboard.pressed, keyboard.terminated)
            return self.executor.agreed(looked)

        looked = look(max(1, int(FIRST_DISPATCH / (3 * work))) if limit == np.inf else 1)
        while self.epochs < epochs and self.reason == RUNNING and not looked.pressed and self.seconds < limit:
            k = min(looked.epochs, self.executor.room, epochs - self.epochs, kept.epochs_to_checkpoint(self.epochs))
            k = 1 if until else k
            started = time.perf_counter()
            ran = self.advance(Span(k, self.at.updates), began)
            spent = time.perf_counter() - started
            if ran:
                kept.after(self.at.begin)
            if progress and ran:
                _, cost, held_cost = self.course[-1, :3]
                progress(Progress(self.epochs, epochs, cost, held_cost, self.seconds))
            looked = look(_next_count(k, spent, limit - self.seconds))
            self.seconds = looked.seconds
            if looked.is_due:
                kept.keep(self.at.begin, self.course)
            if until and until():
                break
        kept.ends(self.at.begin, self.course)
        return looked

    def change_rule(self, rule: Rule) -> None:
        """Another learning rate, from the next update on.

        Raises
        ------
        ValueError
            If the rule would need another state than the one that it has.
        """
        import jax

        with self.precision():
            state, params = self.at.now.rule_state, self.at.begin.params
            if jax.tree.structure(jax.eval_shape(rule.init, params)) != jax.tree.structure(state):
                raise ValueError("learning_rate: a number cannot take the place of a schedule of this rule, or back")
        self.settings = replace(self.settings, rule=rule)

    def save(self, folder: Path) -> None:
        """Keep the state in a folder; a ValueError in the middle of an epoch."""
        if self.at.updates:
            raise ValueError(
                f"update {self.at.updates} of {self.updates_per_epoch} of an epoch: a state is kept between epochs; "
                "call epoch() first"
            )
        with self.precision(), safe_in(folder, self._digests()) as safe:
            newest(safe, self.start)  # refuses the states of another training
            safe.keep(as_numpy(self.at.begin), self.course)
            if safe.trouble:
                raise InputError(safe.trouble)

    def resume(self, folder: Path) -> None:
        """Go on from the newest state in a folder; an InputError if there is none of this training."""
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder with the states of a training; there is none")
        with self.precision(), safe_in(folder, self._digests()) as safe:
            saved, _ = newest(safe, self.start)
            if saved is None:
                raise InputError(f"{folder}: holds no state of a training")
            self.go_on_from(saved.state, saved.rows)

    def go_on_from(self, state: State, rows: np.ndarray) -> None:
        """Another state to go on from, and the rows of the history up to it."""
        self.at, self.course = at_beginning(state), rows
        self.seconds = rows[-1, -1] if len(rows) else 0.0

    def _digests(self) -> dict[str, str]:
        """What tells this training from others."""
        return {"design": design_digest(self._began_as, self.given), "data": self.executor.digest()}

    def _resumed(self, stack: ExitStack, resumable: Resumable | str | os.PathLike[str]) -> Safe | None:
        """The folder of states, held until the stack ends; from here on the newest of them is where training is."""
        together, first = self.executor.together, self.at.begin
        digests = self._digests()
        with one_fate() if together else nullcontext():
            safe = stack.enter_context(safe_in(resumable, digests)) if not together or is_first() else None
            state, rows = resumed(safe, first) if safe else (first, NO_ROWS)
        if together:
            state, rows = of_first(state, rows)
        self.go_on_from(state, rows)
        return safe

    def precision(self) -> Any:
        import jax

        return jax.enable_x64(self.settings.dtype == "float64")


def _next_count(k: int, spent: float, left: float) -> int:
    """How many epochs to dispatch next: so many that Python looks up a few times a second."""
    wanted = min(SECONDS_PER_DISPATCH, left)
    return max(1, min(4 * k, int(k * wanted / max(spent, 1e-6))))

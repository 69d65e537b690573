r"""The host loop: it dispatches updates to an executor, a fraction of a second at a time, until a goal is met.

Between dispatches, Python checks the time limit and handles Ctrl-C. An executor has its rows in memory, in files, or
distributed over devices and processes; the order of the rows depends on the seed and the epoch alone.
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
FIRST_DISPATCH = 5e7  # approximate number of multiplications of the first dispatch, whose duration is unknown


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
    """Train a network until a goal is met or the maximum number of epochs is reached.

    Parameters
    ----------
    network : Network
    params : tuple of Layer
        The initial parameters, from `initialize`.
    X : array of shape (n_rows, n_in) or iterable of Arrow record batches
        Inputs. Record batches also contain targets and weights; their other columns are the inputs, and they may
        exceed memory: see `chainrule.scaling.streaming`.
    Y : array of shape (n_rows, n_out), or str or sequence of str
        Targets; for record batches, the names of their columns.
    rule : Rule
        From `gradient_descent`, `optax_rule`, or any optax transformation.
    batch_size : int, optional
        Rows per update; by default the whole table (batch gradient descent).
    epochs : int, default=100
        Maximum number of epochs.
    stop : sequence of Stop, default=()
        Goals: `CostGoal`, `MinGradient`, `Unchanged`, `NoImprovement`, `MaxSeconds`, or your own. If several are met
        in one epoch, `stopped_by` is the first in the sequence.
    seed : int, default=0
        Seed of the row order and of dropout.
    dtype : {"float32", "float64"}, default="float32"
        The caller's JAX configuration is not changed.
    weights : array of shape (n_rows,) or str, optional
        Observation weights; for record batches, the name of their column.
    validation : tuple (X, Y) or (X, Y, weights), optional
        Rows that are not trained on. Their cost is measured after every epoch, and the parameters with the lowest
        validation cost are returned.
    sample : {"permutation", "with_replacement"}, default="permutation"
        Shuffle the rows in every epoch, or draw them with replacement.
    order : callable, optional
        epoch (from 1) -> array of row numbers, in place of the order derived from `seed`.
    dropout : float, default=0.0
        Share of the hidden nodes that each update drops: see `chainrule.training.dropout`. The training cost is that
        of the thinned network; validation costs and returned parameters are those of the full network.
    average : float, default=0.0
        Decay of a moving average of the parameters, such as 0.998: see `chainrule.training.averaging`. The average
        is validated and returned; the training cost is that of the parameters themselves.
    progress : callable, optional
        Called with a `Progress` a few times a second.
    checkpoint : callable, optional
        Called with the state, as NumPy arrays, before the first epoch, after epochs 1, 2, 4, 8, ..., every
        `keep_every` epochs, and after the last; `chainrule.replay` starts from the nearest.
    keep_every : int, optional
        Epochs between checkpoints, in addition to the powers of two.
    resumable : path or Resumable, optional
        A folder for checkpoints to resume from. If the training is interrupted, the same call resumes it and ends
        with the same numbers, bit for bit; only `epochs` may be larger. On SIGTERM, the epoch is finished, its
        checkpoint is written and `Terminated`, a SystemExit, is raised.
    together : bool, default=False
        Train one network on all devices of this process, or of all processes of `jax.distributed`, each with its own
        rows. The table is the rows of all processes, in the order of the processes. Every process calls `train` with
        the same arguments except for the rows, and gets the same fit, equal up to rounding to that of one process
        with the whole table: see `chainrule.scaling.devices`.

    Returns
    -------
    Fit
        If each update uses the whole table, `history.cost` and `gradient_norm` are measured at the end of the epoch.
        With mini-batches, they are the average cost of the epoch's batches, each before its own update, and the root
        mean square of the gradient norms (NaN unless a goal needs them); an L2 penalty is that of the parameters at
        the end of the epoch. `fit.cost_is` states which.

    Raises
    ------
    DivergedError
        If the cost becomes NaN or infinite; its `fit` has the last finite parameters.
    ValueError, TypeError
        If shapes, values or settings are invalid.
    InputError
        If `resumable` contains checkpoints of another training, or is in use by another process.
    Terminated
        After SIGTERM, if `resumable` is given.

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
    """Train with given `TrainingSettings`; `run` are arguments of `Driver.run`."""
    return Driver(settings, params, rows, order=order, together=together).run(**run)


class Driver:
    """A training in progress: `at` is its state, including updates of an unfinished epoch, `course` its history."""

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
        """Replace the state before the first epoch, for instance by that of a checkpoint."""
        with self.precision():
            import jax

            self.start = jax.device_put(state)
            self.at = at_beginning(self.start)

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return int(self.at.begin.epoch)

    @property
    def reason(self) -> int:
        """Why training ended, or RUNNING: see `State`."""
        return int(self.at.begin.reason)

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time limit is reached."""
        return self.seconds >= self.settings.seconds

    @property
    def updates_per_epoch(self) -> int:
        """Number of updates per epoch."""
        return 1 if self.executor.batch is None else -(-self.executor.rows // self.executor.batch)

    def advance(self, span: Span, began: float | None = None) -> int:
        """Make the updates of a span and return how many epochs ended; `began` is the start time of the clock."""
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
        """Make the remaining updates of this epoch, whether or not a goal is met."""
        with self.precision():
            self.go_on()
            self.advance(Span(1, self.at.updates))

    def go_on(self) -> None:
        """Clear the goal that was met, so that training can continue."""
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
        """Train until a goal is met or `epochs` epochs are complete in total; see `train` for the other parameters.

        `until` is called after every epoch and ends the training by returning True.
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
        """Return the result so far, without the updates of an unfinished epoch."""
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
        """Dispatch epochs until a goal, the time limit or an interrupt ends the loop."""
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
        """Replace the rule from the next update on; a ValueError if its state has another structure."""
        import jax

        with self.precision():
            state, params = self.at.now.rule_state, self.at.begin.params
            if jax.tree.structure(jax.eval_shape(rule.init, params)) != jax.tree.structure(state):
                raise ValueError(
                    "learning_rate: in this rule, a number cannot be replaced by a schedule, nor a schedule by a number"
                )
        self.settings = replace(self.settings, rule=rule)

    def save(self, folder: Path) -> None:
        """Write a checkpoint into a folder; a ValueError within an epoch."""
        if self.at.updates:
            raise ValueError(
                f"cannot save after update {self.at.updates} of {self.updates_per_epoch} of an epoch: checkpoints are "
                "written between epochs; call epoch() first"
            )
        with self.precision(), safe_in(folder, self._digests()) as safe:
            newest(safe, self.start)  # refuses checkpoints of another training
            safe.keep(as_numpy(self.at.begin), self.course)
            if safe.trouble:
                raise InputError(safe.trouble)

    def resume(self, folder: Path) -> None:
        """Resume from the newest checkpoint in a folder; an InputError if it has none of this training."""
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder with checkpoints of a training; it does not exist")
        with self.precision(), safe_in(folder, self._digests()) as safe:
            saved, _ = newest(safe, self.start)
            if saved is None:
                raise InputError(f"{folder}: contains no checkpoint of a training")
            self.go_on_from(saved.state, saved.rows)

    def go_on_from(self, state: State, rows: np.ndarray) -> None:
        """Continue from another state, with the history up to it."""
        self.at, self.course = at_beginning(state), rows
        self.seconds = rows[-1, -1] if len(rows) else 0.0

    def _digests(self) -> dict[str, str]:
        """Digests that identify this training."""
        return {"design": design_digest(self._began_as, self.given), "data": self.executor.digest()}

    def _resumed(self, stack: ExitStack, resumable: Resumable | str | os.PathLike[str]) -> Safe | None:
        """Lock the folder of checkpoints until the stack ends, and continue from the newest of them."""
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
        """A context in which JAX computes in the dtype of the settings."""
        import jax

        return jax.enable_x64(self.settings.dtype == "float64")


def _next_count(k: int, spent: float, left: float) -> int:
    """How many epochs to dispatch next, so that control returns to Python a few times a second."""
    wanted = min(SECONDS_PER_DISPATCH, left)
    return max(1, min(4 * k, int(k * wanted / max(spent, 1e-6))))

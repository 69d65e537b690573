"""Interactive training: one update or one epoch at a time, inspected and adjusted in between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.driver import Driver
from chainrule.explaining import Explanation
from chainrule.explaining.replayed import trace_next
from chainrule.explaining.story import Opened, Story
from chainrule.explaining.trace import names_of
from chainrule.network import Network, Params
from chainrule.replay import next_update
from chainrule.training.checkpoints import Resumable
from chainrule.training.history import History, history_of
from chainrule.training.memory import Rows
from chainrule.training.result import Fit, Progress, checked
from chainrule.training.rules import Rule, rule_words, with_checked_rate
from chainrule.training.settings import TrainingSettings
from chainrule.training.state import DIVERGED, RUNNING, State

if TYPE_CHECKING:
    from jaxtyping import Float

    from chainrule.maths.arrays import Array


class EpochRecord(NamedTuple):
    """One row of the history: the measurements at the end of an epoch, NaN where not measured.

    Attributes
    ----------
    epoch : int
    cost, validation_cost, validation_metric, gradient_norm, learning_rate, seconds : float
    """

    epoch: int
    cost: float
    validation_cost: float
    validation_metric: float
    gradient_norm: float
    learning_rate: float
    seconds: float


class Training:
    """An interactive training, advanced one update, one epoch or several epochs at a time.

    However a training is divided into steps, epochs and runs, its numbers are the same as those of `train`, bit for
    bit. Iterating over a `Training` yields one `EpochRecord` per epoch.

    Parameters
    ----------
    network : Network
    params : tuple of Layer
        The initial parameters, from `initialize`.
    X : array of shape (n_rows, n_in)
    Y : array of shape (n_rows, n_out)
    rule : Rule
        From `gradient_descent`, `optax_rule`, or any optax transformation.
    weights : array of shape (n_rows,), optional
        Observation weights.
    validation : tuple (X, Y) or (X, Y, weights), optional
        Rows that are not trained on.
    order : callable, optional
        epoch (from 1) -> array of row numbers, in place of the order derived from the seed.
    **settings
        batch_size, epochs, stop, seed, dtype, sample, dropout and average, as in `train`.

    Raises
    ------
    ValueError, TypeError
        If shapes, values or settings are invalid.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([[0], [1], [1], [0.0]])
    >>> network = cr.Network([2, 3, 1], "tanh")
    >>> first, rule = cr.initialize(network, seed=1), cr.gradient_descent(0.2)
    >>> training = cr.Training(network, first, X, Y, rule=rule, batch_size=2)
    >>> training.step()
    >>> training.epochs, training.updates
    (0, 1)
    >>> record = training.epoch()
    >>> training.learning_rate = 0.05
    >>> fit = training.run(20)
    >>> training.epochs, training.history.learning_rate[-1].round(3)
    (21, np.float64(0.05))
    """

    def __init__(
        self,
        network: Network,
        params: Params,
        X: Float[Array, "n n_in"],
        Y: Float[Array, "n n_out"],
        *,
        rule: Rule,
        weights: Float[Array, " n"] | None = None,
        validation: tuple[Any, ...] | None = None,
        order: Callable[[int], np.ndarray] | None = None,
        **settings: Any,
    ):
        weights = None if weights is None else np.asarray(weights)
        self._rows = Rows(np.asarray(X), np.asarray(Y), weights, validation)
        made = TrainingSettings(network, rule, **settings)
        made.check_validated(validation is not None)
        self._driver = Driver(made, params, self._rows, order=order)

    def __repr__(self) -> str:
        return f"Training({self.network}; epoch {self.epochs:,}, {rule_words(self._driver.settings.rule)})"

    @property
    def network(self) -> Network:
        """The design of the network."""
        return self._driver.settings.network

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return self._driver.epochs

    @property
    def updates(self) -> int:
        """Number of updates made in the current epoch."""
        return self._driver.at.updates

    @property
    def params(self) -> Params:
        """The current parameters, as NumPy arrays; their moving average if the training keeps one."""
        import jax

        return jax.tree.map(np.array, self._driver.at.now.answering)

    @property
    def state(self) -> State:
        """The state before the next update: parameters, rule state, best parameters so far, average."""
        return self._driver.at.now

    @property
    def history(self) -> History:
        """The history of the completed epochs."""
        return history_of(self._driver.course)

    @property
    def fit(self) -> Fit:
        """The result so far, as returned by `train`; updates of an unfinished epoch are not included."""
        return self._driver.fit()

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next update, or its schedule. Setting it does not recompile anything.

        Raises
        ------
        ValueError
            When it is set: if the value is invalid, or a number replaces a schedule whose rule needs one, or if the
            rule does not expose its learning rate.
        """
        return getattr(self._driver.settings.rule, "learning_rate", None)

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self._driver.change_rule(with_checked_rate(self._driver.settings.rule, learning_rate))

    def step(self) -> None:
        """Make one update, whether or not a goal is met.

        Raises
        ------
        DivergedError
            If the cost becomes NaN or infinite; it is measured at the end of each epoch.
        """
        self._driver.step()
        self._check()

    def epoch(self) -> EpochRecord:
        """Make the remaining updates of this epoch, whether or not a goal is met.

        Returns
        -------
        EpochRecord

        Raises
        ------
        DivergedError
            If the cost becomes NaN or infinite.
        """
        self._driver.epoch()
        self._check()
        return self._last()

    def run(
        self,
        epochs: int | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
        stop_on: Callable[[Training], bool] | None = None,
        resumable: Resumable | str | os.PathLike[str] | None = None,
    ) -> Fit:
        """Train until a goal is met or the maximum number of epochs is reached.

        Parameters
        ----------
        epochs : int, optional
            Number of further epochs; by default the remainder of the maximum in the settings.
        progress : callable, optional
            Called with a `Progress` a few times a second.
        stop_on : callable, optional
            Called with the training after every epoch; training ends if it returns True.
        resumable : path or Resumable, optional
            A folder for checkpoints to resume from, as in `train`.

        Returns
        -------
        Fit

        Raises
        ------
        DivergedError, InputError, Terminated
            As `train`.
        """
        most = self._driver.settings.epochs if epochs is None else self.epochs + epochs
        self._driver.go_on()
        until = None if stop_on is None else partial(stop_on, self)
        return self._driver.run(most, progress=progress, resumable=resumable, until=until)

    def __iter__(self) -> Iterator[EpochRecord]:
        """Train epoch by epoch until a goal is met or the maximum number of epochs is reached."""
        driver = self._driver
        while self.epochs < driver.settings.epochs and driver.reason == RUNNING and not driver.is_out_of_time:
            yield self.epoch()

    def explain(self, row: int = 1) -> Explanation:
        """Explain the next update: its weighted sums, activations, errors, deltas, gradients and new weights.

        Parameters
        ----------
        row : int, default=1
            The row of the update, counted from 1, whose computation is written out.

        Returns
        -------
        Explanation

        Raises
        ------
        ValueError
            If the update has no such row.
        """
        before, given = next_update(self._driver), self._rows
        if not 1 <= row <= len(before.rows):
            raise ValueError(f"row: expected 1 to {len(before.rows)}, got {row}")
        trace = trace_next(self._driver, before, given, before.rows + 1, names_of(self.network))
        return Explanation(Story((Opened(trace, {}),)), row - 1)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a checkpoint, from which `resume` continues bit for bit.

        Parameters
        ----------
        folder : path
            Created if it does not exist.

        Raises
        ------
        ValueError
            Within an epoch.
        InputError
            If the folder cannot be written, or contains checkpoints of another training.
        """
        self._driver.save(Path(folder))

    def resume(self, folder: str | os.PathLike[str]) -> None:
        """Continue from the newest checkpoint that `save` or `run(resumable=...)` wrote.

        Parameters
        ----------
        folder : path

        Raises
        ------
        InputError
            If the folder has no checkpoint of this training: same design, settings, initial parameters and rows.
        """
        self._driver.resume(Path(folder))

    def _check(self) -> None:
        """Raise a DivergedError if the cost is not finite."""
        if self._driver.reason == DIVERGED:
            checked(self.fit)

    def _last(self) -> EpochRecord:
        epoch, *numbers = self._driver.course[-1].tolist()
        return EpochRecord(int(epoch), *numbers)

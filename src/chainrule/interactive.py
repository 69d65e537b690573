"""A training held in the hand: one update or one epoch at a time, looked at and changed in between."""

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
    """A row of the history: what was measured at the end of an epoch; NaN where it was not."""

    epoch: int
    cost: float
    validation_cost: float
    validation_metric: float
    gradient_norm: float
    learning_rate: float
    seconds: float


class Training:
    """A training that goes on when it is told to; `cr.train` is one that is run to its end.

    However it is divided into updates, epochs and runs, the numbers are the same, bit for bit.

    Parameters
    ----------
    network, params, X, Y, rule, weights, validation, order
        As in `train`.
    **settings
        batch_size, epochs, stop, seed, dtype, sample, dropout and average, as in `train`.

    Raises
    ------
    ValueError, TypeError
        If shapes, values or settings cannot be used.

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
        """The design."""
        return self._driver.settings.network

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self._driver.epochs

    @property
    def updates(self) -> int:
        """Updates made in the epoch that has begun."""
        return self._driver.at.updates

    @property
    def params(self) -> Params:
        """The parameters now, as NumPy arrays; in a training that averages them, the average."""
        import jax

        return jax.tree.map(np.array, self._driver.at.now.answering)

    @property
    def state(self) -> State:
        """All that the next update starts from: parameters, rule state, the best so far, the average."""
        return self._driver.at.now

    @property
    def history(self) -> History:
        """The course of the training so far."""
        return history_of(self._driver.course)

    @property
    def fit(self) -> Fit:
        """What `train` would return if it ended now; of an epoch that has not ended, nothing."""
        return self._driver.fit()

    @property
    def learning_rate(self) -> Any:
        """The learning rate, or the schedule, of the next update; it may be set."""
        return getattr(self._driver.settings.rule, "learning_rate", None)

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self._driver.change_rule(with_checked_rate(self._driver.settings.rule, learning_rate))

    def step(self) -> None:
        """Make one update."""
        self._driver.step()
        self._check()

    def epoch(self) -> EpochRecord:
        """Make the updates that are left of this epoch.

        Raises
        ------
        DivergedError
            If the cost turns NaN or infinite; `step` and `run` raise it, too.
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
        """Train until a goal is met.

        Parameters
        ----------
        epochs : int, optional
            Epochs from here on; by default those that are left of the settings' maximum.
        progress, resumable
            As in `train`.
        stop_on : callable, optional
            Called with the training after every epoch; True ends it.
        """
        most = self._driver.settings.epochs if epochs is None else self.epochs + epochs
        self._driver.go_on()
        until = None if stop_on is None else partial(stop_on, self)
        return self._driver.run(most, progress=progress, resumable=resumable, until=until)

    def __iter__(self) -> Iterator[EpochRecord]:
        """A record of each epoch, until a goal is met or the maximum number of epochs is reached."""
        driver = self._driver
        while self.epochs < driver.settings.epochs and driver.reason == RUNNING and not driver.is_out_of_time:
            yield self.epoch()

    def explain(self, row: int = 1) -> Explanation:
        """The next update, opened.

        Parameters
        ----------
        row : int
            The row of the update, from 1, that is worked through.
        """
        before, given = next_update(self._driver), self._rows
        if not 1 <= row <= len(before.rows):
            raise ValueError(f"row: expected 1 to {len(before.rows)}, got {row}")
        trace = trace_next(self._driver, before, given, before.rows + 1, names_of(self.network))
        return Explanation(Story((Opened(trace, {}),)), row - 1)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Keep the state in a folder, from which `resume` goes on, bit for bit.

        Raises
        ------
        ValueError
            In the middle of an epoch.
        InputError
            If the folder cannot be written, or holds the states of another training.
        """
        self._driver.save(Path(folder))

    def resume(self, folder: str | os.PathLike[str]) -> None:
        """Go on from the newest state that `save`, or `run(resumable=...)`, has kept in a folder.

        Raises
        ------
        InputError
            If the folder holds no state of this training: same design, settings, first parameters and rows.
        """
        self._driver.resume(Path(folder))

    def _check(self) -> None:
        """Raise a DivergedError if the cost is no number."""
        if self._driver.reason == DIVERGED:
            checked(self.fit)

    def _last(self) -> EpochRecord:
        epoch, *numbers = self._driver.course[-1].tolist()
        return EpochRecord(int(epoch), *numbers)

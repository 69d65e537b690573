"""The result of a training, its progress, and how it ends early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.shapes import design_name
from chainrule.network import Network, Params
from chainrule.training.goals import MaxSeconds, Stop
from chainrule.training.history import History, course_words, history_of
from chainrule.training.state import DIVERGED, RUNNING, State


class Fit(NamedTuple):
    """The result of a training.

    Attributes
    ----------
    params : tuple of Layer
        The parameters with the lowest validation cost, or the last if there were no validation rows.
    history : History
    stopped_by : str
        "epochs", the name of a goal, "interrupted" or "diverged".
    epochs : int
        Number of completed epochs.
    best_epoch : int
        The epoch that `params` come from.
    cost_is : str
        When `history.cost` and `history.gradient_norm` are measured, in words.
    metric : str
        What `history.validation_metric` contains: "rmse" or "accuracy".
    rule_state : object
        The state of the update rule after the last epoch.
    """

    params: Params
    history: History
    stopped_by: str
    epochs: int
    best_epoch: int
    cost_is: str
    metric: str
    rule_state: Any

    def __repr__(self) -> str:
        layers = [len(self.params[0].W), *(len(b) for _, b in self.params)]
        ended = "all epochs trained" if self.stopped_by == "epochs" else f"stopped by {self.stopped_by}"
        parts = (
            design_name(layers),
            f"epoch {self.best_epoch:,} of {self.epochs:,}",
            ended,
            course_words(self.history),
        )
        return f"Fit({'; '.join(parts)})"


class Progress(NamedTuple):
    """The progress of a training, reported a few times a second.

    Attributes
    ----------
    epoch, epochs : int
        Completed epochs, and their maximum.
    cost, validation_cost : float
        Of the last completed epoch; NaN without validation rows.
    seconds : float
    """

    epoch: int
    epochs: int
    cost: float
    validation_cost: float
    seconds: float


class DivergedError(ArithmeticError):
    """The cost became NaN or infinite.

    Parameters
    ----------
    message : str
    fit : Fit
        The result up to the last epoch with finite numbers.

    Examples
    --------
    >>> import numpy as np, chainrule as cr
    >>> network, X = cr.Network([1, 1], "identity"), np.array([[1.0], [2.0]])
    >>> try:
    ...     fit = cr.train(network, cr.initialize(network), X, X, rule=cr.gradient_descent(1e9), epochs=50)
    ... except cr.DivergedError as error:
    ...     fit = error.fit
    >>> fit.stopped_by
    'diverged'
    """

    def __init__(self, message: str, fit: Fit):
        super().__init__(message)
        self.fit = fit


class Terminated(SystemExit):
    """Training ended by SIGTERM, after writing a checkpoint; the same call resumes it. Exits with status 143.

    Parameters
    ----------
    epoch : int
        The epoch of the checkpoint.

    Examples
    --------
    >>> Terminated(12).epoch, Terminated(12).code
    (12, 143)
    """

    def __init__(self, epoch: int):
        super().__init__(128 + 15)
        self.epoch = epoch


def finished(state: State, rows: np.ndarray, stopped_by: str, network: Network, batch: int | None) -> Fit:
    """Collect the result from the last state and the rows of the history."""
    import jax

    epochs = int(state.epoch)
    params, best_epoch = state.answering, epochs
    if state.best and int(state.best.epoch):  # 0 if no validation cost was finite
        params, best_epoch = state.best.params, int(state.best.epoch)
    return Fit(
        params=jax.tree.map(np.array, params),
        history=history_of(rows),
        stopped_by=stopped_by,
        epochs=epochs,
        best_epoch=best_epoch,
        cost_is="at the end of the epoch" if batch is None else "average over the epoch's batches",
        metric=network.cost.metric,
        rule_state=jax.tree.map(lambda x: np.array(x), state.rule_state),
    )


def reason_name(reason: int, stop: Sequence[Stop], out_of_time: bool, interrupted: bool) -> str:
    """Why training ended, as in `Fit.stopped_by`."""
    if reason == DIVERGED:
        return "diverged"
    if reason != RUNNING:
        return stop[reason - 1].name
    if out_of_time:
        return MaxSeconds.name
    return "interrupted" if interrupted else "epochs"


def checked(fit: Fit) -> Fit:
    """Return the fit, or raise it in a DivergedError."""
    if fit.stopped_by == "diverged":
        raise DivergedError(
            f"the cost became NaN or infinite in epoch {fit.epochs + 1}: try a smaller learning rate"
            f" (the parameters of epoch {fit.best_epoch} are kept)",
            fit,
        )
    return fit

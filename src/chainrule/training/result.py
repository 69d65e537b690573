"""What a training ends with, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.maths.shapes import design_name
from chainrule.network import Network, Params
from chainrule.training.goals import MaxSeconds, Stop
from chainrule.training.history import History, course_words, history_of
from chainrule.training.program import DIVERGED, RUNNING, State


class Fit(NamedTuple):
    """A finished training.

    Attributes
    ----------
    params : Params          the best on validation rows if there were any, else the last
    history : History
    stopped_by : str         "epochs", the name of a goal, "interrupted" or "diverged"
    epochs, best_epoch       epochs trained, and the epoch that `params` come from
    cost_is, metric          what the columns cost (and gradient_norm) and validation_metric hold, in words
    rule_state               the rule's state after the last epoch
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
    """What a progress bar is told, a few times a second."""

    epoch: int
    epochs: int
    cost: float
    validation_cost: float
    seconds: float


class DivergedError(ArithmeticError):
    """The cost became NaN or infinite; `fit` holds the last good parameters."""

    def __init__(self, message: str, fit: Fit):
        super().__init__(message)
        self.fit = fit


class Terminated(SystemExit):
    """SIGTERM came, and the state after `epoch` is kept: the same call goes on from there."""

    def __init__(self, epoch: int):
        super().__init__(128 + 15)
        self.epoch = epoch


def finished(state: State, rows: np.ndarray, stopped_by: str, network: Network, batch: int | None) -> Fit:
    import jax

    epochs = int(state.epoch)
    params, best_epoch = state.answering, epochs
    if state.best and int(state.best.epoch):  # 0 where no validation cost was finite
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
    if reason == DIVERGED:
        return "diverged"
    if reason != RUNNING:
        return stop[reason - 1].name
    if out_of_time:
        return MaxSeconds.name
    return "interrupted" if interrupted else "epochs"


def checked(fit: Fit) -> Fit:
    """The fit, or a DivergedError with it."""
    if fit.stopped_by == "diverged":
        raise DivergedError(
            f"the cost became NaN or infinite in epoch {fit.epochs + 1}: try a smaller learning rate"
            f" (the parameters of epoch {fit.best_epoch} are kept)",
            fit,
        )
    return fit

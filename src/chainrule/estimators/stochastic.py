"""The solvers "sgd" and "adam": scikit-learn's loop, row order and stopping rules, with compiled passes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from chainrule.estimators.executors import Executor, executor_of
from chainrule.estimators.passes import Draws, Ways, answering
from chainrule.estimators.validation_rows import Held, as_outputs, fitted_temperature, loss_of, score_of, split_off
from chainrule.network import Layer, Params, forward
from chainrule.training.averaging import average_from
from chainrule.training.batches import Table
from chainrule.training.interrupts import interruptible
from chainrule.training.rules import Adam, GradientDescent, clipped, has_own_rate

PASSES_PER_DISPATCH = 16
ORDERS_PER_DISPATCH = 2**20  # numbers
SECONDS_PER_DISPATCH = 0.1
AUTOMATIC_BATCH = 200  # rows, or as many as there are


class PassRecord(NamedTuple):
    """The record of an epoch that callbacks receive; None for values that were not measured.

    Attributes
    ----------
    n_iter : int
        Epochs of this `fit`, from 1.
    loss : float
    validation_score, validation_loss : float or None
        Measured if there are validation rows.
    gradient_norm : float or None
        Root mean square over the batches; measured if `min_gradient` is set.
    seconds : float
    """

    n_iter: int
    loss: float
    validation_score: float | None
    validation_loss: float | None
    gradient_norm: float | None
    seconds: float


class Position(NamedTuple):
    """The position from which `partial_fit` and a resumed `fit` continue.

    `state` is that of the rule, as NumPy arrays; `params` are the last parameters, while `coefs_` may be the best ones
    or the average; `average` is () if there is none. The row order, and the random states before the split of the
    validation rows and at the end, are needed to resume.
    """

    rule: Any
    state: Any
    learning_rate: float
    first_rate: float
    dropout_seed: int
    params: Params | None = None
    average: Any = ()
    order: np.ndarray | None = None
    random_states: tuple[Any, Any] | None = None


class _Replay(NamedTuple):
    """How to recompute the best parameters: their dispatch, and the number of its passes."""

    go: Callable[[int], Any]
    passes: int


class _Chunk(NamedTuple):
    """The passes of a dispatch, `size` of them: row order, learning rate, random state after the shuffle."""

    orders: np.ndarray
    rates: np.ndarray
    random_states: list[Any]
    size: int


class StochasticMixin:
    """The method `_fit_stochastic` and its helpers."""

    def _fit_stochastic(self: Any, X: Any, y: Any, sample_weight: Any, *rest: Any) -> None:
        """Train from `coefs_` and `intercepts_`, or from the end of the last fit, until a stopping rule applies."""
        layer_units, incremental = rest[-2:]
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        self.network_ = self._design(layer_units)
        resumes = self.warm_start == "resume" and not incremental and hasattr(self, "_position")
        begins = self._first_position()
        if resumes and (begins.rule, begins.first_rate) != (self._position.rule, self._position.first_rate):
            raise ValueError(
                "warm_start='resume' continues with the rule and learning rate of the first fit; to change them, use "
                "warm_start=True, or fit a new estimator"
            )
        if not (resumes or (incremental and hasattr(self, "_position"))):
            self._position = begins
        past = self._position.random_states
        if resumes and past:
            self._random_state = np.random.RandomState()
            self._random_state.set_state(past[0])
        before_split = self._random_state.get_state()
        X, y, sample_weight, held = self._split(X, y, sample_weight)
        if resumes and past:
            self._random_state.set_state(past[1])
        if held and not hasattr(self, "validation_loss_curve_"):
            self.validation_scores_, self.validation_loss_curve_, self.best_validation_loss_ = [], [], np.inf
        if not self.early_stopping and self.best_loss_ is None:  # the previous fit used validation rows
            self.best_loss_ = np.inf
        self.n_iter_, self._began = 0, perf_counter()
        self._best_replay: Any = None
        best = self.coefs_, self.intercepts_
        single = incremental or (self.max_iter == 1 and self.warm_start != "resume")
        executor = executor_of(self.network_, self._position.rule, len(X), single, bool(self.dropout))
        restores = (self.early_stopping or self.restore_best) and not incremental
        with executor.precision(X.dtype), interruptible() as keyboard:
            self._pass_over(executor, X, y, sample_weight, held, incremental, keyboard)
            if self._best_replay and restores:
                again: Any = self._best_replay.go(self._best_replay.passes)
                best = _as_lists(answering(*executor.fetched(again[:3])))
        if keyboard.pressed:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if self.warm_start == "resume":
            ended = (before_split, self._random_state.get_state())
            self._position = self._position._replace(random_states=ended)
        if restores:
            self.coefs_, self.intercepts_ = best
        del self._best_replay, self._began
        if getattr(self, "calibrate", False) and held:
            z = np.asarray(forward(self.network_, self._params(), held.X).z[-1])
            self.temperature_ = fitted_temperature(self.network_, z, held)

    def _pass_over(
        self: Any, executor: Executor, X: Any, y: Any, weights: Any, held: Held | None, incremental: bool, keyboard: Any
    ) -> None:
        """Dispatch passes until one of scikit-learn's rules ends them.

        A dispatch runs several passes before any is judged; one that ran too far is run again, shorter.
        """
        n, past = len(X), self._position
        batch = self._batch(n)
        room = executor.room(n, batch)
        table = executor.table(table_of(X, y, weights), room)
        held_X, n_held = executor.held(held.X if held else X[:0]), len(held.X) if held else 0
        first = past.params or self._params()
        average = past.average or (average_from(first) if self.average else ())
        params, state, average = executor.put((first, past.state or past.rule.init(first), average))
        ways = Ways(self.dropout or 0.0, self.average or 0.0, self.min_gradient is not None)
        run = executor.passes(executor.network, past.rule, batch, ways)
        order = past.order if past.order is not None and len(past.order) == n else np.arange(n)
        alpha, size, limit = X.dtype.type(self.alpha), 1, 1 if incremental else self.max_iter
        while self.n_iter_ < limit and not keyboard.pressed:
            chunk = self._chunk(order, min(size, limit - self.n_iter_), -(-room // batch) * batch)
            size = chunk.size
            draws = Draws(chunk.orders, np.uint32(past.dropout_seed), np.int32(len(self.loss_curve_) + 1))
            began = perf_counter()
            go = partial(run, params, state, average, table, held_X, draws, chunk.rates.astype(X.dtype), alpha, n)
            after = go(size)
            measured = [np.asarray(x)[:size] for x in (after.losses, after.norms, after.outputs)]
            measured[-1] = measured[-1][:, :n_held]
            spent = perf_counter() - began
            kept, best, ended = self._judge(*measured, held, n, incremental)
            if best:
                self._best_replay = _Replay(go, best)
            if kept < size:
                after = go(kept)
                if self.shuffle:
                    self._random_state.set_state(chunk.random_states[kept - 1])
            order = chunk.orders[kept - 1, :n].astype(int)
            params, state, average = after[:3]
            if ended:
                break
            fitting = int(size * SECONDS_PER_DISPATCH / max(spent, 1e-6))
            size = 1 if self.callbacks else max(1, min(PASSES_PER_DISPATCH, 2 * size, fitting))
        params, state, average = executor.fetched((params, state, average))
        self.coefs_, self.intercepts_ = _as_lists(answering(params, state, average))
        resumable = self.warm_start == "resume"
        self._position = self._position._replace(
            state=state,
            average=average,
            params=params if resumable or average else None,
            order=order if resumable else None,
        )

    def _judge(
        self: Any, losses: Any, norms: Any, outputs: np.ndarray, held: Held | None, n: int, incremental: bool
    ) -> tuple[int, int, bool]:
        """Evaluate passes as scikit-learn does: how many to keep, the best of them (0: none), and whether to stop."""
        best = 0
        for i, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
            self.n_iter_ += 1
            self.t_ += n
            self.loss_ = loss
            self.loss_curve_.append(loss)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
            record = self._recorded(loss, norm if self.min_gradient is not None else None, outputs[i], held)
            if self._improved(record):
                best = i + 1
            self._schedule_rate()
            ends = [callback(record) is True for callback in self.callbacks]
            if any(ends) or self._goal_met(record):
                return i + 1, best, True
            if self._no_improvement_count > self.n_iter_no_change:
                if self._ends():
                    return i + 1, best, True
                self._no_improvement_count = 0
                return i + 1, best, False  # continue with a smaller learning rate
            if self.n_iter_ == self.max_iter and not incremental:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=7,  # where the user calls fit
                )
        return len(losses), best, False

    def _recorded(self: Any, loss: float, norm: float | None, outputs: np.ndarray, held: Held | None) -> PassRecord:
        """The record of a pass, with its validation values appended to the curves."""
        if held is None:
            return PassRecord(self.n_iter_, loss, None, None, norm, perf_counter() - self._began)
        score, held_loss = score_of(self, outputs, held), loss_of(self.network_, outputs, held)
        self.validation_scores_.append(score)
        self.validation_loss_curve_.append(held_loss)
        if self.verbose:
            print(f"Validation score: {score:f}")
        return PassRecord(self.n_iter_, loss, score, held_loss, norm, perf_counter() - self._began)

    def _improved(self: Any, record: PassRecord) -> bool:
        """Whether this pass is the best so far, by training loss or, with early stopping, validation score or loss."""
        if not self.early_stopping:
            self._note(-record.loss, -self.best_loss_)
            better = record.loss < self.best_loss_
            self.best_loss_ = min(record.loss, self.best_loss_)
            return better
        if self.stop_on == "loss":
            held_loss: Any = record.validation_loss
            self._note(-held_loss, -self.best_validation_loss_)
            better = held_loss < self.best_validation_loss_
        else:
            self._note(record.validation_score, self.best_validation_score_)
            better = record.validation_score > self.best_validation_score_
        if better:
            self.best_validation_score_, self.best_validation_loss_ = record.validation_score, record.validation_loss
        return better

    def _goal_met(self: Any, record: PassRecord) -> bool:
        return (
            (self.max_seconds is not None and record.seconds > self.max_seconds)
            or (self.cost_goal is not None and record.loss < self.cost_goal)
            or (record.gradient_norm is not None and record.gradient_norm < self.min_gradient)
        )

    def _note(self: Any, merit: float, best: float) -> None:
        """Count passes without an improvement of at least tol; `merit` is the score, or minus the loss."""
        self._no_improvement_count = self._no_improvement_count + 1 if merit < best + self.tol else 0

    def _ends(self: Any) -> bool:
        """Whether to stop after no improvement; an adaptive learning rate is divided by 5 first."""
        what = f"Validation {self.stop_on}" if self.early_stopping else "Training loss"
        message = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        position = self._position
        if self.solver != "sgd" or self.learning_rate != "adaptive":
            ending = " Stopping."
        elif position.learning_rate <= 1e-6:
            ending = " Learning rate too small. Stopping."
        else:
            self._position = position._replace(learning_rate=position.learning_rate / 5)
            ending = f" Setting learning rate to {position.learning_rate / 5:f}"
        if self.verbose:
            print(message + ending)
        return ending.endswith("Stopping.")

    def _schedule_rate(self: Any) -> None:
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            self._position = self._position._replace(learning_rate=self._inverse_scaled(self.t_))

    def _chunk(self: Any, order: np.ndarray, size: int, room: int) -> _Chunk:
        """Prepare the next passes: each row order is a shuffle of the previous one, drawn as in scikit-learn."""
        n = len(order)
        slots = max(1, min(PASSES_PER_DISPATCH, ORDERS_PER_DISPATCH // room))
        size = min(size, slots)
        orders, rates, random_states = np.zeros((slots, room), np.int32), np.zeros(slots), []
        for i in range(size):
            if self.shuffle:
                shuffled = np.arange(n)
                self._random_state.shuffle(shuffled)
                order = order[shuffled]
                random_states.append(self._random_state.get_state())
            orders[i, :n] = order
            rates[i] = self._rate_after(i * n)
        return _Chunk(orders, rates, random_states, size)

    def _rate_after(self: Any, seen: int) -> float:
        """The learning rate of a pass that starts `seen` rows from now."""
        if seen and self.solver == "sgd" and self.learning_rate == "invscaling":
            return self._inverse_scaled(self.t_ + seen)
        return self._position.learning_rate

    def _inverse_scaled(self: Any, seen: int) -> float:
        return float(self.learning_rate_init) / (seen + 1) ** self.power_t

    def _first_position(self: Any) -> Position:
        """The position before training, with the rule of the solver or the caller's."""
        rule, rate = self.rule, self.learning_rate_init
        given = rate if callable(rate) else 0.0  # without a schedule, the rate is set for each pass
        if rule is None and self.solver == "adam":
            rule = Adam(given, self.beta_1, self.beta_2, self.epsilon)
        elif rule is None:
            rule = GradientDescent(given, self.momentum, self.nesterovs_momentum and self.momentum > 0)
        elif not has_own_rate(rule):
            rate = rule.learning_rate
        if self.max_gradient_norm is not None:
            rule = clipped(rule, self.max_gradient_norm)
        aside = np.random.RandomState()  # so that the seed of dropout does not affect scikit-learn's draws
        aside.set_state(self._random_state.get_state())
        first_rate = 0.0 if callable(rate) else float(rate)
        return Position(rule, None, first_rate, first_rate, int(aside.randint(2**31 - 1)))

    def _batch(self: Any, n: int) -> int:
        if self.batch_size == "auto":
            return AUTOMATIC_BATCH
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
            )
        return int(min(self.batch_size, n))

    def _split(self: Any, X: np.ndarray, y: Any, weights: Any) -> tuple[np.ndarray, Any, Any, Held | None]:
        """Training and validation rows: those of the caller, or split off for early stopping."""
        if self._own_validation is not None:
            return X, y, weights, self._own_held(X.dtype)
        return split_off(self, X, y, weights) if self.early_stopping else (X, y, weights, None)

    def _params(self: Any) -> Params:
        return tuple(Layer(W, b) for W, b in zip(self.coefs_, self.intercepts_, strict=True))


def table_of(X: np.ndarray, y: Any, weights: Any) -> Table:
    """Convert the arrays to a table, in the dtype of X."""
    ones = np.ones(len(X), X.dtype) if weights is None else np.asarray(weights, X.dtype)
    return Table(X, as_outputs(y, X.dtype), ones)


def _as_lists(params: Params) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [np.array(W) for W, _ in params], [np.array(b) for _, b in params]

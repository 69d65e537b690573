r"""Training: forward, cost, backward and update, repeated by one compiled program until a goal is met.

JAX compiles whole epochs into a loop, and many epochs into one dispatch; Python looks at the clock and at the
keyboard in between. The program never makes the order of the data, it takes it: `order_of` is a function of
the seed and the epoch alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule import shapes
from chainrule.arrays import Array, namespace
from chainrule.averaging import Average, average_from, averaged, check_decay
from chainrule.batches import Table, bucket, checked_table, order_of, padded
from chainrule.dropout import check_rate, keep
from chainrule.keyboard import Keyboard, interruptible
from chainrule.network import Network, Params, backward, cost, forward, penalty
from chainrule.rules import Rule, norm_of, rate_at, update
from chainrule.stopping import MaxSeconds, NoImprovement, Record, Stop

if TYPE_CHECKING:
    from jaxtyping import Float

EPOCHS_PER_DISPATCH = 4096  # at most; fewer where the orders of so many epochs would fill memory
ORDERS_PER_DISPATCH = 2**22
SECONDS_PER_DISPATCH = 0.2
RUNNING, DIVERGED = 0, -1


class Evaluated(NamedTuple):
    """The cost and its gradient at some parameters."""

    cost: Array
    gradient: Params


class Best(NamedTuple):
    """The parameters with the lowest validation cost so far, that cost, and their epoch."""

    params: Params
    cost: Array
    epoch: Array


class State(NamedTuple):
    """All that one epoch hands to the next; () is what a training does without.

    `here` is for whole-table updates, `best` for validation rows, `average` for averaged parameters.
    """

    epoch: Array
    seed: Array
    params: Params
    rule_state: Any
    here: Evaluated | tuple[()]
    best: Best | tuple[()]
    average: Average | tuple[()]
    reason: Array  # RUNNING, DIVERGED, or 1 + the place of the goal that was reached

    @property
    def answering(self) -> Params:
        """The parameters that are validated and returned."""
        return self.average.params if self.average else self.params


class History(NamedTuple):
    """One row an epoch; every column an array of the same length, NaN where it was not measured."""

    epoch: np.ndarray
    cost: np.ndarray
    validation_cost: np.ndarray
    validation_metric: np.ndarray
    gradient_norm: np.ndarray
    learning_rate: np.ndarray
    seconds: np.ndarray


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


def train(
    network: Network,
    params: Params,
    X: Float[Array, "n n_in"],
    Y: Float[Array, "n n_out"],
    *,
    rule: Rule,
    batch_size: int | None = None,
    epochs: int = 100,
    stop: Sequence[Stop] = (),
    seed: int = 0,
    dtype: str = "float32",
    weights: Float[Array, " n"] | None = None,
    validation: tuple[Array, ...] | None = None,
    sample: str = "permutation",
    order: Callable[[int], np.ndarray] | None = None,
    dropout: float = 0.0,
    average: float = 0.0,
    progress: Callable[[Progress], None] | None = None,
) -> Fit:
    """Train until a goal is met.

    Parameters
    ----------
    network, params
        The design and the first parameters, from `initialize`.
    X, Y, weights
        Inputs, targets, and optional observation weights.
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
        The share of the hidden nodes that each update leaves out: see `chainrule.dropout`. The training cost is
        then that of the thinned network; validation and the returned parameters are of the whole one.
    average
        The decay of an average over the updates, such as 0.998: see `chainrule.averaging`. It is the average that is
        validated and returned; the training cost is that of the parameters themselves.
    progress
        Called a few times a second.

    Returns
    -------
    Fit
        With the whole table per update, `history.cost` and `gradient_norm` are those of the parameters at the
        epoch's end. With mini-batches they are taken over the epoch's batches, each before its own update: the
        average cost, and the root mean square of the gradients' norms; an L2 penalty is that of the parameters at
        the epoch's end. `fit.cost_is` says which.

    Raises
    ------
    DivergedError
        If the cost turns NaN or infinite; its `fit` has the last good parameters.
    ValueError
        If shapes, values or settings do not fit.

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
    _check_kinds(rule, stop, validation)
    _check_settings(epochs, batch_size, sample, dtype, stop, validation)
    check_rate(dropout)
    check_decay(average)
    table = checked_table(network, X, Y, weights, dtype, "training")
    held = None if validation is None else checked_table(network, *_three(validation), dtype, "validation")
    shapes.check_params(network.layers, params)
    n = len(table.X)
    if order is None:
        order = lambda epoch: order_of(seed, epoch, n, sample)  # noqa: E731

    import jax
    import jax.numpy as jnp

    with jax.enable_x64(dtype == "float64"), interruptible() as keyboard:
        batch = None if batch_size is None else min(int(batch_size), n)
        data, validation = (None if t is None else jax.tree.map(jnp.asarray, padded(t)) for t in (table, held))
        whole = data if batch is None else None
        state = _first_state(network, rule, params, whole, held is not None, np.uint32(seed % 2**32), dropout)
        state = state._replace(average=average_from(state.params)) if average else state
        run = partial(_program(network, rule, tuple(stop), batch, dropout, average), data=data, held=validation)
        return _drive(run, network, state, n, order, batch, epochs, stop, keyboard, progress)


def _drive(
    run: Any,
    network: Network,
    state: State,
    n: int,
    order: Callable[[int], np.ndarray],
    batch: int | None,
    epochs: int,
    stop: Sequence[Stop],
    keyboard: Keyboard,
    progress: Callable[[Progress], None] | None,
) -> Fit:
    """Dispatch the compiled program, a fraction of a second of epochs at a time, until it or the clock says stop."""
    began, slots = time.perf_counter(), _order_slots(n, batch)
    limit = min((goal.seconds for goal in stop if isinstance(goal, MaxSeconds)), default=np.inf)
    records, times, done, reason, k = [], [0.0], 0, RUNNING, 1
    while done < epochs and reason == RUNNING and not keyboard.pressed and times[-1] < limit:
        k = min(k, len(slots), epochs - done)
        for i in range(k if batch else 0):
            slots[i, :n] = _checked_order(order(done + i + 1), n)
        started = time.perf_counter()
        state, block = run(state, slots=slots, n_rows=n, n_epochs=k)
        block, reason = np.asarray(block, np.float64), int(state.reason)
        ran = int(state.epoch) - done
        done, spent = done + ran, time.perf_counter() - started
        records.append(block[:ran])
        times.extend(np.linspace(times[-1], time.perf_counter() - began, ran + 1)[1:])
        k = _next_count(k, spent, limit - times[-1])
        if progress and ran:
            progress(Progress(done, epochs, block[ran - 1, 0], block[ran - 1, 1], times[-1]))

    stopped_by = _reason_name(reason, stop, times[-1] >= limit, keyboard.pressed and done < epochs)
    fit = _finished(state, np.concatenate([*records, np.empty((0, 5))]), times[1:], stopped_by, network, batch)
    if reason == DIVERGED:
        raise DivergedError(
            f"the cost became NaN or infinite in epoch {done + 1}: try a smaller learning rate"
            f" (the parameters of epoch {fit.best_epoch} are kept)",
            fit,
        )
    return fit


@lru_cache(maxsize=128)
def _program(
    network: Network, rule: Rule, stops: tuple[Stop, ...], batch: int | None, dropout: float, average: float
) -> Any:
    """The compiled loop over epochs. Equal designs share it, whatever their data, rows or number of epochs."""
    import jax
    import jax.numpy as jnp

    one_epoch = _whole_table_epoch(dropout, average) if batch is None else _mini_batch_epoch(batch, dropout, average)

    def run(
        state: State, data: Table, held: Table | None, slots: Array, n_rows: Array, n_epochs: Array
    ) -> tuple[State, Array]:
        first = state.epoch
        total = jnp.sum(data.weights)

        def epoch(carry: tuple[State, Any]) -> tuple[State, Array]:
            old, block = carry
            i = old.epoch - first
            new, C, norm = one_epoch(network, rule, old, data, slots[i], n_rows)
            change = _largest_change(new.params, old.params)
            new = new._replace(epoch=old.epoch + 1)
            held_cost, metric = _validated(network, new.answering, held) if held else [jnp.array(jnp.nan)] * 2
            best = _better(old.best, new, held_cost) if old.best else old.best
            since = new.epoch - best.epoch if best else jnp.zeros_like(new.epoch)
            new = new._replace(best=best)
            by_sum, by_mean = (C, C / total) if network.reduction == "sum" else (C * total, C)
            record = Record(new.epoch, C, by_sum, by_mean, held_cost, norm, change, since)
            reason = jnp.zeros_like(old.reason)
            for place, goal in reversed(list(enumerate(stops))):
                reason = jnp.where(goal.reached(record), 1 + place, reason)
            new = new._replace(reason=reason)
            row = jnp.stack([jnp.asarray(x, C.dtype) for x in (C, held_cost, metric, norm, _rate(rule, new))])
            good = jnp.isfinite(C) & jnp.isfinite(change)
            kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old._replace(reason=old.reason + DIVERGED))
            return kept, block.at[i].set(row)

        def goes_on(carry: tuple[State, Array]) -> Array:
            now = carry[0]
            return (now.epoch - first < n_epochs) & (now.reason == RUNNING)

        block: Any = jnp.zeros((len(slots), 5), data.X.dtype)
        return jax.lax.while_loop(goes_on, epoch, (state, block))

    return jax.jit(run, donate_argnums=0)


def _whole_table_epoch(dropout: float, decay: float) -> Callable[..., tuple[State, Array, Array]]:
    """One update with the gradient at the current parameters, then cost and gradient at the new ones.

    Cost and gradient at the epoch's end come for nothing: the next epoch's update needs the gradient anyway.
    """

    def epoch(
        network: Network, rule: Rule, state: State, data: Table, order: Array, n_rows: Array
    ) -> tuple[State, Array, Array]:
        assert isinstance(state.here, Evaluated)
        params, rule_state = update(rule, state.params, state.here.gradient, state.rule_state)
        next_keep = keep(network, dropout, state.seed, state.epoch + 2, 0, len(data.X), data.X.dtype)
        here = _evaluate(network, params, data, next_keep)
        new = state._replace(params=params, rule_state=rule_state, here=here)
        new = new._replace(average=averaged(state.average, params, decay)) if state.average else new
        return new, here.cost, norm_of(here.gradient)

    return epoch


def _mini_batch_epoch(batch: int, dropout: float, decay: float) -> Callable[..., tuple[State, Array, Array]]:
    """One pass over the table in the given order, an update for every `batch` rows."""

    def epoch(
        network: Network, rule: Rule, state: State, data: Table, order: Array, n_rows: Array
    ) -> tuple[State, Array, Array]:
        import jax.numpy as jnp
        from jax import lax

        plain = replace(network, l2=0.0)
        weights = jnp.where(jnp.arange(len(order)) < n_rows, data.weights[order], 0)

        def step(i: Array, carry: Any) -> Any:
            params, rule_state, mean, costs, squares = carry
            rows, w = (lax.dynamic_slice_in_dim(x, i * batch, batch) for x in (order, weights))
            X, Y = data.X[rows], data.Y[rows]
            fwd = forward(network, params, X, keep(network, dropout, state.seed, state.epoch + 1, i, batch, X.dtype))
            C, gradient = cost(plain, fwd, Y, w), backward(network, params, fwd, Y, w).gradient
            params, rule_state = update(rule, params, gradient, rule_state)
            mean = averaged(mean, params, decay) if mean else mean
            costs += C * jnp.sum(w) if network.reduction == "mean" else C
            return params, rule_state, mean, costs, squares + norm_of(gradient) ** 2

        n_steps = (n_rows + batch - 1) // batch
        zero = jnp.zeros((), data.X.dtype)
        begin = (state.params, state.rule_state, state.average, zero, zero)
        params, rule_state, mean, costs, squares = lax.fori_loop(0, n_steps, step, begin)
        C = costs / jnp.sum(weights) if network.reduction == "mean" else costs
        C = C + penalty(network, params) if network.l2 else C
        return state._replace(params=params, rule_state=rule_state, average=mean), C, jnp.sqrt(squares / n_steps)

    return epoch


def _evaluate(network: Network, params: Params, data: Table, kept: Any) -> Evaluated:
    fwd = forward(network, params, data.X, kept)
    C = cost(network, fwd, data.Y, data.weights, params)
    return Evaluated(C, backward(network, params, fwd, data.Y, data.weights).gradient)


def metric_name(network: Network) -> str:
    """The metric taken on validation rows: accuracy where the cost is a cross-entropy, else RMSE."""
    return "accuracy" if network.cost.name.endswith("cross_entropy") else "rmse"


def _validated(network: Network, params: Params, held: Table) -> tuple[Array, Array]:
    fwd = forward(network, params, held.X)
    y_hat, xp = fwd.a[-1], namespace(fwd.a[-1])
    if metric_name(network) == "rmse":
        metric = xp.sqrt(xp.sum(held.weights[:, None] * (y_hat - held.Y) ** 2) / xp.sum(held.weights) / y_hat.shape[1])
    else:
        softmax = network.activations[-1].name == "softmax"
        told, true = (xp.argmax(x, axis=1) if softmax else (x > 0.5) for x in (y_hat, held.Y))
        right = told == true if softmax else xp.all(told == true, axis=1)
        metric = xp.sum(held.weights * right) / xp.sum(held.weights)
    return cost(replace(network, l2=0.0), fwd, held.Y, held.weights), metric


def _better(best: Any, new: State, held_cost: Array) -> Best:
    import jax

    improved = held_cost < best.cost
    candidate = Best(new.answering, held_cost, new.epoch)
    return jax.tree.map(lambda a, b: namespace(a).where(improved, a, b), candidate, best)


def _largest_change(new: Params, old: Params) -> Array:
    import jax.numpy as jnp

    pairs = [(a, b) for after, before in zip(new, old, strict=True) for a, b in zip(after, before, strict=True)]
    return jnp.max(jnp.stack([jnp.max(jnp.abs(a - b)) for a, b in pairs]))


def _rate(rule: Rule, state: State) -> Any:
    learning_rate = getattr(rule, "learning_rate", None)  # None: inside a bare optax transformation, out of sight
    return np.nan if learning_rate is None else rate_at(learning_rate, state.rule_state.step - 1)


def _first_state(
    network: Network, rule: Rule, params: Params, whole: Table | None, validates: bool, seed: Any, dropout: float
) -> State:
    """Nothing trained yet; with `whole`, cost and gradient at the first parameters are taken."""
    import jax
    import jax.numpy as jnp

    dtype = jnp.zeros(()).dtype
    fresh: Callable[[], Params] = lambda: jax.tree.map(lambda x: jnp.array(x, dtype), tuple(params))  # noqa: E731
    start, zero = fresh(), jnp.zeros((), jnp.int32)
    here = ()
    if whole is not None:
        kept = keep(network, dropout, seed, 1, 0, len(whole.X), dtype)
        here = jax.jit(_evaluate, static_argnums=0)(network, start, whole, kept)
    best = Best(fresh(), jnp.array(jnp.inf, dtype), zero + 0) if validates else ()
    return State(zero, jnp.array(seed), start, rule.init(start), here, best, (), zero + 0)


def _finished(
    state: State, rows: np.ndarray, times: Sequence[float], stopped_by: str, network: Network, batch: int | None
) -> Fit:
    import jax

    epochs = len(rows)
    params, best_epoch = state.answering, epochs
    if state.best and int(state.best.epoch):  # 0 where no validation cost was finite
        params, best_epoch = state.best.params, int(state.best.epoch)
    return Fit(
        params=jax.tree.map(lambda x: np.array(x), params),
        history=History(np.arange(1, epochs + 1), *rows.T, seconds=np.array(times)),
        stopped_by=stopped_by,
        epochs=epochs,
        best_epoch=best_epoch,
        cost_is="at the end of the epoch" if batch is None else "average over the epoch's batches",
        metric=metric_name(network),
        rule_state=jax.tree.map(lambda x: np.array(x), state.rule_state),
    )


def _reason_name(reason: int, stop: Sequence[Stop], out_of_time: bool, interrupted: bool) -> str:
    if reason == DIVERGED:
        return "diverged"
    if reason != RUNNING:
        return stop[reason - 1].name
    if out_of_time:
        return MaxSeconds.name
    return "interrupted" if interrupted else "epochs"


def _checked_order(order: np.ndarray, n: int) -> np.ndarray:
    if np.shape(order) != (n,) or np.min(order) < 0 or np.max(order) >= n:
        raise ValueError(f"order: expected {n} row numbers from 0 to {n - 1}, got an array of shape {np.shape(order)}")
    return order


def _next_count(k: int, spent: float, left: float) -> int:
    """How many epochs to dispatch next: so many that Python looks up a few times a second."""
    wanted = min(SECONDS_PER_DISPATCH, left)
    return max(1, min(4 * k, int(k * wanted / max(spent, 1e-6))))


def _order_slots(n: int, batch: int | None) -> np.ndarray:
    """Room for the orders of the epochs of one dispatch: (epochs, rows), rows padded to whole batches."""
    if batch is None:
        return np.zeros((EPOCHS_PER_DISPATCH, 0), np.int32)
    rows = -(-bucket(n) // batch) * batch
    return np.zeros((max(1, min(EPOCHS_PER_DISPATCH, ORDERS_PER_DISPATCH // rows)), rows), np.int32)


def _three(validation: tuple[Array, ...]) -> tuple[Array, Array, Array | None]:
    return (*validation, None) if len(validation) == 2 else validation  # pyright: ignore[reportReturnType]


def _check_kinds(rule: Any, stop: Any, validation: Any) -> None:
    """The likely slips of the hand, which would end deep inside otherwise."""
    if not (hasattr(rule, "init") and hasattr(rule, "update")):
        raise TypeError(
            f'rule: expected gradient_descent(0.1), optax_rule("adam", 1e-3) or an optax transformation; got {rule!r}'
        )
    if not isinstance(stop, list | tuple):
        raise TypeError(f"stop: expected a list of goals, such as [CostGoal(0.001)]; got {stop!r}")
    if validation is not None and not (isinstance(validation, tuple | list) and len(validation) in (2, 3)):
        raise TypeError("validation: expected (X, Y) or (X, Y, weights)")


def _check_settings(
    epochs: int, batch_size: int | None, sample: str, dtype: str, stop: Sequence[Stop], validation: Any
) -> None:
    if epochs < 1 or int(epochs) != epochs:
        raise ValueError(f"epochs: expected a whole number, 1 or more; got {epochs}")
    if batch_size is not None and (batch_size < 1 or int(batch_size) != batch_size):
        raise ValueError(f"batch_size: expected None (the whole table) or a whole number, 1 or more; got {batch_size}")
    if sample not in ("permutation", "with_replacement"):
        raise ValueError(f'sample: expected "permutation" or "with_replacement", got {sample!r}')
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype: expected "float32" or "float64", got {dtype!r}')
    if batch_size is None and sample != "permutation":
        raise ValueError("sample='with_replacement' draws rows for mini-batches: give a batch_size")
    if validation is None and any(isinstance(goal, NoImprovement) for goal in stop):
        raise ValueError("NoImprovement looks at validation rows: pass validation=(X, Y)")

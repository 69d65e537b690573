r"""Training: forward, cost, backward and update, repeated by one compiled program until a goal is met.

JAX compiles whole epochs into a loop, and many epochs into one dispatch; Python looks at the clock and at the
keyboard in between. The program never makes the order of the data, it takes it: `order_of` is a function of
the seed and the epoch alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.maths import shapes
from chainrule.maths.arrays import Array
from chainrule.network import Network, Params
from chainrule.scaling.devices import check_same, data_digest_together, of_first, ready_together
from chainrule.scaling.processes import is_first, one_fate, told
from chainrule.scaling.streaming import is_names, train_batches
from chainrule.training.averaging import check_decay
from chainrule.training.batches import bucket, checked_table, no_rows, on_device, order_of
from chainrule.training.checkpoints import Resumable, Safe, as_numpy, data_digest, design_digest, resumed, safe_in
from chainrule.training.dropout import check_rate, keep
from chainrule.training.goals import MaxSeconds, NoImprovement, Stop
from chainrule.training.history import NO_ROWS, appended
from chainrule.training.interrupts import Keyboard, interruptible
from chainrule.training.program import EPOCHS_PER_DISPATCH, RUNNING, State, first_state, program
from chainrule.training.result import Fit, Progress, Terminated, checked, finished, reason_name
from chainrule.training.rules import Rule, check_gradient_alone

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float

ORDERS_PER_DISPATCH = 2**20
SECONDS_PER_DISPATCH = 0.2
FIRST_DISPATCH = 5e7  # multiplications, about, of the epochs that are dispatched before any time is known
TINY = 10_000  # multiplications of an update's forward pass, up to which its operations are compiled into one,
SHALLOW = 5  # and layers of weights; of more of them XLA takes minutes to make one program


class Setting(NamedTuple):
    """What decides the course of a training, but for when it ends; the parameters of `train`."""

    network: Network
    params: Params
    X: Array
    Y: Array
    rule: Rule
    batch_size: int | None = None
    stop: tuple[Stop, ...] = ()
    seed: int = 0
    dtype: str = "float32"
    weights: Array | None = None
    validation: tuple[Array, ...] | None = None
    sample: str = "permutation"
    order: Callable[[int], np.ndarray] | None = None
    dropout: float = 0.0
    average: float = 0.0
    together: bool = False


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
    _check_kinds(rule, stop, validation)
    if epochs < 1 or int(epochs) != epochs:
        raise ValueError(f"epochs: expected a whole number, 1 or more; got {epochs}")
    if is_names(Y):
        _check_settings(batch_size, sample, dtype, stop, validation)
        _check_streamable(batch_size, sample, order, checkpoint, together)
        return train_batches(
            network,
            params,
            X,  # pyright: ignore[reportArgumentType]
            Y,  # pyright: ignore[reportArgumentType]
            rule=rule,
            batch_size=batch_size,  # pyright: ignore[reportArgumentType]
            epochs=epochs,
            stop=stop,
            seed=seed,
            dtype=dtype,
            weights=weights,  # pyright: ignore[reportArgumentType]
            validation=validation,
            dropout=dropout,
            average=average,
            progress=progress,
            resumable=resumable,
        )
    setting = Setting(
        network,
        params,
        X,  # pyright: ignore[reportArgumentType]
        Y,  # pyright: ignore[reportArgumentType]
        rule,
        batch_size,
        tuple(stop),
        seed,
        dtype,
        weights,  # pyright: ignore[reportArgumentType]
        validation,
        sample,
        order,
        dropout,
        average,
        together,
    )
    import jax

    with jax.enable_x64(dtype == "float64"), interruptible(terminable=resumable is not None) as keyboard:
        ready = ready_for(setting)
        if together:
            check_same(f"{design_of(setting)} {epochs}")
        digests = {} if resumable is None else {"design": design_of(setting), "data": ready.digest()}
        with ExitStack() as stack:
            with one_fate() if together else nullcontext():
                keeps = resumable is not None and (not together or is_first())
                safe = stack.enter_context(safe_in(resumable, digests)) if keeps else None  # pyright: ignore
                begun = resumed(safe, ready.state) if safe else (ready.state, NO_ROWS)
            begun = of_first(*begun) if together and resumable is not None else begun
            return _drive(ready, begun, epochs, stop, keyboard, progress, checkpoint, keep_every, safe)


def design_of(setting: Setting) -> str:
    """What tells a training from others, but for its data."""
    of = setting
    how = (of.batch_size, of.stop, of.seed, of.dtype, of.sample, of.dropout, of.average)
    return design_digest(of.network, of.params, of.rule, *how)


class Before(NamedTuple):
    """What an update starts from: parameters and rule state, its rows in order, their weights, dropout's masks."""

    params: Params
    rule_state: Any
    rows: np.ndarray
    keep: tuple[Any, ...]
    updates: int  # in an epoch


def replay(setting: Setting, epoch: int, step: int = 1, checkpoints: Sequence[State] = ()) -> Before:
    """Train again up to update `step` of `epoch` (both from 1), from the nearest checkpoint before it.

    The same program runs on the same numbers, so what comes out is what was, bit for bit, on the same machine.

    Raises
    ------
    ValueError
        If there is no such update.
    """
    import jax

    with jax.enable_x64(setting.dtype == "float64"):
        ready = ready_for(setting)
        n, batch = ready.n, ready.batch
        updates = 1 if batch is None else -(-n // batch)
        if epoch < 1 or not 1 <= step <= updates:
            raise ValueError(f"expected an epoch from 1 and an update from 1 to {updates}; got {epoch} and {step}")
        state, slots = ready.state, _order_slots(n, batch)
        start = max((c for c in checkpoints if int(c.epoch) < epoch), key=lambda c: int(c.epoch), default=None)
        state = state if start is None else jax.tree.map(jax.numpy.asarray, start)
        while int(state.epoch) < epoch - 1:
            k = min(len(slots), epoch - 1 - int(state.epoch))
            for i in range(k if batch else 0):
                slots[i, :n] = _checked_order(ready.order(int(state.epoch) + i + 1), n)
            before = int(state.epoch)
            state, _ = ready.run(state, slots=slots, n_rows=n, n_epochs=k)
            if int(state.epoch) == before or int(state.reason):
                raise ValueError(f"epoch {epoch} was never trained: training ended after epoch {int(state.epoch)}")
        rows = np.arange(n) if batch is None else np.array(ready.order(epoch))
        if step > 1 and batch is not None:
            slots[0, :n] = rows
            state, _ = ready.run(state, slots=slots, n_rows=(step - 1) * batch, n_epochs=1)
        masks = keep(setting.network, setting.dropout, state.seed, epoch, step - 1, batch or bucket(n), setting.dtype)
        some = rows if batch is None else rows[(step - 1) * batch : step * batch]
        masks = tuple(None if k is None else np.asarray(k)[: len(some)] for k in masks)
        params, rule_state = jax.tree.map(np.array, (state.params, state.rule_state))
        return Before(params, rule_state, some, masks, updates)


class Ready(NamedTuple):
    """The compiled program with its data, and the state before the first epoch."""

    run: Any
    state: State
    network: Network
    n: int
    batch: int | None
    order: Callable[[int], np.ndarray]
    digest: Callable[[], str]  # of the data
    agreed: Callable[[Looked], Looked]


class Looked(NamedTuple):
    """What Python sees and decides between two dispatches; of several processes, all the same."""

    epochs: int  # to dispatch next
    seconds: float
    is_due: bool  # the state is to be kept
    pressed: bool
    terminated: bool


def ready_for(setting: Setting) -> Ready:
    """Check the setting and bring it to where it is computed; within `jax.enable_x64`."""
    network, rule, batch_size, stop, of = setting.network, setting.rule, setting.batch_size, setting.stop, setting
    _check_settings(batch_size, of.sample, of.dtype, stop, of.validation)
    check_rate(of.dropout)
    check_decay(of.average)
    shapes.check_params(network.layers, of.params)
    if setting.together:
        return _ready_together(setting)
    table = checked_table(network, of.X, of.Y, of.weights, of.dtype, "training")
    held = None if of.validation is None else checked_table(network, *_three(of.validation), of.dtype, "validation")
    n = len(table.X)
    batch = None if batch_size is None else min(int(batch_size), n)
    data, validating = (None if t is None else on_device(t) for t in (table, held))
    whole, seed = data if batch is None else None, np.uint32(of.seed % 2**32)
    state = first_state(network, rule, of.params, whole, held is not None, seed, of.dropout, of.average)
    tiny = (batch or n) * network.n_weights <= TINY and len(of.params) <= SHALLOW
    run = program(network, rule, tuple(stop), batch, of.dropout, of.average, tiny)
    run = partial(run, data=data, held=validating)
    order, digest = of.order or partial(_order, of.seed, n, of.sample), partial(_data_of, setting)
    return Ready(run, state, network, n, batch, order, digest, _alone)


def _data_of(setting: Setting) -> str:
    return data_digest((setting.X, setting.Y, setting.weights, *(setting.validation or ())))


def _alone(looked: Looked) -> Looked:
    return looked


def _ready_together(setting: Setting) -> Ready:
    """The same, of what all processes have."""
    of, network = setting, setting.network
    with one_fate():
        table = checked_table(network, of.X, of.Y, of.weights, of.dtype, "training")
        held = None
        if of.validation is not None:
            X, Y, w = _three(of.validation)
            some = len(X) > 0  # this process may have none
            held = checked_table(network, X, Y, w, of.dtype, "validation") if some else no_rows(network, of.dtype)
    how = (of.batch_size, of.stop, of.seed, of.dropout, of.average)
    run, state, n, batch = ready_together(network, of.rule, of.params, table, held, *how)
    order, digest = of.order or partial(_order, of.seed, n, of.sample), partial(data_digest_together, (table, held))
    return Ready(run, state, network, n, batch, order, digest, _agreed)


def _agreed(looked: Looked) -> Looked:
    """The first process says how long, anyone says that it was interrupted."""
    everyones = told(np.array(looked, np.float64))
    epochs, seconds, is_due, _, _ = everyones[0].tolist()
    pressed, terminated = (bool(column.any()) for column in everyones.T[-2:])
    return Looked(int(epochs), seconds, bool(is_due), pressed, terminated)


def _order(seed: int, n: int, sample: str, epoch: int) -> np.ndarray:
    return order_of(seed, epoch, n, sample)


def _drive(
    ready: Ready,
    begun: tuple[State, np.ndarray],
    epochs: int,
    stop: Sequence[Stop],
    keyboard: Keyboard,
    progress: Callable[[Progress], None] | None,
    checkpoint: Callable[[State], None] | None,
    keep_every: int | None,
    safe: Safe | None,
) -> Fit:
    """Dispatch the compiled program, a fraction of a second of epochs at a time, until it or the clock says stop."""
    run, _, network, n, batch, order, _, agreed = ready
    state, rows = begun
    done, reason, seconds = int(state.epoch), int(state.reason), rows[-1, -1] if len(rows) else 0.0
    if checkpoint and not done:
        checkpoint(as_numpy(state))
    began, kept, slots = time.perf_counter() - seconds, done, _order_slots(n, batch)
    limit = min((goal.seconds for goal in stop if isinstance(goal, MaxSeconds)), default=np.inf)
    k = max(1, int(FIRST_DISPATCH / (3 * n * network.n_weights))) if limit == np.inf else 1

    def look(k: int, now: float) -> Looked:
        k = min(k, safe.epochs_left(done)) if safe else k
        is_due = safe is not None and safe.is_due(done)
        return agreed(Looked(k, now, is_due, keyboard.pressed, keyboard.terminated))

    looked = look(k, seconds)
    while done < epochs and reason == RUNNING and not looked.pressed and seconds < limit:
        k = min(looked.epochs, len(slots), epochs - done)
        k = min(k, _next_kept(done, keep_every) - done) if checkpoint else k
        for i in range(k if batch else 0):
            slots[i, :n] = _checked_order(order(done + i + 1), n)
        started = time.perf_counter()
        state, block = run(state, slots=slots, n_rows=n, n_epochs=k)
        block, reason = np.asarray(block, np.float64), int(state.reason)
        ran = int(state.epoch) - done
        spent, now = time.perf_counter() - started, time.perf_counter() - began
        numbers, times = np.arange(done + 1, done + ran + 1), np.linspace(seconds, now, ran + 1)[1:]
        rows = appended(rows, np.column_stack([numbers, block[:ran], times]))
        done, seconds = done + ran, now
        if checkpoint and ran and done == _next_kept(done - 1, keep_every):
            checkpoint(as_numpy(state))
            kept = done
        if progress and ran:
            progress(Progress(done, epochs, block[ran - 1, 0], block[ran - 1, 1], seconds))
        looked = look(_next_count(k, spent, limit - seconds), seconds)
        seconds = looked.seconds
        if safe and looked.is_due:
            safe.keep(as_numpy(state), rows)

    if checkpoint and kept < done:
        checkpoint(as_numpy(state))
    if safe and safe.epoch < done:
        safe.keep(as_numpy(state), rows)
    if looked.terminated and done < epochs and reason == RUNNING:
        raise Terminated(safe.epoch if safe else 0)
    stopped_by = reason_name(reason, stop, seconds >= limit, looked.pressed and done < epochs)
    fit = finished(state, rows, stopped_by, network, batch)
    return checked(fit)


def _checked_order(order: np.ndarray, n: int) -> np.ndarray:
    if np.shape(order) != (n,) or np.min(order) < 0 or np.max(order) >= n:
        raise ValueError(f"order: expected {n} row numbers from 0 to {n - 1}, got an array of shape {np.shape(order)}")
    return order


def _next_count(k: int, spent: float, left: float) -> int:
    """How many epochs to dispatch next: so many that Python looks up a few times a second."""
    wanted = min(SECONDS_PER_DISPATCH, left)
    return max(1, min(4 * k, int(k * wanted / max(spent, 1e-6))))


def _next_kept(done: int, keep_every: int | None) -> int:
    """The first epoch after `done` that a checkpoint is kept of: a power of two, or a multiple of `keep_every`."""
    power = 1 << done.bit_length()
    return min(power, (done // keep_every + 1) * keep_every) if keep_every else power


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
    check_gradient_alone(rule)
    if not isinstance(stop, list | tuple):
        raise TypeError(f"stop: expected a list of goals, such as [CostGoal(0.001)]; got {stop!r}")
    for goal in stop:
        if not (isinstance(getattr(goal, "name", None), str) and callable(getattr(goal, "reached", None))):
            raise TypeError(f"stop: expected goals with a name, a str, and reached(record); got {goal!r}")
    if validation is not None and not (isinstance(validation, tuple | list) and len(validation) in (2, 3)):
        raise TypeError("validation: expected (X, Y) or (X, Y, weights)")


def _check_streamable(batch_size: Any, sample: str, order: Any, checkpoint: Any, together: bool) -> None:
    if batch_size is None:
        raise ValueError("rows that are streamed are learnt in mini-batches: give a batch_size")
    given = {"sample": sample != "permutation", "order": order is not None, "checkpoint": checkpoint is not None}
    given["together"] = together
    for name in (name for name, there in given.items() if there):
        raise ValueError(f"{name}: cannot be given for rows that are streamed")


def _check_settings(batch_size: int | None, sample: str, dtype: str, stop: Sequence[Stop], validation: Any) -> None:
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

"""The network and training settings for a table: those requested, and defaults for the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError, UsageError
from chainrule.maths.costs import BINARY_CROSS_ENTROPY, CATEGORICAL_CROSS_ENTROPY, SQUARED_ERROR, Cost, cost_named
from chainrule.network import Network, Params, initialize
from chainrule.tables import preset
from chainrule.tables.memory import NUMBER, free_memory
from chainrule.tables.prepare import Prepared
from chainrule.tables.request import Preparing, Request
from chainrule.tables.target import Task
from chainrule.training.goals import CostGoal, MaxSeconds, MinGradient, NoImprovement, Stop, Unchanged
from chainrule.training.rules import (
    LARGEST,
    Rule,
    Schedule,
    adam,
    cosine_decay,
    exponential_decay,
    gradient_descent,
    inverse_time_decay,
    optax_rule,
    step_decay,
)
from chainrule.training.settings import TrainingSettings

COSTS: dict[Task, Cost] = {
    "binary": BINARY_CROSS_ENTROPY,
    "multiclass": CATEGORICAL_CROSS_ENTROPY,
    "regression": SQUARED_ERROR,
}
OUTPUTS_OF_CLASSES = {"binary": "sigmoid", "multiclass": "softmax"}  # independent of the cost
COPIES = 6  # of the parameters, as doubles, during training: initial, current, averaged, best ...
OWN_RULES: dict[str, dict[str, Any]] = {
    "gradient_descent": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


class Recipe(NamedTuple):
    """The settings of a training on a table, and the initial parameters."""

    settings: TrainingSettings
    params: Params


def preparing_of(request: Request) -> Preparing:
    """How the table of a request is prepared.

    Parameters
    ----------
    request : Request
        The requested settings.

    Returns
    -------
    Preparing
        The arguments of `prepare`.

    Raises
    ------
    UsageError
        If the requested cost does not exist.
    """
    asked = _asked_cost(request)
    of_numbers = asked is not None and asked.of == "numbers"
    return Preparing(
        targets=request.target,
        task=request.task or ("regression" if of_numbers else None),
        drop=request.drop,
        normalize=request.normalize,
        quantiles=request.quantiles,
        normalize_target=asked is None or not asked.is_bounded,
        test_size=0.0 if request.test_file else request.test_size,
        validation_size=request.validation_size,
        seed=request.seed,
        dtype=request.dtype,
    )


def recipe_for(prepared: Prepared, request: Request, n_train: int | None = None) -> Recipe:
    """The network, its initial parameters and the training settings for a prepared table.

    Parameters
    ----------
    prepared : Prepared
        The table, or a sample of it.
    request : Request
        The requested settings.
    n_train : int, optional
        The number of training rows if the table is a sample.

    Returns
    -------
    Recipe
        The settings and the initial parameters.

    Raises
    ------
    InputError
        If a setting is out of range or a name is unknown.
    """
    n_train = n_train or len(prepared.split.train)
    try:
        if asked := _asked_cost(request):
            asked.check_domain(prepared.Y)
        network = _network(prepared.target.task, prepared.X.shape[1], prepared.Y.shape[1], n_train, request)
        check_room(network)
        batch_size = _batch_size(request.batch_size, n_train)
        epochs = preset.EPOCHS if request.epochs is None else request.epochs
        updates = -(-n_train // (batch_size or n_train))
        rule = _rule(request, epochs, updates)
        params = initialize(network, _initial(network, request.initial), request.seed, request.dtype)
        stops = _stops(request, len(prepared.split.validation))
        left_to_us = request.rule is None and batch_size is not None
        drop, decay = (preset.dropout(n_train), preset.AVERAGE) if left_to_us else (0.0, 0.0)
        settings = TrainingSettings(
            network,
            rule,
            batch_size,
            epochs,
            stops,
            request.seed,
            request.dtype,
            dropout=drop if request.dropout is None else request.dropout,
            average=decay if request.average is None else request.average,
        )
        return Recipe(settings, params)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


def _asked_cost(request: Request) -> Cost | None:
    try:
        return None if request.cost is None else cost_named(request.cost)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _network(task: Task, n_inputs: int, n_outputs: int, n_train: int, request: Request) -> Network:
    hidden = preset.HIDDEN if request.hidden is None else tuple(request.hidden)
    cost = _asked_cost(request) or COSTS[task]
    if task == "regression" and cost.of == "classes":
        raise InputError(f"--cost {cost.name} requires classes, but the target is numeric")
    output = OUTPUTS_OF_CLASSES.get(task, cost.output)
    asked = list(request.activation or [preset.ACTIVATION])
    if len(asked) == len(hidden) + 1 > 1:
        activations = asked
    elif len(asked) in (1, len(hidden)):
        activations = [*(asked * len(hidden) if len(asked) == 1 else asked), output]
    else:
        raise InputError(
            f"--activation: expected one name, or one per hidden layer ({len(hidden)}), "
            f"or one per layer ({len(hidden) + 1}); got {len(asked)}"
        )
    ours = (
        request.l2 is None and request.rule in (None, "adam") and request.reduction == "mean"
    )  # a sum over rows would dwarf the penalty
    l2 = preset.l2(n_train) if ours else request.l2 or 0.0
    return Network([n_inputs, *hidden, n_outputs], activations, cost, request.reduction, l2)


def check_room(network: Network) -> None:
    """Refuse a network whose parameters need more than the free memory, before they are allocated.

    Parameters
    ----------
    network : Network
        The network.

    Raises
    ------
    InputError
        If the memory does not suffice, with the required and the free amount.
    """
    needed, free = NUMBER * COPIES * network.n_parameters, free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"a network of {network.n_parameters:,} parameters needs about {needed / 2**30:,.1f} GB of memory, but "
            f"only {free / 2**30:,.1f} GB are free; use fewer nodes"
        )


def _initial(network: Network, wanted: str | dict[str, Any] | None) -> Any:
    """The name of a scheme, or layers given as lists: {"W1": [[...]], "b1": [...], "W2": ...}."""
    if wanted is None:
        return "he" if network.activations[0].name in ("relu", "leaky_relu") else "glorot"
    if isinstance(wanted, str):
        return wanted
    n = sum(key.startswith("W") for key in wanted)
    try:
        return [tuple(np.array(wanted[f"{name}{i}"], float) for name in "Wb") for i in range(1, n + 1)]
    except (KeyError, ValueError) as error:
        raise InputError(f'--initial: expected {{"W1": [[...]], "b1": [...], ...}}: {error!r}') from error


def _batch_size(wanted: int | str | None, n_train: int) -> int | None:
    if wanted == "all":
        return None
    return preset.batch_size(n_train) if wanted is None else int(wanted)


def _rule(request: Request, epochs: int, updates_per_epoch: int) -> Rule:
    name = (request.rule or "adam").replace("-", "_")
    eta = preset.LEARNING_RATE if request.learning_rate is None else request.learning_rate
    rate = _schedule(request.schedule, eta, epochs, updates_per_epoch) if request.schedule else eta
    if name == "adam":  # without importing optax
        return adam(rate)
    return gradient_descent(rate, **OWN_RULES[name]) if name in OWN_RULES else optax_rule(name, rate)


def _schedule(text: str, eta: float, epochs: int, updates: int) -> Schedule:
    """Parse a schedule such as "step:0.5:100" or "cosine"; epochs are converted to updates."""
    name, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers]
        if not all(0 < value <= LARGEST for value in values):
            raise InputError(f"--schedule {text}: expected numbers above 0 and at most {LARGEST:g}")
        match name.replace("-", "_"), values:
            case "step", [factor, every]:
                return step_decay(eta, factor, max(1, round(every * updates)))
            case "exponential", [factor, every]:
                return exponential_decay(eta, factor, max(1, round(every * updates)))
            case "inverse_time", [rate]:
                return inverse_time_decay(eta, rate / updates)
            case "cosine", []:
                return cosine_decay(eta, epochs * updates)
            case _:
                pass
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"--schedule {text}: {error}") from None
    raise InputError(
        f"--schedule: expected step:FACTOR:EPOCHS, exponential:FACTOR:EPOCHS, inverse_time:RATE or cosine; got {text!r}"
    )


def _stops(request: Request, n_validation: int) -> tuple[Stop, ...]:
    stops: list[Stop] = []
    if request.cost_goal is not None:
        stops.append(CostGoal(request.cost_goal))
    if request.min_gradient is not None:
        stops.append(MinGradient(request.min_gradient))
    if request.unchanged is not None:
        stops.append(Unchanged(request.unchanged))
    if request.patience is not None and not n_validation:
        raise InputError("--patience requires validation rows: set --validation-size above 0")
    if n_validation:
        stops.append(NoImprovement(preset.PATIENCE if request.patience is None else request.patience))
    if request.max_seconds is not None:
        stops.append(MaxSeconds(request.max_seconds))
    return tuple(stops)

"""How a network is trained: one immutable record, shared by executors, digests, plan.json and replay.

It is created by `train`, by the recipe of a table and from a run folder, and nowhere else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import InputError
from chainrule.network import Network, Params
from chainrule.training.averaging import check_decay
from chainrule.training.dropout import check_rate
from chainrule.training.goals import MaxSeconds, NoImprovement, Stop, check_goals, goal_from_json, goal_to_json
from chainrule.training.rules import Rule, check_rule
from chainrule.training.rules.plain import rule_from_json, rule_to_json

DTYPES = ("float32", "float64")
SAMPLES = ("permutation", "with_replacement")


@dataclass(frozen=True)
class TrainingSettings:
    """All settings of a training except its data and initial parameters; `chainrule.train` describes them in full.

    Parameters
    ----------
    network : Network
    rule : Rule
    batch_size : int, optional
        Rows per update; by default the whole table.
    epochs : int, default=100
        Maximum number of epochs.
    stop : sequence of Stop, default=()
    seed : int, default=0
    dtype : {"float32", "float64"}, default="float32"
    dropout : float, default=0.0
    average : float, default=0.0
        Decay of a moving average of the parameters.
    sample : {"permutation", "with_replacement"}, default="permutation"

    Raises
    ------
    ValueError, TypeError
        If a value is invalid.

    Examples
    --------
    >>> from chainrule import Network, gradient_descent
    >>> TrainingSettings(Network([2, 1]), gradient_descent(0.1), batch_size=32).batch_of(20)
    20
    """

    numbers: ClassVar[tuple[str, ...]] = ("network", "rule", "stop", "dropout", "average")  # see `arguments`

    network: Network
    rule: Rule
    batch_size: int | None = None
    epochs: int = 100
    stop: tuple[Stop, ...] = ()
    seed: int = 0
    dtype: str = "float32"
    dropout: float = 0.0
    average: float = 0.0
    sample: str = "permutation"

    def __post_init__(self) -> None:
        check_rule(self.rule)
        check_goals(self.stop)
        object.__setattr__(self, "stop", tuple(self.stop))
        _check_count("epochs", self.epochs, "")
        if self.batch_size is not None:
            _check_count("batch_size", self.batch_size, "None (the whole table) or ")
        if self.sample not in SAMPLES:
            raise ValueError(f'sample: expected "permutation" or "with_replacement", got {self.sample!r}')
        if self.dtype not in DTYPES:
            raise ValueError(f'dtype: expected "float32" or "float64", got {self.dtype!r}')
        if self.batch_size is None and self.sample != "permutation":
            raise ValueError("sample='with_replacement' draws rows for mini-batches: set batch_size")
        check_rate(self.dropout)
        check_decay(self.average)

    @property
    def seconds(self) -> float:
        """The time limit in seconds; infinity if there is none."""
        return min((goal.seconds for goal in self.stop if isinstance(goal, MaxSeconds)), default=np.inf)

    def check_validated(self, validated: bool) -> None:
        """Check that there are validation rows if a goal needs them.

        Parameters
        ----------
        validated : bool
            Whether there are validation rows.

        Raises
        ------
        ValueError
        """
        if not validated and any(isinstance(goal, NoImprovement) for goal in self.stop):
            raise ValueError("NoImprovement needs validation rows: pass validation=(X, Y)")

    def batch_of(self, n: int) -> int | None:
        """Compute the number of rows per update.

        Parameters
        ----------
        n : int
            Rows of the table.

        Returns
        -------
        int or None
            None if each update uses the whole table.
        """
        return None if self.batch_size is None else min(int(self.batch_size), n)

    def to_json(self) -> dict[str, Any]:
        """Convert all fields except the network to plain data.

        Returns
        -------
        dict

        Raises
        ------
        InputError
            If a rule or goal is defined by code.
        """
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "network"}
        return {**plain, "rule": rule_to_json(self.rule), "stop": [goal_to_json(goal) for goal in self.stop]}


def settings_from_json(network: Network, data: dict[str, Any]) -> TrainingSettings:
    """The inverse of `to_json`; a ValueError, KeyError or TypeError for other data."""
    known = {field.name for field in fields(TrainingSettings)} - {"network"}
    if set(data) != known:
        raise ValueError(f"expected the fields {', '.join(sorted(known))}")
    for name in ("batch_size", "epochs", "seed"):
        if not (isinstance(data[name], int) or (name == "batch_size" and data[name] is None)):
            raise ValueError(f"{name}: expected a whole number, got {data[name]!r}")
    rule, stop = rule_from_json(data["rule"]), tuple(map(goal_from_json, data["stop"]))
    if not hasattr(rule, "update"):
        raise ValueError(f"expected a rule, got the schedule {rule}")
    if len({type(goal) for goal in stop}) < len(stop):
        raise ValueError("expected at most one goal of each kind")
    return TrainingSettings(network, **{**data, "rule": rule, "stop": stop})


def design_digest(settings: TrainingSettings, params: Params) -> str:
    """Digest of the initial parameters and of all settings but `epochs`; user-defined code counts by its name only."""
    of, network = settings, settings.network
    try:
        rule: Any = rule_to_json(of.rule)
    except InputError:
        rule = type(of.rule).__name__  # user-defined
    names = [network.layers, [a.name for a in network.activations], network.cost.name, network.reduction, network.l2]
    how = (of.batch_size, of.stop, of.seed, of.dtype, of.sample, of.dropout, of.average)
    digest = hashlib.blake2b(repr([names, network.masks, rule, how]).encode(), digest_size=16)
    for x in (x for layer in params for x in layer):
        digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()


def _check_count(name: str, value: Any, otherwise: str) -> None:
    whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    if not whole or value < 1:
        raise ValueError(f"{name}: expected {otherwise}a whole number, 1 or more; got {value}")

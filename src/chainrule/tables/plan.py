"""How a run was trained, as plain data: enough to read its table again and replay any of its updates."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

from chainrule.driver import Setting
from chainrule.errors import InputError
from chainrule.network import Network, Params
from chainrule.storage.documents import read_document
from chainrule.tables.fit import rows_of
from chainrule.tables.prepare import Prepared
from chainrule.tables.recipe import Recipe, preparing_of
from chainrule.tables.request import Preparing, Request
from chainrule.training.goals import CostGoal, MaxSeconds, MinGradient, NoImprovement, Stop, Unchanged
from chainrule.training.rules.plain import rule_from_json, rule_to_json

_STOPS = {goal.name: goal for goal in (CostGoal, MinGradient, Unchanged, NoImprovement, MaxSeconds)}


@dataclass(frozen=True)
class PlanDocument:
    """A plan as a file holds it: rule and goals as plain data."""

    preparing: Preparing
    rule: dict[str, Any]
    rule_is: str
    batch_size: int | None
    epochs: int
    stop: list[dict[str, Any]]
    dropout: float
    average: float
    balanced: bool
    seed: int
    dtype: Literal["float32", "float64"]

    def __post_init__(self) -> None:
        names = ("batch_size", "epochs", "dropout", "average", "seed", "dtype")
        Request(**{name: getattr(self, name) for name in names})  # which knows what may be asked for
        kinds = [goal.get("is") for goal in self.stop]
        if len(set(kinds)) < len(kinds):
            raise ValueError("two goals of one kind")


@dataclass(frozen=True)
class Plan:
    """The course of a training, but for its table and first parameters."""

    preparing: Preparing
    rule: Any
    rule_is: str
    batch_size: int | None
    epochs: int
    stop: tuple[Stop, ...]
    dropout: float
    average: float
    balanced: bool
    seed: int
    dtype: Literal["float32", "float64"]

    def to_json(self) -> dict[str, Any]:
        stops = [{"is": goal.name, **vars(goal)} for goal in self.stop]
        return {**vars(self), "preparing": asdict(self.preparing), "rule": rule_to_json(self.rule), "stop": stops}


def plan_of(recipe: Recipe, request: Request) -> Plan:
    """The plan of a recipe."""
    return Plan(
        preparing_of(request),
        recipe.rule,
        recipe.rule_is,
        recipe.batch_size,
        recipe.epochs,
        recipe.stop,
        recipe.dropout,
        recipe.average,
        request.balanced,
        request.seed,
        request.dtype,
    )


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file.

    Raises
    ------
    InputError
        If the file holds none, or one with values that no training can have.
    """
    document = read_document(path, PlanDocument)
    try:
        stops = tuple(map(_goal, document.stop))
        rule = rule_from_json(document.rule)
        if not hasattr(rule, "update"):
            raise ValueError(f"a schedule, {rule}, for a rule")
        return Plan(**{**vars(document), "rule": rule, "stop": stops})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a plan that this Chainrule can read: {error!r}") from error


def _goal(data: dict[str, Any]) -> Stop:
    import msgspec

    return msgspec.convert({name: x for name, x in data.items() if name != "is"}, type=_STOPS[data["is"]])


def setting_of(plan: Plan, prepared: Prepared, network: Network, first: Params) -> Setting:
    """The training that the plan means on this table, from these first parameters."""
    X, Y, weights, validation = rows_of(prepared, plan.balanced)
    return Setting(
        network,
        first,
        X,
        Y,
        plan.rule,
        plan.batch_size,
        plan.stop,
        plan.seed,
        plan.dtype,
        weights,
        validation,
        dropout=plan.dropout,
        average=plan.average,
    )

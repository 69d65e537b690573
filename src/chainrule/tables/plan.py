"""How a run was trained, as plain data: enough to read its table again and replay any of its updates."""

from __future__ import annotations

from typing import Any, NamedTuple

from chainrule.network import Network, Params
from chainrule.rule_json import rule_from_json, rule_to_json
from chainrule.stopping import CostGoal, MaxSeconds, MinGradient, NoImprovement, Stop, Unchanged
from chainrule.tables.fitting import rows_of
from chainrule.tables.preparing import Prepared
from chainrule.tables.recipe import Recipe
from chainrule.training import Setting

_STOPS = {goal.name: goal for goal in (CostGoal, MinGradient, Unchanged, NoImprovement, MaxSeconds)}


class Plan(NamedTuple):
    """The course of a training, but for its table and first parameters; `preparing` are the arguments of `prepare`."""

    preparing: dict[str, Any]
    rule: Any
    rule_is: str
    batch_size: int | None
    epochs: int
    stop: tuple[Stop, ...]
    dropout: float
    average: float
    balanced: bool
    seed: int
    dtype: str

    def to_json(self) -> dict[str, Any]:
        stops = [{"is": goal.name, **vars(goal)} for goal in self.stop]
        return {**self._asdict(), "rule": rule_to_json(self.rule), "stop": stops}


def plan_of(recipe: Recipe, preparing: dict[str, Any], balanced: bool, seed: int, dtype: str) -> Plan:
    """The plan of a recipe."""
    return Plan(
        preparing,
        recipe.rule,
        recipe.rule_is,
        recipe.batch_size,
        recipe.epochs,
        recipe.stop,
        recipe.dropout,
        recipe.average,
        balanced,
        seed,
        dtype,
    )


def plan_from_json(data: dict[str, Any]) -> Plan:
    """The inverse of `Plan.to_json`; a KeyError, TypeError or ValueError for what it did not write."""
    stops = tuple(_STOPS[goal["is"]](**{k: v for k, v in goal.items() if k != "is"}) for goal in data["stop"])
    return Plan(**{**data, "rule": rule_from_json(data["rule"]), "stop": stops})


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

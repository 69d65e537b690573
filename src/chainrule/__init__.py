"""Chainrule: fully connected feedforward networks, trained by backpropagation, on tables.

Design, initialize, forward, cost, backward, update; `train` repeats the last four.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.activations import Activation as Activation
    from chainrule.costs import Cost as Cost
    from chainrule.costs import huber as huber
    from chainrule.costs import pinball as pinball
    from chainrule.estimators import MLPClassifier as MLPClassifier
    from chainrule.estimators import MLPRegressor as MLPRegressor
    from chainrule.explaining import explain as explain
    from chainrule.explaining import explain_step as explain_step
    from chainrule.gradcheck import check_gradients as check_gradients
    from chainrule.history import History as History
    from chainrule.network import Backward as Backward
    from chainrule.network import Forward as Forward
    from chainrule.network import Layer as Layer
    from chainrule.network import Network as Network
    from chainrule.network import backward as backward
    from chainrule.network import cost as cost
    from chainrule.network import forward as forward
    from chainrule.network import initialize as initialize
    from chainrule.onnx_export import to_onnx as to_onnx
    from chainrule.outcome import DivergedError as DivergedError
    from chainrule.outcome import Fit as Fit
    from chainrule.outcome import Terminated as Terminated
    from chainrule.resuming import Resumable as Resumable
    from chainrule.rules import clipped as clipped
    from chainrule.rules import cosine_decay as cosine_decay
    from chainrule.rules import exponential_decay as exponential_decay
    from chainrule.rules import gradient_descent as gradient_descent
    from chainrule.rules import inverse_time_decay as inverse_time_decay
    from chainrule.rules import optax_rule as optax_rule
    from chainrule.rules import step_decay as step_decay
    from chainrule.rules import update as update
    from chainrule.saving import load as load
    from chainrule.saving import save as save
    from chainrule.stopping import CostGoal as CostGoal
    from chainrule.stopping import MaxSeconds as MaxSeconds
    from chainrule.stopping import MinGradient as MinGradient
    from chainrule.stopping import NoImprovement as NoImprovement
    from chainrule.stopping import Unchanged as Unchanged
    from chainrule.training import train as train

__version__ = "0.1.0"

_ROOMS = {
    "activations": ["Activation"],
    "costs": ["Cost", "huber", "pinball"],
    "estimators": ["MLPClassifier", "MLPRegressor"],
    "explaining": ["explain", "explain_step"],
    "gradcheck": ["check_gradients"],
    "history": ["History"],
    "network": ["Backward", "Forward", "Layer", "Network", "backward", "cost", "forward", "initialize"],
    "onnx_export": ["to_onnx"],
    "outcome": ["DivergedError", "Fit", "Terminated"],
    "resuming": ["Resumable"],
    "rules": [
        "clipped",
        "cosine_decay",
        "exponential_decay",
        "gradient_descent",
        "inverse_time_decay",
        "optax_rule",
        "step_decay",
        "update",
    ],
    "saving": ["load", "save"],
    "stopping": ["CostGoal", "MaxSeconds", "MinGradient", "NoImprovement", "Unchanged"],
    "training": ["train"],
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = sorted(_ROOM_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    return getattr(import_module(f"chainrule.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

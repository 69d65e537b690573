"""Chainrule: fully connected feedforward networks, trained by backpropagation, on tables.

Design, initialize, forward, cost, backward, update; `train` repeats the last four.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.driver import train as train
    from chainrule.estimators import MLPClassifier as MLPClassifier
    from chainrule.estimators import MLPRegressor as MLPRegressor
    from chainrule.explaining import explain as explain
    from chainrule.explaining import explain_step as explain_step
    from chainrule.explaining.gradcheck import check_gradients as check_gradients
    from chainrule.interactive import Training as Training
    from chainrule.maths.activations import Activation as Activation
    from chainrule.maths.costs import Cost as Cost
    from chainrule.maths.costs import huber as huber
    from chainrule.maths.costs import pinball as pinball
    from chainrule.network import Backward as Backward
    from chainrule.network import Forward as Forward
    from chainrule.network import Layer as Layer
    from chainrule.network import Network as Network
    from chainrule.network import backward as backward
    from chainrule.network import cost as cost
    from chainrule.network import forward as forward
    from chainrule.network import initialize as initialize
    from chainrule.onnx import to_onnx as to_onnx
    from chainrule.saving import load as load
    from chainrule.saving import save as save
    from chainrule.session import Run as Run
    from chainrule.session import fit_table as fit_table
    from chainrule.training.checkpoints import Resumable as Resumable
    from chainrule.training.goals import CostGoal as CostGoal
    from chainrule.training.goals import MaxSeconds as MaxSeconds
    from chainrule.training.goals import MinGradient as MinGradient
    from chainrule.training.goals import NoImprovement as NoImprovement
    from chainrule.training.goals import Unchanged as Unchanged
    from chainrule.training.history import History as History
    from chainrule.training.result import DivergedError as DivergedError
    from chainrule.training.result import Fit as Fit
    from chainrule.training.result import Terminated as Terminated
    from chainrule.training.rules import clipped as clipped
    from chainrule.training.rules import cosine_decay as cosine_decay
    from chainrule.training.rules import exponential_decay as exponential_decay
    from chainrule.training.rules import gradient_descent as gradient_descent
    from chainrule.training.rules import inverse_time_decay as inverse_time_decay
    from chainrule.training.rules import optax_rule as optax_rule
    from chainrule.training.rules import step_decay as step_decay
    from chainrule.training.rules import update as update

__version__ = "0.1.0"

_ROOMS = {
    "driver": ["train"],
    "estimators": ["MLPClassifier", "MLPRegressor"],
    "explaining": ["explain", "explain_step"],
    "explaining.gradcheck": ["check_gradients"],
    "interactive": ["Training"],
    "maths.activations": ["Activation"],
    "maths.costs": ["Cost", "huber", "pinball"],
    "network": ["Backward", "Forward", "Layer", "Network", "backward", "cost", "forward", "initialize"],
    "onnx": ["to_onnx"],
    "saving": ["load", "save"],
    "session": ["Run", "fit_table"],
    "training.checkpoints": ["Resumable"],
    "training.goals": ["CostGoal", "MaxSeconds", "MinGradient", "NoImprovement", "Unchanged"],
    "training.history": ["History"],
    "training.result": ["DivergedError", "Fit", "Terminated"],
    "training.rules": [
        "clipped",
        "cosine_decay",
        "exponential_decay",
        "gradient_descent",
        "inverse_time_decay",
        "optax_rule",
        "step_decay",
        "update",
    ],
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = sorted(_ROOM_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    return getattr(import_module(f"chainrule.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

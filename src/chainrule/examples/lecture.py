"""The lecture's 2-3-1 network: its table, initial weights, settings, and printed numbers."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np

from chainrule.network import Network, Params, initialize
from chainrule.training.rules import GradientDescent, gradient_descent


def lecture() -> dict[str, Any]:
    """The complete example as data: rows, initial parameters, settings, printed numbers and errata."""
    return json.loads(files("chainrule.examples").joinpath("lecture.json").read_text(encoding="utf-8"))


def lecture_setting() -> tuple[Network, Params, np.ndarray, np.ndarray, GradientDescent]:
    """The network, initial parameters, X, Y and rule.

    >>> network, params, X, Y, rule = lecture_setting()
    >>> network.layers, X.shape, rule.learning_rate
    ((2, 3, 1), (10, 2), 0.5)
    """
    data = lecture()
    network = Network(data["layers"], data["activations"], data["cost"], data["reduction"])
    first = data["initial"]
    params = initialize(network, [(first["W1"], first["b1"]), (first["W2"], first["b2"])])
    rows = np.array(data["normalized_rows"], float)
    return network, params, rows[:, 1:], rows[:, :1], gradient_descent(data["learning_rate"])

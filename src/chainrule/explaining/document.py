"""A trace as a JSON document, version 1: docs/trace.schema.json says what is where. All numbers are float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.artifacts import design_to_json
from chainrule.explaining.runs import Opened
from chainrule.trace import Trace

FORMAT, VERSION = "chainrule-trace", 1


def to_json(opened: Opened) -> dict[str, Any]:
    """The document of an update ("step") or of a prediction; arrays as nested lists, one observation per row."""
    trace = opened.trace
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "step" if isinstance(trace, Trace) else "prediction",
        "network": design_to_json(trace.network),
        "names": {
            "nodes": [list(layer) for layer in trace.names.nodes],
            "inputs": list(trace.names.inputs),
            "outputs": list(trace.names.outputs),
        },
        "about": trace.about,
        "rows": list(trace.rows),
        "raw": opened.raw,
        "parameters": _layers(trace.params),
        "a": _lists(trace.forward.a),
        "z": _lists(trace.forward.z),
        "keep": [None if k is None else np.asarray(k).tolist() for k in trace.forward.keep],
    }
    if not isinstance(trace, Trace):
        return {**document, "output": trace.output, "delta": _lists(trace.delta), "pushes": trace.pushes.tolist()}
    return {
        **document,
        "targets": trace.Y.tolist(),
        "weights": trace.weights.tolist(),
        "costs": trace.costs.tolist(),
        "shares": trace.shares.tolist(),
        "cost": trace.cost,
        "error": _lists(trace.backward.error),
        "delta": _lists(trace.backward.delta),
        "gradient": _layers(trace.backward.gradient),
        "learning_rate": None if math.isnan(trace.learning_rate) else trace.learning_rate,
        "step": _layers(trace.step),
        "after": _layers(trace.after),
    }


def _lists(arrays: Any) -> list[Any]:
    return [np.asarray(x).tolist() for x in arrays]


def _layers(params: Any) -> list[dict[str, Any]]:
    return [{"W": np.asarray(W).tolist(), "b": np.asarray(b).tolist()} for W, b in params]

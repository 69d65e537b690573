"""Traces as JSON documents, version 1, described by docs/trace.schema.json. All numbers are float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.explaining.story import Course, Opened
from chainrule.explaining.text import paths_of
from chainrule.explaining.trace import Trace
from chainrule.storage.models import design_to_json

FORMAT, VERSION = "chainrule-trace", 1


def to_json(opened: Opened, row: int = 0, course: Course | None = None) -> dict[str, Any]:
    """Convert an update ("step") or a prediction to a document; arrays become nested lists, one observation per row.

    `row` is the index of the observation whose strongest paths are included.
    """
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
        "scales": {name: scale._asdict() for name, scale in opened.scales.items()},
        "answer": list(opened.answer),
        "parameters": _layers(trace.params),
        "a": _lists(trace.forward.a),
        "z": _lists(trace.forward.z),
        "keep": [None if k is None else np.asarray(k).tolist() for k in trace.forward.keep],
        "paths": _paths(trace, row),
        "course": course and {key: _numbers(value) for key, value in course._asdict().items()},
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
        "cost_after": trace.cost_after,
        "moments": trace.moments and {key: _layers(x) for key, x in zip(("mean", "root"), trace.moments, strict=True)},
        "surface": trace.surface and {key: value.tolist() for key, value in trace.surface._asdict().items()},
    }


def _paths(trace: Any, row: int) -> dict[str, Any]:
    paths = paths_of(trace, row)
    names = [[trace.names.nodes[k][j] for k, j in enumerate(nodes)] for nodes in paths.nodes]
    told = [{"nodes": nodes, "strength": s} for nodes, s in zip(names, paths.strengths, strict=True)]
    return {"row": trace.rows[row], "strongest": told, "of": paths.of, "share": paths.share}


def _numbers(value: Any) -> Any:
    """Convert an array to a list, with null for NaN; return anything else unchanged."""
    if not isinstance(value, np.ndarray):
        return value
    return [None if x != x else x for x in value.tolist()]


def _lists(arrays: Any) -> list[Any]:
    return [np.asarray(x).tolist() for x in arrays]


def _layers(params: Any) -> list[dict[str, Any]]:
    return [{"W": np.asarray(W).tolist(), "b": np.asarray(b).tolist()} for W, b in params]

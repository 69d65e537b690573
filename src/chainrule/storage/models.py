"""Model files: the design of a network, its parameters, a JSON document and further arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.maths.activations import is_activation_of_ours
from chainrule.maths.costs import is_cost_of_ours
from chainrule.network import Layer, Network, Params
from chainrule.storage.documents import check_known
from chainrule.storage.tensors import read_tensors, readable, write_tensors


class Stored(NamedTuple):
    """The contents of a model file: design, parameters, a JSON document, and further arrays by name."""

    network: Network
    params: Params
    document: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write_model(
    path: str | os.PathLike[str],
    network: Network,
    params: Params,
    document: dict[str, Any],
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a network, its parameters, a JSON document and further arrays to a file.

    Raises
    ------
    InputError
        If the network has a user-defined activation or cost, or if `path` cannot be written.
    """
    tensors = {f"{i}.{name}": x for i, layer in enumerate(params) for name, x in _named(layer)}
    tensors |= {f"array.{name}": x for name, x in (arrays or {}).items()}
    write_tensors(path, {"network": design_to_json(network), "arrays": sorted(arrays or {}), **document}, tensors)


def read_model(path: str | os.PathLike[str]) -> Stored:
    """Read a file that `write_model` wrote.

    Raises
    ------
    InputError
        If the file is missing, truncated, altered, or not a model of Chainrule.
    """
    document, tensors = read_tensors(path)
    with readable(path):
        check_known(path, "setting", document["network"], (field.name for field in fields(Network)))
        network = Network(**document["network"])
        params = tuple(Layer(tensors.pop(f"{i}.W"), tensors.pop(f"{i}.b")) for i in range(len(network.layers) - 1))
        arrays = {name: tensors.pop(f"array.{name}") for name in document.get("arrays", [])}
    _check_tensors(path, network, params, tensors)
    return Stored(network, params, document, arrays)


def design_to_json(network: Network) -> dict[str, Any]:
    """The design as plain data; an InputError if it has a user-defined function."""
    names = [activation.name for activation in network.activations]
    for activation in network.activations:
        if not is_activation_of_ours(activation):
            raise InputError(f"activation {activation.name!r} is your own function: it cannot be saved without code")
    if not is_cost_of_ours(network.cost):
        raise InputError(f"cost {network.cost.name!r} is your own function: it cannot be saved without code")
    return {
        "layers": list(network.layers),
        "activations": names,
        "cost": network.cost.name,
        "reduction": network.reduction,
        "l2": network.l2,
        "masks": network.masks if any(mask is not None for mask in network.masks) else None,
    }


def _named(layer: Layer) -> list[tuple[str, np.ndarray]]:
    return [("W", np.asarray(layer.W)), ("b", np.asarray(layer.b))]


def _check_tensors(path: Any, network: Network, params: Params, left: dict[str, np.ndarray]) -> None:
    from chainrule.maths import shapes

    if left:
        raise InputError(f"{path}: unexpected tensors: {', '.join(sorted(left))}")
    kinds = {x.dtype.name for layer in params for x in layer}
    if kinds not in ({"float32"}, {"float64"}):
        raise InputError(f"{path}: expected parameters of float32 or float64, got {', '.join(sorted(kinds))}")
    try:
        shapes.check_params(network.layers, params)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error

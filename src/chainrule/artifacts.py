"""A model on disk: one safetensors file, tensors and a JSON document; nothing in it is ever executed.

The document carries a checksum of itself and of the tensors, so that a damaged or altered file is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from chainrule.activations import ACTIVATIONS
from chainrule.costs import Cost, cost_named
from chainrule.errors import InputError
from chainrule.network import Layer, Network, Params
from chainrule.storage.documents import parsed
from chainrule.storage.files import written_aside

FORMAT = "chainrule-model"
FORMAT_VERSION = 1
METADATA_KEY = "chainrule"  # one key: safetensors writes several in any order, and equal models shall be equal files


class Stored(NamedTuple):
    """What a model file holds: the design, the parameters, a JSON document, and further arrays by name."""

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
    """Write `params`, a JSON `document` and further `arrays` beside the network's design.

    Raises
    ------
    InputError
        If the network has an activation or cost of the caller's own, which only code can define, or if
        `path` cannot be written.
    """
    tensors = {f"{i}.{name}": x for i, layer in enumerate(params) for name, x in _named(layer)}
    tensors |= {f"array.{name}": x for name, x in (arrays or {}).items()}
    write_tensors(path, {"network": design_to_json(network), "arrays": sorted(arrays or {}), **document}, tensors)


def read_model(path: str | os.PathLike[str]) -> Stored:
    """What is in a file that `write_model` wrote.

    Raises
    ------
    InputError
        If the file is missing, truncated, altered, or not Chainrule's.
    """
    document, tensors = read_tensors(path)
    with _readable(path):
        network = design_from_json(document["network"])
        params = tuple(Layer(tensors.pop(f"{i}.W"), tensors.pop(f"{i}.b")) for i in range(len(network.layers) - 1))
        arrays = {name: tensors.pop(f"array.{name}") for name in document.get("arrays", [])}
    _check_tensors(path, network, params, tensors)
    return Stored(network, params, document, arrays)


def write_tensors(
    path: str | os.PathLike[str], document: dict[str, Any], tensors: Mapping[str, np.ndarray], format_: str = FORMAT
) -> None:
    """Write a JSON `document` and tensors, with their checksum."""
    from safetensors.numpy import save

    whole = {"format": format_, "format_version": FORMAT_VERSION, **document}
    plain = {name: np.ascontiguousarray(x).reshape(np.shape(x)) for name, x in tensors.items()}
    signed = {**whole, "sha256": _checksum(whole, plain)}
    with written_aside(path) as aside:
        aside.write_bytes(save(plain, {METADATA_KEY: _canonical(signed)}))


def read_tensors(path: str | os.PathLike[str], format_: str = FORMAT) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The document and the tensors of a file that `write_tensors` wrote; an InputError if they are not whole."""
    metadata, tensors = _read_safetensors(path)
    if METADATA_KEY not in metadata:
        raise InputError(f"{path}: not a Chainrule model (a safetensors file of another program)")
    with _readable(path):
        document = parsed(metadata[METADATA_KEY])
        if document.pop("sha256") != _checksum(document, tensors):
            raise InputError(f"{path}: damaged or altered: its checksum does not match its contents")
        if document["format"] != format_ or document["format_version"] > FORMAT_VERSION:
            raise InputError(f"{path}: written by a newer Chainrule; upgrade this one to read it")
    return document, tensors


@contextmanager
def _readable(path: Any) -> Iterator[None]:
    """What goes wrong in reading a document is an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{path}: not a model that this Chainrule can read: {error!r}") from error


def design_to_json(network: Network) -> dict[str, Any]:
    """The design by names; an InputError if it has a function of the caller's own."""
    names = [activation.name for activation in network.activations]
    for activation in network.activations:
        if ACTIVATIONS.get(activation.name) is not activation:
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


def design_from_json(data: dict[str, Any]) -> Network:
    """The inverse of `design_to_json`."""
    return Network(**data)


def _named(layer: Layer) -> list[tuple[str, np.ndarray]]:
    return [("W", np.asarray(layer.W)), ("b", np.asarray(layer.b))]


def is_cost_of_ours(cost: Cost) -> bool:
    """Whether its name alone says what the cost is."""
    try:
        return cost_named(cost.name) == cost
    except ValueError:
        return False


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _checksum(document: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(_canonical(document).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise InputError(f"{path}: no such model file")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a whole safetensors file, so not a Chainrule model: {error}") from error


def _check_tensors(path: Any, network: Network, params: Params, left: dict[str, np.ndarray]) -> None:
    from chainrule import shapes

    if left:
        raise InputError(f"{path}: tensors that the design does not have: {', '.join(sorted(left))}")
    kinds = {x.dtype.name for layer in params for x in layer}
    if kinds not in ({"float32"}, {"float64"}):
        raise InputError(f"{path}: expected parameters of float32 or float64, got {', '.join(sorted(kinds))}")
    try:
        shapes.check_params(network.layers, params)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error

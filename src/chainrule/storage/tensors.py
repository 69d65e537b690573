"""Named tensors and a JSON document in one safetensors file; nothing in it is ever executed.

The document contains a checksum of itself and of the tensors, so that a damaged or altered file is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.errors import InputError
from chainrule.storage.documents import newer, parsed
from chainrule.storage.files import written_aside

FORMAT, CHECKPOINT, STATE = "chainrule-model", "chainrule-checkpoint", "chainrule-resume"
HOLDS = {
    FORMAT: "a model",
    CHECKPOINT: "a checkpoint to replay a training from",
    STATE: "a checkpoint to resume a training from",
}
FORMAT_VERSION = 1
METADATA_KEY = "chainrule"  # one key, since safetensors does not order several; equal models give equal files


def write_tensors(
    path: str | os.PathLike[str], document: dict[str, Any], tensors: Mapping[str, np.ndarray], format_: str = FORMAT
) -> None:
    """Write a JSON document and tensors, with their checksum."""
    from safetensors.numpy import save

    whole = {"format": format_, "format_version": FORMAT_VERSION, **document}
    plain = {name: np.ascontiguousarray(x).reshape(np.shape(x)) for name, x in tensors.items()}
    signed = {**whole, "sha256": _checksum(whole, plain)}
    with written_aside(path) as aside:
        aside.write_bytes(save(plain, {METADATA_KEY: _canonical(signed)}))


def read_tensors(path: str | os.PathLike[str], format_: str = FORMAT) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the document and tensors of a file that `write_tensors` wrote; an InputError if it is damaged."""
    metadata, tensors = _read_safetensors(path)
    if METADATA_KEY not in metadata:
        raise InputError(f"{path}: not a Chainrule model (a safetensors file of another program)")
    with readable(path):
        document = parsed(metadata[METADATA_KEY])
        if document.pop("sha256") != _checksum(document, tensors):
            raise InputError(f"{path}: damaged or altered: its checksum does not match its contents")
        _check_format(path, document["format"], format_)
        if document["format_version"] > FORMAT_VERSION:
            raise newer(path)
    return document, tensors


@contextmanager
def readable(path: Any) -> Iterator[None]:
    """Convert errors while reading a document to an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{path}: not a model that this version of Chainrule can read: {error!r}") from error


def _check_format(path: Any, found: str, wanted: str) -> None:
    if found not in HOLDS:
        raise newer(path)
    if found != wanted:
        instead = "" if wanted != FORMAT else "; load the folder of the run, or its model.safetensors"
        raise InputError(f"{path}: {HOLDS[found]}, not {HOLDS[wanted]}{instead}")


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
        raise InputError(f"{path}: not a complete safetensors file, so not a Chainrule model: {error}") from error

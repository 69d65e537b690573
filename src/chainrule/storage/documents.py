"""JSON documents on disk: each has a type, and its fields are validated when it is read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from chainrule.errors import InputError, in_one_line, shortened
from chainrule.storage.files import write_text

Document = TypeVar("Document")
MOST_BYTES = 2**26


def read_document(path: str | os.PathLike[str], kind: type[Document]) -> Document:
    """Read a document as an instance of its type, a dataclass whose fields are validated.

    Raises
    ------
    InputError
        If the file is missing, too large, not JSON, or not of that type; the message names the field.
    """
    return document_from(_text(path), kind, path)


def document_from(text: str | bytes, kind: type[Document], path: Any) -> Document:
    """Like `read_document`, for text that was read from `path`."""
    import msgspec

    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a document of this version of Chainrule: {error}") from error


def newer(path: Any, has: str = "") -> InputError:
    """The error for a file of a later version, with the reason.

    >>> str(newer("m", "the parameter 'x'"))
    "m: written by a newer version of Chainrule (it has the parameter 'x'); upgrade Chainrule to read it"
    """
    seen = f" (it has {has})" if has else ""
    return InputError(f"{path}: written by a newer version of Chainrule{seen}; upgrade Chainrule to read it")


def check_known(path: Any, what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise an InputError for the first name that is unknown in this version."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise newer(path, f"the {what} {in_one_line(shortened(unknown[0]))!r}")


def save_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, lambda file: json.dump(data, file, indent=2, ensure_ascii=False, allow_nan=False))


def parsed(text: str, **settings: Any) -> Any:
    """Parse JSON; a ValueError also for excessive nesting."""
    try:
        return json.loads(text, **settings)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _text(path: str | os.PathLike[str]) -> bytes:
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is not a regular file")
        if found.st_size > MOST_BYTES:
            raise InputError(f"{path}: {found.st_size:,} bytes, larger than any file that Chainrule writes here")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error

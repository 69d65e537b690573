"""Convert the options of `chainrule train` to the fields of a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from chainrule.errors import InputError, UsageError
from chainrule.tables.request import Request, flag_of


def given_in(ctx: typer.Context) -> dict[str, Any]:
    """The fields of a request that were given on the command line, with their values."""
    names = {field.name for field in fields(Request)}
    typed = [name for name in ctx.params if name in names and _is_typed(ctx, name)]
    return {name: _READ.get(name, _as_it_is)(ctx.params[name]) for name in typed}


def _is_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _as_it_is(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _name(text: str) -> str:
    return text.replace("-", "_")


def _names(text: str) -> tuple[str, ...]:
    return tuple(_name(text).split(","))


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.replace("-", ",").split(","))
    except ValueError:
        raise UsageError(f"--hidden: expected layer sizes such as 64,32; got {text!r}") from None
    return () if sizes == (0,) else sizes


def _batch_size(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--batch-size: expected 'all' or a whole number of rows; got {text!r}") from None


def _save_every(text: str) -> int | float:
    """A number of epochs, or seconds if it ends in s."""
    try:
        return float(text[:-1]) if text.endswith("s") else int(text)
    except ValueError:
        raise UsageError(
            f"--save-every: expected epochs or seconds above 0, such as 100 or 30s; got {text!r}"
        ) from None


def _initial(text: str) -> Any:
    """The name of a scheme, or the layers in a JSON file."""
    if not text.endswith(".json"):
        return text
    from chainrule.storage.documents import parsed

    try:
        layers = parsed(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{flag_of('initial')} {text}: cannot be read: {error}") from None
    if not isinstance(layers, dict):
        raise InputError(f'{flag_of("initial")} {text}: expected JSON such as {{"W1": [[...]], "b1": [...], ...}}')
    return layers


_READ: dict[str, Callable[[Any], Any]] = {
    "hidden": _sizes,
    "activation": _names,
    "cost": _name,
    "batch_size": _batch_size,
    "save_every": _save_every,
    "initial": _initial,
}

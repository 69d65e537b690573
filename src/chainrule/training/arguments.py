"""Numbers of the settings that a compiled program takes as arguments, so that equal shapes share a program.

A class lists them in `numbers`; each is a number, or an object with numbers of its own. A 0 is not replaced: it turns
a feature off, which changes the program.

>>> from chainrule.training.goals import CostGoal
>>> shape_of(CostGoal(0.001)) == shape_of(CostGoal(0.1))
True
"""

from __future__ import annotations

from dataclasses import fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from chainrule.training.dropout import Dropped, dropped
from chainrule.training.rules import MOST_UPDATES
from chainrule.training.settings import TrainingSettings


def shape_of_settings(settings: TrainingSettings) -> TrainingSettings:
    """The settings that a program is compiled for: 1 for each argument, without those that only the driver uses."""
    shape = shape_of(settings)
    return replaced(shape, batch_size=None, epochs=1, seed=0, sample="permutation")


def arguments_of(settings: TrainingSettings) -> tuple[Any, ...]:
    """The numbers of the settings as arguments of a program."""
    taken = {name: getattr(settings, name) for name in settings.numbers}
    drops = dropped(settings.dropout)
    found = {name: _numbers_of(value, settings.dtype) for name, value in taken.items()}
    found["dropout"] = drops and Dropped(drops.below, np.dtype(settings.dtype).type(drops.scale))
    return tuple(found.values())


def filled_settings(shape: TrainingSettings, arguments: tuple[Any, ...]) -> TrainingSettings:
    """The settings within a program, filled with its arguments; `dropout` is a `Dropped`, or ()."""
    given = dict(zip(shape.numbers, arguments, strict=True))
    drops = given.pop("dropout")
    return replaced(shape, dropout=drops, **{name: filled(getattr(shape, name), x) for name, x in given.items()})


def shape_of(value: Any) -> Any:
    """Replace each number that a program takes as an argument by 1."""
    if isinstance(value, Real):
        return value if value == 0 else 1.0
    if type(value) is tuple:
        return tuple(map(shape_of, value))
    return replaced(value, **{name: shape_of(getattr(value, name)) for name in _named(value)})


def filled(shape: Any, arguments: Any) -> Any:
    """The inverse: fill a shape with the numbers from `arguments_of`."""
    if isinstance(shape, Real):
        return arguments[0] if arguments else shape
    if type(shape) is tuple:
        return tuple(map(filled, shape, arguments))
    pairs = zip(_named(shape), arguments, strict=True)
    return replaced(shape, **{name: filled(getattr(shape, name), x) for name, x in pairs})


def replaced(value: Any, **changed: Any) -> Any:
    """Like `dataclasses.replace` but without validation, which fails on the traced arguments of a program."""
    if not changed:
        return value
    new = object.__new__(type(value))
    for name in (field.name for field in fields(value)):
        object.__setattr__(new, name, changed.get(name, getattr(value, name)))
    return new


def _numbers_of(value: Any, dtype: str) -> tuple[Any, ...]:
    if isinstance(value, Real):
        number = float(value)
        counts = isinstance(value, Integral) and abs(number) <= MOST_UPDATES
        return () if value == 0 else (np.int32(int(number)) if counts else np.dtype(dtype).type(number),)
    if type(value) is tuple:
        return tuple(_numbers_of(x, dtype) for x in value)
    return tuple(_numbers_of(getattr(value, name), dtype) for name in _named(value))


def _named(value: Any) -> tuple[str, ...]:
    return getattr(type(value), "numbers", ())

"""Every public name is documented in numpydoc form: its parameters by name, and what it returns."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import chainrule
from chainrule import errors
from chainrule.maths import initializers
from chainrule.training import rules, settings

RETURNS_NOTHING = ("None", "NoReturn", None)


def sections_of(doc: str) -> dict[str, str]:
    """The body of each section of a docstring, by its title."""
    parts = re.split(r"^([A-Z][\w ]+)\n-{3,}$\n?", inspect.cleandoc(doc), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names_in(section: str) -> set[str]:
    """The names that a section describes: the lines at its margin, `a, b : type`, or `a, b` alone."""
    heads = [line.partition(" : ")[0] for line in section.splitlines() if line[:1].strip()]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def parameters_of(f: Any) -> set[str]:
    if inspect.isclass(f) and not (inspect.isfunction(f.__init__) or hasattr(f, "_fields")):
        return set()  # an exception with the constructor of its base
    return {name for name in inspect.signature(f).parameters if name != "self"}


def faults_of(f: Any) -> list[str]:
    """What the docstring of a function or class lacks."""
    doc = f.__dict__.get("__doc__") if inspect.isclass(f) else f.__doc__
    if not doc:
        return ["no docstring"]
    sections, faults = sections_of(doc), []
    if inspect.isclass(f) and "Parameters" not in sections:
        wanted = {field.name for field in fields(f)} if is_dataclass(f) else set(getattr(f, "_fields", ()))
        section, described = "Attributes", names_in(sections.get("Attributes", ""))
        faults += ["no Parameters or Attributes"] if parameters_of(f) and not described else []
    else:
        section, wanted = "Parameters", parameters_of(f)
        described = names_in(sections.get(section, ""))
    faults += [f"{section}: no {name}" for name in sorted(wanted - described)]
    if section == "Parameters":
        faults += [f"{section}: {name} is not in the signature" for name in sorted(described - wanted)]
    returns = inspect.isclass(f) or inspect.signature(f).return_annotation in RETURNS_NOTHING
    faults += [] if returns or {"Returns", "Yields"} & sections.keys() else ["no Returns"]
    return faults


def public() -> Iterator[tuple[str, Any]]:
    """The public functions and classes, and the public methods of those classes that are Chainrule's own."""
    named = {name: getattr(chainrule, name) for name in chainrule.__all__}
    named |= {f"rules.{name}": getattr(rules, name) for name in ("adam",)}
    named |= {f"initializers.{name}": f for name, f in initializers.SCHEMES.items()}
    named |= {"InputError": errors.InputError, "UsageError": errors.UsageError}
    named |= {"TrainingSettings": settings.TrainingSettings}
    for name, thing in named.items():
        yield name, thing
        for method, f in methods_of(thing) if inspect.isclass(thing) else ():
            yield f"{name}.{method}", f


def methods_of(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, f in inspect.getmembers(kind, inspect.isroutine):
        own = str(getattr(f, "__module__", "")).startswith("chainrule.") and f.__name__ == name  # no default of a field
        if own and not name.startswith("_"):
            yield name, f


def properties() -> Iterator[tuple[str, Any]]:
    for name, thing in public():
        for attribute, value in inspect.getmembers(thing, lambda x: isinstance(x, property)):
            if not attribute.startswith("_") and getattr(value.fget, "__module__", "").startswith("chainrule."):
                yield f"{name}.{attribute}", value


@pytest.mark.parametrize("thing", [pytest.param(x, id=name) for name, x in public()])
def test_parameters_and_returns_are_documented(thing):
    assert faults_of(thing) == []


@pytest.mark.parametrize("of", [pytest.param(x, id=name) for name, x in properties()])
def test_properties_are_documented(of):
    assert of.__doc__


def half(x: float, y: float = 0.0) -> float:
    """Half of a sum.

    Parameters
    ----------
    x : float
        The first number: a, b.
    z : float

    Returns
    -------
    float
    """
    return (x + y) / 2


def bare(x: float) -> float:
    """Nothing said."""
    return x


class Point:
    """A point; what it takes is not said."""

    def __init__(self, x: float):
        self.x = x


@pytest.mark.parametrize(
    ("f", "faults"),
    [
        (half, ["Parameters: no y", "Parameters: z is not in the signature"]),
        (bare, ["Parameters: no x", "no Returns"]),
        (Point, ["no Parameters or Attributes"]),
    ],
)
def test_a_missing_parameter_is_reported(f, faults):
    assert faults_of(f) == faults


def test_the_walk_reaches_methods():
    assert {"Network", "train", "Training.run", "Run.predict", "MLPClassifier.fit"} <= {name for name, _ in public()}

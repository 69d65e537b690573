"""Published worked examples as data: their networks, and their numbers compared with computed ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError, nearest
from chainrule.explaining.trace import Trace, trace_step
from chainrule.maths.shapes import check_inputs
from chainrule.network import Layer, Network, Params, backward, cost, forward, initialize
from chainrule.storage.documents import parsed
from chainrule.training.rules import gradient_descent, update


class Example(NamedTuple):
    """A worked example: the setting, the published numbers, and the errata."""

    name: str
    title: str
    source: str
    network: Network
    params: Params
    X: np.ndarray
    Y: np.ndarray
    rule: Any
    published: Mapping[str, Any]
    erratum: str
    epochs: int = 1  # shown on its page


class Compared(NamedTuple):
    """A published and a computed number, whether they agree to the published digits, and if not, perhaps why."""

    what: str
    published: str
    ours: float
    agrees: bool
    why: str


@dataclass(frozen=True)
class WeightsOnly:
    """Gradient descent that does not change the biases: some sources train only the weights."""

    rule: Any

    @property
    def learning_rate(self) -> Any:
        return self.rule.learning_rate

    def init(self, params: Params) -> Any:
        return self.rule.init(params)

    def update(self, gradient: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        return self.rule.update(tuple(Layer(layer.W, 0 * layer.b) for layer in gradient), state, params)


MOST_UPDATES = 100_000  # per example
OLD_WEIGHTS = "the source computes the hidden deltas from already updated output weights, which is not backpropagation"


def known_examples() -> dict[str, dict[str, Any]]:
    """The examples included in Chainrule, by name."""
    documents = [_lecture(), *_read("published.json")["examples"]]
    return {document["name"]: document for document in documents}


def example_named(name: str) -> Example:
    """Load an example by name, or from a JSON file of the same form.

    Parameters
    ----------
    name : str
        The name of an example, or the path of a file that ends in .json.

    Returns
    -------
    Example
        The example.

    Raises
    ------
    InputError
        If there is no such example or file, or if an entry of the file is missing or invalid.
    """
    if not name.endswith(".json"):
        known = known_examples()
        if name not in known:
            raise InputError(
                f"no example {name!r}{nearest(name, known)}; expected one of {', '.join(known)}, or FILE.json"
            )
        return example_of(known[name])
    try:
        document = parsed(Path(name).read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read as JSON: {error}") from error
    try:
        example = example_of(document)
    except KeyError as error:
        raise InputError(f"{name}: missing entry {error}; see docs/examples.md") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{name}: {error}") from error
    try:
        compare(example)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise InputError(f"{name}: its published numbers cannot be compared: {error}") from error
    return example


def example_of(document: Mapping[str, Any]) -> Example:
    """Build an example from a document; a KeyError, TypeError or ValueError if an entry is missing or invalid."""
    network = Network(document["layers"], document["activations"], document["cost"], document.get("reduction", "sum"))
    first = document["initial"]
    layers = [(_floats(first[f"W{i}"]), _floats(first[f"b{i}"])) for i in range(1, len(network.layers))]
    rule = gradient_descent(float(document["learning_rate"]))
    trains_biases = document.get("train_biases", True)
    name, published = str(document["name"]), document.get("published", {})
    told = [int(found) for key in published for found in re.findall(r"_after_(\d+)$", key)]
    epochs = int(document.get("epochs", max(told, default=1)))
    if epochs < 1 or max([epochs, *told]) > MOST_UPDATES:
        raise ValueError(f"expected 1 to {MOST_UPDATES:,} updates")
    X, Y = _floats(document["x"]), _floats(document["y"])
    check_inputs(network.layers, X)
    if Y.shape != (len(X), network.layers[-1]) or not len(X):
        raise ValueError(f"expected a row of {network.layers[-1]} targets for each of {len(X)} rows, got {Y.shape}")
    return Example(
        name,
        str(document.get("title", name)),
        str(document.get("source", "")),
        network,
        initialize(network, layers),
        X,
        Y,
        rule if trains_biases else WeightsOnly(rule),
        published,
        str(document.get("erratum", "")),
        epochs,
    )


def trace_of(example: Example) -> Trace:
    """The first update."""
    return _step_of(example, example.params, None)


def _step_of(example: Example, params: Params, state: Any, epoch: int | None = None) -> Trace:
    about: dict[str, Any] = {"rule": f"gradient_descent, learning rate {example.rule.learning_rate:g}"}
    if isinstance(example.rule, WeightsOnly):
        about["rule"] += ", weights only"
    if epoch is not None:
        about |= {"epoch": epoch, "batch": 1, "batches": 1}
    return trace_step(example.network, params, example.X, example.Y, rule=example.rule, rule_state=state, about=about)


def epochs_of(example: Example, epochs: Sequence[int]) -> tuple[list[Trace], np.ndarray]:
    """The full-batch updates of some epochs, and the cost at the end of every epoch up to the last of them."""
    traces, costs, network = [], [], example.network
    for epoch, (params, state) in enumerate(islice(_path(example), max(epochs) + 1), 1):
        costs.append(float(cost(network, forward(network, params, example.X), example.Y)))
        if epoch in epochs:
            traces.append(_step_of(example, params, state, epoch))
    return traces, np.array(costs[1:])


def compare(example: Example) -> list[Compared]:
    """Compare each published number with the computed one, in the order of the document.

    Parameters
    ----------
    example : Example
        The example.

    Returns
    -------
    list of Compared
        The comparisons.

    Raises
    ------
    InputError
        If the name of a published number is unknown, or its shape differs from the computed one.
    """
    trace, rows, after = trace_of(example), [], lru_cache(partial(_after, example))
    for key, printed in _flat(example).items():
        theirs = np.array(printed, dtype=object)
        ours, by_the_source = (
            np.asarray(_number(example, trace, key, partial(after, wrong=wrong))) for wrong in (False, True)
        )
        if theirs.size != ours.size:
            raise InputError(f"published {key!r}: expected {ours.size} numbers, got {theirs.size}")
        for place, number in np.ndenumerate(theirs):
            at = np.ravel_multi_index(place, theirs.shape) if place else 0
            own = float(ours.ravel()[at])
            agrees = _agrees(number, own)
            theirs_own = float(by_the_source.ravel()[at])
            explained = not agrees and theirs_own != own and _agrees(number, theirs_own, 1.0)  # or truncated
            where = "".join(f"[{i + 1}]" for i in place)
            rows.append(Compared(f"{key}{where}", str(number), own, agrees, OLD_WEIGHTS if explained else ""))
    return rows


def _flat(example: Example) -> dict[str, Any]:
    """The published numbers by flat names ("W1_after_1" for {"after_1": {"W1": ...}}), in the order of the nodes."""
    flat: dict[str, Any] = {}
    for key, printed in example.published.items():
        if key.startswith("after_") and isinstance(printed, Mapping):
            flat |= {f"{name}_{key}": numbers for name, numbers in printed.items()}
        elif isinstance(printed, Mapping):
            flat[key] = [printed[node] for node in sorted(printed, key=int)]
        else:
            flat[key] = printed
    return flat


def _number(example: Example, trace: Trace, key: str, after: Callable[[int], Params]) -> Any:
    """The computed number or numbers for a published name; `after` gives the parameters after n updates."""
    last = len(example.network.layers) - 1
    known: dict[str, Callable[[], Any]] = {
        "z": lambda: np.concatenate([z[0] for z in trace.forward.z]),
        "a": lambda: np.concatenate([a[0] for a in trace.forward.a[1:]]),
        "z_h": lambda: trace.forward.z[0][0],
        "a_h": lambda: trace.forward.a[1][0],
        "z_o": lambda: trace.forward.z[-1][0],
        "a_o": lambda: trace.forward.a[-1][0],
        "cost": lambda: trace.cost,
        "cost_per_output": lambda: [_cost_of_output(example, trace, k) for k in range(example.network.layers[-1])],
        "delta_h": lambda: trace.backward.delta[0][0],
        "delta_o": lambda: trace.backward.delta[-1][0],
        "error_times_derivative": lambda: -np.concatenate([delta[0] for delta in trace.backward.delta]),
        "dC_dw5": lambda: trace.backward.gradient[1].W[0, 0],  # Mazur's name for the first weight of the last layer
        "w1_w4_after_1": lambda: after(1)[0].W.T.ravel(),
        "w5_w8_after_1": lambda: after(1)[1].W.T.ravel(),
    }
    for i in range(last):
        known |= {f"z{i + 1}": lambda i=i: trace.forward.z[i][0], f"a{i + 1}": lambda i=i: trace.forward.a[i + 1][0]}
        known |= {f"delta{i + 1}": lambda i=i: trace.backward.delta[i][0]}
    if key in known:
        return known[key]()
    what, _, number = key.rpartition("_after_")
    if number.isdigit() and what in {"cost", "outputs", *(f"{p}{i + 1}" for p in "Wb" for i in range(last))}:
        params = after(int(number))
        if what[0] in "Wb":
            return getattr(params[int(what[1:]) - 1], what[0])
        fwd = forward(example.network, params, example.X)
        return fwd.a[-1][0] if what == "outputs" else float(cost(example.network, fwd, example.Y))
    raise InputError(f"published {key!r}: unknown name; see docs/examples.md")


def _after(example: Example, updates: int, wrong: bool = False) -> Params:
    """The parameters after `updates` updates; `wrong` as for `_path`."""
    return next(islice(_path(example, wrong), updates, None))[0]


def _path(example: Example, wrong: bool = False) -> Iterator[tuple[Params, Any]]:
    """Yield the parameters and the rule state before each update.

    With `wrong`, hidden deltas are computed from already updated output weights.
    """
    params, state = example.params, example.rule.init(example.params)
    while True:
        yield params, state
        fwd = forward(example.network, params, example.X)
        gradient = backward(example.network, params, fwd, example.Y).gradient
        new, state = update(example.rule, params, gradient, state)
        if wrong:
            gradient = backward(example.network, (*params[:-1], new[-1]), fwd, example.Y).gradient
            new = (*update(example.rule, params, gradient, state)[0][:-1], new[-1])
        params = new


def _cost_of_output(example: Example, trace: Trace, k: int) -> float:
    each = example.network.cost.per_observation(trace.forward.a[-1][:, k : k + 1], example.Y[:, k : k + 1])
    return float(np.sum(each))


def _agrees(printed: Any, ours: float, units: float = 0.5) -> bool:
    """Whether the computed number is within `units` units of the last printed digit; 0.5 means that it rounds to it."""
    exponent = Decimal(str(printed)).as_tuple().exponent
    unit = 10.0 ** int(exponent) if isinstance(exponent, int) else 1.0
    return abs(float(printed) - ours) <= 1.000001 * units * unit


def _floats(numbers: Any) -> np.ndarray:
    return np.array(numbers, dtype=object).astype(np.float64)


def _read(name: str) -> Any:
    text = files("chainrule.examples").joinpath(name).read_text(encoding="utf-8")
    return json.loads(text, parse_float=Decimal)


def _lecture() -> dict[str, Any]:
    """The lecture's document in the form of the other examples."""
    document = _read("lecture.json")
    rows, printed = document["normalized_rows"], document["printed"]
    published: dict[str, Any] = {}
    for epoch, numbers in printed["epochs"].items():
        for name in ("W1", "b1", "W2", "b2"):
            published[f"{name}_after_{epoch}"] = numbers[name]
    return {
        **document,
        "x": [row[1:] for row in rows],
        "y": [row[:1] for row in rows],
        "published": {"cost": printed["sum_of_costs_before_training"], **published},
        "erratum": " ".join(document["notes"]),
        "epochs": 8000,
    }

"""`chainrule check`: compare the backward pass with central differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.common import Json, answer, app, option
from chainrule.cli.designs import is_size, layers_of, network_of
from chainrule.errors import UsageError

if TYPE_CHECKING:
    from chainrule.network import Network


@app.command(
    epilog="Example: chainrule check 4 5 3 --activation tanh,softmax\n\nExample: chainrule check runs/churn-1 churn.csv"
)
def check(
    what: Annotated[list[str], typer.Argument(metavar="LAYERS | RUN FILES", help="Layer sizes, or a run and a table.")],
    activation: Annotated[str, option("--activation", "NAME", "One name, or one per layer: a,b,c.")] = "sigmoid",
    cost: Annotated[str, option("--cost", "NAME", "Cost function, such as rmse or huber:1.5.")] = "half_squared_error",
    seed: Annotated[int, option("--seed", "N", "Seed for random parameters and rows [0].")] = 0,
    as_json: Json = False,
) -> None:
    """Check the gradients of a network.

    Compares the backward pass with central differences in float64.
    """
    from chainrule.explaining.gradcheck import check_gradients

    if is_size(what[0]):
        network, params, X, Y = _random_case(layers_of(what), activation, cost, seed)
    else:
        network, params, X, Y = _case_of_run(what[0], what[1:])
    checked = check_gradients(network, params, X, Y)
    document = {"passed": checked.passed, "worst": checked.worst, "layers": [c._asdict() for c in checked.layers]}
    answer(document, as_json, [f"{len(X)} rows, {network.cost.name}", *str(checked).splitlines()])
    if not checked.passed:
        raise typer.Exit(1)


def _random_case(layers: list[int], activation: str, cost: str, seed: int) -> tuple[Network, Any, Any, Any]:
    """A random network and random rows; the targets sum to 1, so that they suit every cost."""
    import numpy as np

    from chainrule.network import initialize
    from chainrule.tables.recipe import check_room

    if seed < 0:
        raise UsageError(f"--seed: expected 0 or more, got {seed}")
    network, rng = network_of(layers, activation, cost), np.random.default_rng(seed)
    check_room(network)
    Y = rng.dirichlet(np.ones(layers[-1]), 16) if layers[-1] > 1 else rng.uniform(0, 1, (16, 1))
    return network, initialize(network, "glorot", seed), rng.normal(0, 1, (16, layers[0])), Y


def _case_of_run(run: str, data: list[str]) -> tuple[Network, Any, Any, Any]:
    """The network of a run, and the first rows of a table."""
    from chainrule.tables.predict import encoded_rows
    from chainrule.tables.reading import open_table
    from chainrule.tables.run_folder import load_table_model

    if not data:
        raise UsageError(f"check {run}: expected a table as well, or layer sizes, as in: chainrule check 4 5 3")
    model = load_table_model(run)
    X, Y = encoded_rows(model, open_table(data))
    return model.network, model.params, X[:64], Y[:64]

"""`chainrule count`: count the weights and biases of a network."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.common import Json, answer, app
from chainrule.cli.designs import layers_of, network_of


@app.command(epilog="Example: chainrule count 400 14 8 2")
def count(
    layers: Annotated[list[str], typer.Argument(metavar="LAYERS", help="Nodes per layer, inputs first.")],
    as_json: Json = False,
) -> None:
    """Count the weights and biases of a network."""
    from chainrule.explaining import console

    network = network_of(layers_of(layers))
    document = {"weights": network.n_weights, "biases": network.n_biases, "parameters": network.n_parameters}
    answer(document, as_json, console.count_lines(network))

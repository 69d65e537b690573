"""Parse a network from the command line: layers, activation, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.cli.common import wrong_use
from chainrule.errors import UsageError, shortened

if TYPE_CHECKING:
    from chainrule.network import Network

LONGEST_SIZE = 9  # digits


def layers_of(words: Sequence[str]) -> list[int]:
    for word in words:
        if not is_size(word):
            raise UsageError(f"expected the number of nodes of each layer, such as 400 14 8 2; got {shortened(word)!r}")
    return [int(word) for word in words]


def is_size(word: str) -> bool:
    """Whether the word is a layer size rather than a path: ASCII digits, at most `LONGEST_SIZE` of them."""
    return word.isascii() and word.isdigit() and len(word) <= LONGEST_SIZE


def network_of(layers: list[int], activation: str = "sigmoid", cost: str = "half_squared_error") -> Network:
    from chainrule.network import Network

    names = activation.replace("-", "_").split(",")
    with wrong_use():
        return Network(layers, names[0] if len(names) == 1 else names, cost.replace("-", "_"))

"""How much memory is free, and whether a network has room in it."""

from __future__ import annotations

from pathlib import Path

from chainrule.errors import InputError
from chainrule.network import Network

COPIES = 6  # of its parameters, as doubles, while a network is trained: drawn, moved, averaged, the best ...


def free_memory() -> int | None:
    """Bytes, as far as the system says."""
    try:
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * int(told["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def check_room(network: Network) -> None:
    """Refuse a network whose parameters would take more memory than is free, before any of them is drawn.

    Raises
    ------
    InputError
        With how much is needed and how much there is.
    """
    needed, free = 8 * COPIES * network.n_parameters, free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"a network of {network.n_parameters:,} parameters takes about {needed / 2**30:,.1f} GB of memory, and "
            f"{free / 2**30:,.1f} GB are free; use fewer nodes"
        )

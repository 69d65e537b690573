"""Agreement of all processes of a training on settings, data, the initial state and the distribution of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.scaling.processes import all_tell, first_tells, is_first, mesh, told
from chainrule.scaling.shards import mixed
from chainrule.training.batches import Table
from chainrule.training.state import State


class Shares(NamedTuple):
    """How the rows of all processes are distributed over all devices, in contiguous ranges."""

    first: np.ndarray  # for each device, the number of its first row
    counts: np.ndarray  # and its number of rows
    mine: slice  # the devices of this process

    @property
    def n(self) -> int:
        return int(self.counts.sum())


def shares_of(n: int) -> Shares:
    """Compute the distribution of the rows, where this process has n; a collective operation."""
    import jax

    local, me = jax.local_device_count(), jax.process_index()
    everyones = told(np.array([n, local]))
    counts = np.concatenate([_even(*numbers) for numbers in everyones])
    begin = int(everyones[:me, 1].sum())
    return Shares(np.concatenate([[0], np.cumsum(counts)[:-1]]), counts, slice(begin, begin + local))


def _even(n: int, parts: int) -> np.ndarray:
    return np.diff(np.arange(parts + 1) * n // parts)


def on_all(tree: Any) -> Any:
    """Replicate arrays on every device."""
    import jax

    everywhere = jax.sharding.NamedSharding(mesh(), jax.sharding.PartitionSpec())
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(everywhere, np.asarray(x)), tree)


def of_first(state: State, rows: np.ndarray) -> tuple[State, np.ndarray]:
    """Broadcast the state of the first process, with its history, to all processes."""
    import jax
    from safetensors.numpy import load, save

    leaves, structure = jax.tree.flatten(state)
    tensors = {str(i): np.asarray(x) for i, x in enumerate(leaves)} | {"history": rows}
    found = load(first_tells(save(tensors) if is_first() else b""))
    return on_all(jax.tree.unflatten(structure, [found[str(i)] for i in range(len(leaves))])), found["history"]


def check_same(mine: str) -> None:
    """Check that all processes train the same network with the same settings.

    Raises
    ------
    InputError
        If one of them differs.
    """
    everyones = all_tell(mine.encode())
    for process, theirs in enumerate(everyones):
        if theirs != everyones[0]:
            raise InputError(
                f"process {process} has another network, other initial parameters or other settings; give all "
                "processes the same"
            )


def data_digest_together(tables: Sequence[Table | None]) -> str:
    """Digest of all rows in their order, regardless of their distribution over processes."""
    sums = np.zeros((len(tables), 2), np.uint64)
    for i, table in enumerate(tables):
        if table is not None:
            shares = shares_of(len(table.X))
            sums[i] = digest_sum(table, int(shares.first[shares.mine.start])), shares.n
    everyones = told(sums)
    with np.errstate(over="ignore"):
        return "-".join(f"{x:016x}" for x in everyones[:, :, 0].sum(axis=0, dtype=np.uint64))


def digest_sum(table: Table, first: int) -> int:
    """Digest of rows, numbered from `first`, in 64 bits: the sum of a hash of each value and its position."""
    with np.errstate(over="ignore"):
        numbers = mixed(np.arange(first, first + len(table.X), dtype=np.uint64))
        total = np.uint64(0)
        for column, x in enumerate(x for part in table for x in np.atleast_2d(part.T)):
            bits = np.ascontiguousarray(x, np.float64).view(np.uint64)
            total += mixed(bits + numbers * np.uint64(2 * column + 1)).sum(dtype=np.uint64)
    return int(total)

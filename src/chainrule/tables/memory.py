"""Bytes: how many are free to this process, and how many rows fit into a batch of a bounded number of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

BATCH_BYTES = 2**26
MOST_ROWS = 50_000
LEAST_OF_DUCKDB = 256  # MiB, less than which it cannot read large files in
NUMBER = 8  # bytes of a double
JAX_BYTES, JAX_SPACE = 2**29, 2**31  # that it takes, and maps for code, stacks and heaps, until its first program runs


def rows_at_once(numbers_per_row: float) -> int:
    """How many rows a batch has, so that its numbers stay within the budget; one at least.

    >>> rows_at_once(10), rows_at_once(10_000)
    (50000, 838)
    """
    return int(max(1, min(MOST_ROWS, BATCH_BYTES // (NUMBER * max(1, numbers_per_row)))))


def free_memory(root: str = "/", jax_to_come: bool = False) -> int | None:
    """The least that the machine, the control groups and the limits of this process leave; None if none of them tells.

    With `jax_to_come`, less what JAX will take. `root` is where /proc and /sys are.
    """
    bytes_, space = (JAX_BYTES, JAX_SPACE) if jax_to_come else (0, 0)
    left = [*_of_machine(Path(root)), *_of_groups(Path(root)), *_of_limits(Path(root), space - bytes_)]
    return max(0, min(left) - bytes_) if left else None


def _of_machine(root: Path) -> Iterator[int]:
    available = _fields(root / "proc/meminfo").get("MemAvailable")
    if available is not None:
        yield 1024 * available


def _of_groups(root: Path) -> Iterator[int]:
    """What each control group that the process is in leaves; pages of files that nobody reads now are free."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, path = line.partition(":")
        controllers, _, path = path.partition(":")
        if not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
            yield from _of_hierarchy(root / "sys/fs/cgroup", path, *names)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _of_hierarchy(root / "sys/fs/cgroup/memory", path, *names)


def _of_hierarchy(top: Path, path: str, most: str, used: str, reclaimable: str) -> Iterator[int]:
    """Of the group and of those around it; a container may see its own group at the top alone."""
    group = top / path.strip("/")
    for folder in dict.fromkeys((group, *group.parents, top)):
        limit, now = _text(folder / most).strip(), _text(folder / used).strip()
        if limit.isdecimal() and now.isdecimal():
            yield int(limit) - int(now) + _fields(folder / "memory.stat").get(reclaimable, 0)


def _of_limits(root: Path, space: int) -> Iterator[int]:
    """What `ulimit -v`, less so much address space, and `ulimit -d` leave."""
    taken = _fields(root / "proc/self/status")
    for (most, name), mapped in zip(_limits(), (space, 0), strict=False):
        if most is not None and name in taken:
            yield most - 1024 * taken[name] - mapped


def _limits() -> list[tuple[int | None, str]]:
    """The bytes that this process may map and may write to, None if any; and what /proc calls those it has."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit
    except ImportError:  # Windows has no such limits
        return []
    most = [getrlimit(limit)[0] for limit in (RLIMIT_AS, RLIMIT_DATA)]
    return [(None if n == RLIM_INFINITY else n, name) for n, name in zip(most, ("VmSize", "VmData"), strict=True)]


def reserve_little() -> None:
    """Before Arrow is imported: it reserves no gigabyte where `ulimit` counts what is reserved as what is used."""
    if any(most is not None for most, _ in _limits()):
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def memory_of_duckdb() -> str:
    """What a connection may take, as DuckDB reads it: half of what is free, or its own default where nobody knows."""
    free = free_memory()
    return "80%" if free is None else f"{max(LEAST_OF_DUCKDB, free // 2 // 2**20)}MiB"


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of lines such as "MemAvailable: 24284604 kB" or "inactive_file 8192"."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

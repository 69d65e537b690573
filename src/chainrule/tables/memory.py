"""Memory: how much is free for this process, and how many rows fit into a batch of bounded size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

BATCH_BYTES = 2**26
MOST_ROWS = 50_000
LEAST_OF_DUCKDB = 256  # MiB that it needs to read large files
NUMBER = 8  # bytes of a double
JAX_BYTES, JAX_SPACE = (
    2**29,
    2**31,
)  # that JAX allocates, and maps for code, stacks and heaps, before its first program runs


def rows_at_once(numbers_per_row: float) -> int:
    """The number of rows in a batch, at least one, such that its numbers stay within the budget.

    >>> rows_at_once(10), rows_at_once(10_000)
    (50000, 838)
    """
    return int(max(1, min(MOST_ROWS, BATCH_BYTES // (NUMBER * max(1, numbers_per_row)))))


def free_memory(root: str = "/", jax_to_come: bool = False) -> int | None:
    """The least that the machine, the control groups and the process limits leave; None if unknown.

    With `jax_to_come`, what JAX will need is subtracted. `root` is the folder with /proc and /sys.
    """
    bytes_, space = (JAX_BYTES, JAX_SPACE) if jax_to_come else (0, 0)
    left = [*_of_machine(Path(root)), *_of_groups(Path(root)), *_of_limits(Path(root), space - bytes_)]
    return max(0, min(left) - bytes_) if left else None


def _of_machine(root: Path) -> Iterator[int]:
    available = _fields(root / "proc/meminfo").get("MemAvailable")
    if available is not None:
        yield 1024 * available


def _of_groups(root: Path) -> Iterator[int]:
    """What each control group of the process leaves; inactive file pages count as free."""
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
    """What the group and its ancestors leave; a container may see its own group only as the top."""
    group = top / path.strip("/")
    for folder in dict.fromkeys((group, *group.parents, top)):
        limit, now = _text(folder / most).strip(), _text(folder / used).strip()
        if limit.isdecimal() and now.isdecimal():
            yield int(limit) - int(now) + _fields(folder / "memory.stat").get(reclaimable, 0)


def _of_limits(root: Path, space: int) -> Iterator[int]:
    """What `ulimit -v` (minus `space`) and `ulimit -d` leave."""
    taken = _fields(root / "proc/self/status")
    for (most, name), mapped in zip(_limits(), (space, 0), strict=False):
        if most is not None and name in taken:
            yield most - 1024 * taken[name] - mapped


def _limits() -> list[tuple[int | None, str]]:
    """The limits on mapped and on writable bytes (None if unlimited), each with its usage field in /proc."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit
    except ImportError:  # Windows has no such limits
        return []
    most = [getrlimit(limit)[0] for limit in (RLIMIT_AS, RLIMIT_DATA)]
    return [(None if n == RLIM_INFINITY else n, name) for n, name in zip(most, ("VmSize", "VmData"), strict=True)]


def reserve_little() -> None:
    """Keep Arrow from reserving a gigabyte under `ulimit`; to be called before Arrow is imported."""
    if any(most is not None for most, _ in _limits()):
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def memory_of_duckdb() -> str:
    """The memory limit of a connection, in DuckDB's form: half of the free memory, or its default if unknown."""
    free = free_memory()
    return "80%" if free is None else f"{max(LEAST_OF_DUCKDB, free // 2 // 2**20)}MiB"


def _fields(path: Path) -> dict[str, int]:
    """The numbers in a file of lines such as "MemAvailable: 24284604 kB" or "inactive_file 8192"."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

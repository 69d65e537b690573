"""Bytes: how many are free to this process, and how many rows fit into a batch of a bounded number of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

BATCH_BYTES = 2**26
MOST_ROWS = 50_000
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
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit
    except ImportError:  # Windows has no such limits
        return
    taken = _fields(root / "proc/self/status")
    for limit, name, mapped in ((RLIMIT_AS, "VmSize", space), (RLIMIT_DATA, "VmData", 0)):
        most = getrlimit(limit)[0]
        if most != RLIM_INFINITY and name in taken:
            yield most - 1024 * taken[name] - mapped


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of lines such as "MemAvailable: 24284604 kB" or "inactive_file 8192"."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""What is free to a process: the least of what its machine, its control groups and its limits leave."""

import subprocess
import sys

import pytest

from chainrule.tables import memory
from chainrule.tables.memory import JAX_BYTES, free_memory, rows_at_once

GB = 2**30


def system(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return str(root)


MEMINFO = {"proc/meminfo": f"MemTotal: {32 * 2**20} kB\nMemAvailable:   {20 * 2**20} kB\n"}
GROUP = {
    "proc/self/cgroup": "0::/user/job\n",
    "sys/fs/cgroup/user/job/memory.max": f"{4 * GB}\n",
    "sys/fs/cgroup/user/job/memory.current": f"{3 * GB}\n",
    "sys/fs/cgroup/user/job/memory.stat": f"anon {GB}\ninactive_file {2 * GB}\nactive_file 7\n",
    "sys/fs/cgroup/user/memory.max": "max\n",
    "sys/fs/cgroup/user/memory.current": f"{3 * GB}\n",
}
OLD_GROUP = {
    "proc/self/cgroup": "9:cpu,cpuacct:/\n4:memory:/job\n0::/\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{5 * GB}\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{4 * GB}\n",
    "sys/fs/cgroup/memory/job/memory.stat": f"total_inactive_file {GB}\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{4 * GB}\n",
}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (MEMINFO, 20 * GB),
        (MEMINFO | GROUP, 3 * GB),
        (MEMINFO | OLD_GROUP, 2 * GB),
        (GROUP | {"sys/fs/cgroup/user/memory.max": f"{3 * GB + 5}"}, 5),
        (GROUP | {"sys/fs/cgroup/user/job/memory.current": f"{9 * GB}"}, 0),
        (MEMINFO | {"proc/self/cgroup": "0::/of/the/host\n", "sys/fs/cgroup/memory.max": f"{GB}"}, 20 * GB),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "0::/of/the/host\n",
                "sys/fs/cgroup/memory.max": f"{GB}",
                "sys/fs/cgroup/memory.current": "7",
            },
            GB - 7,
        ),
        ({"proc/meminfo": "MemAvailable: many kB\n", "proc/self/cgroup": "x\n0::\n:\n"}, None),
        ({}, None),
    ],
)
def test_the_least_of_what_is_left(tmp_path, files, free):
    root = system(tmp_path, files)
    assert free_memory(root) == free
    assert free_memory(root, jax_to_come=True) == (None if free is None else max(0, free - JAX_BYTES))


def test_of_this_process_it_is_known():
    assert 0 < free_memory() < 2**60


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limits_of_the_process_count(limit):
    code = (
        "import resource; from chainrule.tables.memory import free_memory\n"
        f"resource.setrlimit(resource.{limit}, (2**30, 2**30))\n"
        "before = free_memory(); more = bytearray(2**28); print(before, free_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 2**28 < before < 2**30
    assert before - after == pytest.approx(2**28, rel=0.05)


def test_batches_are_bounded_in_bytes_and_in_rows():
    assert rows_at_once(1) == rows_at_once(0) == memory.MOST_ROWS
    assert rows_at_once(10**12) == 1
    for width in (200, 5000, 123_456):
        assert 0.9 * memory.BATCH_BYTES < rows_at_once(width) * width * 8 <= memory.BATCH_BYTES

"""Hosts of our own on one machine: network namespaces with addresses, joined by a switch, some over a slow link."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NETWORK = "10.77.41"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


class Host(NamedTuple):
    name: str
    address: str

    def exec(self, words: Sequence[str]) -> list[str]:
        """The command that runs another in this host."""
        return ["ip", "netns", "exec", self.name, *words]


class Slow(NamedTuple):
    """A link's delay in seconds, one way, and its rate in bytes a second."""

    delay: float
    rate: float


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def hosts(n: int, slow: Slow | None = None):
    """n hosts at one switch; with `slow`, the last one's link is.

    Linux's own way to a slow link, tc's netem, is not in every kernel: here two TAP devices are joined by a thread that
    hands on their frames late.

    Raises
    ------
    PermissionError, FileNotFoundError
        Where this user may not make namespaces, or where the command `ip` is missing.
    """
    prefix = f"cr{os.getpid() % 100_000}"
    with ExitStack() as stack:
        switch = f"{prefix}sw"
        _namespace(stack, switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        made = []
        for i in range(n):
            host = Host(f"{prefix}h{i}", f"{NETWORK}.{i + 1}")
            _namespace(stack, host.name)
            names = stack.enter_context(_own_names(host))
            names.write_text(f"127.0.0.1 localhost\n{host.address} {socket.gethostname()}\n")
            if slow and i == n - 1:
                stack.enter_context(_slow_link(host.name, switch, i, slow))
            else:
                ip("link", "add", f"{prefix}v{i}", "netns", host.name, "type", "veth", "peer", f"p{i}", "netns", switch)
                ip("-n", host.name, "link", "set", f"{prefix}v{i}", "name", "eth0")
            ip("-n", switch, "link", "set", f"p{i}", "master", "br0", "up")
            ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "eth0", "up")
            ip("-n", host.name, "link", "set", "lo", "up")
            made.append(host)
        yield made


def cut(host: Host) -> None:
    ip("-n", host.name, "link", "set", "eth0", "down")


def mend(host: Host) -> None:
    ip("-n", host.name, "link", "set", "eth0", "up")


def _namespace(stack: ExitStack, name: str) -> None:
    ip("netns", "add", name)
    stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)


@contextmanager
def _own_names(host: Host):
    """The host's own /etc/hosts: `ip netns exec` mounts what is in /etc/netns."""
    folder = Path("/etc/netns", host.name)
    folder.mkdir(parents=True)
    try:
        yield folder / "hosts"
    finally:
        (folder / "hosts").unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def _slow_link(host: str, switch: str, i: int, slow: Slow):
    with ExitStack() as stack:
        ends = [
            stack.enter_context(_tap(name)) for name in (f"crt{i}a{os.getpid()}"[:15], f"crt{i}b{os.getpid()}"[:15])
        ]
        for (name, _), namespace, there in zip(ends, (host, switch), ("eth0", f"p{i}"), strict=True):
            ip("link", "set", name, "netns", namespace)
            ip("-n", namespace, "link", "set", name, "name", there)
        ends_at = threading.Event()
        stack.callback(ends_at.set)
        files = [file for _, file in ends]
        relay = threading.Thread(target=_hand_on, args=(files, slow, ends_at), daemon=True)
        relay.start()
        yield
        ends_at.set()
        relay.join()


@contextmanager
def _tap(name: str):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
        yield name, file
    finally:
        os.close(file)


def _hand_on(files: list[int], slow: Slow, ended: threading.Event) -> None:
    """Frames from each end to the other: after the delay, and no more bytes a second than the rate."""
    waiting: list[deque[tuple[float, bytes]]] = [deque(), deque()]
    free = [0.0, 0.0]  # when the link has sent what it was given
    while not ended.is_set():
        now = time.monotonic()
        due = [queue[0][0] - now for queue in waiting if queue]
        readable, _, _ = select.select(files, [], [], max(0.0, min([0.05, *due])))
        now = time.monotonic()
        for end in (files.index(file) for file in readable):
            frame = os.read(files[end], 65_536)
            free[end] = max(free[end], now) + len(frame) / slow.rate
            waiting[end].append((free[end] + slow.delay, frame))
        for end, queue in enumerate(waiting):
            while queue and queue[0][0] <= now:
                with suppress(OSError):  # where the other end is down, a frame is lost
                    os.write(files[1 - end], queue.popleft()[1])

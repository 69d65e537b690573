"""Several processes, on one machine or many, that train one network: process discovery and collectives.

JAX's distributed runtime connects them. If one fails, the others detect it within `LOST_AFTER` seconds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import InputError

AXIS = "device"
JOIN_WITHIN = 60  # seconds
LOST_AFTER = 15  # seconds without a heartbeat
LAUNCHERS = (  # environment variables set by a launcher: its presence, number of processes, number of this process
    ("SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID"),
    ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("KUBERNETES_SERVICE_HOST", None, "JOB_COMPLETION_INDEX"),
)


class Place(NamedTuple):
    """The position of a process: the coordinator's HOST:PORT, the number of processes, and its own number from 0."""

    coordinator: str
    processes: int
    process: int


def launched_as() -> int | None:
    """The number of this process, if Slurm, Open MPI or Kubernetes started it as one of several.

    Raises
    ------
    InputError
        For Open MPI 5, which does not provide the address of the first process.
    """
    for launcher, count, number in LAUNCHERS:
        if launcher in os.environ and number in os.environ and (count is None or int(os.environ.get(count, 1)) > 1):
            return int(os.environ[number])
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        raise InputError(
            "this Open MPI does not provide the address of the first process; use mpirun ... sh -c 'chainrule train "
            "... --coordinator HOST:PORT --num-processes $OMPI_COMM_WORLD_SIZE --process-id $OMPI_COMM_WORLD_RANK'"
        )
    return None


def join(place: Place | None = None) -> None:
    """Connect to the other processes, before JAX is used otherwise; None uses the settings of the launcher.

    Raises
    ------
    InputError
        If they are not connected within `JOIN_WITHIN` seconds, or if a host name cannot be resolved.
    """
    import jax

    where, processes, process = place or (None, None, None)
    if where is not None:
        _address_of(where.rpartition(":")[0].strip("[]"))
    here = where is not None and where.startswith("127.")
    gloo_here = here and _keep_gloo_here()
    try:
        jax.distributed.initialize(
            where,
            processes,
            process,
            coordinator_bind_address=where if here else None,  # not reachable from other hosts
            initialization_timeout=JOIN_WITHIN,
            heartbeat_timeout_seconds=LOST_AFTER,
            shutdown_timeout_seconds=LOST_AFTER,
        )
    except (RuntimeError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"the processes did not connect within {JOIN_WITHIN} seconds: {first_line}") from error
    if place and not gloo_here and jax.default_backend() == "cpu":
        _check_own_address(place)


def _keep_gloo_here() -> bool:
    """Make Gloo listen on the loopback address instead of this host's name, which other hosts may reach.

    Returns whether that is possible; other versions of JAX create Gloo in another way and are left unchanged.
    """
    try:
        from jax._src.lib import _jax  # pyright: ignore[reportPrivateImportUsage]

        make = _jax.make_gloo_tcp_collectives
    except (ImportError, AttributeError):
        return False

    def make_here(**given: Any) -> Any:
        try:
            return make(**{"hostname": "127.0.0.1", **given})
        except TypeError:
            return make(**given)

    _jax.make_gloo_tcp_collectives = make_here
    return True


def _check_own_address(place: Place) -> None:
    """Check this host's name, which Gloo sends to the other processes: it must not resolve to the loopback address."""
    name, (host, _, _) = socket.gethostname(), place.coordinator.rpartition(":")
    own, others = (_address_of(x) for x in (name, host.strip("[]")))
    if own.startswith("127.") and not others.startswith("127."):
        raise InputError(
            f"this host's name, {name}, resolves to {own}, which other hosts cannot reach; set the address that they "
            "can reach in /etc/hosts"
        )


def _address_of(name: str) -> str:
    try:
        return str(socket.getaddrinfo(name, None)[0][4][0])
    except OSError as error:
        raise InputError(f"{name}: host name cannot be resolved: {error.strerror}") from error


def leave() -> None:
    """Disconnect from the other processes, once all of them are ready to."""
    import jax

    jax.distributed.shutdown()


def has_lost_others(error: Exception) -> bool:
    """Whether an error of JAX reports that another process is unreachable."""
    text = str(error)
    return any(word in text for word in ("Gloo ", "NCCL ", "coordination service", "heartbeat")) and ": " in text


def is_first() -> bool:
    """Whether this is the first process, which writes files and prints."""
    import jax

    return jax.process_index() == 0


@cache
def mesh() -> Any:
    """A one-dimensional mesh of all devices, grouped by process."""
    import jax

    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return jax.sharding.Mesh(np.array(devices), (AXIS,))


def told(numbers: np.ndarray) -> np.ndarray:
    """Gather arrays of equal shape from all processes: (processes, ...)."""
    from jax.experimental.multihost_utils import process_allgather

    as_bytes = np.frombuffer(numbers.tobytes(), np.uint8)  # JAX would convert 64-bit numbers
    everyones = np.asarray(process_allgather(as_bytes)).tobytes()
    return np.frombuffer(everyones, numbers.dtype).reshape(-1, *numbers.shape)


def all_tell(message: bytes) -> list[bytes]:
    """Gather a message from each process."""
    sizes = told(np.array(len(message)))
    room = np.zeros(max(1, int(sizes.max())), np.uint8)
    room[: len(message)] = np.frombuffer(message, np.uint8)
    return [row[:size].tobytes() for row, size in zip(told(room), sizes.tolist(), strict=True)]


def first_tells(message: bytes) -> bytes:
    """Broadcast the message of the first process; those of the others are ignored."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int(told(np.array(len(message)))[0])
    room = np.frombuffer(message, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return np.asarray(broadcast_one_to_all(room)).tobytes()


@contextmanager
def one_fate() -> Iterator[None]:
    """Propagate an error of one process to all, so that none waits for it.

    Raises
    ------
    InputError
        The error of another process.
    """
    try:
        yield
    except Exception as error:
        all_tell((str(error) or repr(error)).encode())
        raise
    for process, message in enumerate(all_tell(b"")):
        if message:
            raise InputError(f"process {process}: {message.decode()}")

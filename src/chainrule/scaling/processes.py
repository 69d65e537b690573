"""Several processes, on one machine or on many, that train one network: who is there, and what all of them know.

JAX's distributed runtime joins them. Where one is lost, no other waits for it longer than `LOST_AFTER` seconds.
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
LOST_AFTER = 15  # seconds without a sign of life
LAUNCHERS = (  # what they tell the processes that they start: that it is they, how many there are, and which one
    ("SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID"),
    ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("KUBERNETES_SERVICE_HOST", None, "JOB_COMPLETION_INDEX"),
)


class Place(NamedTuple):
    """Where a process is among others: the first one's HOST:PORT, how many there are, and its number from 0."""

    coordinator: str
    processes: int
    process: int


def launched_as() -> int | None:
    """The number of this process, if Slurm, Open MPI or Kubernetes started it as one of several.

    Raises
    ------
    InputError
        If it was Open MPI 5, which does not say where the first process is.
    """
    for launcher, count, number in LAUNCHERS:
        if launcher in os.environ and number in os.environ and (count is None or int(os.environ.get(count, 1)) > 1):
            return int(os.environ[number])
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        raise InputError(
            "this Open MPI does not say where the first process is: mpirun ... sh -c 'chainrule train ... "
            "--coordinator HOST:PORT --num-processes $OMPI_COMM_WORLD_SIZE --process-id $OMPI_COMM_WORLD_RANK'"
        )
    return None


def join(place: Place | None = None) -> None:
    """Meet the other processes, before JAX is used for anything else; None asks the launcher.

    Raises
    ------
    InputError
        If they do not meet within `JOIN_WITHIN` seconds, or if this host's name leads nowhere.
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
            coordinator_bind_address=where if here else None,  # other hosts have no business there
            initialization_timeout=JOIN_WITHIN,
            heartbeat_timeout_seconds=LOST_AFTER,
            shutdown_timeout_seconds=LOST_AFTER,
        )
    except (RuntimeError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"the processes did not meet within {JOIN_WITHIN} seconds: {first_line}") from error
    if place and not gloo_here and jax.default_backend() == "cpu":
        _check_own_address(place)


def _keep_gloo_here() -> bool:
    """Have Gloo listen at the loopback address, where by itself it takes this host's name, which others may reach.

    Whether that can be done: a JAX that makes it in another way goes on as it does.
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
    """Gloo tells the others this host's name; one that leads to the host itself would leave them waiting."""
    name, (host, _, _) = socket.gethostname(), place.coordinator.rpartition(":")
    own, others = (_address_of(x) for x in (name, host.strip("[]")))
    if own.startswith("127.") and not others.startswith("127."):
        raise InputError(
            f"this host's name, {name}, leads to {own}, where no other host finds it: give it the address that others "
            "reach it by, in /etc/hosts"
        )


def _address_of(name: str) -> str:
    try:
        return str(socket.getaddrinfo(name, None)[0][4][0])
    except OSError as error:
        raise InputError(f"{name}: no host of this name is known here: {error.strerror}") from error


def leave() -> None:
    """Part from the others, when all have got so far."""
    import jax

    jax.distributed.shutdown()


def has_lost_others(error: Exception) -> bool:
    """Whether an error of JAX says that another process could not be reached any more."""
    text = str(error)
    return any(word in text for word in ("Gloo ", "NCCL ", "coordination service", "heartbeat")) and ": " in text


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    import jax

    return jax.process_index() == 0


@cache
def mesh() -> Any:
    """All devices of all processes, in one dimension, those of a process next to each other."""
    import jax

    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return jax.sharding.Mesh(np.array(devices), (AXIS,))


def told(numbers: np.ndarray) -> np.ndarray:
    """What each process tells, of one shape: (processes, ...)."""
    from jax.experimental.multihost_utils import process_allgather

    as_bytes = np.frombuffer(numbers.tobytes(), np.uint8)  # so that JAX leaves 64 bits alone
    everyones = np.asarray(process_allgather(as_bytes)).tobytes()
    return np.frombuffer(everyones, numbers.dtype).reshape(-1, *numbers.shape)


def all_tell(message: bytes) -> list[bytes]:
    """What each process tells."""
    sizes = told(np.array(len(message)))
    room = np.zeros(max(1, int(sizes.max())), np.uint8)
    room[: len(message)] = np.frombuffer(message, np.uint8)
    return [row[:size].tobytes() for row, size in zip(told(room), sizes.tolist(), strict=True)]


def first_tells(message: bytes) -> bytes:
    """What the first process tells all; what others say is not heard."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int(told(np.array(len(message)))[0])
    room = np.frombuffer(message, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return np.asarray(broadcast_one_to_all(room)).tobytes()


@contextmanager
def one_fate() -> Iterator[None]:
    """An error of one process within is an error of all, so that none is left waiting for it.

    Raises
    ------
    InputError
        What went wrong in another process.
    """
    try:
        yield
    except Exception as error:
        all_tell((str(error) or repr(error)).encode())
        raise
    for process, message in enumerate(all_tell(b"")):
        if message:
            raise InputError(f"process {process}: {message.decode()}")

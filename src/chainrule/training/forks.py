"""Detection of forks: JAX's threads do not survive a fork, and training in a forked process would deadlock."""

from __future__ import annotations

import os
import sys

from chainrule.errors import InputError

_state = {"forked": False}


def check_not_forked() -> None:
    """Refuse to train in a process that was forked after JAX had started.

    Raises
    ------
    InputError
        Its message states how to start processes that can train.
    """
    if _state["forked"]:
        raise InputError(
            "this process was forked after JAX had started its threads, which do not survive a fork; start processes "
            'with multiprocessing.get_context("spawn") or joblib\'s default backend "loky", or fork before training'
        )


def _remember_fork() -> None:
    _state["forked"] = _state["forked"] or _has_started_jax()


def _has_started_jax() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    asked = getattr(bridge, "backends_are_initialized", None)  # not public in JAX
    return bool(asked and asked())


os.register_at_fork(after_in_child=_remember_fork)

"""Compilation of a small program into one function, instead of one call per operation.

XLA executes a program on the CPU operation by operation. For a network with a dozen weights, the calls take ten times
as long as the arithmetic. A frontend attribute makes XLA's CPU backend emit a whole computation, loops included, as
one function, with matrix products as plain loops. That is far slower for wide networks, so it is used for tiny ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ATTRIBUTES = {"xla_cpu_small_call": "true", "inlineable": "false"}
OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}  # no matrix products by a library


def one_kernel(run: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `run` as one function where XLA supports it, and like `jax.jit` elsewhere.

    XLA does not support it on GPUs, in versions without these options, and for operations that need a library, which
    occur mostly in user-defined functions.
    """
    import jax
    from jax.experimental.xla_metadata import set_xla_metadata

    usual = jax.jit(run)
    if jax.default_backend() != "cpu":
        return usual

    def marked(*args: Any, **kwargs: Any) -> Any:
        with set_xla_metadata(**ATTRIBUTES):
            return usual(*args, **kwargs)

    chosen = jax.jit(marked, compiler_options=OPTIONS)

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal chosen
        if chosen is usual:
            return usual(*args, **kwargs)
        try:
            return chosen(*args, **kwargs)
        except jax.errors.JaxRuntimeError:  # from the compiler, before anything has run
            chosen = usual
            return usual(*args, **kwargs)

    return call

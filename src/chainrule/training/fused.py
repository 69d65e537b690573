"""A small program compiled into one function, instead of one call for each of its operations.

XLA runs a program on the CPU operation by operation. Of a network with a dozen weights the calls cost ten times what
the numbers do. A frontend attribute tells XLA's CPU backend to emit all of a computation, loops included, as one
function, with products as plain loops: far slower for wide networks, so it is asked for only where updates are tiny.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ATTRIBUTES = {"xla_cpu_small_call": "true", "inlineable": "false"}
OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}  # no products handed to a library


def one_kernel(run: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit(run)` as one function where XLA can, and as usual where it cannot.

    It cannot on other processors than the CPU, in versions of XLA without these options, and for a program with an
    operation that only a library has (a user's own, mostly).
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

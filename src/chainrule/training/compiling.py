"""How programs are compiled: with which of XLA's options, and with a cache on disk.

XLA has two ways to turn fused operations into machine code on the CPU. The older takes half the time to compile, and
what it makes is as fast. The options are XLA's own and may change: where it does not know them, it does without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.training.program_cache import use_cache

PROGRAMS = 32  # that stay in memory, of each kind; one takes some 3 MB
OPTIONS = {"xla_cpu_use_fusion_emitters": False}
IN_ONE_PIECE = {"xla_cpu_small_call": "true", "inlineable": "false"}
WITHOUT_LIBRARY = {"xla_cpu_experimental_ynn_fusion_type": ""}  # no products handed to a library


def compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit(run)`, compiled in half the time where XLA can."""
    import jax

    use_cache()
    usual = jax.jit(run)
    if jax.default_backend() != "cpu":
        return usual
    return _the_first_that_compiles(jax.jit(run, compiler_options=OPTIONS), usual)


def one_kernel(run: Callable[..., Any]) -> Callable[..., Any]:
    """A small program as one function, instead of one call for each of its operations.

    XLA runs a program on the CPU operation by operation. Of a network with a dozen weights the calls cost ten times
    what the numbers do. A frontend attribute tells XLA's CPU backend to emit all of a computation, loops included, as
    one function, with products as plain loops: far slower for wide networks, so it is asked for only where updates
    are tiny.

    It cannot on other processors than the CPU, in versions of XLA without these options, and for a program with an
    operation that only a library has (a user's own, mostly): then the program is compiled as usual.
    """
    import jax
    from jax.experimental.xla_metadata import set_xla_metadata

    usual = compiled(run)
    if jax.default_backend() != "cpu":
        return usual

    inner = jax.jit(run)

    def marked(*args: Any, **kwargs: Any) -> Any:
        with set_xla_metadata(**IN_ONE_PIECE):
            return inner(*args, **kwargs)

    return _the_first_that_compiles(jax.jit(marked, compiler_options=WITHOUT_LIBRARY), usual)


def _the_first_that_compiles(chosen: Callable[..., Any], usual: Callable[..., Any]) -> Callable[..., Any]:
    """The chosen program, until it cannot be compiled: then the usual one."""
    import jax

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

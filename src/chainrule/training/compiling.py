"""How programs are compiled: the options of XLA, and the on-disk cache.

XLA has two code generators for fused operations on the CPU. The older one compiles in half the time; its programs are
as fast for small tables, and up to a third slower for large ones, so only small trainings use it. These options are
internal to XLA; a version that does not know them compiles without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.training.program_cache import use_cache

SMALL_PASS = 10**7  # rows times weights, up to which compiling counts for more than running
PROGRAMS = 32  # kept in memory, of each kind; a program takes about 3 MB
OPTIONS = {"xla_cpu_use_fusion_emitters": False}
IN_ONE_PIECE = {"xla_cpu_small_call": "true", "inlineable": "false"}
WITHOUT_LIBRARY = {"xla_cpu_experimental_ynn_fusion_type": ""}  # no products handed to a library


def compiled(run: Callable[..., Any], quickly: bool = False) -> Callable[..., Any]:
    """`jax.jit(run)`; with `quickly`, compiled in half the time where XLA can."""
    import jax

    use_cache()
    usual = jax.jit(run)
    if not quickly or jax.default_backend() != "cpu":
        return usual
    return _the_first_that_compiles(jax.jit(run, compiler_options=OPTIONS), usual)


def one_kernel(run: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit(run)`, compiled into a single function instead of a call for each operation.

    On the CPU, XLA runs a program operation by operation. For a network with a dozen weights, the calls take ten times
    as long as the arithmetic. A frontend attribute makes XLA emit a whole computation, including its loops, as one
    function, with matrix products as plain loops. This is far slower for wide networks, so it is used only for tiny
    updates.

    The program is compiled as usual on other devices than the CPU, by versions of XLA without these options, and if it
    contains an operation that is only available as a library call (mostly user-defined ones).
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
    """The chosen program, or the usual one if the chosen one cannot be compiled."""
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
        except ValueError:  # options are for outermost programs only, and this one is part of another
            return usual(*args, **kwargs)

    return call

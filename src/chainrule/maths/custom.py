"""User-defined activations and costs: one Python function, executed by NumPy or JAX and differentiated by JAX.

This is the only use of automatic differentiation; Chainrule's own functions have explicit derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.maths.arrays import Array, is_numpy


def apply(f: Callable[..., Any], *arrays: Array) -> Any:
    """Return ``f(*arrays)``, for NumPy arrays also if `f` uses `jax.numpy` (then in float64).

    Raises
    ------
    TypeError
        If `f` calls NumPy, which JAX cannot compile.
    """
    try:
        result = f(*arrays)
    except TypeError as error:
        if type(error).__name__ != "TracerArrayConversionError":  # compared by name to avoid importing JAX
            raise
        raise TypeError(
            f"your function {getattr(f, '__name__', f)!r} calls NumPy, which JAX cannot compile; "
            "write it with operators, jax.numpy, or z.__array_namespace__()"
        ) from error
    if is_numpy(arrays[0]) and not is_numpy(result):
        return _in_float64(f, *arrays)
    return result


def pull_back(f: Callable[..., Any], upstream: Array, x: Array, *rest: Array) -> Array:
    """Compute upstream * df(x, *rest)/dx by `jax.vjp`; `upstream` broadcasts to the shape of the value of f."""
    product = _in_float64 if is_numpy(x) else apply
    return product(lambda upstream, x, *rest: _vjp(f, upstream, x, *rest), upstream, x, *rest)


def _vjp(f: Callable[..., Any], upstream: Array, x: Array, *rest: Array) -> Array:
    import jax

    value, back = jax.vjp(lambda x: apply(f, x, *rest), x)
    return back(jax.numpy.broadcast_to(upstream, value.shape))[0]


def _in_float64(f: Callable[..., Any], *arrays: Array) -> Array:
    import jax

    with jax.enable_x64(True):
        return np.asarray(f(*(jax.numpy.asarray(a) for a in arrays)))

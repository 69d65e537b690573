"""NumPy arrays and JAX arrays, distinguished in one place."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import jax

    Array: TypeAlias = np.ndarray[Any, Any] | jax.Array
else:
    Array = Any


def namespace(x: Any) -> ModuleType:
    """The array namespace of `x`; NumPy for a plain Python number.

    >>> namespace(0.5).__name__
    'numpy'
    """
    if type(x) is np.ndarray:  # the most frequent case
        return np
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np


def is_numpy(x: Any) -> bool:
    """Whether `x` can be computed with NumPy alone, so that JAX need not be imported."""
    return namespace(x) is np


def listed(x: Any, like: Array) -> Any:
    """Convert nested lists to an array with the dtype of `like`; arrays are returned unchanged.

    >>> listed([[1, 2]], np.zeros(1)).tolist()
    [[1.0, 2.0]]
    """
    return np.asarray(x, like.dtype) if isinstance(x, list | tuple) else x


WIDE = 512  # columns of a product above which XLA is faster on a transposed copy, copying included, than on the view


def transposed_product(x: Array, y: Array) -> Array:
    """Compute ``x.T @ y`` for x of shape (n, k) and y of shape (n, m).

    >>> transposed_product(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    if is_numpy(x) or y.shape[1] <= WIDE:
        return x.T @ y
    import jax

    return (jax.lax.optimization_barrier(x.T) if jax.default_backend() == "cpu" else x.T) @ y

"""NumPy arrays and JAX arrays, told apart in one place."""

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
    """The array library that `x` belongs to; NumPy for a plain Python number.

    >>> namespace(0.5).__name__
    'numpy'
    """
    if type(x) is np.ndarray:  # asked for often
        return np
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np


def is_numpy(x: Any) -> bool:
    """Whether `x` can be computed with NumPy alone, so that JAX need not be imported."""
    return namespace(x) is np

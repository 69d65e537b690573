"""JAX's random bits computed with NumPy, so that dropout can be reproduced without importing JAX.

References
----------
Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3": Threefry with two words of 32 bits and 20 rounds.
"""

from __future__ import annotations

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)

Key = tuple[np.uint32, np.uint32]


def key_of(seed: int) -> Key:
    """`jax.random.key(seed)`, for a seed of 32 bits."""
    return np.uint32(0), np.uint32(seed)


def folded_in(key: Key, number: int) -> Key:
    """`jax.random.fold_in(key, number)`."""
    high, low = threefry(key, np.zeros(1, np.uint32), np.full(1, number, np.uint32))
    return high[0], low[0]


def bits(key: Key, shape: tuple[int, ...]) -> np.ndarray:
    """`jax.random.bits(key, shape, "uint32")`.

    >>> bits(folded_in(key_of(0), 1), (2,)).tolist()
    [31327077, 89727312]
    """
    counts = np.arange(int(np.prod(shape)), dtype=np.uint64)
    high, low = threefry(key, (counts >> np.uint64(32)).astype(np.uint32), counts.astype(np.uint32))
    return (high ^ low).reshape(shape)


def threefry(key: Key, high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two output words of Threefry for each pair of counters."""
    with np.errstate(over="ignore"):
        schedule = (*key, key[0] ^ key[1] ^ _PARITY)
        high, low = high + schedule[0], low + schedule[1]
        for i in range(5):
            for rotation in _ROTATIONS[i % 2]:
                high = high + low
                low = high ^ (low << np.uint32(rotation) | low >> np.uint32(32 - rotation))
            high, low = high + schedule[(i + 1) % 3], low + schedule[(i + 2) % 3] + np.uint32(i + 1)
    return high, low

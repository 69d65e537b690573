"""First weights and biases of a layer: each scheme draws W, then b, from a seeded generator."""

from __future__ import annotations

from math import sqrt

import numpy as np

Drawn = tuple[np.ndarray, np.ndarray]
Generator = np.random.Generator


def uniform(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Weights and biases from U(-1, 1): the lecture's."""
    return rng.uniform(-1, 1, (n_in, n_out)), rng.uniform(-1, 1, n_out)


def gaussian(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Weights from N(0, 1/n_in) (a variance), biases from N(0, 1): the pseudocode's."""
    return rng.normal(0, sqrt(1 / n_in), (n_in, n_out)), rng.normal(0, 1, n_out)


def glorot(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Weights from U(-r, r), r = sqrt(6 / (n_in + n_out)); biases 0. Glorot and Bengio (2010)."""
    r = sqrt(6 / (n_in + n_out))
    return rng.uniform(-r, r, (n_in, n_out)), np.zeros(n_out)


def he(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Weights from N(0, 2/n_in), for relu and its kin; biases 0. He et al. (2015)."""
    return rng.normal(0, sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)


def lecun(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Weights from N(0, 1/n_in); biases 0. LeCun et al. (1998)."""
    return rng.normal(0, sqrt(1 / n_in), (n_in, n_out)), np.zeros(n_out)


def zeros(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """All weights and biases 0. Hidden nodes then stay alike for ever: for one layer, or to see just that."""
    return np.zeros((n_in, n_out)), np.zeros(n_out)


SCHEMES = {f.__name__: f for f in (uniform, gaussian, glorot, he, lecun, zeros)}

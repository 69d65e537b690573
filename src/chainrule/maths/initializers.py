"""Initial weights and biases of a layer: each scheme draws W, then b, from a seeded generator."""

from __future__ import annotations

from math import sqrt

import numpy as np

Drawn = tuple[np.ndarray, np.ndarray]
Generator = np.random.Generator


def uniform(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Draw weights and biases from U(-1, 1).

    Parameters
    ----------
    rng : numpy.random.Generator
    n_in, n_out : int

    Returns
    -------
    tuple (W, b) of arrays of shape (n_in, n_out) and (n_out,)

    Examples
    --------
    >>> W, b = uniform(np.random.default_rng(0), 2, 3)
    >>> W.shape, b.shape
    ((2, 3), (3,))
    """
    return rng.uniform(-1, 1, (n_in, n_out)), rng.uniform(-1, 1, n_out)


def gaussian(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Draw weights from N(0, 1/n_in), where 1/n_in is the variance, and biases from N(0, 1).

    Parameters
    ----------
    rng : numpy.random.Generator
    n_in, n_out : int

    Returns
    -------
    tuple (W, b) of arrays of shape (n_in, n_out) and (n_out,)

    Examples
    --------
    >>> W, b = gaussian(np.random.default_rng(0), 2, 3)
    >>> W.shape, b.shape
    ((2, 3), (3,))
    """
    return rng.normal(0, sqrt(1 / n_in), (n_in, n_out)), rng.normal(0, 1, n_out)


def glorot(rng: Generator, n_in: int, n_out: int) -> Drawn:
    r"""Draw weights from U(-r, r); biases are 0.

    .. math:: r = \sqrt{6 / (n_{in} + n_{out})}

    Parameters
    ----------
    rng : numpy.random.Generator
    n_in, n_out : int

    Returns
    -------
    tuple (W, b) of arrays of shape (n_in, n_out) and (n_out,)

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks".

    Examples
    --------
    >>> W, b = glorot(np.random.default_rng(0), 2, 3)
    >>> W.shape, b.shape
    ((2, 3), (3,))
    """
    r = sqrt(6 / (n_in + n_out))
    return rng.uniform(-r, r, (n_in, n_out)), np.zeros(n_out)


def he(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Draw weights from N(0, 2/n_in), for relu and its variants; biases are 0.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_in, n_out : int

    Returns
    -------
    tuple (W, b) of arrays of shape (n_in, n_out) and (n_out,)

    References
    ----------
    He et al. (2015), "Delving deep into rectifiers".

    Examples
    --------
    >>> W, b = he(np.random.default_rng(0), 2, 3)
    >>> W.shape, b.shape
    ((2, 3), (3,))
    """
    return rng.normal(0, sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)


def lecun(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Draw weights from N(0, 1/n_in); biases are 0.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_in, n_out : int

    Returns
    -------
    tuple (W, b) of arrays of shape (n_in, n_out) and (n_out,)

    References
    ----------
    LeCun et al. (1998), "Efficient backprop".

    Examples
    --------
    >>> W, b = lecun(np.random.default_rng(0), 2, 3)
    >>> W.shape, b.shape
    ((2, 3), (3,))
    """
    return rng.normal(0, sqrt(1 / n_in), (n_in, n_out)), np.zeros(n_out)


def zeros(rng: Generator, n_in: int, n_out: int) -> Drawn:
    """Set all weights and biases to 0, for networks without hidden layers: hidden nodes would stay identical.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_in, n_out : int

    Returns
    -------
    tuple (W, b) of arrays of shape (n_in, n_out) and (n_out,)

    Examples
    --------
    >>> W, b = zeros(np.random.default_rng(0), 2, 3)
    >>> W.shape, b.shape
    ((2, 3), (3,))
    """
    return np.zeros((n_in, n_out)), np.zeros(n_out)


SCHEMES = {f.__name__: f for f in (uniform, gaussian, glorot, he, lecun, zeros)}

r"""Moving average of the parameters over the updates: less noisy, and often better on new rows.

.. math:: \bar W_t = d_t \bar W_{t-1} + (1 - d_t) W_t, \qquad d_t = \min\left(d, \frac{1 + t}{10 + t}\right)

References
----------
Polyak and Juditsky (1992) for averaging; the exponential form with its warm-up as in Tan and Le (2019).
"""

from __future__ import annotations

from typing import NamedTuple

from chainrule.maths.arrays import Array, namespace
from chainrule.network import Layer, Params


class Average(NamedTuple):
    """The averaged parameters and the number of updates in them."""

    params: Params
    updates: Array


def average_from(params: Params) -> Average:
    """The average before the first update: the parameters themselves."""
    xp = namespace(params[0].W)
    return Average(tuple(Layer(W + 0, b + 0) for W, b in params), xp.zeros((), dtype=xp.int32))


def averaged(average: Average, params: Params, decay: float) -> Average:
    """Update the average with the parameters after an update.

    >>> import numpy as np
    >>> first, second = ((Layer(np.array([[x]]), np.array([x])),) for x in (0.0, 1.0))
    >>> round(float(averaged(average_from(first), second, 0.5).params[0].W[0, 0]), 3)
    0.818
    """
    xp, updates = namespace(params[0].W), average.updates + 1
    t = xp.asarray(updates, dtype=params[0].W.dtype)
    kept = xp.minimum(xp.asarray(decay, dtype=t.dtype), (1 + t) / (10 + t))
    pairs = zip(average.params, params, strict=True)
    return Average(
        tuple(Layer(*(kept * x + (1 - kept) * y for x, y in zip(a, p, strict=True))) for a, p in pairs), updates
    )


def check_decay(decay: float) -> float:
    """Return the decay, or raise a ValueError."""
    if not (isinstance(decay, int | float) and 0 <= decay < 1):
        raise ValueError(f"average: expected a decay from 0 (no average) to below 1, such as 0.998; got {decay!r}")
    return decay

r"""Quantile encoding of numbers, in addition to Z-scores: as a normal score, or piecewise linear.

With the quantiles :math:`k_0 < k_1 < \dots` of the training rows as knots, a value x is described by its position in
each piece, :math:`p_i = \mathrm{clip}((x - k_i) / (k_{i+1} - k_i), 0, 1)`. The inputs are either all of these, minus
their means, so that the network can change slope at every quantile; or only their weighted sum, which is the normal
score of the rank of x. Both are robust to outliers and skew.

References
----------
Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in tabular deep learning", section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from chainrule.tables.columns.column import Graph

JOINED = 64  # pieces that are summed to a normal score


class Quantiles(NamedTuple):
    """k + 1 knots; with one input, the normal score at each knot; with k inputs, the mean of each piece."""

    knots: tuple[float, ...]
    scores: tuple[float, ...] = ()
    means: tuple[float, ...] = ()

    @property
    def n_inputs(self) -> int:
        return 1 if self.scores else len(self.means)

    def names(self, column: str) -> list[str]:
        """The names of the inputs."""
        if self.scores:
            return [f"{column} rank"]
        return [f"{column} {a:.6g}..{b:.6g}" for a, b in zip(self.knots, self.knots[1:], strict=False)]

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Encode values (n,) as inputs (n, n_inputs); NaN stays NaN.

        >>> Quantiles((0.0, 1.0, 3.0), means=(0.5, 0.5)).encode(np.array([-1.0, 0.5, 2.0])).tolist()
        [[-0.5, -0.5], [0.0, -0.5], [0.5, 0.0]]
        """
        if self.scores:
            return np.interp(x, self.knots, self.scores)[:, None]
        return _pieces(x, np.array(self.knots)) - np.array(self.means)

    def slopes(self, x: np.ndarray) -> np.ndarray:
        """The derivatives of the inputs (n, n_inputs); at a knot, those of the piece above it."""
        knots = np.array(self.knots)
        inside = (x[:, None] >= knots[:-1]) & (x[:, None] < knots[1:])
        each = inside / np.diff(knots)
        return (each @ np.diff(self.scores))[:, None] if self.scores else each

    def formula(self, place: int, x: float, write: Callable[[float], str]) -> str:
        """The formula of an input; `write` formats a number, in brackets if negative.

        >>> Quantiles((0.0, 1.0, 3.0), means=(0.5, 0.5)).formula(1, 2.0, "{:g}".format)
        'clip((2 - 1) / 2, 0, 1) - 0.5'
        """
        i = int(np.clip(np.searchsorted(self.knots, x, "right") - 1, 0, len(self.knots) - 2)) if self.scores else place
        low, high = self.knots[i], self.knots[i + 1]
        come = f"clip(({x:.6g} - {write(low)}) / {high - low:.6g}, 0, 1)"
        if not self.scores:
            return f"{come} - {write(self.means[i])}"
        return f"{write(self.scores[i])} + {write(self.scores[i + 1] - self.scores[i])} * {come}"

    def to_onnx(self, graph: Graph, values: str) -> str:
        """Add ONNX nodes that are equivalent to `encode` for values (rows, 1)."""

        def numbers(x: Any) -> str:
            return graph.constant(x, np.float64)

        knots = np.array(self.knots)
        come = graph("Div", graph("Sub", values, numbers(knots[:-1])), numbers(np.diff(knots)))
        pieces = graph("Min", graph("Max", come, numbers(0)), numbers(1))
        if not self.scores:
            return graph("Sub", pieces, numbers(self.means))
        joined = graph("MatMul", pieces, numbers(np.diff(self.scores)[:, None]))
        return graph("Add", joined, numbers(self.scores[0]))

    def checked(self) -> Quantiles:
        """Return the quantiles if they are valid, as a check of files; else raise a ValueError."""
        numbers = (*self.knots, *self.scores, *self.means)
        sizes = {len(self.knots) - len(self.scores), len(self.knots) - len(self.means) - 1}
        whole = 0 in sizes and bool(self.scores) != bool(self.means)
        if not (whole and all(isinstance(x, float) and isfinite(x) for x in numbers)):
            raise ValueError("quantiles: expected finite knots, and a score for each or a mean for each piece")
        if not all(a < b for a, b in zip(self.knots, self.knots[1:], strict=False)):
            raise ValueError("quantiles: expected knots in increasing order")
        return self


def fit_quantiles(values: np.ndarray, n_pieces: int, few: int) -> Quantiles | None:
    """Fit the quantiles of values (n,) without NaN; a single normal score if `n_pieces` is 1.

    None if there are at most `few` distinct values, for which the Z-score alone suffices.
    """
    ordered = np.sort(values)
    if np.count_nonzero(np.diff(ordered)) < few:
        return None
    wanted = JOINED if n_pieces == 1 else n_pieces
    knots = np.unique(np.quantile(ordered, np.linspace(0, 1, wanted + 1)))
    if len(knots) < 3 or np.diff(knots).min() < 1e-300:  # avoids an infinite 1 / length
        return None
    if n_pieces > 1:
        return Quantiles(_floats(knots), means=_floats(_pieces(values, knots).mean(axis=0)))
    from scipy.special import ndtri

    n = len(ordered)
    ranks = (np.searchsorted(ordered, knots, "left") + np.searchsorted(ordered, knots, "right")) / 2 / n
    scores = ndtri(np.clip(ranks, 0.5 / n, 1 - 0.5 / n))
    given = np.interp(values, knots, scores)
    return Quantiles(_floats(knots), scores=_floats((scores - given.mean()) / given.std()))


def quantiles_from_json(data: Any) -> Quantiles | None:
    """Convert lists of numbers, as written to JSON, to `Quantiles`."""
    return None if data is None else Quantiles(*(tuple(part) for part in data)).checked()


def _pieces(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.clip((x[:, None] - knots[:-1]) / np.diff(knots), 0, 1)


def _floats(x: np.ndarray) -> tuple[float, ...]:
    return tuple(x.tolist())

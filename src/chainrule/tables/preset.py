"""The recipe for a table that nobody has tuned, shared by `chainrule train` and the estimators' preset="tabular".

Chosen by measurement: docs/recipe.md says what was tried, `benchmarks/accuracy.py` measures it.
"""

from __future__ import annotations

HIDDEN = (64, 32)
ACTIVATION = "silu"  # smooth: on small tables clearly better than relu
LEARNING_RATE = 2e-3  # of Adam
AVERAGE = 0.998  # decay of the averaged parameters
VALIDATION = 0.2  # the share of the training rows that chooses the epoch
PATIENCE = 20  # epochs without a lower validation cost
EPOCHS = 1000  # at most
FEW = 20  # different values of a column of numbers that need no quantiles
LARGE = 10_000  # training rows
MOST_PIECES = 1_000  # of all columns together


def dropout(n_train: int) -> float:
    """The share of the hidden nodes that an update leaves out: a few, and none where there are rows enough."""
    return 0.05 if n_train < LARGE else 0.0


def l2(n_train: int) -> float:
    """The penalty on squared weights: of a large table it falls with the square of its rows.

    >>> l2(1_000), round(l2(50_000), 9)
    (0.003, 3e-05)
    """
    return 3e-3 * min(1.0, (5_000 / n_train) ** 2)


def pieces(n_train: int, n_columns: int) -> int:
    """How columns of numbers enter beside their Z-score: not (0), as a normal score (1), or in so many pieces.

    Tables of many columns are given fewer, so that memory does not multiply.

    >>> pieces(1_000, 9), pieces(5_000, 9), pieces(12_000, 9), pieces(50_000, 9), pieces(50_000, 200)
    (0, 1, 24, 32, 5)
    """
    if n_train < LARGE:
        return 0 if n_train < 2_000 else 1
    return max(1, min(32, n_train // 500, MOST_PIECES // n_columns))


def training_rows(n: int) -> int:
    """What is left of n rows when validation rows are split off."""
    return n - round(VALIDATION * n)


def batch_size(n_train: int) -> int:
    """Rows per update: a twentieth of the training rows, from 8 to 256.

    >>> batch_size(100), batch_size(2_000), batch_size(100_000)
    (8, 100, 256)
    """
    return max(8, min(256, n_train // 20))

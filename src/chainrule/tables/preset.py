"""The default recipe for tables, shared by `chainrule train` and the estimators' preset="tabular".

It was chosen by measurement: see docs/recipe.md and `benchmarks/accuracy.py`.
"""

from __future__ import annotations

HIDDEN = (64, 32)
ACTIVATION = "silu"  # clearly better than relu on small tables
LEARNING_RATE = 2e-3  # of Adam
AVERAGE = 0.998  # decay of the averaged parameters
VALIDATION = 0.2  # fraction of the training rows used for early stopping
PATIENCE = 20  # epochs without a lower validation cost
EPOCHS = 1000  # maximum
FEW = 20  # distinct values up to which a numeric column needs no quantiles
LARGE = 10_000  # training rows
MOST_PIECES = 1_000  # of all columns together


def dropout(n_train: int) -> float:
    """The dropout rate: low, and 0 for large tables."""
    return 0.05 if n_train < LARGE else 0.0


def l2(n_train: int) -> float:
    """The L2 penalty; for large tables it decreases with the square of the number of rows.

    >>> l2(1_000), round(l2(50_000), 9)
    (0.003, 3e-05)
    """
    return 3e-3 * min(1.0, (5_000 / n_train) ** 2)


def pieces(n_train: int, n_columns: int) -> int:
    """The quantile inputs per numeric column: none (0), a normal score (1), or this many pieces.

    Tables with many columns get fewer pieces, to limit memory.

    >>> pieces(1_000, 9), pieces(5_000, 9), pieces(12_000, 9), pieces(50_000, 9), pieces(50_000, 200)
    (0, 1, 24, 32, 5)
    """
    if n_train < LARGE:
        return 0 if n_train < 2_000 else 1
    return max(1, min(32, n_train // 500, MOST_PIECES // n_columns))


def training_rows(n: int) -> int:
    """The number of training rows among n rows after validation rows are split off."""
    return n - round(VALIDATION * n)


def batch_size(n_train: int) -> int:
    """Rows per update: a twentieth of the training rows, from 8 to 256.

    >>> batch_size(100), batch_size(2_000), batch_size(100_000)
    (8, 100, 256)
    """
    return max(8, min(256, n_train // 20))

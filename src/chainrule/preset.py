"""The recipe for a table that nobody has tuned, shared by `chainrule train` and the estimators' preset="tabular".

Chosen by measurement: docs/recipe.md says what was tried, `benchmarks/accuracy.py` measures it.
"""

from __future__ import annotations

HIDDEN = (64, 32)
ACTIVATION = "silu"  # smooth: on small tables clearly better than relu
L2 = 3e-3
LEARNING_RATE = 1e-3  # of Adam
VALIDATION = 0.2  # the share of the training rows that chooses the epoch
PATIENCE = 20  # epochs without a lower validation cost
EPOCHS = 1000  # at most


def batch_size(n_train: int) -> int:
    """Rows per update: a twentieth of the training rows, from 8 to 256.

    >>> batch_size(100), batch_size(2_000), batch_size(100_000)
    (8, 100, 256)
    """
    return max(8, min(256, n_train // 20))

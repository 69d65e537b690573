"""What is measured: networks, tables and numbers of updates that every contestant is given alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.examples.lecture import lecture_setting


class Workload(NamedTuple):
    """A training: layers, hidden activation, rows, rows per update (None: all), rule, and passes over the table.

    `output` is "softmax" (one class per row) or "sigmoid" (each output for itself; "half": half squared error).
    """

    name: str
    layers: tuple[int, ...]
    activation: str
    output: str
    rows: int
    batch: int | None
    rule: str
    epochs: int
    dtype: str = "float32"

    @property
    def learning_rate(self) -> float:
        return {"gd": 0.5, "sgd": 0.01, "adam": 0.001}[self.rule]

    @property
    def updates(self) -> int:
        return self.epochs * (1 if self.batch is None else -(-self.rows // self.batch))

    @property
    def multiplications(self) -> float:
        """Of all matrix products: forward, gradient, and the error sent back to all layers but the inputs."""
        pairs = list(zip(self.layers, self.layers[1:], strict=False))
        return self.epochs * self.rows * (3.0 * sum(a * b for a, b in pairs) - pairs[0][0] * pairs[0][1])


A = Workload("A lecture", (2, 3, 1), "sigmoid", "half", 10, None, "gd", 8000, "float64")
B = Workload("B slides", (400, 100, 40, 2), "sigmoid", "sigmoid", 10_000, 32, "sgd", 4)
C = Workload("C digits-like", (784, 512, 256, 10), "relu", "softmax", 12_800, 128, "sgd", 4)
D = Workload("D wide", (1024, 2048, 2048, 100), "relu", "softmax", 8192, 1024, "sgd", 2)
E = Workload("E table", (20, 64, 32, 2), "relu", "sigmoid", 100_000, 200, "adam", 4)
F = Workload("F table, default", (30, 256, 256, 256, 2), "relu", "sigmoid", 20_000, 256, "adam", 4)
TRAININGS = {w.name[0]: w for w in (A, B, C, D, E, F)}


class Data(NamedTuple):
    """X, Y, and the first weights and biases, layer by layer."""

    X: np.ndarray
    Y: np.ndarray
    initial: list[tuple[np.ndarray, np.ndarray]]


def data_of(workload: Workload, seed: int = 0) -> Data:
    """Random rows whose targets depend on them; of A the lecture's."""
    if workload.name == A.name:
        _, params, X, Y, _ = lecture_setting()
        return Data(X, Y, [(p.W, p.b) for p in params])
    rng = np.random.default_rng(seed)
    n_in, n_out = workload.layers[0], workload.layers[-1]
    X = rng.normal(size=(workload.rows, n_in)).astype(workload.dtype)
    told = X @ rng.normal(size=(n_in, n_out)).astype(workload.dtype)
    Y = np.eye(n_out)[told.argmax(axis=1)] if workload.output == "softmax" else told > 0
    initial = []
    for a, b in zip(workload.layers, workload.layers[1:], strict=False):
        bound = (6 / (a + b)) ** 0.5
        initial.append((rng.uniform(-bound, bound, (a, b)).astype(workload.dtype), np.zeros(b, workload.dtype)))
    return Data(X, Y.astype(workload.dtype), initial)

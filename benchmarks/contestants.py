"""Who runs a workload: Chainrule and its peers. Each takes (workload, data) and returns a function that trains once.

What can be made ready is made before; the function is one whole training from the given first weights, as a user calls
it, shuffling the rows anew in every epoch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import Data, Workload

os.environ.setdefault("KERAS_BACKEND", "jax")
Ready = Callable[[], Any]


def chainrule(workload: Workload, data: Data) -> Ready:
    import chainrule as cr

    cost = {"half": "half_squared_error", "sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy"}
    last = "softmax" if workload.output == "softmax" else "sigmoid"
    activations = [workload.activation] * (len(workload.layers) - 2) + [last]
    reduction = "sum" if workload.output == "half" else "mean"
    network = cr.Network(workload.layers, activations, cost[workload.output], reduction=reduction)
    rate = workload.learning_rate
    rule = cr.optax_rule("adam", rate) if workload.rule == "adam" else cr.gradient_descent(rate)
    params = cr.initialize(network, data.initial)
    settings: dict[str, Any] = {"batch_size": workload.batch, "epochs": workload.epochs, "dtype": workload.dtype}
    return lambda: cr.train(network, params, data.X, data.Y, rule=rule, **settings)


def scikit_learn(workload: Workload, data: Data) -> Ready:
    """MLPClassifier; without its stopping, its penalty and its momentum."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    hidden = {"sigmoid": "logistic"}.get(workload.activation, workload.activation)
    y = data.Y.argmax(axis=1) if workload.output == "softmax" else data.Y
    settings: dict[str, Any] = {
        "solver": "adam" if workload.rule == "adam" else "sgd",
        "alpha": 0.0,
        "batch_size": workload.batch or workload.rows,
        "learning_rate_init": workload.learning_rate,
        "max_iter": workload.epochs,
        "n_iter_no_change": workload.epochs + 1,
        "momentum": 0.0,
        "shuffle": workload.batch is not None,
        "random_state": 0,
    }

    def train() -> None:
        model = MLPClassifier(workload.layers[1:-1], hidden, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data.X, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)

    return train


def torch_eager(workload: Workload, data: Data) -> Ready:
    return _torch(workload, data, compiled=False)


def torch_compiled(workload: Workload, data: Data) -> Ready:
    return _torch(workload, data, compiled=True)


def _torch(workload: Workload, data: Data, compiled: bool) -> Ready:
    """A permuted copy of the table in every epoch, slices of it, and the fused optimiser."""
    import torch
    from torch import nn

    kinds = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
    layers: list[Any] = []
    for W, b in data.initial:
        linear = nn.Linear(*W.shape, dtype=getattr(torch, workload.dtype))
        linear.weight.data, linear.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
        layers += [linear, kinds[workload.activation]()]
    net = nn.Sequential(*layers[:-1])
    start = [p.detach().clone() for p in net.parameters()]
    X, Y = torch.from_numpy(data.X), torch.from_numpy(data.Y)
    cross_entropy, logistic = nn.functional.cross_entropy, nn.functional.binary_cross_entropy_with_logits

    def loss_of(x: Any, y: Any) -> Any:
        z = net(x)
        if workload.output == "half":
            return 0.5 * ((torch.sigmoid(z) - y) ** 2).sum()
        return cross_entropy(z, y) if workload.output == "softmax" else logistic(z, y)

    forward = torch.compile(loss_of) if compiled else loss_of

    def train() -> None:
        with torch.no_grad():
            for p, first in zip(net.parameters(), start, strict=True):
                p.copy_(first)
        kind = torch.optim.Adam if workload.rule == "adam" else torch.optim.SGD
        optimizer = kind(net.parameters(), lr=workload.learning_rate, fused=True)
        batch = workload.batch or workload.rows
        for _ in range(workload.epochs):
            order = torch.randperm(workload.rows) if workload.batch else None
            x, y = (X, Y) if order is None else (X[order], Y[order])
            for i in range(0, workload.rows, batch):
                optimizer.zero_grad(set_to_none=True)
                forward(x[i : i + batch], y[i : i + batch]).backward()
                optimizer.step()

    return train


def keras(workload: Workload, data: Data) -> Ready:
    """Keras 3 on JAX: `fit`, compiled."""
    import keras as k

    output = "softmax" if workload.output == "softmax" else "sigmoid"
    model = k.Sequential(
        [
            k.Input((workload.layers[0],)),
            *(k.layers.Dense(n, workload.activation) for n in workload.layers[1:-1]),
            k.layers.Dense(workload.layers[-1], output),
        ]
    )
    losses = {"half": "mean_squared_error", "sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}
    rules = {"adam": k.optimizers.Adam, "sgd": k.optimizers.SGD, "gd": k.optimizers.SGD}
    model.compile(rules[workload.rule](workload.learning_rate), losses[workload.output])
    first = [x for pair in data.initial for x in pair]

    def train() -> None:
        model.set_weights(first)
        model.fit(data.X, data.Y, batch_size=workload.batch or workload.rows, epochs=workload.epochs, verbose=0)

    return train


def optax_usual(workload: Workload, data: Data) -> Ready:
    """JAX and optax as tutorials write it: a jitted step with autodiff, in a Python loop."""
    import jax

    loss, optimizer = _optax(workload)

    @jax.jit
    def step(params: Any, state: Any, X: Any, Y: Any) -> Any:
        gradient = jax.grad(loss)(params, X, Y)
        updates, state = optimizer.update(gradient, state, params)
        return jax.tree.map(lambda p, u: p + u, params, updates), state

    def train() -> None:
        with jax.enable_x64(workload.dtype == "float64"):
            params = jax.tree.map(jax.numpy.asarray, data.initial)
            state, rng = optimizer.init(params), np.random.default_rng(0)
            batch = workload.batch or workload.rows
            for _ in range(workload.epochs):
                order = rng.permutation(workload.rows) if workload.batch else np.arange(workload.rows)
                for i in range(0, workload.rows, batch):
                    rows = order[i : i + batch]
                    params, state = step(params, state, data.X[rows], data.Y[rows])
            jax.block_until_ready(params)

    return train


def jax_expert(workload: Workload, data: Data) -> Ready:
    """JAX and optax by an expert: autodiff in a scan over batches in a scan over epochs, one dispatch for all."""
    import jax
    import jax.numpy as jnp

    loss, optimizer = _optax(workload)
    batch = workload.batch or workload.rows
    whole = workload.rows // batch * batch

    def step(carry: Any, rows: Any) -> Any:
        params, state, X, Y = carry
        gradient = jax.grad(loss)(params, X[rows], Y[rows])
        updates, state = optimizer.update(gradient, state, params)
        return (jax.tree.map(lambda p, u: p + u, params, updates), state, X, Y), None

    def full_step(carry: Any, _: Any) -> Any:
        params, state, X, Y = carry
        updates, state = optimizer.update(jax.grad(loss)(params, X, Y), state, params)
        return (jax.tree.map(lambda p, u: p + u, params, updates), state, X, Y), None

    @jax.jit
    def run(params: Any, state: Any, X: Any, Y: Any, orders: Any) -> Any:
        if workload.batch is None:
            (params, *_), _ = jax.lax.scan(full_step, (params, state, X, Y), None, length=workload.epochs)
        else:
            (params, *_), _ = jax.lax.scan(step, (params, state, X, Y), orders)
        return params

    def train() -> None:
        with jax.enable_x64(workload.dtype == "float64"):
            params = jax.tree.map(jnp.asarray, data.initial)
            rng = np.random.default_rng(0)
            orders = np.empty((0, batch), np.int32)
            if workload.batch:
                orders = np.concatenate([rng.permutation(workload.rows)[:whole] for _ in range(workload.epochs)])
                orders = orders.astype(np.int32).reshape(-1, batch)
            jax.block_until_ready(run(params, optimizer.init(params), jnp.asarray(data.X), jnp.asarray(data.Y), orders))

    return train


def _optax(workload: Workload) -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp
    import optax

    act = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[workload.activation]

    def loss(params: Any, X: Any, Y: Any) -> Any:
        a = X
        for W, b in params[:-1]:
            a = act(a @ W + b)
        z = a @ params[-1][0] + params[-1][1]
        if workload.output == "half":
            return 0.5 * jnp.sum((jax.nn.sigmoid(z) - Y) ** 2)
        if workload.output == "softmax":
            return optax.softmax_cross_entropy(z, Y).mean()
        return optax.sigmoid_binary_cross_entropy(z, Y).sum(axis=1).mean()

    rate = workload.learning_rate
    return loss, optax.adam(rate) if workload.rule == "adam" else optax.sgd(rate)


def products(workload: Workload, data: Data) -> Ready:
    """The limit: the matrix products of every update alone, by NumPy's BLAS, into memory that is there already."""
    batch = workload.batch or workload.rows
    a = [np.ones((batch, n), workload.dtype) for n in workload.layers]
    delta = [np.ones((batch, n), workload.dtype) for n in workload.layers]
    W = [w.copy() for w, _ in data.initial]
    dW = [np.empty_like(w) for w in W]

    def train() -> None:
        for _ in range(workload.updates):
            for i in range(len(W)):
                np.matmul(a[i], W[i], out=a[i + 1])
            for i in reversed(range(len(W))):
                np.matmul(a[i].T, delta[i + 1], out=dW[i])
                if i:
                    np.matmul(delta[i + 1], W[i].T, out=delta[i])

    return train


CONTESTANTS: dict[str, Callable[[Workload, Data], Ready]] = {
    "chainrule": chainrule,
    "scikit-learn": scikit_learn,
    "PyTorch eager": torch_eager,
    "PyTorch compiled": torch_compiled,
    "Keras on JAX": keras,
    "JAX + optax, usual": optax_usual,
    "JAX + optax, expert": jax_expert,
    "matrix products": products,
}

# pyright: reportIncompatibleMethodOverride=false
"""scikit-learn's MLPClassifier and MLPRegressor with Chainrule inside: change one import.

The classes inherit scikit-learn's own interface (parameters, validation, messages, label handling, the draws of the
first weights) and replace what computes: the passes over the table, the gradient that L-BFGS asks for, and prediction.
"""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import shuffle
from sklearn.utils.validation import validate_data

from chainrule.batches import Table, bucket, padded
from chainrule.keyboard import interruptible
from chainrule.network import Layer, Network, Params, forward
from chainrule.rules import Adam, GradientDescent

ACTIVATION_NAMES = {"logistic": "sigmoid", "exp": "exponential"}
ROWS_AT_ONCE = 50_000
PASSES_PER_DISPATCH = 16
SECONDS_PER_DISPATCH = 0.1


class _Held(NamedTuple):
    """Validation rows: inputs, labels or values as the caller gave them, weights."""

    X: np.ndarray
    y: Any
    weights: np.ndarray | None


class _Chunk(NamedTuple):
    """Passes to dispatch together: the order and learning rate of each, and the random state after its shuffle."""

    orders: np.ndarray
    rates: np.ndarray
    random_states: list[Any]


class _Optimizer(NamedTuple):
    """What `partial_fit` goes on from: the rule, its state as NumPy arrays, and the learning rate reached."""

    rule: GradientDescent | Adam
    state: Any
    learning_rate: float


class _ChainruleMLP:
    """What both estimators replace in scikit-learn's."""

    def _fit_stochastic(self: Any, X: Any, y: Any, sample_weight: Any, *rest: Any) -> None:
        """scikit-learn's loop over passes, its order and its rules for ending; the passes are compiled."""
        import jax

        layer_units, incremental = rest[-2:]
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        network = self._network(layer_units)
        if not (incremental and hasattr(self, "_chainrule_optimizer")):
            self._chainrule_optimizer = _Optimizer(self._rule(), None, float(self.learning_rate_init))
        X, y, sample_weight, held = self._split(_dense(X), y, sample_weight)
        batch = self._batch(len(X))
        self.n_iter_ = 0
        with jax.enable_x64(X.dtype == np.float64), interruptible() as keyboard:
            self._pass_over(network, X, y, sample_weight, held, batch, incremental, keyboard)
        if keyboard.pressed:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if self.early_stopping:
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts

    def _pass_over(
        self: Any,
        network: Network,
        X: Any,
        y: Any,
        weights: Any,
        held: _Held | None,
        batch: int,
        incremental: bool,
        keyboard: Any,
    ) -> None:
        """Dispatch passes until one of scikit-learn's rules ends them.

        A dispatch runs several passes before any is judged; one that ran too far is run again, shorter.
        """
        import jax
        import jax.numpy as jnp

        from chainrule.passes import passes

        n, rule = len(X), self._chainrule_optimizer.rule
        table = _on_device(X, y, weights)
        held_X = jnp.asarray(held.X if held else X[:0])
        params = tuple(
            Layer(jnp.asarray(W), jnp.asarray(b)) for W, b in zip(self.coefs_, self.intercepts_, strict=True)
        )
        state = jax.tree.map(jnp.asarray, self._chainrule_optimizer.state) or rule.init(params)
        run = passes(network, rule, batch)
        index, alpha, size, limit = np.arange(n), X.dtype.type(self.alpha), 1, 1 if incremental else self.max_iter
        while self.n_iter_ < limit and not keyboard.pressed:
            size = min(size, limit - self.n_iter_)
            chunk = self._chunk(index, size, batch)
            began = perf_counter()

            def go(k: int, start: Any = (params, state), chunk: _Chunk = chunk) -> Any:
                return run(*start, table, held_X, chunk.orders, chunk.rates.astype(X.dtype), alpha, n, k)

            after = go(size)
            losses, outputs = np.asarray(after.losses).tolist(), np.asarray(after.outputs)
            spent = perf_counter() - began
            kept, best, ended = self._judge(losses[:size], outputs, held, n, incremental)
            if best:
                best_params = go(best).params
                self._best_coefs, self._best_intercepts = _as_lists(best_params)
            if kept < size:
                after = go(kept)
                if self.shuffle:
                    self._random_state.set_state(chunk.random_states[kept - 1])
                    index = chunk.orders[kept - 1, :n].astype(int)
            elif self.shuffle:
                index = chunk.orders[size - 1, :n].astype(int)
            params, state = after.params, after.rule_state
            if ended:
                break
            size = max(1, min(PASSES_PER_DISPATCH, 2 * size, int(size * SECONDS_PER_DISPATCH / max(spent, 1e-6))))
        self.coefs_, self.intercepts_ = _as_lists(params)
        self._chainrule_optimizer = self._chainrule_optimizer._replace(state=jax.tree.map(np.array, state))

    def _judge(
        self: Any, losses: list[float], outputs: np.ndarray, held: _Held | None, n: int, incremental: bool
    ) -> tuple[int, int, bool]:
        """Go through passes as scikit-learn does: how many count, which was the best (0: none), and whether to end."""
        best = 0
        for i, loss in enumerate(losses):
            self.n_iter_ += 1
            self.t_ += n
            self.loss_ = loss
            self.loss_curve_.append(loss)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
            if held is None:
                self._note(-loss, -self.best_loss_)
                self.best_loss_ = min(loss, self.best_loss_)
            else:
                score = self._score_of(outputs[i], held)
                self.validation_scores_.append(score)
                if self.verbose:
                    print(f"Validation score: {score:f}")
                self._note(score, self.best_validation_score_)
                if score > self.best_validation_score_:
                    self.best_validation_score_, best = score, i + 1
            self._schedule_rate()
            if self._no_improvement_count > self.n_iter_no_change:
                if self._ends(held is not None):
                    return i + 1, best, True
                self._no_improvement_count = 0
                return i + 1, best, False  # with a smaller learning rate from here on
            if self.n_iter_ == self.max_iter and not incremental:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=6,  # where the user calls fit
                )
        return len(losses), best, False

    def _note(self: Any, merit: float, best: float) -> None:
        """Count passes in which the merit (minus the loss, or the score) is not better than the best by tol."""
        self._no_improvement_count = self._no_improvement_count + 1 if merit < best + self.tol else 0

    def _ends(self: Any, early: bool) -> bool:
        """Whether no improvement ends training; with an adaptive learning rate it is divided by 5 first."""
        what = "Validation score" if early else "Training loss"
        message = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        optimizer = self._chainrule_optimizer
        if self.solver != "sgd" or self.learning_rate != "adaptive":
            ending = " Stopping."
        elif optimizer.learning_rate <= 1e-6:
            ending = " Learning rate too small. Stopping."
        else:
            self._chainrule_optimizer = optimizer._replace(learning_rate=optimizer.learning_rate / 5)
            ending = f" Setting learning rate to {optimizer.learning_rate / 5:f}"
        if self.verbose:
            print(message + ending)
        return ending.endswith("Stopping.")

    def _schedule_rate(self: Any) -> None:
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            rate = float(self.learning_rate_init) / (self.t_ + 1) ** self.power_t
            self._chainrule_optimizer = self._chainrule_optimizer._replace(learning_rate=rate)

    def _chunk(self: Any, index: np.ndarray, size: int, batch: int) -> _Chunk:
        """The next passes: each order is a shuffle of the last, drawn as scikit-learn draws it."""
        n = len(index)
        orders = np.zeros((PASSES_PER_DISPATCH, -(-bucket(n) // batch) * batch), np.int32)
        rates, random_states = np.zeros(PASSES_PER_DISPATCH), []
        for i in range(size):
            if self.shuffle:
                index = np.asarray(shuffle(index, random_state=self._random_state))
                random_states.append(self._random_state.get_state())
            orders[i, :n] = index
            rates[i] = self._rate_after(i * n)
        return _Chunk(orders, rates, random_states)

    def _rate_after(self: Any, seen: int) -> float:
        """The learning rate of a pass that begins `seen` rows from now."""
        if seen and self.solver == "sgd" and self.learning_rate == "invscaling":
            return float(self.learning_rate_init) / (self.t_ + seen + 1) ** self.power_t
        return self._chainrule_optimizer.learning_rate

    def _rule(self: Any) -> GradientDescent | Adam:
        if self.solver == "adam":
            return Adam(0.0, self.beta_1, self.beta_2, self.epsilon)
        return GradientDescent(0.0, self.momentum, self.nesterovs_momentum and self.momentum > 0)

    def _batch(self: Any, n: int) -> int:
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
            )
        return int(np.clip(self.batch_size, 1, n))

    def _split(self: Any, X: np.ndarray, y: Any, weights: Any) -> tuple[np.ndarray, Any, Any, _Held | None]:
        """Training and validation rows, split as scikit-learn splits them."""
        if not self.early_stopping:
            return X, y, weights, None
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = [X, y] if weights is None else [X, y, weights]
        parts: list[Any] = train_test_split(
            *arrays, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
        )
        (X, X_val, y, y_val), weighing = parts[:4], parts[4:] or [None, None]
        if X_val.shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        if is_classifier(self):
            y_val = self._label_binarizer.inverse_transform(y_val)
        return X, y, weighing[0], _Held(X_val, y_val, weighing[1])

    def _score_of(self: Any, outputs: np.ndarray, held: _Held) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        told = outputs.ravel() if self.n_outputs_ == 1 else outputs
        if is_classifier(self):
            return accuracy_score(held.y, self._label_binarizer.inverse_transform(told), sample_weight=held.weights)
        return r2_score(held.y, told, sample_weight=held.weights)

    def _network(self: Any, layer_units: Any) -> Network:
        """The design that scikit-learn's names mean."""
        out, hidden = (ACTIVATION_NAMES.get(name, name) for name in (str(self.out_activation_), self.activation))
        cost = {"sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy", "exponential": "poisson"}
        layers = [int(units) for units in layer_units]
        return Network(layers, [hidden] * (len(layers) - 2) + [out], cost.get(out, "half_squared_error"))

    def _fit_lbfgs(self: Any, X: Any, y: Any, sample_weight: Any, *rest: Any) -> None:
        """scikit-learn's call of SciPy's L-BFGS-B, on arrays that are already where the gradient is computed."""
        import jax

        X = _dense(X)
        with jax.enable_x64(X.dtype == np.float64):
            table = _on_device(X, y, sample_weight)
            super()._fit_lbfgs(table.X, table.Y, table.weights, *rest)  # pyright: ignore[reportAttributeAccessIssue]

    def _loss_grad_lbfgs(self: Any, packed: np.ndarray, X: Any, y: Any, weights: Any, *rest: Any) -> Any:
        """Loss and gradient at the packed parameters, all weights first, then all biases."""
        from chainrule.passes import packed_gradient

        layers = (X.shape[1], *(len(b) for b in self.intercepts_))
        run = packed_gradient(self._network(layers))
        loss, gradient = run(packed.astype(X.dtype), Table(X, y, weights), X.dtype.type(self.alpha))
        return float(loss), np.asarray(gradient, np.float64)

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> np.ndarray:
        """The outputs of the network, a bounded number of rows at a time."""
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        network, params = self._network((X.shape[1], *(len(b) for b in self.intercepts_))), self._params()
        X = X.tocsr() if issparse(X) else X
        pieces = [X[i : i + ROWS_AT_ONCE] for i in range(0, X.shape[0], ROWS_AT_ONCE)]
        return np.concatenate([forward(network, params, piece).a[-1] for piece in pieces])

    def _params(self: Any) -> Params:
        return tuple(Layer(W, b) for W, b in zip(self.coefs_, self.intercepts_, strict=True))


class MLPClassifier(_ChainruleMLP, neural_network.MLPClassifier):
    """scikit-learn's `MLPClassifier`, same parameters, attributes and draws, trained by Chainrule.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(solver="lbfgs", random_state=0, max_iter=500).fit(X, y).score(X, y) > 0.97
    True
    """


class MLPRegressor(_ChainruleMLP, neural_network.MLPRegressor):
    """scikit-learn's `MLPRegressor`, same parameters, attributes and draws, trained by Chainrule.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> MLPRegressor(solver="lbfgs", random_state=0, max_iter=500).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.99
    True
    """


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if issparse(X) else X


def _on_device(X: np.ndarray, y: Any, weights: Any) -> Table:
    """The arrays as a table for the compiled passes, in the dtype of X, padded with rows of weight 0."""
    import jax.numpy as jnp

    ones = np.ones(len(X), X.dtype) if weights is None else np.asarray(weights, X.dtype)
    table = padded(Table(X, np.asarray(y, X.dtype).reshape(len(X), -1), ones))
    return Table(*(jnp.asarray(x) for x in table))


def _as_lists(params: Params) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [np.array(W) for W, _ in params], [np.array(b) for _, b in params]

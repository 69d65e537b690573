# pyright: reportIncompatibleMethodOverride=false
"""scikit-learn's MLPClassifier and MLPRegressor with Chainrule inside: change one import.

The classes inherit scikit-learn's own interface (parameters, validation, messages, label handling, the draws of the
first weights) and replace what computes: the passes over the table, the gradient that L-BFGS asks for, and prediction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import shuffle
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

from chainrule.activations import Activation
from chainrule.batches import Table, bucket, padded
from chainrule.costs import HALF_SQUARED_ERROR, Cost
from chainrule.estimator_parameters import OUR_CONSTRAINTS, OURS, core_name, takes
from chainrule.keyboard import interruptible
from chainrule.network import Layer, Network, Params, backward, forward
from chainrule.rules import Adam, GradientDescent

ROWS_AT_ONCE = 50_000
OUTPUT_ITSELF = Cost("output", lambda y_hat, chosen: y_hat * chosen, lambda y_hat, chosen: chosen)
PASSES_PER_DISPATCH = 16
SECONDS_PER_DISPATCH = 0.1


class PassRecord(NamedTuple):
    """What a callback is given after each pass over the table; validation numbers are None without such rows."""

    n_iter: int
    loss: float
    validation_score: float | None
    validation_loss: float | None
    seconds: float


class _Held(NamedTuple):
    """Validation rows: inputs, targets as the network's outputs, labels or values as the caller gave them, weights."""

    X: np.ndarray
    Y: np.ndarray
    y: Any
    weights: np.ndarray | None


class _Replay(NamedTuple):
    """How to come to the best parameters again: the dispatch they were in, and how many of its passes."""

    go: Callable[[int], Any]
    passes: int


class _Chunk(NamedTuple):
    """Passes to dispatch together: the order and learning rate of each, and the random state after its shuffle."""

    orders: np.ndarray
    rates: np.ndarray
    random_states: list[Any]


class _Optimizer(NamedTuple):
    """What `partial_fit` goes on from: the rule, its state as NumPy arrays, and the learning rate reached."""

    rule: Any
    state: Any
    learning_rate: float


class _ChainruleMLP:
    """What both estimators replace in scikit-learn's."""

    class_weight: Any = None
    _own_validation: Any = None

    def fit(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Fit the network to X: (n, n_features), dense or sparse, and y: (n,) or (n, n_outputs).

        Parameters
        ----------
        sample_weight : (n,), optional
        X_val, y_val, sample_weight_val : optional
            Validation rows of your own, for the validation curves; with `early_stopping` they take the place of
            the fraction split off.
        """
        self._own_validation = None if X_val is None else (X_val, y_val, sample_weight_val)
        try:
            return super().fit(X, y, sample_weight=sample_weight)  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            del self._own_validation  # the model does not keep the caller's rows

    def _fit(self: Any, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        """scikit-learn's `_fit`, with the class weights multiplied in."""
        if self.class_weight is not None:
            if incremental and self.class_weight == "balanced":
                raise ValueError("class_weight='balanced' needs all rows at once: give partial_fit a dict")
            balance = compute_sample_weight(self.class_weight, y)
            sample_weight = balance if sample_weight is None else balance * np.asarray(sample_weight)
        return super()._fit(X, y, sample_weight=sample_weight, incremental=incremental)  # pyright: ignore[reportAttributeAccessIssue]

    def explain_gradient(self: Any, X: Any, output: int = 0) -> np.ndarray:
        r"""The derivative of one output with respect to each input: (n, n_features).

        The backward pass carried one step further: from the deltas of the first layer to the inputs,
        :math:`\partial a^L_k / \partial x = \delta^1 W^{1\top}`, where the cost is the output k itself.

        Parameters
        ----------
        output : int    the column of `predict_proba` (of a binary classifier: 0, the second class) or of `predict`

        Examples
        --------
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> line = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", random_state=0).fit(X, 3 * X[:, 0])
        >>> line.explain_gradient(X[:1]).round(2).tolist()
        [[3.0]]
        """
        check_is_fitted(self)
        X = _dense(validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)).astype(float)
        network, params = self._network((X.shape[1], *(len(b) for b in self.intercepts_))), self._params()
        if not 0 <= output < network.layers[-1]:
            raise ValueError(f"output: expected a number from 0 to {network.layers[-1] - 1}, got {output}")
        chosen = np.zeros((len(X), network.layers[-1]))
        chosen[:, output] = 1
        network = Network(network.layers, network.activations, OUTPUT_ITSELF, reduction="sum")
        delta = backward(network, params, forward(network, params, X), chosen).delta[0]
        return delta @ params[0].W.T

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
        if held and not hasattr(self, "validation_loss_curve_"):
            self.validation_scores_, self.validation_loss_curve_ = [], []
        batch = self._batch(len(X))
        self.n_iter_, self._best_replay, self._began = 0, None, perf_counter()
        with jax.enable_x64(X.dtype == np.float64), interruptible() as keyboard:
            self._pass_over(network, X, y, sample_weight, held, batch, incremental, keyboard)
        if keyboard.pressed:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if self._best_replay and (self.early_stopping or self.restore_best):
            with jax.enable_x64(X.dtype == np.float64):
                self.coefs_, self.intercepts_ = _as_lists(self._best_replay.go(self._best_replay.passes).params)
        del self._best_replay, self._began

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
                self._best_replay = _Replay(go, best)
            if kept < size:
                after = go(kept)
                if self.shuffle:
                    self._random_state.set_state(chunk.random_states[kept - 1])
            index = chunk.orders[kept - 1, :n].astype(int)
            params, state = after.params, after.rule_state
            if ended:
                break
            size = (
                1
                if self.callbacks
                else max(1, min(PASSES_PER_DISPATCH, 2 * size, int(size * SECONDS_PER_DISPATCH / max(spent, 1e-6))))
            )
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
            record = self._recorded(loss, outputs[i], held)
            if self._improved(record):
                best = i + 1
            self._schedule_rate()
            if any(callback(record) is True for callback in self.callbacks) or self._goal_met(record):
                return i + 1, best, True
            if self._no_improvement_count > self.n_iter_no_change:
                if self._ends():
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

    def _recorded(self: Any, loss: float, outputs: np.ndarray, held: _Held | None) -> PassRecord:
        """The pass as a record, its validation numbers appended to the curves."""
        if held is None:
            return PassRecord(self.n_iter_, loss, None, None, perf_counter() - self._began)
        score, held_loss = self._score_of(outputs, held), self._held_loss(outputs, held)
        self.validation_scores_.append(score)
        self.validation_loss_curve_.append(held_loss)
        if self.verbose:
            print(f"Validation score: {score:f}")
        return PassRecord(self.n_iter_, loss, score, held_loss, perf_counter() - self._began)

    def _improved(self: Any, record: PassRecord) -> bool:
        """Whether this pass is the best so far, by training loss, or early by validation score or loss."""
        if not self.early_stopping:
            self._note(-record.loss, -self.best_loss_)
            better = record.loss < self.best_loss_
            self.best_loss_ = min(record.loss, self.best_loss_)
            return better
        if self.stop_on == "loss" and record.validation_loss is not None:
            lowest = min(self.validation_loss_curve_[:-1], default=np.inf)
            self._note(-record.validation_loss, -lowest)
            better = record.validation_loss < lowest
            if better:
                self.best_validation_score_ = record.validation_score
            return better
        self._note(record.validation_score, self.best_validation_score_)
        better = record.validation_score > self.best_validation_score_
        if better:
            self.best_validation_score_ = record.validation_score
        return better

    def _goal_met(self: Any, record: PassRecord) -> bool:
        out_of_time = self.max_seconds is not None and record.seconds > self.max_seconds
        return out_of_time or (self.cost_goal is not None and record.loss < self.cost_goal)

    def _note(self: Any, merit: float, best: float) -> None:
        """Count passes in which the merit (minus the loss, or the score) is not better than the best by tol."""
        self._no_improvement_count = self._no_improvement_count + 1 if merit < best + self.tol else 0

    def _ends(self: Any) -> bool:
        """Whether no improvement ends training; with an adaptive learning rate it is divided by 5 first."""
        what = f"Validation {self.stop_on}" if self.early_stopping else "Training loss"
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
            self._chainrule_optimizer = self._chainrule_optimizer._replace(learning_rate=self._inverse_scaled(self.t_))

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
            return self._inverse_scaled(self.t_ + seen)
        return self._chainrule_optimizer.learning_rate

    def _inverse_scaled(self: Any, seen: int) -> float:
        return float(self.learning_rate_init) / (seen + 1) ** self.power_t

    def _rule(self: Any) -> Any:
        if self.rule is not None:
            return self.rule  # with a learning rate of its own
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
        """Training and validation rows: the caller's own, or split as scikit-learn splits them."""
        if self._own_validation is not None:
            return X, y, weights, self._held_of(*self._own_validation, X.dtype)
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
        labels = self._label_binarizer.inverse_transform(y_val) if is_classifier(self) else y_val
        return X, y, weighing[0], _Held(X_val, _as_outputs(y_val, X.dtype), labels, weighing[1])

    def _held_of(self: Any, X_val: Any, y_val: Any, weights: Any, dtype: Any) -> _Held:
        """The caller's validation rows, checked as `predict` checks its rows."""
        X_val = _dense(validate_data(self, X_val, accept_sparse=["csr", "csc"], dtype=dtype, reset=False))
        y_val = np.asarray(y_val)
        if len(y_val) != len(X_val):
            raise ValueError(f"y_val: expected {len(X_val)} targets, one per row of X_val; got {len(y_val)}")
        if not is_classifier(self):
            return _Held(X_val, _as_outputs(y_val, dtype), y_val, weights)
        unknown = np.setdiff1d(y_val, self.classes_) if y_val.ndim == 1 else []
        if len(unknown):
            raise ValueError(f"y_val: classes that y does not have: {list(unknown)}; y has {list(self.classes_)}")
        return _Held(X_val, _as_outputs(self._label_binarizer.transform(y_val), dtype), y_val, weights)

    def _held_loss(self: Any, outputs: np.ndarray, held: _Held) -> float:
        """The mean cost of the validation rows, without penalty."""
        costs = self._network((self.n_features_in_, *(len(b) for b in self.intercepts_))).cost
        return float(np.average(costs.per_observation(outputs, held.Y), weights=held.weights))

    def _score_of(self: Any, outputs: np.ndarray, held: _Held) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        told = outputs.ravel() if self.n_outputs_ == 1 else outputs
        if is_classifier(self):
            return accuracy_score(held.y, self._label_binarizer.inverse_transform(told), sample_weight=held.weights)
        return r2_score(held.y, told, sample_weight=held.weights)

    def _network(self: Any, layer_units: Any) -> Network:
        """The design that scikit-learn's names mean."""
        layers = [int(units) for units in layer_units]
        given = self.activation
        hidden = [given] * (len(layers) - 2) if isinstance(given, str | Activation) else list(given)
        out = core_name(self.out_activation_)
        costs = {"sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy", "exponential": "poisson"}
        chosen = costs.get(out, HALF_SQUARED_ERROR) if self.cost is None else self.cost
        last = out if self.output_activation is None else core_name(self.output_activation)
        return Network(layers, [*map(core_name, hidden), last], chosen)

    def _initialize(self: Any, y: Any, layer_units: Any, dtype: Any) -> None:
        """scikit-learn's first weights, or the caller's."""
        super()._initialize(y, layer_units, dtype)  # pyright: ignore[reportAttributeAccessIssue]
        self._network(layer_units)  # a design that cannot be is refused before training
        vars(self).pop("validation_loss_curve_", None)  # of an earlier fit
        if self.initial is None:
            return
        for what, own, drawn in zip(("weights", "biases"), self.initial, (self.coefs_, self.intercepts_), strict=True):
            for i, (given, array) in enumerate(zip(own, drawn, strict=True)):
                if np.shape(given) != array.shape:
                    raise ValueError(f"initial {what} {i}: expected shape {array.shape}, got {np.shape(given)}")
                array[...] = given

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

    Its own parameters are described in scikit-learn's documentation. These are Chainrule's, keyword-only, and off
    by default:

    Parameters
    ----------
    class_weight : "balanced", dict or None
        Multiplies the weights of the rows, as elsewhere in scikit-learn.
    activation
        Beside scikit-learn's names any of `chainrule`'s, an `Activation` of your own, or a list: one per hidden layer.
    output_activation, cost
        Instead of those that follow from the target; names, or your own `Activation` and `Cost`.
    rule
        Instead of the solver: from `optax_rule`, or any optax transformation (with solver "sgd" or "adam").
    initial : (coefs, intercepts)
        First weights and biases of your own.
    stop_on : "score" or "loss"
        What early stopping looks at on validation rows. Their curves are `validation_scores_` and
        `validation_loss_curve_`.
    restore_best : bool
        Without early stopping too, keep the weights of the pass with the lowest training loss.
    max_seconds, cost_goal
        End after so many seconds, or below this training loss.
    callbacks : list of functions
        Called with a `PassRecord` after every pass; True ends the training.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(solver="lbfgs", random_state=0, max_iter=500).fit(X, y).score(X, y) > 0.97
    True
    """

    loss = "log_loss"
    _parameter_constraints: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        **neural_network.MLPClassifier._parameter_constraints,
        **OUR_CONSTRAINTS,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }
    __init__ = takes(neural_network.MLPClassifier, class_weight=None, **OURS)


class MLPRegressor(_ChainruleMLP, neural_network.MLPRegressor):
    """scikit-learn's `MLPRegressor`, same parameters, attributes and draws, trained by Chainrule.

    Chainrule's own parameters are those of `MLPClassifier`, without `class_weight`; `cost="pinball:0.9"` fits the
    quantile 0.9.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> MLPRegressor(solver="lbfgs", random_state=0, max_iter=500).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        **neural_network.MLPRegressor._parameter_constraints,
        **OUR_CONSTRAINTS,
    }
    __init__ = takes(neural_network.MLPRegressor, **OURS)


def _as_outputs(y: Any, dtype: Any) -> np.ndarray:
    return np.asarray(y, dtype).reshape(len(y), -1)


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if issparse(X) else X


def _on_device(X: np.ndarray, y: Any, weights: Any) -> Table:
    """The arrays as a table for the compiled passes, in the dtype of X, padded with rows of weight 0."""
    import jax.numpy as jnp

    ones = np.ones(len(X), X.dtype) if weights is None else np.asarray(weights, X.dtype)
    table = padded(Table(X, _as_outputs(y, X.dtype), ones))
    return Table(*(jnp.asarray(x) for x in table))


def _as_lists(params: Params) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [np.array(W) for W, _ in params], [np.array(b) for _, b in params]

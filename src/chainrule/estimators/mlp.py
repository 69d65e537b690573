# pyright: reportIncompatibleMethodOverride=false
"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor.

The classes inherit scikit-learn's interface (parameters, validation, messages, label handling, initial weights) and
replace the computation: the epochs of training, the gradient for L-BFGS, and prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn import neural_network

from chainrule.estimators.base import ChainruleMLP
from chainrule.estimators.parameters import CLASSES_CONSTRAINTS, OUR_CONSTRAINTS, takes
from chainrule.estimators.stochastic import PassRecord
from chainrule.maths.activations import Activation
from chainrule.maths.costs import Cost, cost_of


class MLPClassifier(ChainruleMLP, neural_network.MLPClassifier):
    """scikit-learn's `MLPClassifier` with the same parameters, attributes and random draws, trained by Chainrule.

    Chainrule's own parameters are keyword-only and off by default.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(100,)
        Nodes per hidden layer.
    activation : str, Activation or sequence of these, default="relu"
        Activation of the hidden layers, or a list with one per hidden layer: scikit-learn's names, any of Chainrule's
        names, or an `Activation` of your own.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        As in scikit-learn.
    alpha : float, default=0.0001
        Strength of the L2 penalty, as in scikit-learn.
    batch_size : int or "auto", default="auto"
        As in scikit-learn.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        As in scikit-learn.
    learning_rate_init : float or callable, default=0.001
        A learning rate, or a schedule of Chainrule or optax: update number (from 0) -> learning rate.
    power_t, momentum, beta_1, beta_2, epsilon : float
        Settings of the solvers, as in scikit-learn.
    nesterovs_momentum, shuffle, verbose : bool
        As in scikit-learn.
    max_iter, max_fun, n_iter_no_change : int
        As in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        As in scikit-learn.
    tol : float, default=0.0001
        As in scikit-learn.
    warm_start : bool or "resume", default=False
        With "resume", `fit` continues where the last one ended, with the state of the rule, the order of the rows and
        the curves, bit for bit as if it had not ended; `n_iter_` counts the epochs of the last `fit`.
    early_stopping : bool, default=False
        As in scikit-learn.
    validation_fraction : float, default=0.1
        As in scikit-learn.
    class_weight : "balanced", dict or None, default=None
        Multiplies the weights of the rows, as in other estimators of scikit-learn.
    calibrate : bool, default=False
        Fit a temperature T, `temperature_`, on the validation rows; `predict_proba` then returns the probabilities
        of z / T.
    preset : "tabular" or None, default=None
        The recipe of `chainrule train`: scaled inputs (and for regression, a scaled target), and the settings of
        `chainrule.tables.preset` in place of all parameters that are not given explicitly. Explicit values are kept,
        even if they equal scikit-learn's defaults, except for ``early_stopping=False``. Scales and quantiles are
        computed from all rows passed to `fit`, including validation rows that are split off; with `partial_fit`, from
        the first chunk. Each chunk is trained with the settings for a table of its size, without early stopping;
        shuffle sorted rows beforehand, so that the first chunk is representative.
    missing : {"error", "indicate"}, default="error"
        With "error", NaN in X raises an error that names the column. With "indicate", it is replaced by the mean of
        the column, and each column with missing values in `fit` gets an additional indicator input.
    categorical_features : "from_dtype", list or None, default=None
        Columns to encode one-hot: text and categorical columns, or a list of names, indices or booleans. Categories
        with fewer than 5 rows in `fit` share an input with the other rare and the unknown categories; missing values
        are a category of their own. Values are compared as text without leading and trailing blanks.
    cost : str, Cost or None, default=None
        By default derived from the target.
    output_activation : str, Activation or None, default=None
        By default derived from the target.
    rule : Rule or None, default=None
        An update rule in place of the solver's: from `optax_rule`, or any optax transformation (with solver "sgd" or
        "adam").
    initial : tuple (coefs, intercepts) or None, default=None
        Initial weights and biases.
    dropout : float or None, default=None
        Share of the hidden nodes that each update drops; None means 0, or the value of the preset.
    average : float or None, default=None
        Decay of a moving average of the weights, such as 0.998, which is validated and kept; None means no average,
        or the value of the preset.
    max_gradient_norm : float or None, default=None
        Gradients with a larger norm are scaled down to it.
    stop_on : {"score", "loss"}, default="score"
        The validation quantity used by early stopping. The curves are `validation_scores_` and
        `validation_loss_curve_`.
    restore_best : bool, default=False
        Also without early stopping, keep the weights of the epoch with the lowest training loss.
    max_seconds : float or None, default=None
        Time limit in seconds.
    cost_goal : float or None, default=None
        Stop when the training loss is below this value.
    min_gradient : float or None, default=None
        Stop when the norm of the gradient (root mean square over the batches of an epoch) is below this value.
    callbacks : sequence of callable, default=()
        Called with a `PassRecord` after every epoch; training ends if one of them returns True.

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
        **CLASSES_CONSTRAINTS,
    }

    @takes
    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str | Activation | Sequence[Any] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float | Callable[[Any], Any] = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 0.0001,
        verbose: bool = False,
        warm_start: bool | str = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        calibrate: bool = False,
        preset: str | None = None,
        missing: str = "error",
        categorical_features: Any = None,
        cost: str | Cost | None = None,
        output_activation: str | Activation | None = None,
        rule: Any = None,
        initial: Sequence[Any] | None = None,
        dropout: float | None = None,
        average: float | None = None,
        max_gradient_norm: float | None = None,
        stop_on: str = "score",
        restore_best: bool = False,
        max_seconds: float | None = None,
        cost_goal: float | None = None,
        min_gradient: float | None = None,
        callbacks: Sequence[Callable[[PassRecord], Any]] = (),
    ) -> None: ...


class MLPRegressor(ChainruleMLP, neural_network.MLPRegressor):
    """scikit-learn's `MLPRegressor` with the same parameters, attributes and random draws, trained by Chainrule.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        As in scikit-learn.
    cost : str, Cost or None, default=None
        A cost in place of the loss; ``cost="pinball:0.9"`` fits the quantile 0.9.
    hidden_layer_sizes, activation, output_activation
        The design of the network, as in `MLPClassifier`.
    solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, momentum, nesterovs_momentum
        As in `MLPClassifier`.
    beta_1, beta_2, epsilon, max_fun, rule, initial, dropout, average, max_gradient_norm, shuffle, random_state
        As in `MLPClassifier`.
    max_iter, tol, n_iter_no_change, early_stopping, validation_fraction, stop_on, restore_best, max_seconds
        As in `MLPClassifier`.
    cost_goal, min_gradient, callbacks, verbose, warm_start, preset, missing, categorical_features
        As in `MLPClassifier`.

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

    @takes
    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str | Activation | Sequence[Any] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float | Callable[[Any], Any] = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 0.0001,
        verbose: bool = False,
        warm_start: bool | str = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        preset: str | None = None,
        missing: str = "error",
        categorical_features: Any = None,
        cost: str | Cost | None = None,
        output_activation: str | Activation | None = None,
        rule: Any = None,
        initial: Sequence[Any] | None = None,
        dropout: float | None = None,
        average: float | None = None,
        max_gradient_norm: float | None = None,
        stop_on: str = "score",
        restore_best: bool = False,
        max_seconds: float | None = None,
        cost_goal: float | None = None,
        min_gradient: float | None = None,
        callbacks: Sequence[Callable[[PassRecord], Any]] = (),
    ) -> None: ...

    def _validate_input(self: Any, X: Any, y: Any, incremental: bool, reset: bool) -> Any:
        """With a preset, scale unbounded targets to mean 0 and standard deviation 1."""
        X, y = super()._validate_input(X, y, incremental, reset)
        chosen = None if self.cost is None else cost_of(self.cost)
        if chosen:
            chosen.check_domain(y)
        bounded = self.loss == "poisson" or (chosen is not None and chosen.is_bounded)
        if self.preset is None or bounded or self.output_activation is not None:
            return X, y
        if reset:
            std = y.std(axis=0)
            self.target_mean_, self.target_std_ = y.mean(axis=0), np.where(std > 0, std, 1)
        return X, (y - self.target_mean_) / self.target_std_

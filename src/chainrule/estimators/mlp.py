# pyright: reportIncompatibleMethodOverride=false
"""scikit-learn's MLPClassifier and MLPRegressor with Chainrule inside: change one import.

The classes inherit scikit-learn's own interface (parameters, validation, messages, label handling, the draws of the
first weights) and replace what computes: the passes over the table, the gradient that L-BFGS asks for, and prediction.
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
    """scikit-learn's `MLPClassifier`, same parameters, attributes and draws, trained by Chainrule.

    Its own parameters are described in scikit-learn's documentation. These are Chainrule's, keyword-only, and off
    by default:

    Parameters
    ----------
    class_weight : "balanced", dict or None
        Multiplies the weights of the rows, as elsewhere in scikit-learn.
    calibrate : bool
        Fit a temperature, `temperature_`, on the validation rows: `predict_proba` gives the probabilities of z / T.
    preset : "tabular" or None
        The recipe of `chainrule train`: inputs (of a regression, the target too) on one scale, and the settings of
        `chainrule.tables.preset` in place of all parameters that are left alone; what is given is kept, scikit-learn's
        default values too, but for early_stopping=False.
        Scales and quantiles are those of all rows given to `fit`, validation rows that are split off among them; with
        `partial_fit` they are those of the first chunk, and stay. Each chunk is trained on with the settings of a table
        of its size, without early stopping. Shuffle sorted rows first, so that the first chunk is like the others.
    missing : "error" or "indicate"
        NaN in X is an error that names the column; or it becomes the column's mean, and each column that had missing
        values in `fit` gets one more input, which says so.
    categorical_features : "from_dtype", list or None
        Columns that become one-hot inputs: those of text and of categories, or a list of names, numbers or booleans.
        A category in fewer than 5 rows of `fit` shares an input with the other rare ones, and with those that `fit`
        has not seen; a missing one counts as a category of its own. Values are compared as text, without blanks
        around it.
    activation
        Beside scikit-learn's names any of `chainrule`'s, an `Activation` of your own, or a list: one per hidden layer.
    output_activation, cost
        Instead of those that follow from the target; names, or your own `Activation` and `Cost`.
    learning_rate_init
        Beside a number, a schedule: update number (from 0) -> learning rate; ours or optax's.
    rule
        Instead of the solver: from `optax_rule`, or any optax transformation (with solver "sgd" or "adam").
    max_gradient_norm
        Gradients with a larger norm are scaled down to it.
    dropout
        The share of the hidden nodes that each update leaves out; None is 0, or the preset's.
    average
        The decay of an average of the weights over the updates, such as 0.998; it is what is validated and
        kept. None is no average, or the preset's.
    initial : (coefs, intercepts)
        First weights and biases of your own.
    warm_start : bool or "resume"
        "resume": `fit` goes on where the last one ended, with the rule's state, the order of the rows and the curves,
        bit for bit as if it had not ended; `n_iter_` counts the passes of the last `fit`.
    stop_on : "score" or "loss"
        What early stopping looks at on validation rows. Their curves are `validation_scores_` and
        `validation_loss_curve_`.
    restore_best : bool
        Without early stopping too, keep the weights of the pass with the lowest training loss.
    max_seconds, cost_goal, min_gradient
        End after so many seconds; below this training loss; below this norm of the gradient (the root mean square
        over the batches of a pass).
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
        """With a preset, targets on one scale, where the output may have any: their mean 0 and deviation 1."""
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

# pyright: reportIncompatibleMethodOverride=false
"""What both estimators override in scikit-learn: fitting, the gradient for L-BFGS, and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_array,
    check_is_fitted,
    validate_data,
)

from chainrule.estimators.categories import Categories, fit_categories
from chainrule.estimators.inputs import Inputs, dense, fit_inputs, naming_missing
from chainrule.estimators.parameters import FEWEST, check_alone, check_together, core_name, settled
from chainrule.estimators.stochastic import StochasticMixin, table_of
from chainrule.estimators.validation_rows import Held, given_rows
from chainrule.explaining.trace import trace_prediction
from chainrule.maths.activations import Activation
from chainrule.maths.costs import HALF_SQUARED_ERROR, cost_of
from chainrule.network import Layer, Network, Params, forward
from chainrule.training.batches import Table, on_device

ROWS_AT_ONCE = 4096  # so that activations fit into the CPU cache
_OF_AN_EARLIER_FIT = ("validation_loss_curve_", "best_validation_loss_", "temperature_", "_position")


class ChainruleMLP(StochasticMixin):
    """The methods that both estimators override."""

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
        """Fit the network to a table.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n_rows, n_features)
        y : array of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array of shape (n_rows,), optional
        X_val : array, sparse matrix or frame of shape (n_val, n_features), optional
            Validation rows for the validation curves; with `early_stopping`, they replace the fraction split off.
        y_val : array of shape (n_val,) or (n_val, n_outputs), optional
        sample_weight_val : array of shape (n_val,), optional

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If arrays or parameters are invalid.

        Examples
        --------
        >>> import chainrule as cr
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> model = cr.MLPRegressor(hidden_layer_sizes=(4,), cost_goal=100)
        >>> model.fit(X[::2], X[::2, 0], X_val=X[1::2], y_val=X[1::2, 0]).n_iter_
        1
        """
        if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
            raise ValueError("X_val and y_val must be given together, and sample_weight_val only with both")
        self._own_validation = None if X_val is None else (X_val, y_val, sample_weight_val)
        try:
            return super().fit(X, y, sample_weight=sample_weight)  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            del self._own_validation  # do not keep a reference to the caller's rows

    def _fit(self: Any, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        """scikit-learn's `_fit` with the settings of the preset and with class weights."""
        check_alone(self)
        own_validation = self._own_validation is not None
        with settled(self, X, own_validation, incremental), naming_missing(X):
            check_together(self, own_validation)
            vars(self).pop("temperature_", None)  # belongs to the old weights
            if self.class_weight is not None:
                if incremental and self.class_weight == "balanced":
                    raise ValueError("class_weight='balanced' needs all rows at once: pass a dict to partial_fit")
                balance = compute_sample_weight(self.class_weight, y)
                sample_weight = balance if sample_weight is None else balance * np.asarray(sample_weight)
            return super()._fit(X, y, sample_weight=sample_weight, incremental=incremental)  # pyright: ignore[reportAttributeAccessIssue]

    def _validate_input(self: Any, X: Any, y: Any, incremental: bool, reset: bool) -> Any:
        """scikit-learn's validation, on dense inputs that are encoded if a setting requires it."""
        for of_an_earlier_fit in ("inputs_", "target_mean_", "target_std_") if reset else ():
            vars(self).pop(of_an_earlier_fit, None)
        encodes = self.preset is not None or self.missing == "indicate" or self.categorical_features is not None
        if not reset and encodes != (self._inputs is not None):
            raise ValueError(
                "preset, missing or categorical_features have changed since the first fit, which changes the inputs: "
                "fit a new estimator"
            )
        if not encodes:
            X, y = super()._validate_input(X, y, incremental, reset)  # pyright: ignore[reportAttributeAccessIssue]
            return dense(X), y
        categories = self._categories
        if reset and self.categorical_features is not None:
            categories = fit_categories(X, self.categorical_features)
        X = dense(self._checked(X, categories, dtype=(np.float64, np.float32), reset=reset))
        if reset:
            if self.preset and incremental and len(X) < FEWEST:
                raise ValueError(
                    f"preset={self.preset!r} computes its scales from the first rows given to partial_fit: expected "
                    f"{FEWEST} or more, got {len(X)}"
                )
            splits = self._own_validation is None and not incremental
            self.inputs_ = fit_inputs(X, self.preset is not None, splits, categories)
        raw = {name: vars(self)[name] for name in ("n_features_in_", "feature_names_in_") if name in vars(self)}
        X, y = super()._validate_input(self.inputs_.encode(X), y, incremental, reset=True)  # pyright: ignore[reportAttributeAccessIssue]
        vars(self).update(raw)
        return X, y

    def explain_gradient(self: Any, X: Any, output: int = 0) -> np.ndarray:
        r"""Compute the derivative of one output with respect to each input.

        This continues the backward pass from the deltas of the first layer to the inputs, with output k as the cost:

        .. math:: \frac{\partial a^L_k}{\partial x} = \delta^1 W^{1\top}

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n_rows, n_features)
        output : int, default=0
            The column of `predict_proba` or `predict`; for a binary classifier 0, which is the second class.

        Returns
        -------
        array of shape (n_rows, n_features)

        Raises
        ------
        ValueError
            If there is no such output, or X is invalid.

        Examples
        --------
        >>> import chainrule as cr
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> line = cr.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", random_state=0).fit(X, 3 * X[:, 0])
        >>> line.explain_gradient(X[:1]).round(2).tolist()
        [[3.0]]
        """
        check_is_fitted(self)
        raw = dense(self._checked(X, reset=False)).astype(float)
        network, params = self.network_, self._answering_params()
        if not 0 <= output < network.layers[-1]:
            raise ValueError(f"output: expected a number from 0 to {network.layers[-1] - 1}, got {output}")
        gradient = np.asarray(trace_prediction(network, params, self._encoded(raw), output=output).pushes)
        return self.inputs_.carry_back(gradient, raw) if self._inputs else gradient

    def _checked(self: Any, X: Any, categories: Categories | None = None, **settings: Any) -> Any:
        """Validate raw inputs against the columns seen in `fit`; converted to floats if they are to be encoded."""
        finite: Any = "allow-nan" if self.missing == "indicate" else True
        if self._inputs or self.preset:
            settings.setdefault("dtype", (np.float64, np.float32))
        categories = categories or self._categories
        if categories is None:
            with naming_missing(X):
                return validate_data(self, X, accept_sparse=["csr", "csc"], ensure_all_finite=finite, **settings)
        reset = settings.pop("reset")
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        numbers = categories.numbers(X)
        with naming_missing(numbers, vars(self).get("feature_names_in_")):
            return check_array(numbers, ensure_all_finite=finite, estimator=self, input_name="X", **settings)

    @property
    def _inputs(self: Any) -> Inputs | None:
        return vars(self).get("inputs_")

    @property
    def _categories(self: Any) -> Categories | None:
        return self._inputs.categories if self._inputs else None

    def _encoded(self: Any, X: np.ndarray) -> np.ndarray:
        return self._inputs.encode(X) if self._inputs else X

    def _own_held(self: Any, dtype: Any) -> Held:
        """The caller's validation rows, validated like the rows of `predict`."""
        X_val, y_val, weights = self._own_validation
        encoded = self._encoded(dense(self._checked(X_val, dtype=dtype, reset=False)))
        return given_rows(self, encoded, y_val, weights)

    def _design(self: Any, layer_units: Any) -> Network:
        """Translate scikit-learn's parameters to a design."""
        layers = [int(units) for units in layer_units]
        given = self.activation
        hidden = [given] * (len(layers) - 2) if isinstance(given, str | Activation) else list(given)
        out = core_name(self.out_activation_)
        costs = {"sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy", "exponential": "poisson"}
        chosen = cost_of(costs.get(out, HALF_SQUARED_ERROR) if self.cost is None else self.cost)
        out = chosen.output if out == "identity" else out
        last = out if self.output_activation is None else core_name(self.output_activation)
        return Network(layers, [*map(core_name, hidden), last], chosen)

    def _initialize(self: Any, y: Any, layer_units: Any, dtype: Any) -> None:
        """Use scikit-learn's initial weights, or the caller's."""
        super()._initialize(y, layer_units, dtype)  # pyright: ignore[reportAttributeAccessIssue]
        self.network_ = self._design(layer_units)  # raises for an invalid design before training
        for left in (
            *_OF_AN_EARLIER_FIT,
            "_best_coefs",
            "_best_intercepts",
        ):  # the best weights are copies that only scikit-learn needs
            vars(self).pop(left, None)
        if self.initial is None:
            return
        for what, own, drawn in zip(("weights", "biases"), self.initial, (self.coefs_, self.intercepts_), strict=True):
            for i, (given, array) in enumerate(zip(own, drawn, strict=True)):
                if np.shape(given) != array.shape:
                    raise ValueError(f"initial {what} {i}: expected shape {array.shape}, got {np.shape(given)}")
                array[...] = given

    def _fit_lbfgs(self: Any, X: Any, y: Any, sample_weight: Any, *rest: Any) -> None:
        """scikit-learn's call of SciPy's L-BFGS-B, on arrays that are already on the device."""
        import jax

        self.network_ = self._design(rest[-1])
        with jax.enable_x64(X.dtype == np.float64):
            table = on_device(table_of(X, y, sample_weight))
            super()._fit_lbfgs(table.X, table.Y, table.weights, *rest)  # pyright: ignore[reportAttributeAccessIssue]
        self.coefs_ = [W.astype(X.dtype) for W in self.coefs_]  # SciPy always returns float64
        self.intercepts_ = [b.astype(X.dtype) for b in self.intercepts_]

    def _loss_grad_lbfgs(self: Any, packed: np.ndarray, X: Any, y: Any, weights: Any, *rest: Any) -> Any:
        """Loss and gradient at the packed parameters, all weights first, then all biases."""
        from chainrule.estimators.passes import packed_gradient

        run = packed_gradient(self.network_)
        loss, gradient = run(packed.astype(X.dtype), Table(X, y, weights), X.dtype.type(self.alpha))
        return float(loss), np.asarray(gradient, np.float64)

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> np.ndarray:
        """Compute the outputs of the network, in chunks of rows."""
        if check_input:
            X = self._checked(X, reset=False)
        params = self._answering_params()
        X = X.tocsr() if issparse(X) else X

        def answered(i: int) -> Any:
            return forward(self.network_, params, self._encoded(dense(X[i : i + ROWS_AT_ONCE]))).a[-1]

        pieces = [answered(i) for i in range(0, X.shape[0], ROWS_AT_ONCE)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _answering_params(self: Any) -> Params:
        """The parameters for prediction, with the temperature or the target scale applied to the last layer."""
        params = self._params()
        if not (hasattr(self, "temperature_") or hasattr(self, "target_std_")):
            return params
        *before, (W, b) = params
        if hasattr(self, "temperature_"):
            W, b = W / self.temperature_, b / self.temperature_
        if hasattr(self, "target_std_"):
            W, b = W * self.target_std_, b * self.target_std_ + self.target_mean_
        dtype = self.coefs_[-1].dtype
        return (*before, Layer(W.astype(dtype, copy=False), b.astype(dtype, copy=False)))

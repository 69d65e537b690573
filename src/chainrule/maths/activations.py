r"""Activation functions :math:`a = \sigma(z)`, each next to its derivative.

A derivative takes both z and a, because many are simplest in terms of a: the sigmoid's is a (1 - a).
All are safe for extreme inputs: z = +-1000 gives finite numbers and no warning, in float32 too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any

from chainrule.errors import look_up
from chainrule.maths.arrays import Array, namespace
from chainrule.maths.custom import apply, pull_back


@dataclass(frozen=True)
class Activation:
    """An activation function and its derivative.

    Parameters
    ----------
    name : str
    f : callable
        z -> a, both arrays of shape (batch, n_out).
    derivative : callable, optional
        (z, a) -> da/dz, elementwise. Without `derivative` and `product`, `f` is differentiated by JAX.
    product : callable, optional
        (error, z, a) -> delta: the Jacobian product of an activation such as softmax, which combines the nodes of a
        layer.

    Examples
    --------
    >>> import chainrule as cr
    >>> cube = cr.Activation("cube", f=lambda z: z**3, derivative=lambda z, a: 3 * z**2)
    >>> cr.Network([2, 3, 1], activations=[cube, "identity"]).activations[0].name
    'cube'
    """

    name: str
    f: Callable[[Any], Any]
    derivative: Callable[[Any, Any], Any] | None = None
    product: Callable[[Any, Any, Any], Any] | None = None

    def __call__(self, z: Array) -> Array:
        return apply(self.f, z)

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __reduce__(self) -> Any:
        if is_activation_of_ours(self):  # so that a copy is the same object
            return activation_of, (self.name,)
        return Activation, (self.name, self.f, self.derivative, self.product)

    def delta(self, error: Array, z: Array, a: Array) -> Array:
        r"""Propagate the error back through the activation.

        .. math:: \delta = \frac{\partial C}{\partial a} \odot \sigma'(z)

        Parameters
        ----------
        error, z, a : array of shape (batch, n_out)
            dC/da, the weighted sums and the activations.

        Returns
        -------
        array of shape (batch, n_out)
        """
        if self.product is not None:
            return apply(self.product, error, z, a)
        if self.derivative is not None:
            return error * apply(self.derivative, z, a)
        return pull_back(self.f, error, z)


def _identity(z: Array) -> Array:
    return z


def _identity_derivative(z: Array, a: Array) -> Array:
    return namespace(z).ones_like(z)


def _below_zero(z: Array) -> Array:
    """min(z, 0) with the left derivative at 0, where `jax.grad` of a minimum would take the mean of both sides."""
    xp = namespace(z)
    return xp.where(z > 0, xp.zeros_like(z), z)


def _sigmoid(z: Array) -> Array:
    xp = namespace(z)
    e = xp.exp(-xp.abs(z))  # never above 1: exp(-z) itself would overflow
    return xp.where(z >= 0, 1, e) / (1 + e)


def _sigmoid_derivative(z: Array, a: Array) -> Array:
    return a * (1 - a)


def _tanh(z: Array) -> Array:
    return namespace(z).tanh(z)


def _tanh_derivative(z: Array, a: Array) -> Array:
    return 1 - a * a


def _relu(z: Array) -> Array:
    return namespace(z).maximum(z, 0)


def _relu_derivative(z: Array, a: Array) -> Array:
    return namespace(z).astype(z > 0, z.dtype)


LEAK = 0.01


def _leaky_relu(z: Array) -> Array:
    return namespace(z).where(z > 0, z, LEAK * z)


def _leaky_relu_derivative(z: Array, a: Array) -> Array:
    xp = namespace(z)
    return xp.where(z > 0, xp.ones_like(z), LEAK)


def _elu(z: Array) -> Array:
    xp = namespace(z)
    return xp.where(z > 0, z, xp.expm1(_below_zero(z)))


def _elu_derivative(z: Array, a: Array) -> Array:
    return namespace(z).exp(namespace(z).minimum(z, 0))


# Klambauer et al. (2017), "Self-normalizing neural networks": the fixed point at mean 0, variance 1.
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _selu(z: Array) -> Array:
    xp = namespace(z)
    return SELU_SCALE * xp.where(z > 0, z, SELU_ALPHA * xp.expm1(_below_zero(z)))


def _selu_derivative(z: Array, a: Array) -> Array:
    xp = namespace(z)
    return SELU_SCALE * xp.where(z > 0, xp.ones_like(z), SELU_ALPHA * xp.exp(xp.minimum(z, 0)))


def _gelu_inner(z: Array) -> Array:
    return sqrt(2 / pi) * (z + 0.044715 * z**3)


def _gelu(z: Array) -> Array:
    # Hendrycks and Gimpel (2016), the tanh form: erf is not in the array API.
    return 0.5 * z * (1 + namespace(z).tanh(_gelu_inner(z)))


def _gelu_derivative(z: Array, a: Array) -> Array:
    t = namespace(z).tanh(_gelu_inner(z))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * sqrt(2 / pi) * (1 + 3 * 0.044715 * z**2)


def _silu(z: Array) -> Array:
    return z * _sigmoid(z)


def _silu_derivative(z: Array, a: Array) -> Array:
    return _sigmoid(z) + a * (1 - _sigmoid(z))


def _softplus(z: Array) -> Array:
    xp = namespace(z)
    above, minus_size = xp.where(z > 0, z, xp.zeros_like(z)), xp.where(z > 0, -z, z)  # slopes 0 and 1 at 0
    return above + xp.log1p(xp.exp(minus_size))


def _softplus_derivative(z: Array, a: Array) -> Array:
    return _sigmoid(z)


def _exponential(z: Array) -> Array:
    xp = namespace(z)
    return xp.exp(xp.minimum(z, log(xp.finfo(z.dtype).max) - 1))  # exp of the rounded limit itself overflows


def _exponential_derivative(z: Array, a: Array) -> Array:
    return a


def _softmax(z: Array) -> Array:
    xp = namespace(z)
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def _softmax_product(error: Array, z: Array, a: Array) -> Array:
    return a * (error - namespace(z).sum(error * a, axis=-1, keepdims=True))


IDENTITY = Activation("identity", _identity, _identity_derivative)
SIGMOID = Activation("sigmoid", _sigmoid, _sigmoid_derivative)
EXPONENTIAL = Activation("exponential", _exponential, _exponential_derivative)
SOFTMAX = Activation("softmax", _softmax, product=_softmax_product)

ACTIVATIONS = {
    activation.name: activation
    for activation in (
        IDENTITY,
        SIGMOID,
        Activation("tanh", _tanh, _tanh_derivative),
        Activation("relu", _relu, _relu_derivative),
        Activation("leaky_relu", _leaky_relu, _leaky_relu_derivative),
        Activation("elu", _elu, _elu_derivative),
        Activation("selu", _selu, _selu_derivative),
        Activation("gelu", _gelu, _gelu_derivative),
        Activation("silu", _silu, _silu_derivative),
        Activation("softplus", _softplus, _softplus_derivative),
        EXPONENTIAL,
        SOFTMAX,
    )
}


def is_activation_of_ours(activation: Activation) -> bool:
    """Whether an activation is one of Chainrule's, and so defined by its name.

    >>> is_activation_of_ours(activation_of("tanh")), is_activation_of_ours(activation_of(abs))
    (True, False)
    """
    return ACTIVATIONS.get(activation.name) == activation


def activation_of(given: Any) -> Activation:
    """Convert a name or a function z -> a to an `Activation`; an `Activation` is returned unchanged.

    >>> activation_of("tanh").name, activation_of(abs).name
    ('tanh', 'abs')
    """
    if isinstance(given, Activation):
        return given
    if callable(given):
        return Activation(getattr(given, "__name__", "own"), given)
    return look_up("activation", given, ACTIVATIONS)

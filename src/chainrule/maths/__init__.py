"""Pure functions on NumPy and JAX arrays: activations, costs, first weights, each beside its derivative."""

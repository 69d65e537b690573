"""Pure functions on NumPy and JAX arrays: activations and costs, each next to its derivative, and initial weights."""

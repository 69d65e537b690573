"""Training: rules, goals, batches, compiled epochs and results."""

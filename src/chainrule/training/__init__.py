"""One training: rules, goals, batches, the compiled epochs, and what comes of them."""

"""A step of a training or a prediction, opened: read from a run, written as text."""

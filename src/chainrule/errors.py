"""The errors that bad input gets: messages for the person who typed the command."""

from __future__ import annotations


class InputError(ValueError):
    """What was expected, what arrived, the likely fix. The command line prints it and exits with 1."""


class UsageError(InputError):
    """A setting that is wrong whatever the data. The command line exits with 2."""

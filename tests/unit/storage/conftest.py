"""A run trained once, as the tests of the commands have it."""

from tests.cli.conftest import penguins_run as penguins_run

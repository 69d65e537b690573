"""The command line in this process, as the tests of the commands have it."""

from tests.cli.conftest import chainrule as chainrule
from tests.cli.conftest import own_cache as own_cache

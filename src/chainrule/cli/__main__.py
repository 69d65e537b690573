"""`python -m chainrule.cli` is the command `chainrule`."""

from chainrule.cli import main

main()

"""Shared by the commands that show worked steps: number of digits, HTML pages."""

from __future__ import annotations

from typing import Annotated

from chainrule.cli.common import option, print_lines, terminal_width
from chainrule.errors import UsageError

NARROW = 100  # terminal columns below which numbers are shown with one digit fewer

Digits = Annotated[int | None, option("--digits", "N", "Decimal places [4; narrow terminal or page: 3].")]


def digits_of(wanted: int | None, on_a_page: bool) -> int:
    """The requested number of digits; by default 3 on a page or in a narrow terminal, else 4."""
    if wanted is None:
        return 3 if on_a_page or (terminal_width() or NARROW) < NARROW else 4
    if not 1 <= wanted <= 17:
        raise UsageError(f"--digits: expected 1 to 17, got {wanted}")
    return wanted


def write_page(path: str, page: str) -> None:
    from chainrule.storage.files import write_text

    write_text(path, lambda file: file.write(page))
    print_lines([f"wrote {path}; open it in a browser"])

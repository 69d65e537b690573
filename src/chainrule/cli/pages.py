"""What the commands share that show worked steps: how many digits, and pages for the browser."""

from __future__ import annotations

from typing import Annotated

from chainrule.cli.common import option, print_lines, terminal_width
from chainrule.errors import UsageError

NARROW = 100  # columns of a terminal, below which numbers have a digit less

Digits = Annotated[int | None, option("--digits", "N", "After the decimal point [4; narrow or on a page, 3].")]


def digits_of(wanted: int | None, on_a_page: bool) -> int:
    """As many as are wanted; else three on a page and in a narrow terminal, four where there is room."""
    if wanted is None:
        return 3 if on_a_page or (terminal_width() or NARROW) < NARROW else 4
    if not 1 <= wanted <= 17:
        raise UsageError(f"--digits: expected 1 to 17, got {wanted}")
    return wanted


def write_page(path: str, page: str) -> None:
    from chainrule.storage.files import write_text

    write_text(path, lambda file: file.write(page))
    print_lines([f"{path}: open it in a browser"])

"""Shared by the commands: the application, common options, and printing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Annotated, Any, NoReturn, TypeVar

import typer

from chainrule.errors import PRINTABLE, UsageError, in_one_line

Table = TypeVar("Table")


app = typer.Typer(
    help="Train feedforward networks by backpropagation, on tables.\n\n"
    "Start with:  chainrule train churn.csv --target churn",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def option(*words: str) -> Any:
    """Make an option from its flags, metavar and help."""
    *flags, metavar, text = words
    return typer.Option(*flags, metavar=metavar, help=text, show_default=False)


def flag(*words: str) -> Any:
    *flags, text = words
    return typer.Option(*flags, help=text, show_default=False)


Files = Annotated[list[str] | None, typer.Argument(metavar="FILES", help="CSV, TSV, Parquet or JSON Lines; globs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Run folder or model file.")]
Sql = Annotated[str | None, option("--sql", "QUERY", "DuckDB query to read instead of files.")]
Database = Annotated[str | None, option("--database", "FILE", "Database that --sql reads: file or URL.")]
Trust = Annotated[bool, flag("--trust", "Run the query recorded in the run folder.")]
MaxRows = Annotated[int | None, option("--max-rows", "N", "Refuse tables with more than N rows.")]
Json = Annotated[bool, flag("--json", "Print the result as JSON.")]


@contextmanager
def wrong_use() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def confirmed(table: Callable[[bool], Table], trusts: bool) -> Table:
    """The table of a run; `table` takes whether a recorded query may be run.

    A recorded query is shown first, and run only with --trust or after confirmation at a terminal.
    """
    from chainrule.tables.recorded import Untrusted

    try:
        return table(False)
    except Untrusted as error:
        asks = sys.stdin.isatty() and sys.stderr.isatty()
        if not (trusts or asks):
            raise
        said = error.query.translate(PRINTABLE)
        print(f"chainrule: the run reads its rows with this recorded query:\n{said}", file=sys.stderr)
        if not trusts and not typer.confirm("Run it?", err=True):
            raise
        return table(True)


def answer(document: Any, as_json: bool, lines: Sequence[str]) -> None:
    import json

    print_lines([json.dumps(document, ensure_ascii=False)] if as_json else lines)


def terminal_width() -> int | None:
    """The width of the terminal; None if standard output is not a terminal."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class Filtered:
    """A text stream that replaces control characters, which a terminal would interpret."""

    encoding = "utf-8"  # characters that cannot be encoded are written as escapes

    def __init__(self, unfiltered: IO[str]):
        self.unfiltered = unfiltered
        if hasattr(unfiltered, "reconfigure"):
            unfiltered.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]

    def write(self, text: str) -> int:
        return self.unfiltered.write(text.translate(PRINTABLE))

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


def filter_output() -> None:
    """Replace control characters in everything written to standard output and standard error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Filtered):
            setattr(sys, name, Filtered(stream))


@contextmanager
def filtered() -> Iterator[None]:
    """Filter the output within the block."""
    before = sys.stdout, sys.stderr
    filter_output()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line if line == "\f" else in_one_line(line))


def nothing(lines: Sequence[str]) -> None:
    pass


def fail(error: object, code: int) -> NoReturn:
    """Print a message on standard error and exit."""
    if sys.stdout is not None:  # None if it was closed
        sys.stdout.flush()
    print(in_one_line(f"chainrule: {error}"), file=sys.stderr)
    sys.exit(code)

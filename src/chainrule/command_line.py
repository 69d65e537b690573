"""What the commands share: the application, options that several take, and how answers are printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from chainrule.errors import UsageError

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")  # what a name of a column could do to a terminal

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
    """An option from its flags, its metavar and its help."""
    *flags, metavar, text = words
    return typer.Option(*flags, metavar=metavar, help=text, show_default=False)


def flag(*words: str) -> Any:
    *flags, text = words
    return typer.Option(*flags, help=text, show_default=False)


Files = Annotated[list[str] | None, typer.Argument(metavar="FILES", help="CSV, TSV, Parquet or JSON lines; globs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Run folder or model file.")]
Sql = Annotated[str | None, option("--sql", "QUERY", "Read a DuckDB query instead of files.")]
MaxRows = Annotated[int | None, option("--max-rows", "N", "Refuse a table of more rows.")]
Json = Annotated[bool, flag("--json", "Print one JSON document.")]


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that the next run of the same design starts at once."""
    import os

    import jax
    from platformdirs import user_cache_path

    from chainrule.program_cache import make_forgiving

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(user_cache_path("chainrule") / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    make_forgiving()


@contextmanager
def wrong_use() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def answer(document: Any, as_json: bool, lines: Sequence[str]) -> None:
    import json

    print_lines([json.dumps(document, ensure_ascii=False)] if as_json else lines)


def terminal_width() -> int | None:
    """The width of the terminal; None where the output goes elsewhere."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_lines(lines: Sequence[str]) -> None:
    typer.echo(CONTROLS.sub("\ufffd", "\n".join(lines)))


def nothing(lines: Sequence[str]) -> None:
    pass

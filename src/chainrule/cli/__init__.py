"""The command line, one file per command; `--help` imports nothing heavy."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from chainrule.cli.common import app, fail, filtered
from chainrule.errors import InputError, UsageError

COMMANDS = ("train", "predict", "evaluate", "export", "explain", "check", "count", "examples")  # in the order of --help
OUT_OF_MEMORY = "out of memory: use fewer rows, fewer nodes or a smaller --batch-size"

for command in COMMANDS:
    import_module(f"chainrule.cli.{command}")  # registers the command with the application


def main() -> None:
    """Run the command line; exit codes are 0 success, 1 failure, 2 wrong usage. Bad input never ends in a traceback."""
    from chainrule.tables.memory import reserve_little

    reserve_little()
    with _ending_in_good_order(), filtered():
        try:
            app(prog_name="chainrule")
        except UsageError as error:
            fail(error, 2)
        except InputError as error:
            fail(error, 1)
        except MemoryError as error:
            fail(str(error) or OUT_OF_MEMORY, 1)
        except BrokenPipeError:
            sys.stderr.close()  # the reader closed the pipe
            sys.exit(1)
        except OSError as error:
            fail(error, 1)
        except (KeyboardInterrupt, RuntimeError) as error:
            if "RESOURCE_EXHAUSTED" in str(error):  # the status that JAX reports
                fail(OUT_OF_MEMORY, 1)
            if isinstance(error, RuntimeError) and "interrupted" not in str(error).lower():
                raise
            fail("interrupted", 130)


@contextmanager
def _ending_in_good_order() -> Iterator[None]:
    """On SIGTERM and SIGHUP (unless ignored, as under nohup), exit after removing temporary files."""

    def end(number: int, frame: Any) -> NoReturn:
        raise SystemExit(128 + number)

    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    usual = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)

"""The command line, a file a command; `--help` imports nothing heavy."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from chainrule.cli.common import app, fail, filtered
from chainrule.errors import InputError, UsageError

COMMANDS = ("train", "predict", "evaluate", "export", "explain", "check", "count", "examples")  # as --help lists them
OUT_OF_MEMORY = "out of memory: train on fewer rows, with fewer nodes, or with a smaller --batch-size"

for command in COMMANDS:
    import_module(f"chainrule.cli.{command}")  # which adds it to the application


def main() -> None:
    """Run the command line: 0 done, 1 failed, 2 wrong use; bad input never ends in a traceback."""
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
            sys.stderr.close()  # the reader of our output has seen enough
            sys.exit(1)
        except OSError as error:
            fail(error, 1)
        except (KeyboardInterrupt, RuntimeError) as error:
            if "RESOURCE_EXHAUSTED" in str(error):  # JAX's word for it
                fail(OUT_OF_MEMORY, 1)
            if isinstance(error, RuntimeError) and "interrupted" not in str(error).lower():
                raise
            fail("interrupted", 130)


@contextmanager
def _ending_in_good_order() -> Iterator[None]:
    """SIGTERM and SIGHUP, unless nohup has them ignored, end the process after what was written aside is removed."""

    def end(number: int, frame: Any) -> NoReturn:
        raise SystemExit(128 + number)

    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    usual = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)

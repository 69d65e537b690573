"""Run a training, score the network, write the run folder and print the results."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chainrule.cli.common import answer, fail, nothing, print_lines
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.session.stages import Ready
    from chainrule.tables.prepare import Prepared
    from chainrule.tables.reading import Source
    from chainrule.tables.recorded import Recorded
    from chainrule.tables.request import Request
    from chainrule.training.checkpoints import Resumable
    from chainrule.training.result import Fit


class Shown(NamedTuple):
    """What is printed during and after a run."""

    parameters: bool
    quiet: bool
    as_json: bool

    @property
    def talks(self) -> bool:
        """Whether the output is text for people rather than JSON or a path."""
        return not (self.quiet or self.as_json)

    @property
    def say(self) -> Callable[[list[str]], None]:
        return print_lines if self.talks else nothing


class Begun(NamedTuple):
    """A training that is ready to run: its request, the record in its folder, its tables."""

    path: Path
    request: Request
    recorded: Recorded
    command: tuple[str, ...]  # that repeats the run
    source: Source
    test: Source | None
    keeping: Resumable


def train_and_write(begun: Begun, ready: Ready, training: Callable[..., Fit], shown: Shown) -> None:
    """Train, score, write the run folder with its report, and print the results."""
    from chainrule.explaining import console
    from chainrule.session.stages import scored, write_run

    path = begun.path
    if begun.test:
        with console.reading_line(begun.test, shown.talks):
            check_test_file(ready.prepared, begun.test)
    fit, diverged = _trained(training, ready.recipe.settings.epochs, path, shown)
    done = scored(ready, fit, begun.test)
    try:
        write_run(path, done, ready.plan, begun.recorded, begun.command)
    except InputError as error:
        raise InputError(f"{error}; once that is fixed, {_to_go_on(path)}") from error
    shown.say(["", console.fit_line(fit), "", *console.score_lines(done.scores, done.which)])
    if shown.parameters:
        shown.say(["", *console.parameter_lines(done.model.network, done.model.params)])
    last = [str(path)] if shown.quiet else _next_lines(path)
    answer({"run": str(path), **done.metrics.to_json()}, shown.as_json, last)
    if diverged:
        raise InputError(f"{diverged}; they are in {path}")


def _trained(training: Callable[..., Fit], epochs: int, path: Path, shown: Shown) -> tuple[Fit, ArithmeticError | None]:
    """The fit, and the error if training diverged; an interrupted training ends the process."""
    from chainrule.explaining import console
    from chainrule.training.result import DivergedError, Terminated

    with console.progress_bar(epochs, shown.talks) as progress, _warning_in_lines():
        try:
            return training(progress=progress), None
        except DivergedError as error:
            return error.fit, error
        except Terminated as error:
            fail(f"terminated after epoch {error.epoch:,}; {_to_go_on(path)}", int(error.code or 0))
        except KeyboardInterrupt:
            fail(f"interrupted; {_to_go_on(path)}", 130)


def _to_go_on(path: Path) -> str:
    from chainrule.tables.run_folder import how_to_resume

    return how_to_resume(path)


@contextmanager
def _warning_in_lines() -> Iterator[None]:
    """Print warnings raised during training as lines on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"chainrule: {message}", file=sys.stderr)
        yield


def _next_lines(path: Path) -> list[str]:
    return [
        "",
        f"run folder: {path} (report.html, model.safetensors, history.csv, metrics.json, ...)",
        f"next: chainrule predict {shlex.quote(str(path))} NEW.csv -o predictions.csv",
    ]


def check_test_file(prepared: Prepared, test: Source) -> None:
    """Check before training that the test file has all columns and that their values can be read."""
    from chainrule.tables.kinds import check_values, value_sql
    from chainrule.tables.reading import check_columns, fetch
    from chainrule.tables.target import class_places

    needed = [*prepared.encoding.read_as, *prepared.target.columns]
    check_columns([column.name for column in needed], list(test.types), f"{test.name}: the model needs")
    check_values(test, needed)
    if prepared.target.task != "regression":
        answers = fetch(test, [(column.name, value_sql(test, column)) for column in prepared.target.columns])
        class_places(prepared.target, answers.drop_null())

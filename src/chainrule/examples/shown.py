"""Published examples as lines of text: steps, published and computed numbers, or an exercise with blanks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.examples.worked import Compared, Example, epochs_of, trace_of
from chainrule.explaining.console import table_lines
from chainrule.explaining.story import Course, Opened, Story
from chainrule.explaining.text import View, step_lines
from chainrule.explaining.trace import Trace

WIDTH = 100
BLANK = "__________"


def story_of(example: Example) -> Story:
    """The updates of an example at epochs 1, 10, 100, ... and the last, and its cost history; or its only update."""
    last = example.epochs
    if last == 1:
        return Story((Opened(trace_of(example), {}),))
    traces, costs = epochs_of(example, [10**k for k in range(7) if 10**k < last] + [last])
    frames = tuple(Opened(trace, {}) for trace in traces)
    none = np.full(len(costs), np.nan)
    return Story(frames, 0, Course(np.arange(1, last + 1), costs, none, "at the end of the epoch", last))


def example_lines(example: Example, trace: Trace, compared: Sequence[Compared], row: int, digits: int) -> list[str]:
    """The steps of the first update, the published and computed numbers, and the errata."""
    lines = [*_title(example), *step_lines(Opened(trace, {}), View(row, digits=digits))]
    if compared:
        wrong = [c for c in compared if not c.agrees]
        lines += [
            "",
            f"published and computed numbers: {len(compared) - len(wrong)} of {len(compared)} agree to the last digit",
        ]
        rows = [[c.what, c.published, _as_precise(c), "" if c.agrees else "differs"] for c in compared]
        lines += [f"  {line}" for line in table_lines(["", "published", "computed", ""], rows)]
        lines += [f"  {why}" for why in sorted({f"{_names(wrong, c.why)}: {c.why}" for c in wrong if c.why})]
    if example.erratum:
        lines += ["", *textwrap.wrap(f"Errata: {example.erratum}", WIDTH)]
    return lines


def exercise_lines(example: Example, trace: Trace, row: int, digits: int) -> list[str]:
    """The same steps with blanks for the numbers to be found; a form feed before the solution."""
    steps = step_lines(Opened(trace, {}), View(row, digits=digits))
    given = steps.index(next(line for line in steps if line.startswith("2 ")))
    start = steps.index(next(line for line in steps if line.startswith("3 ")))
    end = max(i for i, line in enumerate(steps) if line.startswith("parameter ") or " parameters before and" in line)
    inputs = [f"  row {trace.rows[row]}: inputs {_list(trace.X[row])}, target {_list(trace.Y[row])}"]
    before = [line.split()[:-2] for line in steps[end + 1 :]]  # a name of one word or two, and the value before
    parameters = table_lines(
        ["  parameter", "before", "after"], [[f"  {' '.join(name)}", value, BLANK] for *name, value in before]
    )
    blanks = [_blank(line) for line in steps[start:end]]
    return [*_title(example), "Exercise", "", *steps[:given], *inputs, "", *blanks, *parameters, "\f", "Solution", ""]


def _title(example: Example) -> list[str]:
    source = [f"from: {example.source}"] if example.source else []
    return [example.title, *source, ""]


def _blank(line: str) -> str:
    """A line without its result and the results before it."""
    if line.startswith("4 cost"):
        return f"{line.split(':')[0]}: {BLANK}"
    if line.startswith("  batch cost"):
        return f"  batch cost: {BLANK} ({line.partition(' (')[2]}"
    if " = " not in line:
        return f"{line.split(' stays ')[0]} = {BLANK}" if " stays " in line else line
    return re.sub(r"\(-?[\d.e-]+\)", "(input sum)", f"{line.split(' = ')[0]} = {BLANK}")


def _as_precise(compared: Compared) -> str:
    """The computed number, with two more digits than the published one."""
    decimals = len(compared.published.partition(".")[2]) + 2
    return f"{compared.ours:.{decimals}f}"


def _names(wrong: Sequence[Compared], why: str) -> str:
    names = dict.fromkeys(c.what.partition("[")[0] for c in wrong if c.why == why)
    return ", ".join(names)


def _list(numbers: Any) -> str:
    return ", ".join(f"{x:g}" for x in numbers)

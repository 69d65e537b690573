"""The report of a run: one page with scores, cost history, importance of columns, and the command to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.explaining.console import counted, left_out_lines
from chainrule.explaining.page.charts import curve_svg, curve_words, scatter_svg
from chainrule.explaining.page.drawing import MOST_DRAWN, drawn_nodes, network_svg
from chainrule.explaining.page.markup import asset, document, filled, raw_table, shortened, table
from chainrule.explaining.story import Course
from chainrule.explaining.text import design_words
from chainrule.explaining.trace import names_of, trace_prediction
from chainrule.tables.fit import TableModel, outputs
from chainrule.tables.importance import FEWEST_ROWS, Importance
from chainrule.tables.metrics import LOWER_IS_BETTER, Scores
from chainrule.tables.recorded import Recorded
from chainrule.tables.target import decode, truth_of

MOST_CLASSES, MOST_DOTS = 30, 500
BAR = 320


class Reported(NamedTuple):
    """The content of a report.

    `X` and `table` hold the scored rows, encoded and as raw columns with targets; `which` is "test" or "training";
    `ended` says why training ended.
    """

    name: str
    model: TableModel
    course: Course
    ended: str
    scores: Scores
    which: str
    X: np.ndarray
    table: Any
    importance: Importance
    command: Sequence[str]
    recorded: Recorded
    finished: str


def report_html(told: Reported) -> str:
    """The report as one self-contained page."""
    target = told.model.target
    shown = _confusion(told) if told.scores.confusion is not None else _against_truth(told)
    title = f"{', '.join(target.names)}: run {told.name}"
    parts = {
        "TITLE": escape(title),
        "SUMMARY": escape(_summary(told)),
        "SCORES": _scores(told),
        "COURSE": _course(told.course),
        "ANSWERS": shown,
        "IMPORTANCE": _importance(told.importance, told.which),
        "NETWORK": _network(told),
        "COMMAND": _command(told),
    }
    return document(title, filled(asset("report.html"), parts))


def _summary(told: Reported) -> str:
    """The summary at the top: what was trained, and how good the result is."""
    n = told.model.about.get("training_rows", 0)
    if not told.course.epoch.size:
        return (
            f"Training diverged in the first epoch, so there is no result: {told.ended}. Try a smaller learning rate."
        )
    learnt = f"{counted(n, 'training row')}, {counted(len(told.model.encoding.columns), 'column')}; {told.ended}. "
    rows = "held-out rows" if told.which == "test" else "training rows"
    for name, network in told.scores.network.items():
        baseline = told.scores.baseline[name]
        if network is not None and baseline is not None:
            beside = f'{baseline:.3f} for the baseline "{told.scores.baseline_is}"'
            score = f"{name.replace('_', ' ')} {network:.3f}"
            return f"{learnt}On {told.scores.rows:,} {rows}: {score}, compared with {beside}."
    return f"{learnt}On {told.scores.rows:,} {rows}, the predictions are too large to be scored."


def _scores(told: Reported) -> str:
    rows = []
    for name, value in told.scores.network.items():
        better = "lower" if name in LOWER_IS_BETTER else "higher"
        cells = [_number(value), _number(told.scores.baseline[name]), better]
        rows.append((name.replace("_", " "), cells, ""))
    sample = told.scores.auc_rows
    note = "" if sample is None else f"; the network's roc auc on a random sample of {counted(sample, 'row')}"
    caption = f"Scores on {told.scores.rows:,} {told.which} rows{note}"
    return table(caption, ["score", "network", told.scores.baseline_is, "better"], rows)


def _course(course: Course) -> str:
    if not len(course.epoch):
        return "<p>No epoch was completed.</p>"
    caption = f"{curve_words(course)} (training cost: {course.cost_is})."
    return f"<figure>{curve_svg(course)}<figcaption>{escape(caption)}</figcaption></figure>"


def _confusion(told: Reported) -> str:
    """The confusion matrix, with true classes as rows and cells shaded by their fraction of the row."""
    scores, rows = told.scores.most_confused(MOST_CLASSES), ""
    classes, matrix = scores.confusion_classes or [], scores.confusion or []
    for label, counts in zip(classes, matrix, strict=True):
        shares = np.array(counts) / max(1, sum(counts))
        cells = "".join(f'<td style="--share:{share:.2f}">{n:,}</td>' for n, share in zip(counts, shares, strict=True))
        rows += f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'
    top = "".join(f'<th scope="col">{escape(label)}</th>' for label in classes)
    top = f'<th scope="col">true \\ predicted</th>{top}'
    caption = "; ".join([f"Confusion matrix: {told.which} rows", *left_out_lines(scores)])
    return raw_table(caption, top, rows, ' class="confusion"')


def _against_truth(told: Reported) -> str:
    """A scatter plot of predicted against true values for each target."""
    target, made = told.model.target, ""
    _, answers = decode(target, outputs(told.model, told.X[:MOST_DOTS]))
    true = truth_of(target, told.table.slice(0, MOST_DOTS))
    for name, predicted, truth in zip(target.names, answers.T, true.T, strict=True):
        rows = counted(len(truth), f"{told.which} row")
        caption = f"{name}: predicted against true values of {rows}; they are equal on the line."
        made += f"<figure>{scatter_svg(truth, predicted, caption)}<figcaption>{escape(caption)}</figcaption></figure>"
    return made


def _importance(told: Importance, which: str) -> str:
    """The importance of each column as numbers and bars, with whiskers of one standard deviation."""
    if not told.columns:
        return f"<p>Not computed: this needs at least {FEWEST_ROWS} scored rows and one column.</p>"
    largest = max(max(r + s for r, s in zip(told.rise, told.spread, strict=True)), 1e-12)
    rows = ""
    for column, rise, spread in zip(told.columns, told.rise, told.spread, strict=True):
        low, high = (BAR * min(1.0, max(0.0, v) / largest) for v in (rise - spread, rise + spread))
        bar = (
            f'<svg viewBox="0 0 {BAR + 4} 16" aria-hidden="true">'
            f'<rect x="0" y="3" width="{BAR * max(0.0, rise) / largest:.1f}" height="10"/>'
            f'<line x1="{low:.1f}" y1="8" x2="{high:.1f}" y2="8"/></svg>'
        )
        told_spread = f"\N{PLUS-MINUS SIGN}{_number(spread)}"
        rows += (
            f'<tr><th scope="row">{escape(column)}</th><td>{_number(rise)}</td><td>{told_spread}</td>'
            f'<td class="rise">{bar}</td></tr>'
        )
    caption = f"Increase of {told.measure} when a column is shuffled among {counted(told.rows, f'{which} row')}"
    left = f"<p>Not tested: {counted(told.left_out, 'column')} with smaller weights in the first layer.</p>"
    top = "".join(f'<th scope="col">{name}</th>' for name in ("column", "increase", "spread", "increase and spread"))
    return (
        raw_table(caption, top, rows)
        + (left if told.left_out else "")
        + '<p class="how">Mean and standard deviation over 5 shuffles. Correlated columns can substitute for each '
        "other, so that each of them may appear unimportant.</p>"
    )


def _network(told: Reported) -> str:
    """The network, drawn with the prediction for the first scored row."""
    network, model = told.model.network, told.model
    text = f"{design_words(network)}; cost {network.cost.name}; {network.n_parameters:,} parameters."
    if not len(told.X):
        return f"<p>{escape(text)}</p>"
    X = np.asarray(told.X[:1], np.float64)
    names = names_of(network, model.encoding.inputs, model.target.outputs)
    trace = trace_prediction(network, model.params, X, names=names)
    drawn = drawn_nodes(trace, 0)
    largest = max(float(np.abs(layer.W).max()) for layer in model.params) or 1.0
    svg = network_svg(trace.names, trace.params, [a[0] for a in trace.forward.a], drawn, largest, 3, still=True)
    wide = " Only the nodes on the strongest paths are shown." if max(network.layers) > MOST_DRAWN else ""
    caption = f"Nodes show their values for the first {told.which} row.{wide} Dashed red lines are negative weights."
    return f'<p>{escape(text)}</p><figure class="network">{svg}<figcaption>{escape(caption)}</figcaption></figure>'


def _command(told: Reported) -> str:
    recorded, about = told.recorded, told.model.about
    versions = ", ".join(f"{name} {version}" for name, version in recorded.versions.items())
    files = ", ".join(f"{shortened(Path(file.path).name, 60)} ({file.bytes:,} bytes)" for file in recorded.files)
    made = f"Seed {about.get('seed', 0)}, {about.get('dtype', 'float32')}; {versions}; Python {recorded.python}"
    again = f"chainrule explain {shlex.quote(told.name)} --epoch 1 --html page.html"
    return (
        f'<pre tabindex="0">cd {escape(shlex.quote(recorded.folder))}\n{escape(shlex.join(_again(told.command)))}</pre>'
        f"<p>{escape(made)}; finished {escape(told.finished)}.{f' Data: {escape(files)}.' if files else ''}</p>"
        + (f"<p>To see every number of an update: <code>{escape(again)}</code></p>" if told.course.epoch.size else "")
    )


def _again(command: Sequence[str]) -> list[str]:
    """The words of the command, without the output folder, which already exists."""
    words, kept = iter(command), []
    for word in words:
        if word in ("-o", "--out"):
            next(words, None)
        elif not word.startswith("--out="):
            kept.append(word)
    return kept


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1e6 else f"{value:.6g}"

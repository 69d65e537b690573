"""The output of the command line: each function formats results as lines of plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chainrule.explaining.trace import names_of
from chainrule.training.rules import rule_words

if TYPE_CHECKING:
    from threading import Event

    from chainrule.network import Network, Params
    from chainrule.tables.encoding import Encoding
    from chainrule.tables.fit import TableModel
    from chainrule.tables.metrics import Scores
    from chainrule.tables.prepare import Prepared
    from chainrule.tables.reading import Source
    from chainrule.tables.shared import Shared
    from chainrule.tables.streamed import Streamed
    from chainrule.training.result import Fit, Progress
    from chainrule.training.settings import TrainingSettings

MOST_CLASSES_SHOWN = 12
SILENT_FOR = 1.0  # seconds of reading before a progress line is shown

SENTENCES = {
    "epochs": "all epochs completed",
    "cost_goal": "cost goal reached",
    "min_gradient": "gradient norm below the minimum",
    "unchanged": "parameters no longer changing",
    "no_improvement": "validation cost stopped improving",
    "max_seconds": "time limit reached",
    "interrupted": "interrupted (Ctrl-C)",
    "diverged": "cost became NaN or infinite",
}


def preparation_lines(source: Source, prepared: Prepared) -> list[str]:
    """The table, the target, the inputs, the dropped columns, and the split of the rows."""
    split, lines = prepared.split, _table_lines(source, prepared, prepared.n_rows)
    without = prepared.n_rows - len(prepared.X)
    if without:
        names = ", ".join(prepared.target.names)
        lines.append(_field("dropped", f"{counted(without, 'row')} without a value in {names}"))
    parts = [f"{len(split.train):,} training"]
    parts += [f"{len(split.validation):,} validation"] if len(split.validation) else []
    parts += [f"{len(split.test):,} test"] if len(split.test) else []
    lines.append(_field("rows", ", ".join(parts)))
    return lines + [_field("hint", hint) for hint in prepared.hints]


def streamed_lines(source: Source, streamed: Streamed) -> list[str]:
    """The same for a streamed table, of which a sample is scored."""
    held = streamed.rows.held.n if streamed.rows.held else 0
    rows = f"{streamed.rows.rows.n:,} training rows, {held:,} validation rows"
    return _sampled_lines(source, streamed.prepared, streamed.n_rows, _field("streamed", rows))


def shared_lines(source: Source, shared: Shared, processes: int) -> list[str]:
    """The same for a table that several processes have read."""
    rows = f"{'1 process' if processes == 1 else f'{processes} processes'}, {shared.n_train:,} training rows"
    return _sampled_lines(source, shared.prepared, shared.n_rows, _field("shared", rows))


def _sampled_lines(source: Source, sample: Prepared, n_rows: int, rows: str) -> list[str]:
    lines = [*_table_lines(source, sample, n_rows), rows]
    tested = f", including {counted(len(sample.split.test), 'test row')}" if len(sample.split.test) else ""
    lines.append(_field("sample", f"{len(sample.X):,} rows (to fit categories, ranks and classes){tested}"))
    return lines + [_field("hint", hint) for hint in sample.hints]


def _table_lines(source: Source, prepared: Prepared, n_rows: int) -> list[str]:
    """The table, the target, the inputs, and the dropped columns."""
    encoding = prepared.encoding
    lines = [f"{source.name}: {n_rows:,} rows, {len(source.types)} columns"]
    lines.append(_field("target", _target_words(prepared)))
    lines.append(
        _field("inputs", f"{counted(len(encoding.columns), 'column')} as {counted(len(encoding.inputs), 'input')}")
    )
    return lines + [_field("dropped", f"{name}: {why}") for name, why in encoding.dropped]


def export_lines(model: TableModel, out: str) -> list[str]:
    """The inputs and outputs of an ONNX file of the model."""
    from chainrule.tables.columns import KINDS

    width = max(len(column.name) for column in model.encoding.columns)
    columns = [f"  {column.name.ljust(width)}  {KINDS[column.kind].exported}" for column in model.encoding.columns]
    gives = "prediction" if model.target.task == "regression" else "prediction, probabilities"
    return [f"{out}: one input of shape (rows, 1) per column", *columns, f"outputs: {gives}"]


def settings_lines(settings: TrainingSettings) -> list[str]:
    """The network and how it is trained."""
    network = settings.network
    design = "-".join(map(str, network.layers))
    activations = ", ".join(activation.name for activation in network.activations)
    batches = "the whole table per update" if settings.batch_size is None else f"batches of {settings.batch_size}"
    penalty = f", l2 {network.l2:g}" if network.l2 else ""
    most = f"up to {counted(settings.epochs, 'epoch')}"
    extras = [f"dropout {settings.dropout:g}"] if settings.dropout else []
    extras += [f"parameters averaged over the updates ({settings.average:g})"] if settings.average else []
    return [
        _field("network", f"{design}, {activations}: {counted(network.n_parameters, 'parameter')}"),
        _field("cost", f"{network.cost.name} ({network.reduction}{penalty})"),
        _field("training", ", ".join([rule_words(settings.rule), batches, most, f"seed {settings.seed}"])),
        *([_field("", ", ".join(extras))] if extras else []),
    ]


def encoding_lines(encoding: Encoding) -> list[str]:
    """How each column is encoded."""
    rows = [[column.name, column.kind, column.how()] for column in encoding.columns]
    rows += [[name, "dropped", why] for name, why in encoding.dropped]
    return table_lines(["column", "kind", "inputs"], rows, left=3)


def fit_line(fit: Fit) -> str:
    """Why and when training ended, and the epoch whose parameters were kept."""
    seconds = fit.history.seconds[-1] if fit.epochs else 0.0
    line = (
        f"trained for {counted(fit.epochs, 'epoch')} ({seconds:.1f} s): {SENTENCES.get(fit.stopped_by, fit.stopped_by)}"
    )
    why = "" if all(cost != cost for cost in fit.history.validation_cost) else " (lowest validation cost)"
    return f"{line}; kept parameters of epoch {fit.best_epoch:,}{why}"


def score_lines(scores: Scores, which: str) -> list[str]:
    """Metrics of the network and the baseline, and the confusion matrix of the most frequent classes."""
    rows = [
        [name.replace("_", " "), _number(value), _number(scores.baseline[name])]
        for name, value in scores.network.items()
    ]
    lines = table_lines([f"{scores.rows:,} {which} rows", "network", scores.baseline_is], rows)
    if scores.auc_rows is not None:
        lines.append(f"the network's roc auc is computed on a random sample of {counted(scores.auc_rows, 'row')}")
    shown = scores.most_confused(MOST_CLASSES_SHOWN)
    if shown.confusion is None or shown.confusion_classes is None:
        return lines
    matrix = [[label, *map(str, row)] for label, row in zip(shown.confusion_classes, shown.confusion, strict=True)]
    return [*lines, "", *table_lines(["true \\ predicted", *shown.confusion_classes], matrix), *left_out_lines(shown)]


def left_out_lines(scores: Scores) -> list[str]:
    """A note on the last row and column of the confusion matrix if they combine several classes."""
    if not scores.left_out or scores.confusion_classes is None:
        return []
    own, last = len(scores.confusion_classes) - 1, scores.confusion_classes[-1]
    return [
        f"the {own} most frequent of {own + scores.left_out:,} classes; {last} combines the other {scores.left_out:,}"
    ]


def count_lines(network: Network) -> list[str]:
    """Weights and biases of each layer, and the totals."""
    pairs = list(zip(network.layers, network.layers[1:], strict=False))
    rows = [
        [f"{i + 1}", f"{n_in} -> {n_out}", f"{n_in * n_out:,}", f"{n_out:,}", f"{n_in * n_out + n_out:,}"]
        for i, (n_in, n_out) in enumerate(pairs)
    ]
    rows.append(["total", "", f"{network.n_weights:,}", f"{network.n_biases:,}", f"{network.n_parameters:,}"])
    return table_lines(["layer", "nodes", "weights", "biases", "parameters"], rows, left=2)


def parameter_lines(network: Network, params: Params, digits: int = 3) -> list[str]:
    """Weights and biases in the lecture's layout: one row per source node, then all biases."""
    names = names_of(network).nodes
    blocks: list[tuple[Sequence[str], list[list[str]]]] = []
    for i, (W, _) in enumerate(params):
        source, to = _layer_name(network, i), _layer_name(network, i + 1)
        if W.shape[1] == 1:
            header, rows = names[i], [[f"{source}->{to}", *_fixed(W[:, 0], digits)]]
        else:
            header, rows = (
                names[i + 1],
                [[f"{name}->{to}", *_fixed(w, digits)] for name, w in zip(names[i], W, strict=True)],
            )
        if blocks and blocks[-1][0] == header:
            blocks[-1][1].extend(rows)
        else:
            blocks.append((header, rows))
    blocks.append(
        (
            [name for layer in names[1:] for name in layer],
            [["biases", *(v for _, b in params for v in _fixed(b, digits))]],
        )
    )
    return [line for header, rows in blocks for line in table_lines(["", *header], rows)]


def table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, width: int | None = None
) -> list[str]:
    """Aligned columns: the first `left` ones to the left, numbers to the right.

    Columns that do not fit into `width` follow in a second table, which repeats the first column.

    >>> table_lines(["metric", "network"], [["accuracy", "0.9"]])
    ['metric    network', 'accuracy      0.9']
    """
    if width is not None and (fit := _columns_that_fit(header, rows, width)) < len(header):
        parts = [[0, *range(1, fit)], [0, *range(fit, len(header))]]
        first, rest = ([[row[i] for i in part] for row in (header, *rows)] for part in parts)
        return [*table_lines(first[0], first[1:], left), "", *table_lines(rest[0], rest[1:], left, width)]
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    aligned = [
        [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    return ["  ".join(row).rstrip() for row in aligned]


def _columns_that_fit(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> int:
    """How many columns, at least two, fit into `width` together."""
    widths = [2 + max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]
    return max(2, sum(sum(widths[: i + 1]) - 2 <= width for i in range(len(widths))))


@contextmanager
def progress_bar(epochs: int, wanted: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error with epoch, rate, cost and time left, if standard error is a terminal."""
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("epoch {task.completed:,.0f} of up to {task.total:,.0f}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[rate]}  cost {task.fields[cost]}"),
        TimeRemainingColumn(),
    )
    terminal = getattr(sys.stderr, "unfiltered", sys.stderr)  # unfiltered: the bar needs control characters
    with Bar(*columns, console=Console(file=terminal), transient=True) as bar:
        task = bar.add_task("", total=epochs, rate="compiling", cost="-")

        def show(now: Progress) -> None:
            held = "" if now.validation_cost != now.validation_cost else f", validation {now.validation_cost:.4g}"
            rate = f"{now.epoch / max(now.seconds, 1e-9):,.0f} epochs/s"
            bar.update(task, completed=now.epoch, rate=rate, cost=f"{now.cost:.4g}{held}")

        yield show


@contextmanager
def reading_line(source: Source, wanted: bool) -> Iterator[Callable[[], None]]:
    """A progress line on standard error while a table is read, if that takes long and standard error is a terminal.

    The yielded function removes the line, so that other output can be printed.
    """
    if not (wanted and sys.stderr.isatty()):
        yield lambda: None
        return
    from threading import Event, Thread

    done = Event()
    telling = Thread(target=_tell_of_reading, args=(source, done), daemon=True)

    def end() -> None:
        done.set()
        telling.join()

    telling.start()
    try:
        yield end
    finally:
        end()


def _tell_of_reading(source: Source, done: Event) -> None:
    if done.wait(SILENT_FOR):
        return
    from rich.console import Console
    from rich.text import Text

    from chainrule.tables.reading import share_read

    terminal = getattr(
        sys.stderr, "unfiltered", sys.stderr
    )  # a line that is updated in place is drawn with control characters
    line = "reading " + "".join(c if c.isprintable() else "\ufffd" for c in source.name)
    with Console(file=terminal).status(Text(line)) as status:
        while not done.wait(0.25):
            share = share_read(source)
            status.update(Text(line if share is None else f"{line}: {share:.0%} of this pass"))


def _target_words(prepared: Prepared) -> str:
    target = prepared.target
    if target.task == "regression":
        spans = [
            f"{name} (mean {mean:g}, standard deviation {std:g})"
            for name, mean, std in zip(target.names, target.mean, target.std, strict=True)
        ]
        return f"{', '.join(spans)}: regression"
    shares = sorted(zip(prepared.frequencies, target.classes, strict=True), reverse=True)
    shown = ", ".join(f"{label} {share:.0%}" for share, label in shares[:MOST_CLASSES_SHOWN])
    more = ", ..." if len(shares) > MOST_CLASSES_SHOWN else ""
    return f"{target.names[0]}: {len(target.classes)} classes ({shown}{more})"


def _layer_name(network: Network, i: int) -> str:
    hidden = len(network.layers) - 2
    return "IN" if i == 0 else "ON" if i == hidden + 1 else "HL" if hidden == 1 else f"HL{i}"


def _field(name: str, text: str) -> str:
    return f"  {name:<9}{text}"


def counted(n: int, what: str) -> str:
    """A count with its noun, in the plural unless the count is one."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _fixed(values: Any, digits: int) -> list[str]:
    return [f"{float(value):.{digits}f}" for value in values]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value and abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3f}"

"""The command line: train, predict, evaluate; the others are in `cli_looking`. Saying --help imports nothing heavy."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer

from chainrule.cli_together import MAX_RESTARTS, Among
from chainrule.cli_training import Wanted, train_here
from chainrule.cli_writing import Shown
from chainrule.command_line import (
    Files,
    Json,
    MaxRows,
    Run,
    Sql,
    answer,
    app,
    fail,
    filtered,
    flag,
    option,
    print_lines,
)
from chainrule.errors import InputError, UsageError

OUT_OF_MEMORY = "out of memory: train on fewer rows, with fewer nodes, or with a smaller --batch-size"


@app.command(epilog="Example: chainrule train churn.csv --target churn -o runs/churn")
def train(
    ctx: typer.Context,
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="CSV, TSV, Parquet, JSON lines; globs (cap: --max-rows N)."),
    ] = None,
    target: Annotated[
        list[str] | None, option("-t", "--target", "COL", "Column to predict (repeat for several).")
    ] = None,
    out: Annotated[str | None, option("-o", "--out", "RUN", "Folder to write [runs/NAME-1, -2 ...].")] = None,
    sql: Sql = None,
    max_rows: Annotated[int | None, typer.Option("--max-rows", hidden=True)] = None,  # FILES tells of it
    task: Annotated[str | None, option("--task", "TASK", "binary, multiclass or regression.")] = None,
    drop: Annotated[list[str] | None, option("--drop", "COL", "Leave a column out (repeat).")] = None,
    test_size: Annotated[float, option("--test-size", "SHARE", "Rows held out for the scores [0.2].")] = 0.2,
    test_file: Annotated[str | None, option("--test-file", "FILE", "Score on this file instead.")] = None,
    validation_size: Annotated[float, option("--validation-size", "SHARE", "Of the rest, to stop early [0.2].")] = 0.2,
    normalize: Annotated[bool, flag("--normalize/--no-normalize", "Z-score numbers [yes].")] = True,
    quantiles: Annotated[bool, flag("--quantiles/--no-quantiles", "Numbers by rank, too [from 2,000 rows].")] = True,
    balanced: Annotated[bool, flag("--balanced", "Give every class the same weight.")] = False,
    hidden: Annotated[str | None, option("--hidden", "N,N", "Nodes per hidden layer; 0 for none.")] = None,
    activation: Annotated[
        str | None, option("--activation", "NAME", "Hidden layers', or one per layer: a,b,c.")
    ] = None,
    cost: Annotated[str | None, option("--cost", "NAME", "Cost to minimise, such as huber:1.5.")] = None,
    reduction: Annotated[str, option("--reduction", "NAME", "mean or sum over rows [mean].")] = "mean",
    l2: Annotated[float | None, option("--l2", "X", "Penalty on squared weights.")] = None,
    dropout: Annotated[float | None, option("--dropout", "X", "Share of hidden nodes left out at a time.")] = None,
    initial: Annotated[str | None, option("--initial", "NAME", "uniform, gaussian, he ... or FILE.json.")] = None,
    rule: Annotated[str | None, option("--rule", "NAME", "gradient_descent, momentum, nesterov, adam ...")] = None,
    learning_rate: Annotated[float | None, option("--learning-rate", "X", "Size of a step.")] = None,
    schedule: Annotated[str | None, option("--schedule", "SPEC", "step:0.5:100, inverse_time:0.01, cosine ...")] = None,
    average: Annotated[float | None, option("--average", "X", "Decay of averaged parameters; 0 for none.")] = None,
    batch_size: Annotated[str | None, option("--batch-size", "N", "Rows per update, or all.")] = None,
    epochs: Annotated[int | None, option("--epochs", "N", "At most so many passes.")] = None,
    patience: Annotated[int | None, option("--patience", "N", "Epochs without a lower validation cost.")] = None,
    cost_goal: Annotated[float | None, option("--cost-goal", "X", "Stop below this training cost.")] = None,
    min_gradient: Annotated[float | None, option("--min-gradient", "X", "Stop below this gradient norm.")] = None,
    unchanged: Annotated[float | None, option("--unchanged", "X", "Stop when no parameter moves by more.")] = None,
    max_seconds: Annotated[float | None, option("--max-seconds", "X", "Stop after so long.")] = None,
    keep_every: Annotated[int | None, option("--keep-every", "N", "Checkpoints every N epochs, too.")] = None,
    stream: Annotated[bool | None, flag("--stream/--no-stream", "Keep rows on disk [if need be].")] = None,
    resume: Annotated[str | None, option("--resume", "RUN", "Go on with a run that was cut off.")] = None,
    save_every: Annotated[str | None, option("--save-every", "N", "For that: every N epochs, or Ns seconds.")] = None,
    changed_data: Annotated[bool, typer.Option("--changed-data", hidden=True)] = False,  # the refusal tells of it
    trust: Annotated[bool, typer.Option("--trust", hidden=True)] = False,  # so does the one of a recorded query
    processes: Annotated[int | None, option("--processes", "N", "Train on so many (on hosts: README).")] = None,
    coordinator: Annotated[str | None, typer.Option("--coordinator", hidden=True)] = None,
    num_processes: Annotated[int | None, typer.Option("--num-processes", hidden=True)] = None,
    process_id: Annotated[int | None, typer.Option("--process-id", hidden=True)] = None,
    max_restarts: Annotated[int, typer.Option("--max-restarts", hidden=True)] = MAX_RESTARTS,
    dtype: Annotated[str, option("--dtype", "NAME", "float32 or float64 [float32].")] = "float32",
    seed: Annotated[int, option("--seed", "N", "Of split, parameters and order [0].")] = 0,
    show_parameters: Annotated[bool, flag("--show-parameters", "Print weights and biases.")] = False,
    dry_run: Annotated[bool, flag("--dry-run", "Show encoding and network; train nothing.")] = False,
    quiet: Annotated[bool, flag("-q", "--quiet", "Print only the run folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network on a table and write a run folder."""
    from chainrule.cli_request import given_in

    among = Among(processes, coordinator, num_processes, process_id, max_restarts)
    train_here(
        Wanted(given_in(ctx), out, resume, dry_run, changed_data, trust, max_rows, among),
        Shown(show_parameters, quiet, as_json),
    )


@app.command(epilog="Example: chainrule predict runs/churn-1 new.csv -o predictions.csv")
def predict(
    run: Run,
    data: Files = None,
    out: Annotated[str, option("-o", "--out", "FILE", ".csv, .tsv, .parquet or .jsonl; - prints [-].")] = "-",
    sql: Sql = None,
    max_rows: MaxRows = None,
    quiet: Annotated[bool, flag("-q", "--quiet", "Say nothing.")] = False,
) -> None:
    """Add predictions to the columns of a table.

    Rows keep their order; classes come with their probabilities.
    """
    from chainrule import console
    from chainrule.tables.predicting import predict_to
    from chainrule.tables.reading import check_rows, open_table
    from chainrule.tables.runs import load_table_model

    model, source = load_table_model(run), open_table(data or [], sql)
    with console.reading_line(source, not quiet and not (out == "-" and sys.stdout.isatty())):
        check_rows(source, max_rows)
        rows = predict_to(model, source, out)
    if out != "-" and not quiet:
        print_lines([f"{rows:,} rows predicted: {out}"])


@app.command(epilog="Example: chainrule evaluate runs/churn-1 labelled.csv")
def evaluate(
    run: Run,
    data: Files = None,
    sql: Sql = None,
    max_rows: MaxRows = None,
    as_json: Json = False,
) -> None:
    """Score a trained network on rows with known targets."""
    from chainrule import console
    from chainrule.tables import predicting
    from chainrule.tables.reading import check_rows, open_table
    from chainrule.tables.runs import load_table_model, trained_on

    model, source = load_table_model(run), open_table(data or [], sql)
    with console.reading_line(source, not as_json):
        check_rows(source, max_rows)
        scores, without = predicting.evaluate(model, source)
    notes = [f"left out {without:,} rows without a target", ""] if without else []
    if trained_on(run, source):
        notes += ["this is the file that the run was trained on: its training rows are among those scored", ""]
    answer(scores.to_json(), as_json, [*notes, *console.score_lines(scores, "given")])


import chainrule.cli_looking  # noqa: E402, F401  registers its commands, after those above


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


if __name__ == "__main__":
    main()

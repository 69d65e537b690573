"""`chainrule train`: a network trained on a table, and its run folder."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.common import Json, Sql, app, flag, option
from chainrule.cli.together import MAX_RESTARTS, Among
from chainrule.cli.trainings import Wanted, train_here
from chainrule.cli.writing import Shown


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
    database: Annotated[str | None, typer.Option("--database", hidden=True)] = None,  # --sql tells of it
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
    from chainrule.cli.request import given_in

    among = Among(processes, coordinator, num_processes, process_id, max_restarts)
    train_here(
        Wanted(given_in(ctx), out, resume, dry_run, changed_data, trust, max_rows, among),
        Shown(show_parameters, quiet, as_json),
    )

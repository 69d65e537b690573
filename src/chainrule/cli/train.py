"""`chainrule train`: train a network on a table and write its run folder."""

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
        typer.Argument(metavar="FILES", help="CSV, TSV, Parquet, JSON Lines; globs (limit: --max-rows)."),
    ] = None,
    target: Annotated[list[str] | None, option("-t", "--target", "COL", "Column to predict; may be repeated.")] = None,
    out: Annotated[str | None, option("-o", "--out", "RUN", "Run folder to create [runs/NAME-1, -2, ...].")] = None,
    sql: Sql = None,
    max_rows: Annotated[int | None, typer.Option("--max-rows", hidden=True)] = None,  # mentioned in the help of FILES
    task: Annotated[str | None, option("--task", "TASK", "binary, multiclass or regression [inferred].")] = None,
    drop: Annotated[list[str] | None, option("--drop", "COL", "Column to leave out; may be repeated.")] = None,
    test_size: Annotated[
        float, option("--test-size", "FRACTION", "Fraction of rows held out for testing [0.2].")
    ] = 0.2,
    test_file: Annotated[str | None, option("--test-file", "FILE", "File to test on instead.")] = None,
    validation_size: Annotated[
        float, option("--validation-size", "FRACTION", "Fraction of the rest for early stopping [0.2].")
    ] = 0.2,
    normalize: Annotated[bool, flag("--normalize/--no-normalize", "Standardise numeric columns [yes].")] = True,
    quantiles: Annotated[bool, flag("--quantiles/--no-quantiles", "Add inputs for ranks [from 2,000 rows].")] = True,
    balanced: Annotated[bool, flag("--balanced", "Weight rows so that classes count equally.")] = False,
    hidden: Annotated[str | None, option("--hidden", "N,N", "Nodes per hidden layer; 0 for none [64,32].")] = None,
    activation: Annotated[
        str | None, option("--activation", "NAME", "Of hidden layers, or per layer: a,b,c [silu].")
    ] = None,
    cost: Annotated[str | None, option("--cost", "NAME", "Cost function, such as huber:1.5.")] = None,
    reduction: Annotated[str, option("--reduction", "NAME", "mean or sum of the cost over rows [mean].")] = "mean",
    l2: Annotated[float | None, option("--l2", "X", "L2 penalty on the weights.")] = None,
    dropout: Annotated[float | None, option("--dropout", "X", "Dropout rate of the hidden layers.")] = None,
    initial: Annotated[str | None, option("--initial", "NAME", "uniform, gaussian, he, ... or FILE.json.")] = None,
    rule: Annotated[str | None, option("--rule", "NAME", "gradient_descent, momentum, adam, ... [adam].")] = None,
    learning_rate: Annotated[float | None, option("--learning-rate", "X", "Learning rate [0.002].")] = None,
    schedule: Annotated[
        str | None, option("--schedule", "SPEC", "step:0.5:100, inverse_time:0.01, cosine, ...")
    ] = None,
    average: Annotated[float | None, option("--average", "X", "Decay of the parameter average; 0 for none.")] = None,
    batch_size: Annotated[str | None, option("--batch-size", "N", "Rows per update, or 'all'.")] = None,
    epochs: Annotated[int | None, option("--epochs", "N", "Maximum number of epochs [1000].")] = None,
    patience: Annotated[int | None, option("--patience", "N", "Epochs without improvement before stopping.")] = None,
    cost_goal: Annotated[float | None, option("--cost-goal", "X", "Stop when the training cost is below X.")] = None,
    min_gradient: Annotated[
        float | None, option("--min-gradient", "X", "Stop when the gradient norm is below X.")
    ] = None,
    unchanged: Annotated[
        float | None, option("--unchanged", "X", "Stop when no parameter changes by more than X.")
    ] = None,
    max_seconds: Annotated[float | None, option("--max-seconds", "X", "Time limit in seconds.")] = None,
    keep_every: Annotated[int | None, option("--keep-every", "N", "Keep an extra checkpoint every N epochs.")] = None,
    stream: Annotated[bool | None, flag("--stream/--no-stream", "Stream rows from disk [if memory is short].")] = None,
    resume: Annotated[str | None, option("--resume", "RUN", "Resume an interrupted run.")] = None,
    save_every: Annotated[str | None, option("--save-every", "N", "Save state every N epochs, or Ns seconds.")] = None,
    changed_data: Annotated[bool, typer.Option("--changed-data", hidden=True)] = False,  # mentioned in the error
    trust: Annotated[bool, typer.Option("--trust", hidden=True)] = False,  # likewise
    processes: Annotated[
        int | None, option("--processes", "N", "Number of processes (hosts: docs/cluster.md).")
    ] = None,
    coordinator: Annotated[str | None, typer.Option("--coordinator", hidden=True)] = None,
    num_processes: Annotated[int | None, typer.Option("--num-processes", hidden=True)] = None,
    process_id: Annotated[int | None, typer.Option("--process-id", hidden=True)] = None,
    max_restarts: Annotated[int, typer.Option("--max-restarts", hidden=True)] = MAX_RESTARTS,
    dtype: Annotated[str, option("--dtype", "NAME", "float32 or float64 [float32].")] = "float32",
    seed: Annotated[int, option("--seed", "N", "Random seed [0].")] = 0,
    show_parameters: Annotated[bool, flag("--show-parameters", "Print the weights and biases.")] = False,
    dry_run: Annotated[bool, flag("--dry-run", "Show encoding and network without training.")] = False,
    quiet: Annotated[bool, flag("-q", "--quiet", "Print only the path of the run folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network on a table and write a run folder."""
    from chainrule.cli.request import given_in

    among = Among(processes, coordinator, num_processes, process_id, max_restarts)
    train_here(
        Wanted(given_in(ctx), out, resume, dry_run, changed_data, trust, max_rows, among),
        Shown(show_parameters, quiet, as_json),
    )

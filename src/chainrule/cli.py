"""The command line: train, predict, evaluate; the others are in `cli_looking`. Saying --help imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli_together import (
    CHANGED_DATA,
    MAX_RESTARTS,
    Among,
    supervised,
    train_one_of_several,
    train_together,
    with_places_of,
)
from chainrule.cli_training import (
    Shown,
    about_of,
    check_test_file,
    command_document,
    fail,
    kept_for_replay,
    recipe_of,
    train_and_write,
)
from chainrule.command_line import (
    Files,
    Json,
    Run,
    Sql,
    answer,
    app,
    flag,
    nothing,
    option,
    print_lines,
    use_compilation_cache,
)
from chainrule.errors import InputError, UsageError

GOING_ON: ContextVar[str | None] = ContextVar("GOING_ON", default=None)  # the run that --resume names


@app.command(epilog="Example: chainrule train churn.csv --target churn -o runs/churn")
def train(
    data: Files = None,
    target: Annotated[
        list[str] | None, option("-t", "--target", "COL", "Column to predict (repeat for several).")
    ] = None,
    out: Annotated[str | None, option("-o", "--out", "RUN", "Folder to write [runs/NAME-1, -2 ...].")] = None,
    sql: Sql = None,
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
    from chainrule import console
    from chainrule.resuming import Resumable
    from chainrule.supervising import told_by_supervisor
    from chainrule.tables.fitting import fit_table
    from chainrule.tables.plan import plan_of
    from chainrule.tables.preparing import prepare
    from chainrule.tables.reading import open_table
    from chainrule.tables.recipe import BOUNDED_COSTS, COSTS_OF_NUMBERS, Wishes
    from chainrule.tables.runs import RESUME, ROWS, begin_run, claimed, free_run_path
    from chainrule.tables.streamed import fit_streamed, kept_query, prepare_sample, prepare_streamed, would_not_fit

    if resume is not None:
        _go_on(resume)
        return
    _check_flags(target, task, drop, seed, dtype)
    wishes = Wishes(
        hidden=_whole_numbers("--hidden", hidden),
        activation=activation.replace("-", "_").split(",") if activation else None,
        cost=cost.replace("-", "_") if cost else None,
        reduction=reduction,
        l2=l2,
        initial=_initial(initial),
        rule=rule,
        learning_rate=learning_rate,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        patience=patience,
        cost_goal=cost_goal,
        min_gradient=min_gradient,
        unchanged=unchanged,
        max_seconds=max_seconds,
        dropout=dropout,
        average=average,
    )
    preparing: dict[str, Any] = {
        "targets": target or [],
        "task": task or ("regression" if wishes.cost and wishes.cost.split(":")[0] in COSTS_OF_NUMBERS else None),
        "drop": drop or [],
        "normalize": normalize,
        "quantiles": quantiles,
        "normalize_target": wishes.cost not in BOUNDED_COSTS,
        "test_size": 0.0 if test_file else test_size,
        "validation_size": validation_size,
        "seed": seed,
        "dtype": dtype,
    }
    shown = Shown(show_parameters, quiet, as_json)
    going_on, told = GOING_ON.get(), None if dry_run else told_by_supervisor()
    among = Among(processes, coordinator, num_processes, process_id, max_restarts)
    if told or (not dry_run and among.is_asked_for()):
        _check_shared(stream, keep_every)
        if told is None:
            run = Path(going_on or (free_run_path(out, _run_name(data, target or [])) if among.is_first() else "."))
            supervised(among, run, going_on is not None, changed_data)
        sys.argv = [word for word in sys.argv if word != CHANGED_DATA]  # what command.json will tell
        keeping = Resumable(Path(told.run) / RESUME, _save_every(save_every), changed_data)
        asked = (told, data or [], sql, test_file, wishes, preparing, balanced, keeping, shown)
        train_together(told, partial(train_one_of_several, *asked))
        return
    if dry_run and processes is not None:
        raise UsageError("--dry-run: shows what one process would do, whose split is another; leave --processes out")
    say = nothing if quiet or as_json else print_lines
    source = open_table(data or [], sql)
    test = None if test_file is None else open_table([test_file])
    path = Path(going_on) if going_on else free_run_path(out, _run_name(data, target or []))
    keeping = Resumable(path / RESUME, _save_every(save_every), changed_data)
    ranked = quantiles and normalize
    streams = would_not_fit(source, target or [], quantiles=ranked, dtype=dtype) if stream is None else stream
    if streams and keep_every is not None:
        raise UsageError("--keep-every: updates of rows that are streamed cannot be replayed; leave it out")
    with nullcontext() if dry_run else claimed(path, going_on is not None):
        command = command_document(source, sql, streams)
        if not dry_run:
            begin_run(path, command)
        streamed = None
        if streams:
            rows = source if dry_run else kept_query(source, path / ROWS)
            sample = prepare_sample(rows, balanced=balanced, **preparing)
            prepared, n_train = sample.prepared, None
            if not dry_run:
                streamed = prepare_streamed(sample, path / ROWS, balanced=balanced, seed=seed, dtype=dtype)
                n_train = streamed.rows.n
                lines = console.streamed_lines(source, streamed)
            else:
                lines = console.preparation_lines(source, prepared)
        else:
            prepared, n_train = prepare(source, **preparing), None
            lines = console.preparation_lines(source, prepared)
        recipe = recipe_of(prepared, wishes, seed, dtype, n_train)
        say([*lines, *console.recipe_lines(recipe, seed)])
        if dry_run:
            encoding = {"encoding": prepared.encoding.to_json(), "target": prepared.target.to_json()}
            answer(encoding, as_json, ["", *console.encoding_lines(prepared.encoding)])
            return
        if test:
            check_test_file(prepared, test)
        if streamed is not None:
            plan, training = None, partial(fit_streamed, streamed, recipe, seed=seed, resumable=keeping)
        else:
            plan = plan_of(recipe, preparing, balanced, seed, dtype)
            training = partial(
                fit_table,
                prepared,
                recipe,
                seed=seed,
                dtype=dtype,
                balanced=balanced,
                checkpoint=partial(kept_for_replay, path),
                keep_every=keep_every,
                resumable=keeping,
            )
        use_compilation_cache()
        about = about_of(seed, dtype, n_train or len(prepared.split.train))
        train_and_write(training, command, test, prepared, recipe, about, plan, path, shown)


@app.command(epilog="Example: chainrule predict runs/churn-1 new.csv -o predictions.csv")
def predict(
    run: Run,
    data: Files = None,
    out: Annotated[str, option("-o", "--out", "FILE", ".csv, .tsv, .parquet or .jsonl; - prints [-].")] = "-",
    sql: Sql = None,
    quiet: Annotated[bool, flag("-q", "--quiet", "Say nothing.")] = False,
) -> None:
    """Add predictions to the columns of a table.

    Rows keep their order; classes come with their probabilities.
    """
    from chainrule.tables.predicting import predict_to
    from chainrule.tables.reading import open_table
    from chainrule.tables.runs import load_table_model

    rows = predict_to(load_table_model(run), open_table(data or [], sql), out)
    if out != "-" and not quiet:
        typer.echo(f"{rows:,} rows predicted: {out}")


@app.command(epilog="Example: chainrule evaluate runs/churn-1 labelled.csv")
def evaluate(
    run: Run,
    data: Files = None,
    sql: Sql = None,
    as_json: Json = False,
) -> None:
    """Score a trained network on rows with known targets."""
    from chainrule import console
    from chainrule.tables import predicting
    from chainrule.tables.reading import open_table
    from chainrule.tables.runs import load_table_model, trained_on

    model, source = load_table_model(run), open_table(data or [], sql)
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
    try:
        app(prog_name="chainrule")
    except UsageError as error:
        fail(error, 2)
    except InputError as error:
        fail(error, 1)
    except MemoryError as error:
        fail(error or "out of memory: train on fewer rows", 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has seen enough
        sys.exit(1)
    except OSError as error:
        fail(error, 1)
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "interrupted" not in str(error).lower():
            raise
        fail("interrupted", 130)


def _go_on(run: str) -> None:
    """Call the run's own command again, with what was said beside --resume added to it."""
    import os

    from chainrule.tables.runs import forget_how_to_resume, is_finished, read_command, read_metrics

    place = sys.argv.index("--resume") if "--resume" in sys.argv else sys.argv.index(f"--resume={run}")
    added = [*sys.argv[2:place], *sys.argv[place + (1 if "=" in sys.argv[place] else 2) :]]
    made = read_command(run)
    if is_finished(run):
        ended = read_metrics(run)
        forget_how_to_resume(Path(run))  # it may have been killed before it did
        told = f"{run} is finished: {ended['epochs']:,} epochs, ended by {ended['stopped_by']}"
        if set(added) - {"--json", "-q", "--quiet"}:
            raise UsageError(f"{told}; it cannot go on: train another")
        answer({"run": run, **ended}, "--json" in added, [told])
        return
    recorded, folder = made["command"][1:], Path(made["folder"])
    if recorded[:1] != ["train"] or any(word.startswith("--resume") for word in recorded):
        raise InputError(f"{run}: its command cannot be called again: {' '.join(made['command'])}")
    if not folder.is_dir():
        raise InputError(f"{run}: was begun in {folder}, which is no longer there: its files cannot be found")
    path = run if folder.samefile(Path.cwd()) else str(Path(run).absolute())
    os.chdir(folder)
    if not {"--stream", "--no-stream"} & {*recorded, *added}:
        added.append("--stream" if made.get("streamed") else "--no-stream")
    if made.get("shared"):
        recorded, added = with_places_of(recorded, added)
    end = recorded.index("--") if "--" in recorded else len(recorded)
    words = [*recorded[:end], *added, *recorded[end:]]
    sys.argv = ["chainrule", *(word for word in words if word != CHANGED_DATA)]  # what command.json will tell
    token = GOING_ON.set(path)
    try:
        app(args=words, prog_name="chainrule", standalone_mode=False)
    finally:
        GOING_ON.reset(token)


def _save_every(given: str | None) -> int | float | None:
    """Epochs, or seconds with an s."""
    if given is None:
        return None
    try:
        every = float(given[:-1]) if given.endswith("s") else int(given)
    except ValueError:
        every = 0
    if not every > 0:
        raise UsageError(f"--save-every: expected epochs or seconds above 0, such as 100 or 30s; got {given!r}")
    return every


def _check_shared(stream: bool | None, keep_every: int | None) -> None:
    if stream:
        raise UsageError("--stream: each of several processes has its rows in memory: use more of them, or one")
    if keep_every is not None:
        raise UsageError("--keep-every: updates of several processes cannot be replayed; leave it out")


def _check_flags(target: list[str] | None, task: str | None, drop: list[str] | None, seed: int, dtype: str) -> None:
    if not target:
        raise UsageError("--target is missing: name the column to predict, such as --target churn")
    if task not in (None, "binary", "multiclass", "regression"):
        raise UsageError(f"--task: expected binary, multiclass or regression, got {task}")
    if len(set(target)) < len(target) or set(target) & set(drop or ()):
        raise UsageError("--target: a column is named twice, or dropped as well")
    if seed < 0:
        raise UsageError(f"--seed: expected 0 or more, got {seed}")
    if dtype not in ("float32", "float64"):
        raise UsageError(f"--dtype: expected float32 or float64, got {dtype}")


def _run_name(data: list[str] | None, target: Sequence[str]) -> str:
    stem = Path(data[0]).name.split(".")[0].strip("*?[] ") if data else "query"
    return stem or "-".join(target)


def _initial(given: str | None) -> Any:
    """A scheme's name, or the layers of a JSON file: {"W1": [[...]], "b1": [...], "W2": ...}."""
    if given is None or not given.endswith(".json"):
        return given
    import numpy as np

    from chainrule.artifacts import parsed

    try:
        data = parsed(Path(given).read_text(encoding="utf-8"))
        n = sum(key.startswith("W") for key in data)
        return [tuple(np.array(data[f"{name}{i}"], float) for name in "Wb") for i in range(1, n + 1)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'--initial {given}: expected JSON such as {{"W1": [[...]], "b1": [...], ...}}: {error!r}'
        ) from None


def _whole_numbers(flag: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.replace("-", ",").split(",")]
    except ValueError:
        raise UsageError(f"{flag}: expected whole numbers such as 64,32; got {text!r}") from None
    return [] if numbers == [0] else numbers


if __name__ == "__main__":
    main()

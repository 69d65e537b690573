"""Training on a table: reading, preparing, training, scoring and writing the results. Nothing here prints or exits.

`chainrule train` reports each of these steps to the terminal; `fit_table` runs all of them in one call.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

import numpy as np

from chainrule.errors import InputError, UsageError, nearest
from chainrule.explaining import Explanation, explain_update
from chainrule.explaining.console import score_lines
from chainrule.explaining.notebook import framed
from chainrule.session.stages import (
    Scored,
    prepared_in_memory,
    ready_in_memory,
    ready_streamed,
    recorded_of,
    rows_read,
    scored,
    streamed_to,
    trained,
    write_run,
)
from chainrule.tables.frames import is_frame, like, open_frame
from chainrule.tables.metrics import Scores
from chainrule.tables.predict import evaluate, predict_to, predicted
from chainrule.tables.reading import Source, open_table
from chainrule.tables.reading.once import read_once
from chainrule.tables.recorded import Named
from chainrule.tables.request import Request
from chainrule.tables.run_folder import REPORT, ROWS, begin_run, claimed
from chainrule.tables.streamed import streams


class Run:
    """A network trained on a table by `fit_table`: its scores, and predictions for other tables.

    Attributes
    ----------
    path : Path
        The folder with the files of `chainrule train`; temporary, unless `fit_table` was given a `path`, until `save`.
    model : TableModel
        The network, its parameters and the encoding of the columns.
    fit : Fit
        The result of the training.
    scores : Scores
    scored_on : str
        The rows that `scores` are computed on: "test", or "training" if none were held out.

    Examples
    --------
    >>> import pyarrow as pa, chainrule as cr
    >>> run = cr.fit_table(pa.table({"x": [*range(100)], "y": [*range(100)]}), target="y", epochs=2)
    >>> run.scored_on, run.fit.epochs
    ('test', 2)
    """

    def __init__(self, path: Path, done: Scored, source: Source):
        self.path, self.model, self.fit, self.scores = path, done.model, done.fit, done.scores
        self.scored_on = done.which
        self._source = source if source.database is None else None  # a database is opened again, as recorded

    def __repr__(self) -> str:
        said = "; ".join(line.strip() for line in score_lines(self.scores, self.scored_on)[1:3])
        return f"Run({self.fit!r}; {said})"

    def _repr_html_(self) -> str:
        return framed(self.report(), repr(self))

    def predict(self, data: Any, out: str | os.PathLike[str] | None = None) -> Any:
        """Predict the target of new rows, in their order.

        Parameters
        ----------
        data : frame, path or sequence of paths
            A pandas, polars or Arrow table, the path of a file, several paths, or a glob.
        out : path, optional
            A file to write the rows and their predictions to, in the format of its suffix.

        Returns
        -------
        frame or path
            A frame of the same kind as `data`, an Arrow table for a path, or `out` if it was given. Its columns are
            `prediction` (or one per target) and, for classes, the probability of each.

        Raises
        ------
        InputError
            If a column of the model is missing, or contains a value that cannot be read.
        """
        source = table_of(data)
        if out is not None:
            predict_to(self.model, source, str(out))
            return out
        return like(data, predicted(self.model, source))

    def predict_proba(self, data: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        data : frame, path or sequence of paths
            As in `predict`.

        Returns
        -------
        array of shape (n_rows, n_classes)

        Raises
        ------
        UsageError
            If the target is a number.
        InputError
            If a column of the model is missing, or contains a value that cannot be read.
        """
        if self.model.target.task == "regression":
            raise UsageError("predict_proba: the target is a number; use predict")
        answers = predicted(self.model, table_of(data))
        return np.column_stack([column.to_numpy() for column in answers.columns[1:]])

    def evaluate(self, data: Any) -> Scores:
        """Compute the scores on the rows that have a target.

        Parameters
        ----------
        data : frame, path or sequence of paths
            As in `predict`, with the target columns.

        Returns
        -------
        Scores

        Raises
        ------
        InputError
            If a column is missing, contains a value that cannot be read, or no row has a target.
        """
        return evaluate(self.model, table_of(data))[0]

    def explain(self, epoch: int = 1, batch: int | None = None, row: int | None = None) -> Explanation:
        """Replay an update of the training bit for bit and explain it; see `chainrule.explain`.

        Parameters
        ----------
        epoch : int, default=1
        batch : int, optional
            The update of the epoch, counted from 1; by default the first, or the one that contains `row`.
        row : int, optional
            The row of the table whose computation is written out.

        Returns
        -------
        Explanation

        Raises
        ------
        InputError
            If there is no such update or row, or the training cannot be replayed.
        """
        return explain_update(self.path, epoch, batch, row, Named(source=self._source, trust=True))

    def report(self) -> str:
        """Read the report of the run.

        Returns
        -------
        str
            One self-contained HTML page.
        """
        return (self.path / REPORT).read_text(encoding="utf-8")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Copy the files of the run into a new folder, for `chainrule predict`, `chainrule explain` and `load`.

        Parameters
        ----------
        path : path

        Raises
        ------
        InputError
            If `path` exists.
        """
        if Path(path).exists():
            raise InputError(f"{path}: already exists; name another folder")
        shutil.copytree(self.path, path)
        self.path = Path(path)


def fit_table(
    data: Any = None,
    target: str | Sequence[str] = (),
    *,
    sql: str | None = None,
    database: str | None = None,
    path: str | os.PathLike[str] | None = None,
    **request: Any,
) -> Run:
    """Train a network on a table, like `chainrule train` but without printing or exiting.

    Parameters
    ----------
    data : path, sequence of paths or frame, optional
        The path of a CSV, Parquet or JSON lines file, several paths, or a glob; or a pandas, polars or Arrow table,
        or a DuckDB relation.
    target : str or sequence of str
        The column to predict, or several numeric columns.
    sql : str, optional
        A query, in place of `data`.
    database : str, optional
        The database that the query reads: a DuckDB or SQLite file, or the URL of a PostgreSQL database.
    path : path, optional
        The run folder to write, in place of a temporary folder.
    **request
        The flags of `chainrule train`, such as ``hidden=(32,)``, ``epochs=50``, ``drop=("id",)`` or ``seed=1``:
        the fields of `chainrule.tables.request.Request`.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If the table cannot be read or used; a `UsageError`, which is one, if a setting is invalid.
    DivergedError
        If the cost becomes NaN or infinite; its `fit` has the last finite parameters.

    Examples
    --------
    >>> import pyarrow as pa, chainrule as cr
    >>> table = pa.table({"x": list(range(200)), "y": ["low"] * 100 + ["high"] * 100})
    >>> run = cr.fit_table(table, target="y", epochs=60)
    >>> run.predict(pa.table({"x": [3, 190]})).column("prediction").to_pylist()
    ['low', 'high']
    """
    asked = _request(data, target, sql, database, request)
    if path is not None:
        return _fitted(table_of(data, sql, database), asked, Path(path))
    scratch = mkdtemp(prefix="chainrule-")
    try:
        run = _fitted(table_of(data, sql, database), asked, Path(scratch, "run"))
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    finalize(run, shutil.rmtree, scratch, ignore_errors=True)
    return run


def _fitted(source: Source, request: Request, folder: Path) -> Run:
    """Carry out a request in a run folder."""
    test = None if request.test_file is None else open_table([request.test_file])
    with claimed(folder, False):
        rows = rows_read(source, request)
        is_streamed = bool(request.data or request.sql) and streams(request, rows)
        recorded = recorded_of(request, source, test, ("chainrule.fit_table",), streamed=is_streamed)
        begin_run(folder, recorded)
        if is_streamed:
            ready = ready_streamed(streamed_to(folder / ROWS, rows, request), request)
        else:
            ready = ready_in_memory(prepared_in_memory(rows, request), request)
        fit = trained(ready, folder, keep_every=request.keep_every)
        done = scored(ready, fit, test and read_once(test))
        write_run(folder, done, ready.plan, recorded, recorded.command)
    return Run(folder, done, source)


def table_of(data: Any, sql: str | None = None, database: str | None = None) -> Source:
    """A frame, a path, several paths, a glob or a query (of a database) as a table."""
    if data is not None and is_frame(data):
        if database is not None:
            raise UsageError("database: requires sql= and cannot be combined with a frame")
        return open_frame(data)
    return open_table(_paths(data), sql, database=database)


def _paths(data: Any) -> list[str]:
    if data is None:
        return []
    if isinstance(data, str | os.PathLike):
        return [str(data)]
    if isinstance(data, list | tuple) and all(isinstance(path, str | os.PathLike) for path in data):
        return [str(path) for path in data]
    raise UsageError(
        f"data: expected a path, several paths, or a pandas, polars or Arrow table; got {type(data).__name__}"
    )


def _request(
    data: Any, target: str | Sequence[str], sql: str | None, database: str | None, given: dict[str, Any]
) -> Request:
    known = [field.name for field in fields(Request)]
    for name in given:
        if name not in known or name in ("data", "processes", "save_every"):
            raise UsageError(f"fit_table: unknown setting {name!r}{nearest(name, known)}")
    targets = (target,) if isinstance(target, str) else tuple(target)
    if not targets:
        raise UsageError('fit_table: name the column to predict, such as target="churn"')
    files = () if data is not None and is_frame(data) else tuple(_paths(data))
    listed: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in given.items()}
    for name in ("drop", "activation"):
        if isinstance(listed.get(name), str):
            listed[name] = (listed[name],)
    return Request(data=files, sql=sql, database=database, target=targets, **listed)

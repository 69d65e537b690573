"""Models of every kind in one file, without pickle: a table's, an estimator, or a bare network with its parameters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from chainrule.errors import in_one_line, shortened
from chainrule.network import Network, Params
from chainrule.storage.documents import newer
from chainrule.storage.models import read_model, write_model
from chainrule.tables.fit import TableModel
from chainrule.tables.run_folder import load_table_model, save_table_model, table_model_of


def save(model: Any, path: str | os.PathLike[str], *, optimizer: bool = False) -> None:
    """Write a model to one safetensors file: weights, design, and all that its predictions need; no code.

    Parameters
    ----------
    model
        A fitted `MLPClassifier` or `MLPRegressor`; a scikit-learn pipeline of `StandardScaler` and `MinMaxScaler`
        that ends in one; the model of a table; or a pair (network, params).
    optimizer : bool
        Of an estimator, the state of its optimiser too, so that a loaded one goes on with `partial_fit`, or with
        `fit` where `warm_start="resume"`, bit for bit.

    Raises
    ------
    InputError
        If the network has a function of your own, which only code can define; if a step of the pipeline is of
        another kind; or if `path` cannot be written.
    TypeError
        If `model` is anything else.

    Examples
    --------
    >>> import tempfile, numpy as np, chainrule as cr
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = cr.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, 3 * X[:, 0])
    >>> path = tempfile.mkdtemp() + "/line.safetensors"
    >>> cr.save(model, path)
    >>> bool((cr.load(path).predict(X) == model.predict(X)).all())
    True
    """
    if isinstance(model, TableModel):
        save_table_model(path, model)
    elif isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], Network):
        write_model(path, *model, document={"kind": "network"})
    else:
        from chainrule.estimators.pipelines import to_plain

        network, params, document, arrays = to_plain(model, optimizer)
        write_model(path, network, params, {**document, "versions": _versions()}, arrays)


def load(path: str | os.PathLike[str]) -> Any:
    """The model of a file that `save` or `chainrule train` wrote, or of a run folder; nothing in it is executed.

    Returns
    -------
    MLPClassifier, MLPRegressor, Pipeline, TableModel or (Network, Params)

    Raises
    ------
    InputError
        If the file is missing, truncated, altered or forged: tensors that are missing or too many, wrong shapes,
        weights that are not finite, a document that makes no sense.
    """
    if Path(path).is_dir() or not Path(path).exists():
        return load_table_model(path)
    stored = read_model(path)
    kind = stored.document.get("kind", "table")
    if kind == "table":
        return table_model_of(stored, path)
    if kind == "network":
        bare: tuple[Network, Params] = (stored.network, stored.params)
        return bare
    if kind == "estimator":
        from chainrule.estimators.saving import estimator_from_plain

        return estimator_from_plain(stored, path)
    if kind == "pipeline":
        from chainrule.estimators.pipelines import pipeline_from_plain

        return pipeline_from_plain(stored, path)
    raise newer(path, f"a model of the kind {in_one_line(shortened(str(kind)))!r}")


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("chainrule", "numpy", "scikit-learn")}

"""Saving and loading all kinds of models without pickle: table models, estimators, networks with parameters."""

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
    """Write a model to one safetensors file, with everything its predictions need and without code.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor, Pipeline, TableModel or tuple (network, params)
        A fitted estimator; a scikit-learn pipeline of `StandardScaler` and `MinMaxScaler` that ends in one; the model
        of a table; or a network with its parameters.
    path : path
        The file to write.
    optimizer : bool, default=False
        Also save the optimiser state of an estimator, so that after loading, `partial_fit`, or `fit` with
        ``warm_start="resume"``, continues bit for bit.

    Raises
    ------
    InputError
        If the network has a function of your own, which only code can define; if a pipeline step is not supported;
        if there is no optimiser state to save; or if `path` cannot be written.
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
    """Load a model from a file that `save` or `chainrule train` wrote, or from a run folder.

    Nothing in the file is executed.

    Parameters
    ----------
    path : path
        A model file or a run folder.

    Returns
    -------
    MLPClassifier, MLPRegressor, Pipeline, TableModel or tuple (network, params)

    Raises
    ------
    InputError
        If the file is missing, truncated or altered: missing or unexpected tensors, wrong shapes, weights that are
        not finite, or an invalid document.

    Examples
    --------
    >>> import tempfile, chainrule as cr
    >>> network, path = cr.Network([2, 1]), tempfile.mkdtemp() + "/network.safetensors"
    >>> cr.save((network, cr.initialize(network)), path)
    >>> cr.load(path)[0] == network
    True
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

"""The plan of a run: the settings needed to read its table again and replay any of its updates."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from chainrule.errors import InputError
from chainrule.network import Network
from chainrule.storage.documents import read_document
from chainrule.tables.request import Preparing, Request
from chainrule.training.settings import TrainingSettings, settings_from_json


@dataclass(frozen=True)
class Plan:
    """How the table of a run is prepared, whether classes are balanced, and how the network is trained."""

    preparing: Preparing
    balanced: bool
    settings: TrainingSettings

    def to_json(self) -> dict[str, Any]:
        """The document of plan.json; an InputError if a setting can only be defined in code."""
        return {
            "preparing": asdict(self.preparing),
            "balanced": self.balanced,
            "training": self.settings.to_json(),
        }


@dataclass(frozen=True)
class _Document:
    preparing: Preparing
    balanced: bool
    training: dict[str, Any]

    def __post_init__(self) -> None:
        checked = ("batch_size", "epochs", "dropout", "average", "seed", "dtype")
        Request(**{name: self.training[name] for name in checked})  # checks the values


def read_plan(path: str | os.PathLike[str], network: Network) -> Plan:
    """Read the plan of a network from a file.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    network : Network
        The network of the run.

    Returns
    -------
    Plan
        The settings of the run.

    Raises
    ------
    InputError
        If the file contains no plan, or one with invalid values.
    """
    try:
        document = read_document(path, _Document)
        return Plan(document.preparing, document.balanced, settings_from_json(network, document.training))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a plan that this version of Chainrule can read: {error!r}") from error

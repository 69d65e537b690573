"""A column fitted alone, and formulas worked out as they are written."""

import math
import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from chainrule.tables.columns import Column
from chainrule.tables.encoding import fit_encoding

MOMENT = r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?"
NAMES = {"clip": lambda x, low, high: min(max(x, low), high), "sin": math.sin, "cos": math.cos, "pi": math.pi}


@pytest.fixture
def fit():
    def fitted(values, kind="number", normalize=True, pieces=0):
        table = pa.table({"x": values})
        return table, fit_encoding(table, [Column("x", kind)], normalize, pieces)

    return fitted


@pytest.fixture
def worked_out():
    """The inputs of a value that a formula works out, by their places: as they are written."""

    def evaluated(column, value):
        formulas = {place: column.formula(place, value, "({:.12g})".format) for place in column.worked_out}
        return {place: eval(_of_numbers(formula), dict(NAMES)) for place, formula in formulas.items()}

    return evaluated


def _of_numbers(formula):
    """Moments as days since 1970, without words."""
    plain = re.sub(r" (days|of the \w+)", "", formula)
    return re.sub(MOMENT, lambda found: repr(_days(found[0])), plain)


def _days(moment):
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() / 86_400

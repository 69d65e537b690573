"""Which rows a process reads of a table that several share, and whether they have the same table."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainrule.tables.reading import open_table
from chainrule.tables.shared import LOOKED_AT, fingerprint, rows_between
from chainrule.tables.streamed import NUMBER

ROWS = {"a": list(range(10)), "b": [f"b{i}" for i in range(10)], "y": [i / 4 for i in range(10)]}


def written(path, names, some, kinds=None):
    columns = {name: ROWS[name][some] for name in names}
    if path.suffix == ".parquet":
        pq.write_table(pa.table({n: pa.array(x, (kinds or {}).get(n)) for n, x in columns.items()}), path)
    else:
        lines = [",".join(names), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(lines) + "\n")


def rows_of(source):
    table = source.connection.sql(f"SELECT * FROM {source.sql}").to_arrow_table().sort_by(NUMBER)
    return {name: table[name].to_pylist() for name in ["a", "b", "y", NUMBER]}


def both(tmp_path, suffix, *files):
    for i, (names, some, *kinds) in enumerate(files):
        written(tmp_path / f"{i}.{suffix}", names, some, *kinds)
    return open_table([str(tmp_path / f"*.{suffix}")])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("ends", [(0, 10), (0, 5, 10), (0, 3, 7, 8, 10)])
def test_every_row_is_somebodys(tmp_path, suffix, ends):
    source = both(tmp_path, suffix, ("aby", slice(0, 6)), ("aby", slice(6, 10)))
    parts = [rows_of(rows_between(source, *between)) for between in pairwise(ends)]
    for name, values in {**ROWS, NUMBER: list(range(1, 11))}.items():
        found = [x for part in parts for x in part[name]]
        assert [str(x) for x in found] == [str(x) for x in values] or np.allclose(found, values)


def test_columns_go_by_their_names(tmp_path):
    source = both(tmp_path, "parquet", ("aby", slice(0, 6)), ("yab", slice(6, 10), {"y": pa.float32()}))
    assert rows_of(rows_between(source, 4, 8)) == {n: x[4:8] for n, x in ROWS.items()} | {NUMBER: [5, 6, 7, 8]}


def test_a_column_with_the_name_that_is_used_to_count_rows(tmp_path):
    pq.write_table(pa.table({**ROWS, "File_Row_Number": ROWS["a"]}), tmp_path / "0.parquet")
    source = open_table([str(tmp_path / "0.parquet")])
    assert rows_of(rows_between(source, 4, 8))["a"] == ROWS["a"][4:8]


def test_fingerprints(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    content = np.random.default_rng(0).bytes(5 * LOOKED_AT)
    one.write_bytes(content)
    other.write_bytes(content)
    assert fingerprint(one) == fingerprint(other)
    for place in (0, len(content) // 2, len(content) - 1):
        other.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert fingerprint(one) != fingerprint(other)
    other.write_bytes(content + b"x")
    assert fingerprint(one) != fingerprint(other)

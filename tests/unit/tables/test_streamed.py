import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainrule.errors import InputError
from chainrule.scaling.shards import plain_blocks
from chainrule.tables import streamed as room
from chainrule.tables.prepare import prepare
from chainrule.tables.reading import open_table
from chainrule.tables.streamed import kept_query, prepare_sample, prepare_streamed, would_not_fit

N = 4000
SETTINGS = {"test_size": 0.2, "validation_size": 0.25, "seed": 0, "dtype": "float64", "normalize": True}


@pytest.fixture
def path(tmp_path):
    """A table sorted by its target, with words, dates and gaps."""
    rng = np.random.default_rng(0)
    a, colour = rng.normal(3, 2, N), np.array(["red", "green", "blue"])[rng.integers(0, 3, N)]
    y = a + (colour == "red") > 3.3
    b = np.where(rng.random(N) < 0.1, np.nan, rng.normal(100, 30, N))
    day = np.datetime64("2024-01-01") + rng.integers(0, 700, N)
    order = np.argsort(y, kind="stable")
    columns = {"number": np.arange(N), "a": a, "colour": colour, "b": b, "day": day, "y": np.where(y, "yes", "no")}
    pq.write_table(pa.table({name: x[order] for name, x in columns.items()}), tmp_path / "t.parquet")
    return str(tmp_path / "t.parquet")


def streamed(path, folder, monkeypatch, sample=1000, **settings):
    monkeypatch.setattr(room, "SAMPLE", sample)
    settings = {"balanced": False, **SETTINGS, **settings}
    sample = prepare_sample(open_table([path]), ["y"], **settings)
    how = {name: settings[name] for name in ("balanced", "seed", "dtype")}
    return prepare_streamed(sample, folder, **how)


def rows_of(shards):
    return np.concatenate([block[:there] for block, there in plain_blocks(shards, 100)])


def test_the_parts_have_their_shares_and_no_row_is_in_two(path, tmp_path, monkeypatch):
    made = streamed(path, tmp_path / "rows", monkeypatch)
    n = np.array([made.rows.rows.n, made.rows.held.n])
    np.testing.assert_allclose(n / N, [0.6, 0.2], atol=0.03)
    sample = made.prepared
    assert abs(len(sample.X) - 1000) < 120
    np.testing.assert_allclose([len(part) / len(sample.X) for part in sample.split], [0.6, 0.2, 0.2], atol=0.05)
    encoding = sample.encoding
    place = encoding.inputs.index("number")
    numbers = [set(np.round(rows[:, place], 9)) for rows in (rows_of(made.rows.rows), rows_of(made.rows.held))]
    tested = set(np.round(sample.X[sample.split.test, place], 9))
    assert [len(some) for some in numbers] == list(n)
    assert not numbers[0] & numbers[1]
    assert not tested & (numbers[0] | numbers[1])


def test_means_deviations_and_gaps_are_those_of_all_training_rows(path, tmp_path, monkeypatch):
    made = streamed(path, tmp_path / "rows", monkeypatch, quantiles=False)
    rows = rows_of(made.rows.rows)
    for name in ("number", "a"):
        column = rows[:, made.prepared.encoding.inputs.index(name)]
        assert column.mean() == pytest.approx(0, abs=1e-9)
        assert column.std(ddof=1) == pytest.approx(1)
    assert "b missing" in made.prepared.encoding.inputs


def test_with_the_whole_table_as_sample_the_encoding_is_that_in_memory(path, tmp_path, monkeypatch):
    settings = {"quantiles": False}
    made = streamed(path, tmp_path / "rows", monkeypatch, sample=10**9, **settings)
    in_memory = prepare(open_table([path]), ["y"], **SETTINGS, **settings)
    assert made.prepared.encoding.inputs == in_memory.encoding.inputs
    assert made.prepared.target == in_memory.target
    numbers = rows_of(made.rows.rows)
    assert numbers.shape[1] == len(in_memory.encoding.inputs) + 2
    assert set(np.unique(numbers[:, -2])) == {0.0, 1.0}
    np.testing.assert_array_equal(numbers[:, -1], 1)


def test_balanced_classes_weigh_the_same(path, tmp_path, monkeypatch):
    made = streamed(path, tmp_path / "rows", monkeypatch, sample=10**9, balanced=True)
    rows = rows_of(made.rows.rows)
    yes, no = (rows[rows[:, -2] == k, -1].sum() for k in (1, 0))
    assert yes == pytest.approx(no, rel=1e-6)


def test_the_same_files_every_time(path, tmp_path, monkeypatch):
    one, other = (streamed(path, tmp_path / name, monkeypatch) for name in ("one", "other"))
    assert one.rows.rows.digest == other.rows.rows.digest
    assert streamed(path, tmp_path / "seed", monkeypatch, seed=1).rows.rows.digest != one.rows.rows.digest


def test_a_column_that_is_a_number_in_the_sample_only_is_read_as_text(tmp_path, monkeypatch):
    """Kinds are those of all rows."""
    values = [str(i) for i in range(3000)]
    values[2999] = "many"
    pq.write_table(pa.table({"x": values, "z": np.arange(3000) % 7, "y": np.arange(3000) % 2}), tmp_path / "t.parquet")
    made = streamed(str(tmp_path / "t.parquet"), tmp_path / "rows", monkeypatch, sample=300)
    assert "x" not in made.prepared.encoding.inputs
    assert any("x" in hint and "'many'" in hint for hint in made.prepared.hints)


def test_an_empty_table(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("x,y\n")
    with pytest.raises(InputError, match="no rows of data"):
        streamed(str(tmp_path / "t.csv"), tmp_path / "rows", monkeypatch)


def test_when_a_table_is_streamed_by_itself(path, monkeypatch):
    assert not would_not_fit(open_table([path]))
    monkeypatch.setattr(room, "SHARE_OF_MEMORY", 1e-9)
    assert would_not_fit(open_table([path]))


def test_what_a_table_takes_in_memory_is_told_by_its_first_rows(tmp_path):
    """Text is as long as it is, numbers with quantiles become many inputs, every class an output."""
    n, rng = 50_000, np.random.default_rng(0)
    words = np.array([f"{'long' * 25} {i}" for i in range(40)])
    columns = {"y": np.array([f"c{i}" for i in range(500)])[rng.integers(0, 500, n)]}
    told = {}
    for name, more in (("numbers", rng.normal(size=n)), ("words", words[rng.integers(0, 40, n)])):
        pq.write_table(pa.table(columns | {"x": more}), tmp_path / "t.parquet")
        source = open_table([str(tmp_path / "t.parquet")])
        told[name] = [room._bytes_in_memory(source, targets, True, "float32") for targets in (["y"], ["x"])]
    classes = 3 * n * 4 * 500
    assert told["numbers"][0] == pytest.approx(classes + 3 * n * 4 * 33, rel=0.15)
    assert told["words"][0] == pytest.approx(classes + 3 * n * 4 * 40 + 2 * n * 105, rel=0.15)
    assert told["numbers"][1] < classes / 2


def test_rows_without_a_target_do_not_count(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=2000), rng.integers(0, 2, 2000).astype(float)
    a[::3], y[::3] = 1e6, np.nan
    pq.write_table(pa.table({"a": a, "y": y}), tmp_path / "t.parquet")
    made = streamed(str(tmp_path / "t.parquet"), tmp_path / "rows", monkeypatch, quantiles=False)
    assert abs(made.prepared.encoding.columns[0].mean) < 0.2


def test_balance_that_cannot_be_told_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "SAMPLE", 1000)
    with pytest.raises(InputError, match="--balanced requires classes"):
        prepare_sample(open_table([path]), ["a"], balanced=True, **SETTINGS)


def test_a_query_is_kept_so_that_its_order_is(tmp_path):
    source = open_table([], "SELECT range AS x, range % 2 AS y FROM range(100) ORDER BY random()")
    one, other = (kept_query(source, tmp_path / "rows").connection.execute for _ in range(2))
    sql = f"SELECT x FROM read_parquet('{tmp_path / 'rows' / 'query.parquet'}')"
    assert one(sql).fetchall() == other(sql).fetchall()
    assert kept_query(open_table([str(tmp_path / "rows" / "query.parquet")]), tmp_path).files

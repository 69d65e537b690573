import numpy as np
import pytest

from chainrule.scaling.shards import (
    ShardWriter,
    plain_blocks,
    read_shard,
    scatter,
    shard_of,
    shards_for,
    shuffled_blocks,
)
from chainrule.training.batches import Table

N = 5000


def table(n=N, start=0):
    numbers = np.arange(start, start + n, dtype=np.float64)
    return Table(np.column_stack([numbers, -numbers]), numbers[:, None] * 2, np.ones(n))


def scattered(folder, tables, n_shards=7, seed=0, dtype="float64"):
    return scatter(tables, ShardWriter(folder, n_shards, seed, 2, 1, dtype))


def numbers_of(blocks):
    return np.concatenate([block[:there, 0] for block, there in blocks]).astype(int)


def test_every_row_is_in_every_epoch_once(tmp_path):
    shards = scattered(tmp_path / "rows", [table()])
    assert shards.n == N
    epochs = [numbers_of(shuffled_blocks(shards, 512, 0, epoch)) for epoch in (1, 2)]
    for numbers in (*epochs, numbers_of(plain_blocks(shards, 512))):
        assert sorted(numbers) == list(range(N))
    assert not np.array_equal(*epochs)


def test_a_row_stays_in_one_piece(tmp_path):
    shards = scattered(tmp_path / "rows", [table()])
    for block, there in shuffled_blocks(shards, 300, 0, 1):
        rows = block[:there]
        np.testing.assert_array_equal(rows[:, 1], -rows[:, 0])
        np.testing.assert_array_equal(rows[:, 2], 2 * rows[:, 0])
        np.testing.assert_array_equal(rows[:, 3], 1)
        assert not block[there:].any()


def test_an_epoch_is_a_function_of_seed_and_epoch_however_the_rows_arrive(tmp_path):
    one = scattered(tmp_path / "one", [table()])
    many = scattered(tmp_path / "many", [table(1200), table(1, 1200), table(N - 1201, 1201)])
    assert one.digest == many.digest
    blocks = [list(shuffled_blocks(shards, 256, 3, 4)) for shards in (one, many)]
    for (a, m), (b, n) in zip(*blocks, strict=True):
        np.testing.assert_array_equal(a, b)
        assert m == n


def test_a_table_sorted_by_its_target_is_learnt_in_random_order(tmp_path):
    """Not in windows of neighbours: the share of each quarter of the table in the batches spreads as chance has it."""
    shards = scattered(tmp_path / "rows", [table()])
    numbers = numbers_of(shuffled_blocks(shards, 500, 0, 1))
    batches = numbers.reshape(-1, 50)
    share = (batches < N / 4).mean(axis=1)
    assert share.mean() == pytest.approx(0.25)
    chance = np.sqrt(0.25 * 0.75 / 50)
    assert 0.7 * chance < share.std() < 1.4 * chance
    assert abs(np.corrcoef(numbers, np.arange(N))[0, 1]) < 0.06
    neighbours = np.abs(np.diff(numbers))
    assert abs(neighbours.mean() - N / 3) < 0.05 * N  # of a uniform permutation: a third of the table


def test_files_are_random_samples_of_the_table(tmp_path):
    shards = scattered(tmp_path / "rows", [table()])
    for i, count in enumerate(shards.counts):
        rows = read_shard(shards, i)[:, 0]
        assert len(rows) == count
        assert abs(rows.mean() - N / 2) < 5 * N / np.sqrt(12 * count)


def test_another_seed_another_file():
    rows = np.arange(10_000)
    a, b = (shard_of(rows, seed, 8) for seed in (0, 1))
    assert abs(np.mean(a == b) - 1 / 8) < 0.02
    assert shard_of(rows[100:200], 0, 8).tolist() == a[100:200].tolist()


@pytest.mark.parametrize(("rows", "files"), [(10, 1), (20_000_000, 55), (10**12, 256)])
def test_how_many_files(rows, files):
    assert shards_for(rows, 23, "float32") == files

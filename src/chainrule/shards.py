"""Rows beyond memory: scattered once over files at random, then read file by file, shuffled anew in every epoch.

A row's file is a hash of its number and the seed, so that every file is a random sample of the whole table, in
whatever order the rows came. An epoch reads the files in a random order and shuffles the rows of each: any row may be
in any batch, and a batch has rows of one file, or two, as if they were drawn from the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule.batches import Table, aligned_zeros

SHARD_BYTES = 2**25
MOST_SHARDS = 512


class Shards(NamedTuple):
    """Rows in files: of each the inputs, the targets and the weight, packed one after the other.

    counts: rows in each file; digest: of all rows and where they are.
    """

    folder: Path
    counts: tuple[int, ...]
    n_in: int
    n_out: int
    dtype: str
    digest: str

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def width(self) -> int:
        return self.n_in + self.n_out + 1


def shards_for(rows: int, width: int, dtype: str) -> int:
    """How many files so many rows are scattered over."""
    size = rows * width * np.dtype(dtype).itemsize
    return max(1, min(MOST_SHARDS, -(-size // SHARD_BYTES)))


def scatter(tables: Iterable[Table], folder: Path, n_shards: int, seed: int, dtype: str) -> Shards:
    """Write the rows of all tables, one after the other, to the files of a new folder."""
    folder.mkdir(parents=True)
    counts, digests = np.zeros(n_shards, int), [hashlib.blake2b(digest_size=16) for _ in range(n_shards)]
    start, n_in, n_out = 0, 0, 0
    with ExitStack() as stack:
        files = [stack.enter_context(open(_file(folder, i), "wb")) for i in range(n_shards)]
        for table in tables:
            packed = np.column_stack([table.X, table.Y, table.weights]).astype(dtype, copy=False)
            n_in, n_out = table.X.shape[1], table.Y.shape[1]
            place = shard_of(np.arange(start, start + len(packed)), seed, n_shards)
            start += len(packed)
            packed = packed[np.argsort(place, kind="stable")]
            ends = np.cumsum(np.bincount(place, minlength=n_shards))
            for i, piece in enumerate(np.split(packed, ends[:-1])):
                files[i].write(piece.data)
                digests[i].update(piece.data)
                counts[i] += len(piece)
    whole = hashlib.blake2b(b"".join(d.digest() for d in digests), digest_size=16).hexdigest()
    return Shards(folder, tuple(counts.tolist()), n_in, n_out, dtype, whole)


def shard_of(rows: np.ndarray, seed: int, n_shards: int) -> np.ndarray:
    """The file of each row number: a hash (SplitMix64), so that it depends on nothing else.

    References
    ----------
    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators".

    >>> np.bincount(shard_of(np.arange(30_000), seed=0, n_shards=3)).round(-3).tolist()
    [10000, 10000, 10000]
    """
    z = rows.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
    z = z * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) % np.uint64(n_shards)).astype(int)


def shuffled_blocks(shards: Shards, rows: int, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, int]]:
    """All rows in the order of an epoch, `rows` at a time: (rows, width) arrays, and how many of its rows are there.

    The last is filled up with zeros, whose weight is 0. The order is a function of seed and epoch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(shards.counts))
    block, filled = _zeros(rows, shards), 0
    for i in order:
        shard = read_shard(shards, i)
        shuffled = np.random.default_rng([seed, epoch, int(i)]).permutation(len(shard))
        taken = 0
        while taken < len(shard):
            some = shuffled[taken : taken + rows - filled]
            np.take(shard, some, axis=0, out=block[filled : filled + len(some)], mode="clip")
            taken, filled = taken + len(some), filled + len(some)
            if filled == rows:
                yield block, filled
                block, filled = _zeros(rows, shards), 0
    if filled:
        yield block, filled


def plain_blocks(shards: Shards, rows: int) -> Iterator[tuple[np.ndarray, int]]:
    """All rows, unshuffled, likewise."""
    for i in range(len(shards.counts)):
        shard = read_shard(shards, i)
        for start in range(0, len(shard), rows):
            block, some = _zeros(rows, shards), shard[start : start + rows]
            block[: len(some)] = some
            yield block, len(some)


def read_shard(shards: Shards, i: int) -> np.ndarray:
    """The rows of a file: (rows, width)."""
    return np.fromfile(_file(shards.folder, i), shards.dtype).reshape(-1, shards.width)


def _zeros(rows: int, shards: Shards) -> np.ndarray:
    return aligned_zeros((rows, shards.width), np.dtype(shards.dtype))


def _file(folder: Path, i: int) -> Path:
    return folder / f"rows-{i:04d}.bin"

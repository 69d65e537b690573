"""Rows that exceed memory: distributed over files at random once, then read file by file and shuffled in every epoch.

A row's file is a hash of its number and the seed, so that every file is a random sample of the table, whatever the
order of the rows. An epoch reads the files in random order and shuffles the rows of each: any row may be in any batch,
and a batch consists of rows of one or two files, as if they were drawn from the whole table.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule.errors import InputError
from chainrule.storage.files import remove_own
from chainrule.training.batches import Table, aligned_zeros

FILES = "rows-*.bin"
SHARD_BYTES = 2**25
MOST_SHARDS = 256  # two folders are open at a time, and a process may usually open 1,024 files


class Shards(NamedTuple):
    """Rows in files, each row as its inputs, targets and weight.

    `counts` are the rows of each file; `digest` identifies all rows and their distribution over the files.
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


def bytes_of(rows: int, width: int, dtype: str) -> int:
    """Disk space of a number of rows."""
    return rows * width * np.dtype(dtype).itemsize


def shards_for(rows: int, width: int, dtype: str) -> int:
    """Number of files for a number of rows."""
    return max(1, min(MOST_SHARDS, -(-bytes_of(rows, width, dtype) // SHARD_BYTES)))


@contextmanager
def told_of_room(folder: Path, needed: int) -> Iterator[None]:
    """Convert a full disk to an InputError that states the space needed and the space available."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(folder, needed) from error
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error


def check_room(folder: Path, needed: int) -> None:
    """Check the free disk space before a long time is spent on writing."""
    if needed > shutil.disk_usage(folder).free:
        raise _no_room(folder, needed)


def _no_room(folder: Path, needed: int) -> InputError:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return InputError(
        f"{folder}: the rows need about {needed:,} bytes in this folder, and {shutil.disk_usage(there).free:,} are "
        "available; free some space, or name a run folder on another disk: --out"
    )


class ShardWriter:
    """Writes rows to files, which are open within its context.

    Files of an earlier writer are removed on entry, and all files are removed if the context ends with an error.
    """

    def __init__(self, folder: Path, n_shards: int, seed: int, n_in: int, n_out: int, dtype: str):
        self.folder, self.seed, self.n_in, self.n_out, self.dtype = folder, seed, n_in, n_out, dtype
        self.counts, self.added = np.zeros(n_shards, int), 0
        self.digests = [hashlib.blake2b(digest_size=16) for _ in range(n_shards)]

    def __enter__(self) -> ShardWriter:
        remove_own(self.folder, [FILES])
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.files = [stack.enter_context(open(_file(self.folder, i), "wb")) for i in range(len(self.counts))]
            self.stack = stack.pop_all()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        whole = False
        try:
            self.stack.close()
            whole = failed is None
        finally:
            if not whole:
                remove_own(self.folder, [FILES])

    def add(self, table: Table) -> None:
        """Append each row to its file."""
        packed = np.column_stack([table.X, table.Y, table.weights]).astype(self.dtype, copy=False)
        place = shard_of(np.arange(self.added, self.added + len(packed)), self.seed, len(self.files))
        self.added += len(packed)
        packed = packed[np.argsort(place, kind="stable")]
        counts = np.bincount(place, minlength=len(self.files))
        for i, piece in enumerate(np.split(packed, np.cumsum(counts)[:-1])):
            self.files[i].write(piece.data)
            self.digests[i].update(piece.data)
        self.counts += counts

    def shards(self) -> Shards:
        """Describe the files, once they are closed."""
        whole = hashlib.blake2b(b"".join(d.digest() for d in self.digests), digest_size=16).hexdigest()
        return Shards(self.folder, tuple(self.counts.tolist()), self.n_in, self.n_out, self.dtype, whole)


def scatter(tables: Iterable[Table], writer: ShardWriter) -> Shards:
    """Write the rows of all tables in turn."""
    with writer:
        for table in tables:
            writer.add(table)
    return writer.shards()


def shard_of(rows: np.ndarray, seed: int, n_shards: int) -> np.ndarray:
    """The file of each row number: a hash of the number and the seed alone.

    >>> np.bincount(shard_of(np.arange(30_000), seed=0, n_shards=3)).round(-3).tolist()
    [10000, 10000, 10000]
    """
    z = rows.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
    return (mixed(z) % np.uint64(n_shards)).astype(int)


def mixed(z: np.ndarray) -> np.ndarray:
    """Hash 64-bit integers by SplitMix64.

    References
    ----------
    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators".
    """
    z = z * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def shuffled_blocks(shards: Shards, rows: int, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Iterate over all rows in the order of an epoch: arrays (rows, width), and the number of rows in use.

    The last array is padded with zeros, which have weight 0. The order depends on the seed and the epoch alone.
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
    """Iterate over all rows in the same way, without shuffling."""
    for i in range(len(shards.counts)):
        shard = read_shard(shards, i)
        for start in range(0, len(shard), rows):
            block, some = _zeros(rows, shards), shard[start : start + rows]
            block[: len(some)] = some
            yield block, len(some)


def read_shard(shards: Shards, i: int) -> np.ndarray:
    """Read the rows of a file: (rows, width)."""
    return np.fromfile(_file(shards.folder, i), shards.dtype).reshape(-1, shards.width)


def _zeros(rows: int, shards: Shards) -> np.ndarray:
    return aligned_zeros((rows, shards.width), np.dtype(shards.dtype))


def _file(folder: Path, i: int) -> Path:
    return folder / FILES.replace("*", f"{i:04d}")

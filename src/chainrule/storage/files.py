"""Atomic and durable file writes, even across a power failure; folders locked by one process.

A temporary file is written, flushed and renamed, and its folder is flushed, too, so that files which a command has
reported as written survive a crash of the machine.

References
----------
Pillai et al. (2014), "All file systems are not created equal: on the complexity of crafting crash-consistent
applications".
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from chainrule.errors import InputError

ASIDE = ".aside"  # suffix of temporary files
LOCK = "lock"


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file next to `path`, renamed to `path` if the block succeeds and removed otherwise.

    A replaced file keeps its mode, and its owner if permitted; for a symbolic link, the target is replaced. A device
    or a named pipe is written to directly.

    Raises
    ------
    InputError
        If `path` cannot be written, or is a read-only file.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_aside(folder / "a.txt") as aside:
    ...     _ = aside.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['a.txt']
    """
    try:
        replaced = _status(path)
        if replaced is not None and not stat.S_ISREG(replaced.st_mode):
            _check_stream(path, replaced)
            yield Path(path)
            return
        if replaced is not None and not replaced.st_mode & 0o222:
            raise InputError(f"{path}: is read-only; make it writable (chmod u+w), or name another file")
        with _aside_of(Path(os.path.realpath(path))) as (aside, whole):
            yield aside
            _keep_owner_and_mode(aside, replaced)
            with open(aside, "rb") as file:
                os.fsync(file.fileno())
            aside.replace(whole)
            flush_folder(whole.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {os.strerror(error.errno) if error.errno else error}") from error


@contextmanager
def _aside_of(whole: Path) -> Iterator[tuple[Path, Path]]:
    """A temporary file next to a file, locked while in use to distinguish it from leftovers."""
    remove_left_aside(whole.parent, whole.name)
    handle, name = tempfile.mkstemp(prefix=f".{whole.name}.", suffix=ASIDE, dir=whole.parent)
    aside = Path(name)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield aside, whole
    finally:
        os.close(handle)
        aside.unlink(missing_ok=True)


def _status(path: str | os.PathLike[str]) -> os.stat_result | None:
    """The status of a path, following links; None if it does not exist."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _check_stream(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if not (stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode)):
        raise InputError(f"{path}: already exists and is not a regular file; name another file")


def _keep_owner_and_mode(aside: Path, replaced: os.stat_result | None) -> None:
    if replaced is None:
        aside.chmod(0o666 & ~_umask())
        return
    if (replaced.st_uid, replaced.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(OSError):
            os.chown(aside, replaced.st_uid, replaced.st_gid)
    aside.chmod(stat.S_IMODE(replaced.st_mode))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_left_aside(folder: str | os.PathLike[str], name: str = "*") -> None:
    """Remove temporary files of killed processes from `folder`, but none that are in use."""
    prefix = "." if name == "*" else f".{name}."
    for aside in _names(Path(folder)):
        if aside.startswith(prefix) and aside.endswith(ASIDE):
            _remove_unless_locked(Path(folder, aside))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _remove_unless_locked(aside: Path) -> None:
    with suppress(OSError):
        handle = os.open(aside, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.unlink(missing_ok=True)
        finally:
            os.close(handle)


def write_text(path: str | os.PathLike[str], write: Callable[[IO[str]], Any]) -> None:
    """Write text atomically."""
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        write(file)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and flush each of them, so that they survive a power failure.

    Raises
    ------
    OSError
        If a folder cannot be created.
    """
    missing = [folder, *folder.parents]
    while missing and missing[-1].is_dir():
        missing.pop()
    for path in reversed(missing):
        with suppress(FileExistsError):  # created by another process in the meantime
            path.mkdir()
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk: files that were created, renamed or removed in it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_own(folder: Path) -> None:
    """Refuse a run folder that contains anything but regular files and folders, such as links, pipes or devices.

    Raises
    ------
    InputError
        For the first one that is found.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise InputError(
                    f"{path}: is a link, and run folders with links are not read; replace it by a copy of its target"
                )
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise InputError(f"{path}: is neither a regular file nor a folder; remove it from the run folder")


def remove_own(folder: Path, patterns: Sequence[str]) -> None:
    """Remove files by pattern and leftover temporary files from a folder, and the folder if it is then empty.

    Links are not followed, and other files are kept.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    remove_left_aside(folder)
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)
    with suppress(OSError):  # the folder is not empty
        folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this process, creating it if needed; the system releases the lock when the process ends.

    Raises
    ------
    InputError
        If another process has locked it, or if it cannot be written.
    """
    try:
        make_folder(folder)
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise InputError(f"{folder}: another process is training there; wait for it, or name another folder") from None
    try:
        yield
    finally:
        os.close(lock)

"""Files that are whole or not there, even after a power cut; folders that one process holds.

A file is written aside, flushed, renamed, and the folder that names it is flushed too, so that what a command has
reported as done is still there when the machine comes up again.

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

ASIDE = ".aside"  # how the name of a file ends that is not whole yet
LOCK = "lock"


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new file beside `path`, renamed to `path` when the block ends well and removed when it does not.

    What is replaced keeps its mode, and its owner where that is allowed; a link keeps pointing to its target, which is
    replaced. A device or a named pipe is written to directly.

    Raises
    ------
    InputError
        If `path` cannot be written, or is a file that its owner has made read-only.

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
    """A temporary file beside a file, locked while it is written, so that a leftover can be told from one in use."""
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
    """The status of what is there, links followed; None for nothing."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _check_stream(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if not (stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode)):
        raise InputError(f"{path}: is there already, and is no file; name another")


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
    """Remove what processes that were killed had begun to write in `folder`, but nothing that one is writing now."""
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
    """Write text, whole or not at all."""
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        write(file)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each of them flushed, so that its name outlasts a power cut.

    Raises
    ------
    OSError
        If one cannot be made.
    """
    missing = [folder, *folder.parents]
    while missing and missing[-1].is_dir():
        missing.pop()
    for path in reversed(missing):
        with suppress(FileExistsError):  # another process was faster
            path.mkdir()
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Bring a folder's entries to disk: names of files that were made, renamed or removed in it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_own(folder: Path) -> None:
    """Refuse a run folder that holds anything but files and folders of its own: no links, pipes or devices.

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
                    f"{path}: is a link, and a run folder with links in it is not read; put a copy of what it points "
                    "to in its place"
                )
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise InputError(f"{path}: is neither file nor folder, and a run folder holds nothing else; remove it")


def remove_own(folder: Path, patterns: Sequence[str]) -> None:
    """Remove the files of these names from a folder, what was left aside there, and the folder if it is empty then.

    Nothing is removed through a link, and nothing that has another name.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    remove_left_aside(folder)
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, made if it is not there, for this process alone; the system lets go of it, however that ends.

    Raises
    ------
    InputError
        If another process holds it, or if it cannot be written.
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

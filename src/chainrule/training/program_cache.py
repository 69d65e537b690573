"""JAX's cache of compiled programs on disk, which no one shall notice but by its speed.

It is on wherever Chainrule compiles, unless the caller has set JAX's own up. Environment variables of JAX move it
(JAX_COMPILATION_CACHE_DIR) and turn it off (JAX_ENABLE_COMPILATION_CACHE=0).
"""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

LARGEST = 2**28  # bytes; of more, the programs that were not used for the longest time are removed
SMALLER = 0.75  # of it, afterwards
_THRESHOLD = "jax_persistent_cache_min_compile_time_secs"


@cache
def use_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that the next process with the same design starts at once.

    Safe between processes: half of an entry is no entry. A folder that cannot be written is done without.
    """
    import jax

    if not jax.config.jax_enable_compilation_cache:  # pyright: ignore[reportAttributeAccessIssue]
        return
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        from platformdirs import user_cache_path

        try:
            folder = user_cache_path("chainrule") / "jax"
        except RuntimeError:  # a user who has no home has no cache either
            return
        _make_smaller(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if _THRESHOLD.upper() not in os.environ:
        jax.config.update(_THRESHOLD, 0)
    _make_forgiving()


def _make_smaller(folder: Path) -> None:
    """Remove the programs that were not used for the longest time, if all take too much room."""
    with suppress(OSError):
        found = [(entry.stat(), entry.path) for entry in os.scandir(folder)]
        total = sum(stat.st_size for stat, _ in found)
        if total <= LARGEST:
            return
        for stat, path in sorted(found, key=lambda pair: pair[0].st_mtime_ns):
            Path(path).unlink(missing_ok=True)
            total -= stat.st_size
            if total <= LARGEST * SMALLER:
                return


def _make_forgiving() -> None:
    """Have JAX take an entry that it cannot read for none, and do without one that it cannot write.

    By itself it warns each time, and never replaces an entry. A JAX that has no such functions still does that.
    """
    try:
        from jax._src import compilation_cache as cache

        read, write = cache.get_executable_and_time, cache.put_executable_and_time
    except (ImportError, AttributeError):
        return
    if hasattr(read, "__wrapped__"):
        return

    @wraps(read)
    def get(cache_key: str, *rest: Any, **named: Any) -> Any:
        try:
            found = read(cache_key, *rest, **named)
        except Exception:
            _forget(cache_key)
            return None, None
        _mark_as_used(cache_key)
        return found

    @wraps(write)
    def put(cache_key: str, *rest: Any, **named: Any) -> None:
        try:
            write(cache_key, *rest, **named)
        except Exception:  # the disk is full, for one: half of an entry may be there
            _forget(cache_key)

    cache.get_executable_and_time, cache.put_executable_and_time = get, put


def _folder() -> Path:
    import jax

    return Path(jax.config.jax_compilation_cache_dir)  # pyright: ignore[reportAttributeAccessIssue]


def _forget(cache_key: str) -> None:
    with suppress(OSError):
        for path in _folder().glob(f"{glob.escape(cache_key)}-*"):
            path.unlink()


def _mark_as_used(cache_key: str) -> None:
    with suppress(OSError):
        os.utime(_folder() / f"{cache_key}-cache")

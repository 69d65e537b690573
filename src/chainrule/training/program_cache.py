"""JAX's on-disk cache of compiled programs: set up, limited in size, and never a source of errors.

It is in the user's cache folder unless JAX is already configured with another one. JAX's environment variables change
the folder (JAX_COMPILATION_CACHE_DIR) or disable the cache (JAX_ENABLE_COMPILATION_CACHE=0).
"""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

LARGEST = 2**28  # bytes; beyond it, the least recently used programs are removed
SMALLER = 0.75  # the fraction of it that is left then
_THRESHOLD = "jax_persistent_cache_min_compile_time_secs"


@cache
def use_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that later processes with the same design start sooner.

    Several processes can share the folder: an incomplete entry is ignored. A folder that cannot be written is not used.
    """
    import jax

    if not jax.config.jax_enable_compilation_cache:  # pyright: ignore[reportAttributeAccessIssue]
        return
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        from platformdirs import user_cache_path

        try:
            folder = user_cache_path("chainrule") / "jax"
        except RuntimeError:  # no home folder, no cache
            return
        _make_smaller(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if _THRESHOLD.upper() not in os.environ:
        jax.config.update(_THRESHOLD, 0)
    _make_forgiving()


def _make_smaller(folder: Path) -> None:
    """Remove the least recently used programs if the folder is too large."""
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

    By default, JAX warns every time and never replaces an entry; versions without these functions still do.
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
        except Exception:  # such as a full disk, which may leave a partial entry
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

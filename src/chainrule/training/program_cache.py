"""Error handling for JAX's on-disk cache of compiled programs."""

from __future__ import annotations

import glob
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any


def make_forgiving() -> None:
    """Make JAX treat unreadable cache entries as missing, and ignore failures to write one.

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
            return read(cache_key, *rest, **named)
        except Exception:
            _forget(cache_key)
            return None, None

    @wraps(write)
    def put(cache_key: str, *rest: Any, **named: Any) -> None:
        try:
            write(cache_key, *rest, **named)
        except Exception:  # such as a full disk, which may leave a partial entry
            _forget(cache_key)

    cache.get_executable_and_time, cache.put_executable_and_time = get, put


def _forget(cache_key: str) -> None:
    import jax

    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    with suppress(OSError):
        for path in Path(folder).glob(f"{glob.escape(cache_key)}-*"):
            path.unlink()

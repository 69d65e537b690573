"""JAX's cache of compiled programs on disk, which no one shall notice but by its speed."""

from __future__ import annotations

import glob
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any


def make_forgiving() -> None:
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
            return read(cache_key, *rest, **named)
        except Exception:
            _forget(cache_key)
            return None, None

    @wraps(write)
    def put(cache_key: str, *rest: Any, **named: Any) -> None:
        try:
            write(cache_key, *rest, **named)
        except Exception:  # the disk is full, for one: half of an entry may be there
            _forget(cache_key)

    cache.get_executable_and_time, cache.put_executable_and_time = get, put


def _forget(cache_key: str) -> None:
    import jax

    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    with suppress(OSError):
        for path in Path(folder).glob(f"{glob.escape(cache_key)}-*"):
            path.unlink()

"""JAX's persistent compilation cache, so that the second process does not compile again."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import jax


def cache_folder() -> Path:
    """Return the user's cache folder for compiled programs (``BAYES_SCALING_CACHE`` overrides it)."""
    if told := os.environ.get("BAYES_SCALING_CACHE"):
        return Path(told).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "~"))
    elif sys.platform == "darwin":
        base = Path("~/Library/Caches")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return base.expanduser() / "bayes_scaling" / "xla"


@functools.cache
def use_compilation_cache() -> None:
    """Point JAX at the cache folder, unless the user has set a cache; ``BAYES_SCALING_CACHE=off`` turns it off."""
    if os.environ.get("BAYES_SCALING_CACHE", "").lower() == "off" or jax.config.jax_compilation_cache_dir:
        return
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home costs a few seconds of compiling, nothing else
    jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # type: ignore[no-untyped-call]
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)  # type: ignore[no-untyped-call]

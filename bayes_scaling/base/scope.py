"""Where our own JAX computations run: in float64, on a chosen device, with compiled programs kept on disk."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import jax

from bayes_scaling.errors import FitError

LARGE_TABLE = 50_000  # rows; below it a CPU is faster than starting kernels on an accelerator
MAPS = Path("/proc/self/maps")  # of this process, where the system tells
MOST_MAPS = Path("/proc/sys/vm/max_map_count")
ROOM = 0.5  # share of the allowed memory maps beyond which compiled programs are let go
OFTEN = 5.0  # seconds between looks


@contextmanager
def scope(device: str = "cpu", rows: int = 0) -> Iterator[None]:
    """Switch on float64, the device and the compilation cache for our own computations only.

    Parameters
    ----------
    device : ``auto``, ``cpu``, ``gpu``
    rows : size of the table, which decides for ``auto``
    """
    if device not in ("auto", "cpu", "gpu"):
        raise FitError(f"device {device!r} is not known; choose auto, cpu or gpu")
    use_compilation_cache()
    make_room()
    if device == "auto":
        device = "cpu" if rows < LARGE_TABLE else jax.default_backend()
    try:
        chosen = jax.devices(device)[0]
    except RuntimeError as error:
        raise FitError(f"no {device} is visible to JAX; it sees {jax.default_backend()}") from error
    with jax.enable_x64(True), jax.default_device(chosen):
        yield


def carried() -> Callable[[], AbstractContextManager[None]]:
    """Return a way to enter the caller's scope in another thread; JAX keeps both switches per thread."""
    device = jax.config.jax_default_device

    @contextmanager
    def enter() -> Iterator[None]:
        with jax.enable_x64(True), jax.default_device(device):
            yield

    return enter


_looked = 0.0


def make_room() -> None:
    """Let compiled programs go before they use up the memory maps that Linux grants a process.

    Every program of XLA on a CPU holds some maps; a process that compiles thousands of them would crash at 65,530. What
    is needed again comes back from the cache on disk.
    """
    global _looked
    now = time.monotonic()
    if now - _looked < OFTEN:
        return
    _looked = now
    try:
        most = int(MOST_MAPS.read_text())
        with MAPS.open("rb") as lines:
            held = sum(1 for _ in lines)
    except (OSError, ValueError):
        return  # no Linux
    if held > ROOM * most:
        jax.clear_caches()  # type: ignore[no-untyped-call]


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

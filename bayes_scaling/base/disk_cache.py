"""Compiled programs on disk: JAX's own cache, enabled only while our computations run.

JAX has one compilation cache per process. If the user has set one, we use it and leave it as it is. Otherwise ours
is set when the first scope is entered and unset when the last one is left, whichever thread that happens in.

A program in our folder is machine code that is run as it is, so each is kept with a digest. One that is damaged or cut
short is removed and compiled again; a folder that takes no more programs costs time and nothing else. A process that
adds programs removes, once, those that nobody used for longest, where they take more than `MOST_BYTES`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from bayes_scaling.base.files import write_bytes
from bayes_scaling.base.messages import encodable
from bayes_scaling.base.switch import Switch
from bayes_scaling.errors import BayesScalingError

FOLDER = "jax_compilation_cache_dir"
SETTINGS = {"jax_persistent_cache_min_compile_time_secs": 0.1, "jax_persistent_cache_min_entry_size_bytes": 0}
"""Settings for the folder: by default JAX stores only what took a second to compile, and ours is often faster."""

DIGEST = 32  # bytes of a SHA-256
MOST_BYTES = 500_000_000  # of all programs in our folder
KEPT = 0.8  # share of them that is left when some are removed, so that it is not soon done again


def cache_folder() -> Path:
    """Return the user's cache folder for compiled programs (``BAYES_SCALING_CACHE`` overrides it)."""
    if given := os.environ.get("BAYES_SCALING_CACHE"):
        return _at_home(Path(given))
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "~"))
    elif sys.platform == "darwin":
        base = Path("~/Library/Caches")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return _at_home(base) / "bayes_scaling" / "xla"


def _at_home(path: Path) -> Path:
    """Return a path with ``~`` written out; where there is no such home, as it is, so that nothing is kept there."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


class Programs:
    """Compiled programs in a folder, each with a digest in front; to JAX, a cache.

    Parameters
    ----------
    folder : it exists
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder  # JAX names it in its log

    def get(self, key: str) -> bytes | None:
        """Return a program, or None if there is none that is whole."""
        path = self._file(key)
        try:
            if not path.is_file():  # a pipe would be waited for
                return None
            content = path.read_bytes()
        except OSError:
            return None
        program = content[DIGEST:]
        if hashlib.sha256(program).digest() == content[:DIGEST]:
            with contextlib.suppress(OSError):
                os.utime(path)  # it was used, see `trim`
            return program
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep a program, if the disk has room for it."""
        with contextlib.suppress(BayesScalingError):
            write_bytes(hashlib.sha256(value).digest() + value, self._file(key))
            _trim_once(self._path)

    def _file(self, key: str) -> Path:
        return self._path / f"{key}.program"


def trim(folder: Path, most: int = MOST_BYTES) -> None:
    """Remove the programs used longest ago, where they are more than ``most`` bytes in all.

    Other processes may do the same, or read and write programs meanwhile: one that is gone is compiled again.
    """
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.endswith(".program") and entry.is_file(follow_symlinks=False):
                    found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    taken = sum(size for _, size, _ in found)
    if taken <= most:
        return
    for _, size, path in sorted(found):
        if taken <= KEPT * most:
            return
        with contextlib.suppress(OSError):
            Path(path).unlink()
            taken -= size


_trim_once = functools.lru_cache(maxsize=8)(trim)


class _DiskCache(Switch):
    """Our cache in place of JAX's, while a scope is open in any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.ours: dict[str, Any] = {}
        self.theirs: dict[str, Any] = {}

    def _turn_on(self) -> None:
        off = os.environ.get("BAYES_SCALING_CACHE", "").lower() == "off"
        if off or getattr(jax.config, FOLDER) or not _made(cache_folder()):
            return
        self.ours = {FOLDER: str(cache_folder()), **SETTINGS}
        self.theirs = {name: getattr(jax.config, name) for name in self.ours}
        _update(self.ours)
        # JAX has no public way to hand it a cache; a version that keeps its own elsewhere goes on using that one.
        cache_of_jax: Any = sys.modules[reset_cache.__module__]
        if hasattr(cache_of_jax, "_cache") and hasattr(cache_of_jax, "_cache_initialized"):
            reset_cache()
            cache_of_jax._cache, cache_of_jax._cache_initialized = Programs(cache_folder()), True

    def _turn_off(self) -> None:
        if not self.ours:
            return
        # Keep what the user set in the meantime, in another thread or a callback.
        _update({name: value for name, value in self.theirs.items() if getattr(jax.config, name) == self.ours[name]})
        self.ours, self.theirs = {}, {}
        reset_cache()  # JAX opens the folder once and would go on writing the user's programs to it


DISK_CACHE = _DiskCache()
"""Lets JAX store compiled programs on disk; ``BAYES_SCALING_CACHE=off`` turns this off."""


def _update(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


@functools.lru_cache(maxsize=8)
def _made(folder: Path) -> bool:
    """Create the folder; if the home directory is read-only, the only cost is compiling again."""
    if str(folder).startswith("~") or not encodable(str(folder)):
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True

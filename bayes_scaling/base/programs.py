"""Compiled programs and the models they belong to, cached for the next call in one store of bounded size.

A second fit of the same kind compiles nothing, because its model and every program compiled for it are found here. The
least recently used entries are dropped first, so a long process that fits many laws does not keep growing.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Concatenate

MOST_MODELS = 128
"""Number of models whose programs are kept; comparing every law in the catalogue needs about 70."""

MAPS = Path("/proc/self/maps")  # of this process, on Linux
MOST_MAPS = Path("/proc/sys/vm/max_map_count")
MAPS_LIMIT = 0.5  # share of the allowed memory maps; above it, compiled programs are dropped
GROWTH = 0.1  # share of them that must have been added since then before programs are dropped again
OFTEN = 5.0  # seconds between two checks of the memory maps


class Store:
    """Models by their key, and programs by model.

    Parameters
    ----------
    most : number of models to keep
    """

    def __init__(self, most: int = MOST_MODELS) -> None:
        self.most = most
        self._models: OrderedDict[Hashable, Any] = OrderedDict()
        self._programs: OrderedDict[Any, dict[Hashable, Any]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """Return the number of models in the store, or with programs in it."""
        return max(len(self._models), len(self._programs))

    def model[M](self, key: Hashable, make: Callable[[], M]) -> M:
        """Return the model with a key; build it if it is missing."""
        with self._lock:
            if key not in self._models:
                self._models[key] = make()
            self._models.move_to_end(key)
            while len(self._models) > self.most:
                _, dropped = self._models.popitem(last=False)
                self._programs.pop(dropped, None)
            found: M = self._models[key]
            return found

    def program[P](self, model: Hashable, key: Hashable, make: Callable[[], P]) -> P:
        """Return the program of a model with a key; build it if it is missing."""
        with self._lock:
            programs = self._programs.setdefault(model, {})
            self._programs.move_to_end(model)
            while len(self._programs) > self.most:
                self._programs.popitem(last=False)
            if key not in programs:
                programs[key] = make()
            found: P = programs[key]
            return found

    def drop_programs(self) -> None:
        """Drop every program but keep the models; their programs are built again on the next call."""
        with self._lock:
            self._programs.clear()


STORE = Store()
"""The programs that this process has compiled."""


def compiled[M: Hashable, **P, R](make: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Cache what a function returns for a model and settings, as `functools.cache` would, in the bounded store."""

    @functools.wraps(make)
    def found(model: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (make, args, *sorted(kwargs.items()))
        return STORE.program(model, key, lambda: make(model, *args, **kwargs))

    return found


class Once:
    """Work of which each piece is done by whoever comes first, in one thread, while others who need it wait.

    Threads that meet an uncompiled program would each compile it.
    """

    def __init__(self) -> None:
        self._done: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def do[R](self, piece: Hashable, work: Callable[[], R]) -> R:
        """Do a piece of work, unless it is done; return what it gave."""
        with self._lock:
            if piece not in self._done:
                self._done[piece] = work()
            done: R = self._done[piece]
            return done


class _Watch:
    """When the memory maps were last checked, and how many were left after programs were dropped."""

    def __init__(self) -> None:
        self.looked = 0.0
        self.left = 0


_WATCH = _Watch()


def make_room() -> None:
    """Drop our programs before they use up the memory maps that Linux allows a process.

    Every program that XLA compiles for a CPU holds some maps; a process that compiles thousands of them would crash at
    65,530. A dropped program is read from the cache on disk when it is needed again. The user's programs stay.
    """
    now = time.monotonic()
    if now - _WATCH.looked < OFTEN:
        return
    _WATCH.looked = now
    try:
        most = int(MOST_MAPS.read_text())
        if _maps() > max(MAPS_LIMIT * most, _WATCH.left + GROWTH * most):
            STORE.drop_programs()
            _WATCH.left = _maps()
    except (OSError, ValueError):
        return  # not Linux


def _maps() -> int:
    with MAPS.open("rb") as lines:
        return sum(1 for _ in lines)

"""Settings of the whole process that hold only while our computations run, in whichever thread."""

from __future__ import annotations

import abc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Switch(abc.ABC):
    """A setting of the process: on from when the first computation begins until the last one ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0

    @contextmanager
    def on(self) -> Iterator[None]:
        """Hold the setting; may be nested, and entered from several threads."""
        with self._lock:
            if not self._open:
                self._turn_on()
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._turn_off()

    @abc.abstractmethod
    def _turn_on(self) -> None:
        """Set what is ours, and remember what was."""

    @abc.abstractmethod
    def _turn_off(self) -> None:
        """Set what was."""

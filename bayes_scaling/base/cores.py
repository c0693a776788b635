"""How many cores one piece of work may use: all of this machine, unless others work beside it."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator

_MOST: contextvars.ContextVar[int | None] = contextvars.ContextVar("most cores", default=None)


def cores() -> int:
    """Return how many threads may run at once here."""
    return _MOST.get() or os.cpu_count() or 1


@contextlib.contextmanager
def at_most(number: int | None) -> Iterator[None]:
    """Let what runs inside use no more cores than a number; None sets no limit. No result depends on it."""
    token = _MOST.set(number)
    try:
        yield
    finally:
        _MOST.reset(token)

"""Work that may be done ahead of its turn, such as compiling: in a thread of its own, beside other work."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence

from bayes_scaling.base.cores import cores


@contextlib.contextmanager
def done_ahead(works: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Do works one after another in a thread while what is inside runs; what is not begun at its end is left.

    Nothing may depend on whether a work was done. What one raises is dropped: whoever needs it meets the same error.
    On a single core nothing is done ahead.
    """
    if cores() == 1:
        yield
        return
    ended = threading.Event()

    def work() -> None:
        for one in works:
            if ended.is_set():
                return
            with contextlib.suppress(Exception):
                one()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

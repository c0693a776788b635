"""NumPy's and SciPy's matrices: multiplied by one thread while our computations run.

They are small. More threads would gain nothing and wait for each other in busy loops, on the cores that chains are
sampled on; and products would depend on how many there are.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from typing import TYPE_CHECKING

import scipy.linalg  # noqa: F401  # its library is loaded before any is looked for

from bayes_scaling.base.switch import Switch

if TYPE_CHECKING:
    import threadpoolctl


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    """Find the libraries of linear algebra of this process; looking for them takes milliseconds."""
    variable = "KMP_DUPLICATE_LIB_OK"  # which threadpoolctl sets when it is imported
    theirs = os.environ.get(variable)
    import threadpoolctl

    if theirs is None:
        os.environ.pop(variable, None)
    return threadpoolctl.ThreadpoolController()


class OneThread(Switch):
    """The limit of one thread, which a thread of ours sets, holds and lifts: whoever set a limit has to lift it."""

    def __init__(self) -> None:
        super().__init__()
        self._over = threading.Event()
        self._holder: threading.Thread | None = None

    def _turn_on(self) -> None:
        libraries, over, held = _libraries(), threading.Event(), threading.Event()

        def hold() -> None:
            try:
                with libraries.limit(limits=1, user_api="blas"):
                    held.set()
                    over.wait()
            finally:
                held.set()

        holder = threading.Thread(target=hold, name="one thread for matrices", daemon=True)
        try:
            with contextlib.suppress(RuntimeError):  # the interpreter ends
                holder.start()
                self._over, self._holder = over, holder
                held.wait()
        except BaseException:  # Ctrl-C: nobody would lift it
            over.set()
            raise

    def _turn_off(self) -> None:
        self._over.set()
        if self._holder is not None:
            self._holder.join()
        self._holder = None


ONE_THREAD = OneThread()

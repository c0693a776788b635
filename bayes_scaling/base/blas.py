"""NumPy's and SciPy's matrices: multiplied by one thread while our computations run.

They are small. More threads would gain nothing and wait for each other in busy loops, on the cores that chains are
sampled on; and products would depend on how many there are.
"""

from __future__ import annotations

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor

import scipy.linalg  # noqa: F401  # its library is loaded before any is looked for
import threadpoolctl

from bayes_scaling.base.switch import Switch


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    """Find the libraries of linear algebra of this process; looking for them takes milliseconds."""
    return threadpoolctl.ThreadpoolController()


class OneThread(Switch):
    """The limit of one thread, which one thread of ours sets and lifts: whoever set a limit has to lift it."""

    def __init__(self) -> None:
        super().__init__()
        self.setter = ThreadPoolExecutor(1, "one thread for matrices")
        self.limit = contextlib.ExitStack()

    def _turn_on(self) -> None:
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            self.setter.submit(self._set).result()

    def _set(self) -> None:
        self.limit.enter_context(_libraries().limit(limits=1, user_api="blas"))

    def _turn_off(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.setter.submit(self.limit.close).result()


ONE_THREAD = OneThread()

"""Where our own computations run: in float64, on a chosen device, with compiled programs kept on disk.

When a scope is left, every setting that it changed is restored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import jax

from bayes_scaling.base.blas import ONE_THREAD
from bayes_scaling.base.disk_cache import DISK_CACHE
from bayes_scaling.base.names import DEVICES, listed_as_choice
from bayes_scaling.base.programs import make_room
from bayes_scaling.errors import FitError

PROCESS = os.getpid()  # in which this was imported; priors of laws are arrays of JAX, so it has threads from then on
LARGE_TABLE = 50_000  # rows; for smaller tables a CPU is faster than launching kernels on an accelerator


@contextmanager
def scope(device: str = "cpu", rows: int = 0) -> Iterator[None]:
    """Set float64, the device, the compilation cache and one thread for matrices, for our own computations only.

    Scopes may be nested and entered from several threads; float64 and the device apply to the thread that
    entered, see `carried`.

    Parameters
    ----------
    device : ``auto``, ``cpu``, ``gpu``
    rows : size of the table, by which ``auto`` chooses
    """
    if device not in DEVICES:
        raise FitError(f"device is {device!r}; expected {listed_as_choice(DEVICES)}")
    _refuse_forked()
    make_room()
    if device == "auto":
        device = "cpu" if rows < LARGE_TABLE else jax.default_backend()
    try:
        chosen = jax.devices(device)[0]
    except RuntimeError as error:
        raise FitError(f"no {device} is visible to JAX; it sees {jax.default_backend()}") from error
    with DISK_CACHE.on(), ONE_THREAD.on(), jax.enable_x64(True), jax.default_device(chosen):
        yield


def _refuse_forked() -> None:
    """Refuse to compute in a fork: the threads of JAX stay in the parent, and the child would wait for them forever."""
    if os.getpid() != PROCESS:
        raise FitError(
            "this process was forked from one in which JAX was loaded, and JAX does not work in a fork; start worker "
            "processes with multiprocessing.get_context('spawn')"
        )


def carried() -> Callable[[], AbstractContextManager[None]]:
    """Return a way to enter the caller's scope in another thread; JAX keeps both switches per thread."""
    device = jax.config.jax_default_device

    @contextmanager
    def enter() -> Iterator[None]:
        with jax.enable_x64(True), jax.default_device(device):
            yield

    return enter

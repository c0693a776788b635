"""Where our own computations run: in float64, on a chosen device, with compiled programs kept on disk.

When a scope is left, every setting that it changed is restored.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import jax

from bayes_scaling.base.blas import ONE_THREAD
from bayes_scaling.base.disk_cache import DISK_CACHE
from bayes_scaling.base.messages import shown
from bayes_scaling.base.names import DEVICES, listed_as_choice
from bayes_scaling.base.programs import make_room
from bayes_scaling.errors import FitError

_STARTED = {os.getpid()}  # processes in which JAX may run: that of the import, and forks in which it did not run yet
LARGE_TABLE = 50_000  # rows; for smaller tables a CPU is faster than launching kernels on an accelerator


@contextmanager
def scope(device: str = "cpu", rows: int = 0) -> Iterator[None]:
    """Set float64, the device, the compilation cache and one thread for matrices, for our own computations only.

    Scopes may be nested and entered from several threads; the device, float64 and what `jax_as_usual` holds besides
    apply to the thread that entered, see `carried`.

    Parameters
    ----------
    device : ``auto``, ``cpu``, ``gpu``
    rows : size of the table, by which ``auto`` chooses
    """
    if device not in DEVICES:
        raise FitError(f"device is {device!r}; expected {listed_as_choice(DEVICES)}")
    refuse_unusable_jax()
    make_room()
    if device == "auto":
        device = "cpu" if rows < LARGE_TABLE else jax.default_backend()
    try:
        chosen = jax.devices(device)[0]
    except RuntimeError as error:
        asked = jax.config.jax_platforms
        remedy = f"; JAX_PLATFORMS={asked} hides it: set JAX_PLATFORMS={asked},{device}" if asked else ""
        raise FitError(f"no {device} is visible to JAX; it sees {jax.default_backend()}{remedy}") from error
    with DISK_CACHE.on(), ONE_THREAD.on(), jax_as_usual(), jax.default_device(chosen):
        yield


@contextmanager
def jax_as_usual(float64: bool = True) -> Iterator[None]:
    """Hold what our numbers depend on as JAX has it by default, whatever a user set, in this thread.

    Other random numbers would change a forecast of the same seed; stricter rules would end in errors of JAX.

    Parameters
    ----------
    float64 : as all that we compute; False for priors that are made where the user's own may be
    """
    with (
        jax.enable_x64(float64),
        jax.threefry_partitionable(True),
        jax.default_prng_impl("threefry2x32"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.transfer_guard("allow"),
    ):
        yield


def refuse_unusable_jax() -> None:
    """Refuse to go on where JAX cannot start, as on a platform that the machine has not, and in a fork of where it ran.

    For use before the first array is made.
    """
    _refuse_forked()
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # without a word where JAX lacks the plugin of a platform
        asked = jax.config.jax_platforms
        where = f" on {shown(asked)}, which JAX_PLATFORMS asks for" if asked else ""
        why = f": {str(error).partition(' (set ')[0].rstrip('.')}" if str(error) else ""
        raise FitError(f"JAX cannot start{where}{why}; set JAX_PLATFORMS=cpu, or unset it") from error


def _refuse_forked() -> None:
    """Refuse to compute in a fork: the threads of JAX stay in the parent, and the child would wait for them forever."""
    if os.getpid() in _STARTED:
        return
    if jax_runs():
        raise FitError(
            "this process was forked from one in which JAX ran, and JAX does not work in a fork; start worker "
            "processes with multiprocessing.get_context('spawn')"
        )
    _STARTED.add(os.getpid())


def jax_runs() -> bool:
    """Return whether JAX has started its devices and threads; True where a version of JAX does not say so."""
    bridge = sys.modules.get("jax._src.xla_bridge")  # JAX has no public way to ask without starting it
    asked = getattr(bridge, "backends_are_initialized", None)
    return asked is None or bool(asked())


def carried() -> Callable[[], AbstractContextManager[None]]:
    """Return a way to enter the caller's scope in another thread; JAX keeps these settings per thread."""
    device = jax.config.jax_default_device

    @contextmanager
    def enter() -> Iterator[None]:
        with jax_as_usual(), jax.default_device(device):
            yield

    return enter

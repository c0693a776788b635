"""One compiled program over many posteriors: side by side on accelerators, one to a core on CPUs, on all devices.

On a CPU a gradient costs the same alone and beside others, so there is nothing to gain there by computing posteriors in
step, and each would wait for the slowest (benchmarks/gpu.py measures both). Either way the arithmetic of one posterior
is that of one posterior: its draws do not depend on which others are beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bayes_scaling.base.cores import cores
from bayes_scaling.base.programs import Once
from bayes_scaling.base.scope import carried

MOST = 1024  # posteriors of one call on one accelerator
NUMBERS = 25_000_000  # in an array of posteriors by chains by rows
AXIS = "posterior"


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where posteriors are computed.

    Attributes
    ----------
    devices : all of one kind
    lanes : posteriors that a device computes side by side in one call
    """

    devices: tuple[Any, ...]
    lanes: int

    @classmethod
    def of(cls, posteriors: int, numbers: int) -> Machine:
        """Return the devices of the scope that we are in, with as many lanes as suit them.

        Parameters
        ----------
        posteriors : how many there are
        numbers : in the largest array of one of them
        """
        chosen = jax.config.jax_default_device or jax.devices()[0]
        devices = tuple(
            device for device in jax.devices(chosen.platform) if device.process_index == chosen.process_index
        )
        if chosen.platform == "cpu":
            return cls(devices, 1)
        wanted = -(-posteriors // len(devices))
        lanes = 1 << max(min(wanted, MOST, NUMBERS // numbers) - 1, 0).bit_length()
        return cls(devices, lanes)

    @property
    def at_once(self) -> int:
        """Posteriors of one call."""
        return self.lanes * len(self.devices)

    @property
    def threads(self) -> int:
        """Calls at a time."""
        if self.devices[0].platform != "cpu":
            return 1
        return max(cores() // len(self.devices), 1)


class SideBySide:
    """A function of one posterior's arrays, compiled over a leading axis of posteriors.

    Parameters
    ----------
    function : from the arrays of one posterior to its results
    """

    def __init__(self, function: Callable[..., Any], machine: Machine) -> None:
        self.machine = machine
        mesh, split = Mesh(np.array(machine.devices), (AXIS,)), PartitionSpec(AXIS)  # type: ignore[no-untyped-call]
        self._sharding = NamedSharding(mesh, split)
        self._once = Once()

        def shard(batch: Any) -> Any:
            if machine.lanes == 1:
                return jax.lax.map(lambda one: function(*one), batch)
            return jax.vmap(lambda one: function(*one))(batch)

        self._jitted = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=split, out_specs=split, check_vma=False))

    def __call__[T](self, given: Sequence[Any], then: Callable[[int, Any], T]) -> list[T]:
        """Compute all posteriors; hand each, with its number, to ``then`` as soon as it is there.

        Parameters
        ----------
        given : by posterior, the arguments of the function; all of the same shapes
        """
        same_scope, size = carried(), self.machine.at_once
        batches = [range(first, min(first + size, len(given))) for first in range(0, len(given), size)]

        def compute(numbers: range) -> list[T]:
            with same_scope():
                # The last batch is filled up, so that all have one shape.
                members = [given[min(number, numbers[-1])] for number in range(numbers[0], numbers[0] + size)]
                batch = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *members)
                batch = jax.device_put(batch, self._sharding)
                results = jax.tree.map(np.asarray, self._compiled(batch)(batch))
                return [
                    then(number, jax.tree.map(lambda leaf, i=i: leaf[i], results)) for i, number in enumerate(numbers)
                ]

        pool = ThreadPoolExecutor(min(self.machine.threads, max(len(batches), 1)))
        try:
            return [one for some in pool.map(compute, batches) for one in some]
        finally:
            pool.shutdown(cancel_futures=True)

    def _compiled(self, batch: Any) -> Any:
        """Compile once for each shape."""
        leaves, structure = jax.tree.flatten(batch)
        key = (structure, *(leaf.shape for leaf in leaves))
        return self._once.do(key, lambda: self._jitted.lower(batch).compile())

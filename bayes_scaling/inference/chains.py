"""How long a sampler runs, and what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bayes_scaling.base.cores import cores
from bayes_scaling.base.scope import carried

PIECE = 50  # iterations in one compiled call, and between two looks at a mass matrix

type Progress = Callable[[str, float], None]
"""Called with a stage and the fraction of it that is done."""


def of_each[R](chain: Callable[[int], R], count: int) -> list[R]:
    """Return what a function gives for each chain, by its number; one thread per core, each in the caller's scope."""
    same_scope = carried()

    def work(index: int) -> R:
        with same_scope():
            return chain(index)

    with ThreadPoolExecutor(min(count, cores())) as pool:
        return list(pool.map(work, range(count)))


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long and how carefully to sample.

    Attributes
    ----------
    chains, warmup, draws : per fit, per chain, per chain; the last two in multiples of `PIECE`
    target_accept : of NUTS' step size
    max_tree_depth : of NUTS; a trajectory has at most two to this power leapfrog steps
    adapt_mass : learn a dense mass matrix while warming up (safe path), or keep the whitening (fast path)
    """

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000
    target_accept: float = 0.9
    max_tree_depth: int = 10
    adapt_mass: bool = True


@dataclasses.dataclass(frozen=True)
class Chains:
    """Draws of a sampler in unconstrained coordinates.

    Attributes
    ----------
    u : (chain, draw, site)
    stats : by name, (chain, draw): ``diverging``, ``n_steps``, ``energy``, ``acceptance_rate``
    """

    u: np.ndarray
    stats: dict[str, np.ndarray]

"""What a run remembers of its learning rate: an average over the last part of the sum of its rates.

The loss falls as the rate falls, but not at once: what counts is the rate over the steps that the run still remembers.
As in `bayes_scaling.models._schedule`, the rate is interpolated linearly between the rows of a run.
"""

import jax.numpy as jnp
import numpy as np
from bayes_scaling.models._schedule import by_run

from bayes_scaling.laws import Array

PARTS = 8  # of the way between two rows, along each of which a rate counts as linear in its own sum
MEMORIES = 10 ** (np.arange(40) / 3)  # that features are computed for, in units of the sum of the rates


def peak(run: np.ndarray, steps: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return the highest rate of the run up to each row, ``(n_row,)``."""

    def of_one(rows: np.ndarray) -> np.ndarray:
        highest: np.ndarray = np.maximum(np.maximum.accumulate(rate[rows]), np.finfo(float).tiny)
        return highest

    found: np.ndarray = by_run(run, steps, of_one)
    return found


def remembered(run: np.ndarray, steps: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Return the rate over its `peak`, averaged over what a run remembers, ``(n_row, n_memory)``.

    What was done when the sum of these rates was smaller by x counts exp(-x / memory). A run that has not fallen from
    its peak yet, in its warm-up for example, has 1. Memories are `MEMORIES`.
    """

    def of_one(rows: np.ndarray) -> np.ndarray:
        at = relative[rows]
        along = np.linspace(0, 1, PARTS, endpoint=False)
        rates = np.append(at[:-1, None] + along * np.diff(at)[:, None], at[-1:])
        width = np.repeat(np.diff(steps[rows]) / PARTS, PARTS)
        passed = np.maximum(width * (rates[1:] + rates[:-1]) / 2, 1e-300)[:, None] / MEMORIES
        kept = np.exp(-passed)
        mean = -np.expm1(-passed) / passed
        added = (mean - kept) * rates[:-1, None] + (1 - mean) * rates[1:, None]
        start = np.ones((1, len(MEMORIES)))
        found: np.ndarray = _recursion(np.concatenate([0 * start, kept]), np.concatenate([start, added]))[::PARTS]
        return found

    found: np.ndarray = by_run(run, steps, of_one)
    return found


def _recursion(kept: np.ndarray, added: np.ndarray) -> np.ndarray:
    """Return m with m_i = kept_i m_(i-1) + added_i, by doubling the number of rows that are put together."""
    kept, total, apart = kept.copy(), added.copy(), 1
    while apart < len(total):
        total[apart:] += kept[apart:] * total[:-apart]
        kept[apart:] *= kept[:-apart].copy()
        apart *= 2
    return total


def at_memory(rate_by_memory: Array, memory: Array) -> Array:
    """Return m: interpolate what is remembered, ``(n_row, n_memory)``, smoothly in ln memory (Catmull and Rom)."""
    places = np.arange(len(MEMORIES))
    place = (jnp.log(memory) - np.log(MEMORIES[0])) / np.log(MEMORIES[1] / MEMORIES[0])
    off = jnp.abs(jnp.clip(place, 1, len(MEMORIES) - 2)[..., None] - places)
    near, far = 1 - 2.5 * off**2 + 1.5 * off**3, 2 - 4 * off + 2.5 * off**2 - 0.5 * off**3
    weights = jnp.where(off < 1, near, jnp.where(off < 2, far, 0.0))
    return (rate_by_memory * jnp.broadcast_to(weights, rate_by_memory.shape)).sum(-1)

"""Search: where a function of one or two coordinates is largest."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

FIRST = {1: (224,), 2: (28, 8)}  # places along each axis in the first pass
CLOSER = {1: (32,), 2: (8, 8)}  # and in later passes
FINEST = 1e-7  # resolution of each coordinate at which the search ends
NEAR = 0.05  # largest width of a grid to whose values a polynomial is fitted
SMOOTH = 1e-11  # misfit of that polynomial, relative to the function, below which its maximum is taken
DEGREE = 4
MOST = 200  # passes

type Score = Callable[[np.ndarray], np.ndarray]  # from places, (n_place, n_axis), to values, (n_place,)


def optimise(rough: Score, score: Score, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Maximise over a box: one pass over all of it, then finer grids around the best place.

    Where the function is smooth, the search ends at the maximum of a polynomial through many close places: that is more
    exact than comparing values that differ only by rounding.

    Parameters
    ----------
    rough : a cheaper function with about the same maximum, for the first pass
    score : what is maximised
    low, high : (n_axis,) corners of the box; an axis of no width is left out

    Returns
    -------
    (n_axis,) the place
    """
    free = high - low > FINEST
    if not free.any():
        return np.array(low)

    def whole(places: np.ndarray) -> np.ndarray:
        out: np.ndarray = np.tile(low, (len(places), 1))
        out[:, free] = places
        return out

    found = _optimised(lambda x: rough(whole(x)), lambda x: score(whole(x)), low[free], high[free])
    return np.asarray(whole(found[None])[0])


def _optimised(rough: Score, score: Score, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    axes = len(low)
    best, half = _best_of_grid(rough, low, high, FIRST[axes])[0], 2 * (high - low) / (np.array(FIRST[axes]) - 1)
    for _ in range(MOST):
        first, last = np.maximum(best - half, low), np.minimum(best + half, high)
        best, places, values = _best_of_grid(score, first, last, CLOSER[axes])
        if not (((best > first) | (first <= low)) & ((best < last) | (last >= high))).all():
            continue  # the maximum lies beyond this grid: move on, at the same width
        if (last - first).max() < NEAR and (top := _peak(places, values, best, low, high)) is not None:
            return top
        half = (last - first) / (np.array(CLOSER[axes]) - 1)
        if half.max() < FINEST:
            break
    return best


def _best_of_grid(
    score: Score, first: np.ndarray, last: np.ndarray, counts: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best place of a grid, all places, and their values."""
    axes = [np.linspace(a, b, n) for a, b, n in zip(first, last, counts, strict=True)]
    places = np.array(list(itertools.product(*axes)))
    values = score(places)
    return places[int(np.argmax(values))], places, values


def _peak(
    places: np.ndarray, values: np.ndarray, best: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray | None:
    """Return the maximum of a polynomial through the values, along the axes on which the best place is not at an edge.

    None where the polynomial does not fit, or has no maximum among the places.
    """
    free = (best > low) & (best < high)
    if not free.any():
        return None
    on = (places[:, ~free] == best[~free]).all(axis=1)
    x, peak = places[on][:, free], values.max()
    centre, width = (x.min(axis=0) + x.max(axis=0)) / 2, np.maximum(np.ptp(x, axis=0) / 2, 1e-300)
    powers = [p for p in itertools.product(range(DEGREE + 1), repeat=int(free.sum())) if sum(p) <= DEGREE]
    design = _monomials((x - centre) / width, powers)
    heights = values[on] - peak
    coefficients = np.linalg.lstsq(design, heights, rcond=None)[0]
    if np.abs(design @ coefficients - heights).max() > SMOOTH * (1 + abs(peak)):
        return None
    at = (best[free] - centre) / width
    for _ in range(50):
        slope, bend = _derivatives(at, powers, coefficients)
        if np.linalg.eigvalsh(bend).max() >= 0:
            return None
        step = np.linalg.solve(bend, slope)
        at = at - step
        if np.abs(at).max() > 1:
            return None
        if np.abs(step).max() < 1e-12:
            break
    out = np.array(best)
    out[free] = centre + width * at
    return np.asarray(np.clip(out, low, high))


def _monomials(x: np.ndarray, powers: list[tuple[int, ...]]) -> np.ndarray:
    return np.stack([np.prod(x ** np.array(p), axis=1) for p in powers], axis=1)


def _derivatives(
    at: np.ndarray, powers: list[tuple[int, ...]], coefficients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient and Hessian of a polynomial at a place."""

    def derivative(*along: int) -> float:
        total = 0.0
        for power, coefficient in zip(powers, coefficients, strict=True):
            left, factor = list(power), float(coefficient)
            for axis in along:
                factor *= left[axis]
                left[axis] = max(left[axis] - 1, 0)
            total += factor * float(np.prod(at ** np.array(left)))
        return total

    axes = range(len(at))
    return np.array([derivative(i) for i in axes]), np.array([[derivative(i, j) for j in axes] for i in axes])

"""Features of a whole run for laws of learning-rate schedules: sums of its rate and of the decreases of the rate.

A table has the learning rate of a run only at its rows. Between rows the rate is interpolated linearly, step by step;
before the first row of a run, a linear warm-up from zero to the rate of that row is assumed. Rows may be in any order.
"""

from collections.abc import Callable

import numpy as np

DECAY = 0.999  # lambda of Tissue et al. 2024: how slowly a decrease of the rate takes effect, per step
PIECES = 48  # number of pieces for the decreases of a run's rate, and the same number for its increases
MEAN = 0.4  # power with which rates of a piece are averaged: about gamma beta, which is exact for old decreases


def by_run(run: np.ndarray, steps: np.ndarray, of_one: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Combine the results of ``of_one(rows in order of steps)`` for each run, ``(n_row, ...)``."""
    order = np.lexsort((steps, run))
    starts = np.flatnonzero(np.diff(run[order], prepend=run[order][:1] - 1))
    parts = [of_one(rows) for rows in np.split(order, starts[1:])]
    found = np.concatenate(parts)
    out = np.empty_like(found)
    out[order] = found
    return out


def sum_of_rates(run: np.ndarray, steps: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return the sum of the rates of all steps up to each row, warm-up included, ``(n_row,)``."""

    def of_one(rows: np.ndarray) -> np.ndarray:
        at, r = steps[rows], rate[rows]
        first = r[:1] * (at[:1] + 1) / 2
        between = np.diff(at) * (r[1:] + r[:-1]) / 2 + np.diff(r) / 2
        return np.cumsum(np.concatenate([first, between]))

    return by_run(run, steps, of_one)


def annealing(run: np.ndarray, steps: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return the sum over steps of m_i = lambda m_(i-1) + (rate_(i-1) - rate_i), ``(n_row,)``.

    The warm-up does not count. Between rows the recursion has a closed form, so sparse rows cost no more.
    """

    def of_one(rows: np.ndarray) -> np.ndarray:
        n = np.maximum(np.diff(steps[rows]), 1e-9)
        fall = -np.diff(rate[rows]) / n
        memory, out = 0.0, np.zeros(len(rows))
        kept = DECAY**n
        share = (1 - kept) / (1 - DECAY)
        for i in range(len(n)):
            out[i + 1] = out[i] + DECAY * share[i] * memory + fall[i] * (n[i] - DECAY * share[i]) / (1 - DECAY)
            memory = kept[i] * memory + fall[i] * share[i]
        return out

    return by_run(run, steps, of_one)


def falls(run: np.ndarray, steps: np.ndarray, rate: np.ndarray) -> dict[str, np.ndarray]:
    """Sum the decreases of the rate before each row in pieces, finer for recent steps, ``(n_row, 2 PIECES)`` each.

    Increases, including the warm-up from zero, count as negative decreases.

    Returns
    -------
    dict
        ``fall``: the sum of rate_(k-1) - rate_k over the steps k of a piece (decreases in the first half of the pieces,
        increases in the second); ``fallen_to``: the rate they lead to; ``since``: the sum of rates from step k
        to the row. Both are means over the piece, weighted by its decreases.
    """

    def of_one(rows: np.ndarray) -> np.ndarray:
        at = np.maximum(np.rint(steps[rows]).astype(int), 1)
        each = np.interp(np.arange(1, at[-1] + 1), np.append(0, at), np.append(0.0, rate[rows]))
        change = -np.diff(each, prepend=0.0)
        before = np.concatenate([[0.0], np.cumsum(each)])
        done = before[at]
        edges = _edges(at)
        pieces = []
        for sign in (1, -1):
            fall = np.maximum(sign * change, 0)
            columns = [fall, fall * before[:-1], fall * each**MEAN]
            sums = [np.diff(np.concatenate([[0.0], np.cumsum(column)])[edges], axis=1) for column in columns]
            weight = np.where(sums[0] > 0, sums[0], np.inf)
            some = sums[0] > 1e-12 * each.max()
            # Not below zero by rounding: at rates near zero the power of that has no value.
            since = np.maximum(np.where(some, done[:, None] - sums[1] / weight, 0.0), 0.0)
            to = np.where(some, (sums[2] / weight) ** (1 / MEAN), each.max())
            pieces.append([np.where(some, sign * sums[0], 0.0), to, since])
        return np.moveaxis(np.concatenate(pieces, axis=2), 0, 1)

    found = by_run(run, steps, of_one)
    return {"fall": found[:, 0], "fallen_to": found[:, 1], "since": found[:, 2]}


def _edges(length: np.ndarray) -> np.ndarray:
    """Cut the steps 0 .. length - 1 of each row at lags that grow geometrically, ``(n_row, PIECES + 1)``."""
    lag = np.expm1(np.linspace(0, 1, PIECES + 1) * np.log1p(length)[:, None])
    edges: np.ndarray = np.maximum(length[:, None] - np.rint(lag).astype(int), 0)[:, ::-1]
    return edges

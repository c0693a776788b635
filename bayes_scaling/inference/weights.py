"""Pareto-smoothed importance weights."""

from __future__ import annotations

import contextlib

import numpy as np
import scipy.special

MOST_K = 0.7  # k-hat above which weights are not reliable (Vehtari et al. 2024)
FURTHEST = 700.0  # log weights are that far below the largest at most: exp of less is zero


def effective(weight: np.ndarray) -> float:
    """Return how many draws of equal weight weighted draws are worth; weights, ``(n_draw,)``, sum to one."""
    return float(1 / np.sum(weight**2))


def unreliable(k_hat: np.ndarray) -> np.ndarray:
    """Return where weights are not to be trusted: k-hat above the limit, or none, as where one draw has all weight."""
    return ~(np.asarray(k_hat) <= MOST_K)


def pareto_smoothed(log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smooth the largest weights of each row by a Pareto distribution (Vehtari et al. 2024, arXiv 1507.02646).

    Parameters
    ----------
    log_weight : (n_row, n_draw)

    Returns
    -------
    log_weight : the same, smoothed and summing to one over draws
    k_hat : (n_row,) Pareto shape of the largest weights; NaN where they have none, as where copies of one draw have
        all the weight: such weights are not reliable
    """
    from arviz_stats.base import array_stats

    away = np.minimum(log_weight.max(axis=1, keepdims=True) - log_weight, FURTHEST)  # ArviZ takes minus log weights
    with np.errstate(over="ignore"):  # of shapes that few draws with any weight suggest, and that are not trusted
        try:
            smoothed, k_hat = array_stats.psislw(away, axis=-1)
        except ValueError:  # a row whose largest weights are all the same
            smoothed, k_hat = -away, np.full(len(away), np.nan)
            k_hat[np.ptp(away, axis=1) == 0] = -np.inf  # where all are the same, there is nothing to smooth
            for row in range(len(away)):
                with contextlib.suppress(ValueError):
                    smoothed[row], k_hat[row] = array_stats.psislw(away[row])
    return smoothed - scipy.special.logsumexp(smoothed, axis=1, keepdims=True), np.asarray(k_hat, float)

"""The published metrics."""

from __future__ import annotations

import numpy as np

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def clipped_r2(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Return 1 - mean squared error / variance of what was measured, at least -1."""
    measured = np.asarray(measured, float)
    error = np.mean((measured - np.asarray(predicted, float)) ** 2)
    return float(max(-1.0, 1 - error / np.var(measured)))


def rmsle(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Return the root mean square error of the logarithm."""
    return float(np.sqrt(np.mean(np.log(np.asarray(measured) / np.asarray(predicted)) ** 2)))


def msce(pit: np.ndarray) -> float:
    """Return the mean squared error of coverage over central intervals of seven levels.

    Parameters
    ----------
    pit : (n,) probability that was given to a lower loss
    """
    off = np.abs(np.asarray(pit) - 0.5)
    return float(np.mean([(np.mean(off <= level / 2) - level) ** 2 for level in LEVELS]))

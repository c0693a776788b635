"""Some of many, evenly spaced: draws, rows of a curve, runs of a picture."""

from __future__ import annotations

import numpy as np


def evenly(count: int, most: int) -> np.ndarray:
    """Return which of ``count`` to keep, at most ``most``, as indices in order: evenly spaced, both ends among them."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)

"""Streams of random numbers: what a seed is joined with, so that draws for one purpose do not follow those for another.

Numbers never change: results of a seed are to stay what they were. Two streams have one number only where no answer
draws from both.
"""

from __future__ import annotations

from typing import Final

import numpy as np

RESIDUALS: Final = 1  # of runs around the expected loss
POINT_FITS: Final = 1  # where their searches start
DEVIATIONS: Final = 2  # of whole runs from the law
SPLIT: Final = 2  # of a table for conformal intervals
NEW_GROUPS: Final = 3
PATHS: Final = 4  # of discrepancies
GOING_ON: Final = 5  # deviations of runs that go on
SIMULATED_PATHS: Final = 5
INTEGRATED_OUT: Final = 5  # what sampling has integrated out
MIXTURE: Final = 6  # which draws of several fits are used
DESIGNS: Final = 7  # of made-up tables of runs
FINISHED: Final = 8  # what finished runs show of one under way
NORMAL_PARTS: Final = 11  # of residuals that are not normal
OUTCOMES: Final = 21  # of pilots, that weights are made for
LEARNED_OUTCOMES: Final = 23  # of pilots, that a regression learns from
PORTFOLIO: Final = 31
LEAVING: Final = 41  # of recipes that leave the law on their own
QUESTIONS: Final = 51  # of benchmarks that are answered
PAIRS: Final = 53  # of a draw of a loss and one of a link
LINK_SCATTER: Final = 57  # of single models around a link
SPREAD: Final = 59  # draws of loss and link that are crossed
LEFTOVER: Final = 61  # how far best rates and batches lie from the law's


def stream(seed: int, *names: int) -> np.random.Generator:
    """Return the random numbers of a seed for one purpose."""
    return np.random.default_rng([seed, *names])

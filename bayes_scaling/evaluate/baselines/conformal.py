"""Split-conformal intervals around a point fit, on residuals of log loss.

A law is fitted to one part of the runs. The sizes of its errors on the other part, in log loss, say how wide an
interval must be: with n of them, the k-th smallest holds a run that is exchangeable with those with probability
k / (n + 1), for any law and any noise ("Conformalized Scaling Laws", 2026; Vovk et al. 2005). Larger runs are not
exchangeable with smaller ones, so nothing is promised where a law is needed most; how often it holds there is for
`compare` to say. Of two ways to choose the part, a random quarter, as is usual, and the largest quarter, the first
forecast better on public tables: what errors of extrapolation tell about the width, the fit loses with the runs that
are kept from it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import checked_probability, shown
from bayes_scaling.base.streams import SPLIT, stream
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError, FitError
from bayes_scaling.evaluate.baselines.point_fits import LEAST_SIGMA, PointFit, log_losses, point_fit
from bayes_scaling.laws.law import Law
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.families import Family, Theta
from bayes_scaling.model.observations import law_table
from bayes_scaling.predict.predictive import Predictive, Residuals

SPLITS: Mapping[str, str] = {"random": "a random quarter", "largest": "the largest quarter"}
"""Which runs are kept from the fit to measure its errors, and what they are then called."""

CALIBRATED = 0.25  # share of the runs that is kept from the fit
TAIL = 3.0  # power with which the probability of still larger errors falls: conformal intervals end at the largest one
DRAWS = 2000  # rows of the predictive distribution, all alike: quantiles and CRPS are taken over them


@dataclasses.dataclass(frozen=True, eq=False)
class ConformalFit:
    """A point fit with the sizes of its errors on runs that it has not seen.

    Attributes
    ----------
    fit : Huber point fit to the other runs
    errors : (n,) sizes of the errors of log loss on the runs that were kept, rising
    split : which runs were kept: ``random`` or ``largest``
    """

    fit: PointFit
    errors: np.ndarray
    split: str

    @property
    def label(self) -> str:
        """What it is."""
        return f"{self.fit.label}, conformal on {SPLITS[self.split]}"

    @validated
    def half_width(self, probability: float) -> float:
        """Return half the width of the interval in log loss that holds at least a probability; inf if runs are too few.

        The k-th smallest error with k the next integer to (n + 1) times the probability.
        """
        checked_probability(probability)
        rank = math.ceil((len(self.errors) + 1) * probability - 1e-9)
        return float(self.errors[rank - 1]) if rank <= len(self.errors) else math.inf

    @validated
    def predict(self, points: Mapping[str, Any]) -> Predictive:
        """Return the predictive distribution of the loss of new runs: the fit, and errors as those that it made.

        Half of the probability lies on either side of the fit. About the square root of n ranks, the highest included,
        fix the probability of smaller errors, k / (n + 1); between them the density is constant, since one that changed
        at every rank would be noise. The 1 / (n + 1) beyond the largest error, of whose size conformal prediction says
        nothing, falls with the third power.

        Parameters
        ----------
        points : (n_point,) by input of the law, in raw units; and ``run``, where the law reads whole curves
        """
        theta = {name: np.array([value]) for name, value in self.fit.theta.items()}
        centre = np.repeat(log_losses(self.fit.law, theta, points), DRAWS, axis=0)
        return Predictive.of(centre, np.ones(centre.shape), Residuals.of(Ranked.of(self.errors), {}, DRAWS, 0))


@validated
def conformal_fit(
    law: Law, runs: Runs, *, split: str = "random", seed: Seed = 0, like_rows: int | None = None
) -> ConformalFit:
    """Fit three quarters of the runs with Huber's loss, and measure the errors on the others.

    Parameters
    ----------
    law : the law
    runs : the table
    split : ``random`` keeps any of the runs from the fit, as is usual, so that errors are those of an interpolation;
        ``largest`` keeps the largest ones, so that they are those of an extrapolation, of a fit to smaller runs
    seed : of the starts, and of a random split
    like_rows : as of `point_fit`

    Raises
    ------
    DataError
        When there is no such split, the table lacks a column that the law reads, or has too few rows: one more than the
        law has parameters to fit, and one to measure.
    FitError
        When there is no start at which the law gives losses.
    """
    if split not in SPLITS:
        raise DataError(f"split is {shown(split)}; expected one of {', '.join(SPLITS)}")
    others = _fitted(law, runs, split, seed)
    if others.sum() <= len(law.sampled):
        raise DataError(
            f"{runs.source} has {len(runs)} rows for the {len(law.sampled)} parameters of law {law.label}; conformal "
            f"intervals need two rows more than parameters, one of them to measure errors"
        )
    # Its spread is not asked for: one replicate is the fewest.
    fit = point_fit(law, runs.where(others), bootstrap=1, seed=seed, like_rows=like_rows)
    theta = {name: np.array([value]) for name, value in fit.theta.items()}
    held_out = runs.where(~others)
    ahead = log_losses(law, theta, law_table(law, runs))[0, ~others]
    return ConformalFit(fit, np.sort(np.abs(np.log(held_out.loss) - ahead)), split)


def _fitted(law: Law, runs: Runs, split: str, seed: int) -> np.ndarray:
    """Return which rows are fitted, ``(n_row,)``; errors are measured on all others.

    Of runs of several rows, a random split keeps whole ones: rows of one run err together.
    """
    kept = max(min(round(CALIBRATED * len(runs)), len(runs) - len(law.sampled) - 1), 1)
    rank: np.ndarray = log_size(law, {name: runs.column(name) for name in law.inputs})
    if split == "random":
        run = pd.factorize(np.array(runs.labels))[0]
        rank = stream(seed, SPLIT).permutation(run.max() + 1)[run]
    order = np.argsort(rank, kind="stable")
    fitted = np.isin(np.arange(len(runs)), order[: len(runs) - kept])
    whole = rank < rank[order[len(runs) - kept]]
    return whole if split == "random" and whole.any() else fitted


# --- the distribution of errors -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ranked(Family):
    """Errors of which some sizes and their ranks are known.

    Attributes
    ----------
    sizes, levels : rising sizes of errors from 0, and the probability of smaller ones
    """

    sizes: tuple[float, ...]
    levels: tuple[float, ...]
    label = "ranked"

    @classmethod
    def of(cls, errors: np.ndarray) -> Ranked:
        """Take about the square root of n ranks of rising sizes, the highest included."""
        count = len(errors)
        ranks = np.arange(count, 0, -round(math.sqrt(count)))[::-1]
        # Errors of equal size get a density, too.
        sizes = np.maximum.accumulate(errors[ranks - 1]) + LEAST_SIGMA * np.arange(1, len(ranks) + 1)
        return cls((0.0, *sizes.tolist()), (0.0, *(ranks / (count + 1)).tolist()))

    def distribution(self, location: Any, scale: Any, theta: Theta) -> dist.Distribution:
        """Refuse: these errors were measured, and have nothing to be fitted."""
        raise FitError("errors of known ranks describe forecasts and are no noise to fit; choose normal or student_t")

    def draw(self, theta: Theta, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw errors."""
        return self.quantile(rng.uniform(size=shape), theta)

    def log_density(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the log of the steps, and of the tail beyond them."""
        size, last = np.abs(residual), self.sizes[-1]
        steps = np.log(np.diff(self.levels) / np.diff(self.sizes) / 2)
        inside = steps[np.clip(np.searchsorted(self.sizes, size) - 1, 0, len(steps) - 1)]
        outside = math.log(self._beyond * TAIL / last / 2) - (TAIL + 1) * np.log(np.maximum(size, last) / last)
        return np.where(size <= last, inside, outside)

    def probability_below(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the distribution function, linear between ranks."""
        size, last = np.abs(residual), self.sizes[-1]
        outside = 1 - self._beyond * (last / np.maximum(size, last)) ** TAIL
        smaller = np.where(size <= last, np.interp(size, self.sizes, self.levels), outside)
        return np.asarray((1 + np.sign(residual) * smaller) / 2)

    def quantile(self, probability: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the inverse of the distribution function."""
        level, last = np.abs(2 * probability - 1), self.sizes[-1]
        outside = last * (self._beyond / np.clip(1 - level, 1e-300, self._beyond)) ** (1 / TAIL)
        size = np.where(level <= self.levels[-1], np.interp(level, self.levels, self.sizes), outside)
        return np.asarray(np.sign(2 * probability - 1) * size)

    @property
    def _beyond(self) -> float:
        """The probability of an error larger than all that are known."""
        return 1 - self.levels[-1]

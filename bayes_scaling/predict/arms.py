"""Arms, the recipes that are compared: what one more compute is worth, where curves cross, which one is ahead.

Every posterior draw is one curve for each arm, so each answer is a distribution: curves are read off along one size,
for all draws at once. A multiplier of 2 says that the other arm needs twice the size to be as good.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import checked_loss, checked_probability, equal_tails, listed, shown
from bayes_scaling.errors import ForecastError
from bayes_scaling.predict.along import Along, at_each, reached
from bayes_scaling.predict.ensemble import Ensemble

SMALLER, LARGER = 1e3, 1e4  # reach of the curves below the smallest run and beyond the largest, as factors
STEPS = 224  # sizes at which curves are held
NEVER = math.inf  # log multiplier of an arm whose rival never gets there


@dataclasses.dataclass(frozen=True, eq=False)
class Speedup:
    """The multiplier of one arm over another: how much more the other needs to be as good.

    Attributes
    ----------
    arm, over : the arm, and the one that it is measured against
    log_draws : (n_draw,) natural logarithm of the multiplier: 0 as good, below 0 worse; infinite where one of the two
        never gets there; NaN where neither does
    at : in words, where
    unit : of what is multiplied
    """

    arm: str
    over: str
    log_draws: np.ndarray
    at: str
    unit: str

    @property
    def ahead(self) -> float:
        """Probability that the multiplier is above 1, of the draws that give an answer; NaN where none does."""
        known = self.log_draws[~np.isnan(self.log_draws)]
        return float((known > 0).mean()) if len(known) else math.nan

    @property
    def defined(self) -> float:
        """Share of draws that give an answer: in the others neither arm gets there."""
        return float((~np.isnan(self.log_draws)).mean())

    def quantile(self, probability: float) -> float:
        """Return a quantile of the multiplier; 0 or infinite where one of the two never gets there."""
        checked_probability(probability)
        known = self.log_draws[~np.isnan(self.log_draws)]
        if not len(known):
            return math.nan
        with np.errstate(over="ignore"):
            return float(np.exp(np.quantile(known, probability, method="inverted_cdf")))

    @property
    def median(self) -> float:
        """Median of the multiplier."""
        return self.quantile(0.5)

    def interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed credible interval of the multiplier."""
        low, high = equal_tails(probability)
        return self.quantile(low), self.quantile(high)

    def __repr__(self) -> str:
        if not self.defined:
            return f"<Speedup of {self.arm} over {self.over} {self.at}: neither gets there>"
        low, high = self.interval()
        return f"<Speedup of {self.arm} over {self.over} {self.at}: {self.median:.3g} (90 %: {low:.3g} to {high:.3g})>"


@dataclasses.dataclass(frozen=True, eq=False)
class Crossing:
    """Where the curves of two arms cross last within a range of sizes.

    Attributes
    ----------
    arm, over : the two arms
    low, high : the range
    draws : (n_draw,) the size at which the arm that is ahead at the end of the range took the lead; NaN where the same
        arm is ahead from one end to the other
    arm_leads : (n_draw,) whether ``arm`` is ahead at the end
    """

    arm: str
    over: str
    low: float
    high: float
    draws: np.ndarray
    arm_leads: np.ndarray

    @property
    def probability(self) -> float:
        """Probability that they cross within the range."""
        return float(np.isfinite(self.draws).mean())

    def quantile(self, probability: float) -> float:
        """Return a quantile of the size, over the draws that cross; NaN where none does."""
        crossed = self.draws[np.isfinite(self.draws)]
        return float(np.quantile(crossed, checked_probability(probability))) if len(crossed) else math.nan

    @property
    def median(self) -> float:
        """Median of the size, over the draws that cross."""
        return self.quantile(0.5)

    def interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of the size, over the draws that cross."""
        low, high = equal_tails(probability)
        return self.quantile(low), self.quantile(high)


@dataclasses.dataclass(frozen=True, eq=False)
class ArmCurves:
    """Expected loss of every arm along one size, for every posterior draw.

    Attributes
    ----------
    arms : by name, draws of the loss of any run of that recipe; draw by draw they share what the fit shares
    along : what grows
    sizes : (n_size,) at which curves are held
    """

    arms: Mapping[str, Ensemble]
    along: Along
    sizes: np.ndarray

    @classmethod
    def of(cls, arms: Mapping[str, Ensemble], along: Along, smallest: float, largest: float) -> ArmCurves:
        """Hold the curves of arms from far below the smallest run to far beyond the largest one."""
        return cls(arms, along, np.geomspace(smallest / SMALLER, largest * LARGER, STEPS))

    @functools.cached_property
    def law(self) -> dict[str, np.ndarray]:
        """Log of the law of each arm, ``(n_draw, n_size)``."""
        return {name: arm.log_law(arm.points(**self.along.inputs(self.sizes))) for name, arm in self.arms.items()}

    @functools.cached_property
    def error(self) -> dict[str, np.ndarray]:
        """How far each arm is off its law, in log loss, ``(n_draw, n_size)``: what all arms share, and its own."""
        return {name: arm.discrepancy(arm.points(**self.along.inputs(self.sizes))) for name, arm in self.arms.items()}

    @functools.cached_property
    def log_loss(self) -> dict[str, np.ndarray]:
        """Log of the expected loss of each arm, ``(n_draw, n_size)``."""
        return {name: self.law[name] + self.error[name] for name in self.arms}

    @validated
    def at(self, arm: str, size: float) -> np.ndarray:
        """Return the log of the expected loss of an arm at a size, ``(n_draw,)``."""
        self._refuse_beyond(size)
        return _read(self.log_loss[self._known(arm)], np.log(self.sizes), math.log(size))

    @validated
    def ahead(self, arm: str, over: str, size: float) -> float:
        """Return the probability that an arm has the lower expected loss at a size; a tie counts half."""
        one, other = self.at(arm, size), self.at(over, size)
        return float((one < other).mean() + (one == other).mean() / 2)

    @validated
    def best(self, size: float) -> dict[str, float]:
        """Return the probability that each arm has the lowest expected loss at a size."""
        names = list(self.arms)
        first = np.array([self.at(name, size) for name in names]).argmin(axis=0)
        return {name: float((first == i).mean()) for i, name in enumerate(names)}

    @validated
    def speedup(self, arm: str, over: str, *, at: float | None = None, loss: float | None = None) -> Speedup:
        """Return the multiplier of an arm over another, at a size or at a loss.

        Parameters
        ----------
        at : size of the arm's run; the multiplier says how much larger the other's run is that reaches its loss
        loss : target, in place of a size; the multiplier is what the other needs over what the arm needs

        Raises
        ------
        ForecastError
            When neither is given, or both are, or it is not a positive number.

        Notes
        -----
        What all arms share of the law's error moves their curves alike, and so each arm's error is held at its value at
        the arm's run: a multiplier is a distance between two curves, and not between two turns of one rough path. Of an
        arm's own error that is an approximation, which matters where multipliers are large: there intervals of one arm
        over another, and of the other over it, are not exactly inverse.
        """
        log_sizes, arm, over = np.log(self.sizes), self._known(arm), self._known(over)
        if at is not None and loss is None:
            self._refuse_beyond(at)
            needed = np.full(len(self.law[arm]), math.log(at))
            where = f"at {at:.3g} {self.along.unit}"
        elif loss is not None and at is None:
            lowest = np.minimum.accumulate(self.log_loss[arm], axis=1)
            needed, where = reached(lowest, log_sizes, np.log(checked_loss(loss))), f"at a loss of {loss:.4g}"
        else:
            raise ForecastError("a multiplier is at a size or at a loss: give one of the two")
        there = np.minimum(needed, log_sizes[-1])
        apart = at_each(self.error[arm], log_sizes, there) - at_each(self.error[over], log_sizes, there)
        rival = reached(self.law[over], log_sizes, at_each(self.law[arm], log_sizes, there) + apart)
        known = np.isfinite(needed)
        multiplier = np.full(len(needed), np.nan)
        multiplier[known] = rival[known] - needed[known]
        if loss is not None:
            rival_reaches = (self.log_loss[over] <= math.log(loss)).any(axis=1)
            multiplier = np.where(~known & rival_reaches, -NEVER, multiplier)
        return Speedup(arm, over, multiplier, where, self.along.unit)

    @validated
    def crossing(self, arm: str, over: str, low: float, high: float) -> Crossing:
        """Return where two curves cross last within a range of sizes."""
        for size in (low, high):
            self._refuse_beyond(size)
        if not low < high:
            raise ForecastError(f"curves cross between two sizes, the smaller first; got {low:g} and {high:g}")
        inside = self.sizes[(self.sizes > low) & (self.sizes < high)]
        log_sizes = np.log(np.concatenate([[low], inside, [high]]))
        held = np.log(self.sizes)
        gap = self.log_loss[self._known(arm)] - self.log_loss[self._known(over)]
        apart = at_each(gap, held, np.broadcast_to(log_sizes, (len(gap), len(log_sizes))))
        turns = np.sign(apart[:, 1:]) != np.sign(apart[:, :-1])
        last = apart.shape[1] - 2 - turns[:, ::-1].argmax(axis=1)
        rows = np.arange(len(apart))
        before, after = apart[rows, last], apart[rows, last + 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip(np.where(turns.any(axis=1), before / (before - after), 0.0), 0.0, 1.0)
        place = log_sizes[last] + share * (log_sizes[last + 1] - log_sizes[last])
        return Crossing(arm, over, low, high, np.where(turns.any(axis=1), np.exp(place), np.nan), apart[:, -1] < 0)

    def _known(self, arm: str) -> str:
        if arm not in self.arms:
            raise ForecastError(f"there is no recipe {shown(arm)}; there are {listed(self.arms)}")
        return arm

    def _refuse_beyond(self, size: float) -> None:
        if not self.sizes[0] <= size <= self.sizes[-1]:
            raise ForecastError(
                f"a size of {size:g} {self.along.unit} is out of reach; curves are held from {self.sizes[0]:.3g} to "
                f"{self.sizes[-1]:.3g}"
            )


def _read(curves: np.ndarray, places: np.ndarray, place: float) -> np.ndarray:
    """Interpolate curves, ``(n_draw, n_place)``, at one place, ``(n_draw,)``."""
    return at_each(curves, places, np.full(len(curves), place))

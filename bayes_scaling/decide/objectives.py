"""Objectives: what makes one run better than another, given the distribution of its loss.

The loss of one new run is a mixture of log-normals over posterior draws; a Student-t in log loss is represented by
normals of random width. Given a draw, every integral over the noise has a closed form. Over draws it is a mean, whose
Monte-Carlo error is that of independent draws.

An objective of your own is an `Objective` with a function of its own; CONTRIBUTING.md shows one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import scipy.special

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import shown
from bayes_scaling.decide.costs import fraction
from bayes_scaling.errors import PlanError
from bayes_scaling.model.families import HALF_LOG_TWO_PI
from bayes_scaling.predict.predictive import Predictive

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)
NARROW = 0.1  # widths of log loss below which a difference is integrated, not subtracted
FAR = -100.0  # standardised loss below which the series of Mills' ratio is exact
UTILITY_POINTS = 16  # losses per normal part at which a user's utility is evaluated
UTILITY_SEED = 13  # of where these lie, the same for every problem


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a run is measured against.

    Attributes
    ----------
    incumbent : the loss to improve on
    target : the loss that is wanted; NaN without one
    """

    incumbent: float
    target: float = math.nan


type Contributions = Callable[[Predictive, Goal], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """What a plan optimises: the mean over draws of what each draw contributes.

    Attributes
    ----------
    label : in words
    direction : ``maximise`` or ``minimise``
    contributions : from a predictive and a goal to what each draw adds, (n_draw, n_point)
    ordering : what the optimiser maximises, (n_point,), where not the mean of the contributions: it orders points as
        the objective does, even where the objective is too small for floating point
    needs_target : whether the goal must have a target
    unit : of its value; empty for the unit of the loss
    averages : whether it is an expected value, so that information gained from pilots has an expected value too
    """

    label: str
    direction: Literal["maximise", "minimise"]
    contributions: Contributions
    ordering: Callable[[Predictive, Goal], np.ndarray] | None = None
    needs_target: bool = False
    unit: str = ""
    averages: bool = True

    def __post_init__(self) -> None:
        if self.direction not in ("maximise", "minimise"):
            raise PlanError(f"the direction of an objective is {shown(self.direction)}, expected maximise or minimise")

    @property
    def sign(self) -> float:
        """1 where more is better, -1 where less is."""
        return 1.0 if self.direction == "maximise" else -1.0

    def value(self, predictive: Predictive, goal: Goal) -> tuple[np.ndarray, np.ndarray]:
        """Return the objective at each point and its Monte-Carlo standard error, ``(n_point,)`` each."""
        parts = self.contributions(predictive, goal)
        return parts.mean(axis=0), standard_error(parts)

    def score(self, predictive: Predictive, goal: Goal) -> np.ndarray:
        """Return what the optimiser maximises at each point, ``(n_point,)``."""
        if self.ordering is not None:
            return self.ordering(predictive, goal)
        return np.asarray(self.sign * self.contributions(predictive, goal).mean(axis=0))

    def __repr__(self) -> str:
        return f"<Objective: {self.direction} {self.label}>"


@validated
def standard_error(parts: np.ndarray) -> np.ndarray:
    """Return the Monte-Carlo standard error of a mean over draws, the first axis; 0 for a single draw."""
    if len(parts) == 1:
        return np.zeros(parts.shape[1:])
    return np.asarray(parts.std(axis=0, ddof=1) / math.sqrt(len(parts)))


# --- integrals over the mixture -------------------------------------------------------------------------------------


@validated
def log_improvement(predictive: Predictive, incumbent: float) -> np.ndarray:
    """Return log E[max(incumbent - loss, 0)] given each draw and part, ``(n_draw, n_part, n_point)``.

    With d = (ln incumbent - centre) / width, w the width, Phi and phi the normal distribution and its density,

        E = incumbent (Phi(d) - exp(w^2 / 2 - w d) Phi(d - w)) = incumbent int_0^w h(d - s) exp(s^2 / 2 - s d) ds,

    h(z) = phi(z) + z Phi(z) of Ament et al. 2023 (arXiv 2310.20708). The integral, which subtracts nothing, serves for
    narrow noise below the centre; the difference serves elsewhere.
    """
    w = np.broadcast_to(predictive.width, np.broadcast_shapes(predictive.width.shape, predictive.centre.shape))
    d = np.broadcast_to(predictive.standardised(incumbent), w.shape)
    out = np.empty(w.shape)
    likely = d >= 1
    narrow = ~likely & (w <= NARROW)
    wide = ~likely & ~narrow
    with np.errstate(divide="ignore", under="ignore", over="ignore"):
        x, s = d[likely], w[likely]
        rest = np.exp(np.minimum(s * (s / 2 - x) + scipy.special.log_ndtr(x - s), 0.0))
        out[likely] = np.log(np.maximum(scipy.special.ndtr(x) - rest, 1e-300))
        x, s = d[narrow], w[narrow]
        # Divided by phi(d), the integrand is 1 + z R(z) with R = Phi / phi, on [d - w, d].
        total = sum(
            weight * _slope_of_mills(x - s * (1 + node) / 2) for node, weight in zip(NODES, WEIGHTS, strict=True)
        )
        out[narrow] = np.log(np.maximum(total, 1e-300) * s / 2) - x**2 / 2 - HALF_LOG_TWO_PI
        x, s = d[wide], w[wide]
        out[wide] = np.log(_mills(x) - _mills(x - s)) - x**2 / 2 - HALF_LOG_TWO_PI
    return np.asarray(out + math.log(incumbent))


def _mills(z: np.ndarray) -> np.ndarray:
    """Return Phi(z) / phi(z)."""
    return np.asarray(math.sqrt(math.pi / 2) * scipy.special.erfcx(-z / math.sqrt(2)))


def _slope_of_mills(z: np.ndarray) -> np.ndarray:
    """Return 1 + z Phi(z) / phi(z), which is h(z) / phi(z); by its series where the two terms cancel."""
    inverse = 1 / np.minimum(z, FAR) ** 2
    series = inverse * (1 - inverse * (3 - inverse * (15 - 105 * inverse)))
    return np.asarray(np.where(z < FAR, series, 1 + z * _mills(np.maximum(z, FAR))))


@validated
def log_expected_improvement(predictive: Predictive, incumbent: float) -> np.ndarray:
    """Return the log of the expected improvement at each point, ``(n_point,)``; finite where EI underflows."""
    parts = log_improvement(predictive, incumbent)
    return _log_mean_exp(parts)


@validated
def improvement(predictive: Predictive, incumbent: float) -> np.ndarray:
    """Return E[max(incumbent - loss, 0)] given each draw, ``(n_draw, n_point)``, in the unit of the loss."""
    with np.errstate(under="ignore"):
        return np.asarray(np.exp(log_improvement(predictive, incumbent)).mean(axis=1))


@validated
def loss_given_draw(predictive: Predictive) -> np.ndarray:
    """Return the expected loss of one new run given each draw, ``(n_draw, n_point)``."""
    return np.asarray(np.exp(predictive.centre + predictive.width**2 / 2).mean(axis=1))


@validated
def probability_below(predictive: Predictive, loss: np.ndarray | float) -> np.ndarray:
    """Return P(loss of one new run <= loss) given each draw, ``(n_draw, n_point)``."""
    return np.asarray(scipy.special.ndtr(predictive.standardised(loss)).mean(axis=1))


@validated
def quantile(predictive: Predictive, probability: float) -> np.ndarray:
    """Return a quantile of the loss of one new run, ``(n_point,)``, by Newton's method within a bracket.

    Parameters
    ----------
    probability : fraction between 0 and 1
    """
    fraction("probability", probability)
    reach = predictive.width * scipy.special.ndtri(min(probability, 1 - probability) / 2)  # negative
    low = (predictive.centre + reach).min(axis=(0, 1))
    high = (predictive.centre - reach).max(axis=(0, 1))
    x = np.quantile(predictive.location, probability, axis=0)
    for _ in range(200):
        z = (x - predictive.centre) / predictive.width
        gap = scipy.special.ndtr(z).mean(axis=(0, 1)) - probability
        low, high = np.where(gap < 0, x, low), np.where(gap < 0, high, x)
        with np.errstate(under="ignore", divide="ignore", invalid="ignore", over="ignore"):
            density = (np.exp(-(z**2) / 2 - HALF_LOG_TWO_PI) / predictive.width).mean(axis=(0, 1))
            step = x - gap / density
        new = np.where((step > low) & (step < high), step, (low + high) / 2)
        settled = bool((np.abs(new - x) <= 1e-14 * (1 + np.abs(x))).all())
        x = new
        if settled:
            break
    return np.asarray(np.exp(x))


def _quantile_parts(predictive: Predictive, probability: float) -> np.ndarray:
    """Return what each draw contributes to a quantile, ``(n_draw, n_point)``: the quantile plus its influence."""
    loss = quantile(predictive, probability)
    z = predictive.standardised(loss)
    with np.errstate(under="ignore"):
        density = (np.exp(-(z**2) / 2 - HALF_LOG_TWO_PI) / predictive.width).mean(axis=(0, 1)) / loss
    return np.asarray(loss + (probability - scipy.special.ndtr(z).mean(axis=1)) / density)


@validated
def cvar_given_draw(predictive: Predictive, worst: float) -> np.ndarray:
    """Return what each draw contributes to the mean loss of the worst share, ``(n_draw, n_point)``.

    That is q + E[(loss - q)+] / share, q the quantile where the worst share begins.

    Parameters
    ----------
    worst : share, a fraction
    """
    q = quantile(predictive, 1 - worst)
    m, w = predictive.centre, predictive.width
    beyond = np.exp(m + w**2 / 2) * scipy.special.ndtr(w - predictive.standardised(q))
    over = beyond - q * scipy.special.ndtr(-predictive.standardised(q))
    return np.asarray(q + over.mean(axis=1) / worst)


def _log_mean_exp(parts: np.ndarray) -> np.ndarray:
    count = parts.shape[0] * parts.shape[1]
    return np.asarray(scipy.special.logsumexp(parts, axis=(0, 1)) - math.log(count))


def _log_odds(predictive: Predictive, loss: float) -> np.ndarray:
    """Return the log odds of a loss below the given one at each point, ``(n_point,)``."""
    z = predictive.standardised(loss)
    return np.asarray(_log_mean_exp(scipy.special.log_ndtr(z)) - _log_mean_exp(scipy.special.log_ndtr(-z)))


# --- built-in objectives --------------------------------------------------------------------------------------------


def expected_improvement() -> Objective:
    """Maximise E[max(incumbent - loss, 0)] of one new run, in the unit of the loss."""
    return Objective(
        "expected improvement over the incumbent",
        "maximise",
        lambda p, goal: improvement(p, goal.incumbent),
        lambda p, goal: log_expected_improvement(p, goal.incumbent),
    )


def expected_loss() -> Objective:
    """Minimise the expected loss of one new run."""
    return Objective("expected loss", "minimise", lambda p, goal: loss_given_draw(p))


def probability_of_target() -> Objective:
    """Maximise P(loss of one new run <= target)."""
    return Objective(
        "probability of the target",
        "maximise",
        lambda p, goal: probability_below(p, goal.target),
        lambda p, goal: _log_odds(p, goal.target),
        needs_target=True,
        unit="probability",
    )


@validated
def loss_quantile(probability: float) -> Objective:
    """Minimise a quantile of the loss of one new run, such as 0.9.

    Parameters
    ----------
    probability : fraction between 0 and 1
    """
    fraction("probability", probability)
    # The optimiser gets the quantile itself: the influences add up to zero, but for rounding.
    return Objective(
        f"{probability:g} quantile of the loss",
        "minimise",
        lambda p, goal: _quantile_parts(p, probability),
        lambda p, goal: -quantile(p, probability),
        averages=False,
    )


@validated
def cvar(worst: float = 0.05) -> Objective:
    """Minimise the mean loss of the worst share of outcomes (conditional value at risk).

    Parameters
    ----------
    worst : that share, a fraction
    """
    fraction("worst", worst)
    label = f"mean loss of the worst {worst:.3g}"
    return Objective(label, "minimise", lambda p, goal: cvar_given_draw(p, worst), averages=False)


@validated
def mean_and_cvar(weight: float, worst: float = 0.05) -> Objective:
    """Minimise expected loss plus a weight times the mean loss of the worst share.

    Parameters
    ----------
    weight : lambda, how much the worst share counts; at least 0
    worst : that share, a fraction
    """
    fraction("worst", worst)
    if not (math.isfinite(weight) and weight >= 0):
        raise PlanError(f"weight of the worst share is {weight:g}, expected 0 or more")
    return Objective(
        f"expected loss plus {weight:g} times the mean of the worst {worst:.3g}",
        "minimise",
        lambda p, goal: loss_given_draw(p) + weight * cvar_given_draw(p, worst),
        averages=False,
    )


@validated
def utility(
    of: Callable[[np.ndarray], np.ndarray] | Sequence[tuple[float, float]], label: str = "utility"
) -> Objective:
    """Maximise the expected utility of the loss of one new run.

    Parameters
    ----------
    of : function from an array of losses to an array of their values, of the same shape; or a table of (loss, value),
        which is linear between its rows and constant beyond them
    label : shown in tables
    """
    if not callable(of):
        return Objective(label, "maximise", _table_utility(of), unit=label)

    def contributions(p: Predictive, goal: Goal) -> np.ndarray:
        shape = p.width.shape[:2]
        shift = np.random.default_rng(UTILITY_SEED).uniform(size=shape)
        total = np.zeros(p.location.shape)
        for index in range(UTILITY_POINTS):
            noise = scipy.special.ndtri((index + shift) / UTILITY_POINTS)[:, :, None]
            losses = np.exp(p.centre + p.width * noise)
            values = np.asarray(of(losses), float)
            if values.shape != losses.shape or not np.isfinite(values).all():
                raise PlanError(
                    f"the utility returned shape {values.shape} for losses of shape {losses.shape}; "
                    "expected one finite value per loss"
                )
            total += values.mean(axis=1)
        return total / UTILITY_POINTS

    return Objective(label, "maximise", contributions, unit=label)


def _table_utility(table: Sequence[tuple[float, float]]) -> Contributions:
    """Return the expected value of a piecewise-linear utility: a weighted sum of expected improvements."""
    try:
        rows = np.array(table, float)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) < 2 or not np.isfinite(rows).all() or (rows[:, 0] <= 0).any():
        raise PlanError(f"utility is {shown(table)}, expected a function or two or more rows of (loss, value)")
    rows = rows[np.argsort(rows[:, 0])]
    loss, value = rows.T
    if (np.diff(loss) == 0).any():
        raise PlanError("the utility table has two values for one loss; expected every loss once")
    slopes = np.concatenate([[0.0], np.diff(value) / np.diff(loss), [0.0]])
    kinks = np.diff(slopes)

    def contributions(p: Predictive, goal: Goal) -> np.ndarray:
        parts = (kink * improvement(p, float(at)) for at, kink in zip(loss, kinks, strict=True))
        return np.asarray(value[-1] + sum(parts))

    return contributions

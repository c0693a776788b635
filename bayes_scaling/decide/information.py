"""Information: what runs that are not trained yet would say about quantities of interest.

There are three ways to compute it. The *linear* one takes the runs' losses and the quantities as jointly normal, with
their covariance over draws: a set of runs then costs a few products, so thousands of sets can be searched. *Weights*
draw outcomes, weight every draw by how well it predicts them, and smooth the weights (Vehtari et al. 2024, arXiv
1507.02646). They are exact in the limit of many draws, for any law and for laws that disagree, and they report when too
few draws carry the answer, as after many runs. *Regression* then learns from the draws how to act on outcomes.

Value of information: Raiffa and Schlaifer 1961; by reweighting, Heath et al. 2017 (arXiv 1702.08804).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from bayes_scaling.base.messages import equal_tails
from bayes_scaling.base.streams import LEARNED_OUTCOMES, OUTCOMES, stream
from bayes_scaling.inference.weights import FURTHEST, pareto_smoothed, unreliable
from bayes_scaling.predict.predictive import Predictive

CENTRAL = 0.99  # share of draws that covariances follow; the others are winsorised
BLOCK = 64  # outcomes that are weighted together
DIRECTIONS = 4  # of outcomes, in which a regression is quadratic
REACH = 3.0  # standard deviations of a direction, beyond which a regression stays constant
ROUNDING = 1e-10
EVEN = 1e-9  # largest difference of log weights that count as equal


@dataclasses.dataclass(frozen=True, eq=False)
class Joint:
    """Covariance of c candidate runs with each other and with v quantities, given the runs chosen so far.

    What the k chosen runs explain is kept as k factors beside the covariance before them: that of thousands of
    candidates takes hundreds of megabytes, and a search would copy it at each step.

    Attributes
    ----------
    before : (c + v, c) of the candidates' expected log losses and the quantities (rows) with the former, before any run
    noise : (c,) variance of one run's own scatter: that of a normal that is as informative as its Student-t
    explained : (k, c + v) factors of the covariance that the chosen runs explain
    """

    before: np.ndarray
    noise: np.ndarray
    explained: np.ndarray

    @classmethod
    def of(cls, signals: Predictive, quantities: np.ndarray) -> Joint:
        """Take covariances over draws.

        Parameters
        ----------
        signals : of the candidates' log losses, (n_draw, c)
        quantities : (n_draw, v)
        """
        seen = winsorise(signals.location)
        seen = seen - seen.mean(axis=0)
        both = np.concatenate([seen, quantities - quantities.mean(axis=0)], axis=1)
        noise = np.median(signals.informative_variance, axis=0)
        return cls(both.T @ seen / len(seen), noise, np.zeros((0, both.shape[1])))

    @property
    def covariance(self) -> np.ndarray:
        """That of candidates and quantities (rows) with the candidates, given the chosen runs, ``(c + v, c)``."""
        return np.asarray(self.before - self.explained.T @ self.explained[:, : len(self.noise)])

    @functools.cached_property
    def shifts(self) -> np.ndarray:
        """Standard deviation by which one more run of each candidate moves the mean of each quantity, ``(v, c)``."""
        count = len(self.noise)
        of_runs, of_quantities = self.explained[:, :count], self.explained[:, count:]
        total = np.maximum(np.diagonal(self.before) - (of_runs**2).sum(axis=0), 0.0) + self.noise
        return np.asarray((self.before[count:] - of_quantities.T @ of_runs) / np.sqrt(total))

    def given(self, candidate: int) -> Joint:
        """Return the covariance once a run of a candidate is known."""
        own = self.before[:, candidate] - self.explained.T @ self.explained[:, candidate]
        total = max(own[candidate], 0.0) + self.noise[candidate]
        return dataclasses.replace(self, explained=np.vstack([self.explained, own / np.sqrt(total)]))


def shifts_of(joint: Joint, chosen: Sequence[int]) -> tuple[np.ndarray, Joint]:
    """Return how far each run, one after the other, moves each quantity, ``(v, n_chosen)``, and what is left."""
    columns = []
    for candidate in chosen:
        columns.append(joint.shifts[:, candidate])
        joint = joint.given(candidate)
    return np.array(columns).reshape(len(columns), len(joint.before) - len(joint.noise)).T, joint


def winsorise(values: np.ndarray) -> np.ndarray:
    """Set the few most extreme draws of each column to the edge of the others."""
    low, high = np.quantile(values, equal_tails(CENTRAL), axis=0)
    return np.asarray(np.clip(values, low, high))


# --- by drawing outcomes ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors after outcomes of a set of runs, as weights of the draws.

    Attributes
    ----------
    weights : (n_outcome, n_draw), each row adds to one
    k_hat : (n_outcome,) Pareto k of the weights; above 0.7 a row rests on too few draws
    """

    weights: np.ndarray
    k_hat: np.ndarray

    @property
    def unreliable(self) -> float:
        """Share of outcomes whose weights cannot be trusted."""
        return float(np.mean(unreliable(self.k_hat)))

    def means(self, quantities: np.ndarray) -> np.ndarray:
        """Return the mean of each quantity after each outcome, ``(n_outcome, v)``."""
        return np.asarray(self.weights @ quantities)

    def variances(self, quantities: np.ndarray) -> np.ndarray:
        """Return the variance of each quantity after each outcome, ``(n_outcome, v)``."""
        centred = quantities - quantities.mean(axis=0)
        return np.asarray(np.maximum(self.weights @ centred**2 - self.means(centred) ** 2, 0.0))


def posteriors(signals: Predictive, chosen: Sequence[int], outcomes: int, seed: int) -> Posteriors:
    """Draw outcomes of a set of runs, and weight all draws by each.

    Parameters
    ----------
    signals : of the candidates' log losses, (n_draw, c)
    chosen : candidates; one that is listed twice is run twice
    outcomes : how many are drawn, each from its own draw, which gets no weight in that posterior
    seed : of outcomes

    Notes
    -----
    The draw that an outcome comes from would predict it best, and make every experiment look better than it is.
    """
    count = len(signals.location)
    rng = stream(seed, OUTCOMES)
    origin = rng.choice(count, min(outcomes, count), replace=False)
    losses = _outcomes(signals, origin, chosen, rng)
    weights, k_hat = [], []
    for start in range(0, len(origin), BLOCK):
        block = slice(start, start + BLOCK)
        log_weight = sum(
            signals.log_density_of(losses[block, place], candidate).T for place, candidate in enumerate(chosen)
        ) + np.zeros((len(origin[block]), count))
        own = (np.arange(len(log_weight)), origin[block])
        log_weight[own] = log_weight.min(axis=1)
        away = np.minimum(log_weight.max(axis=1, keepdims=True) - log_weight, FURTHEST)
        weight = np.exp(-away)
        weight, k = weight / weight.sum(axis=1, keepdims=True), np.full(len(away), -np.inf)
        largest = np.partition(away, math.ceil(3 * math.sqrt(count)), axis=1)[:, : math.ceil(3 * math.sqrt(count))]
        uneven = np.ptp(largest, axis=1) > EVEN  # a tail of equal weights needs no smoothing, and allows none
        if uneven.any():
            smoothed, k[uneven] = pareto_smoothed(-away[uneven])
            weight[uneven] = np.exp(smoothed)
        weights.append(weight)
        k_hat.append(k)
    return Posteriors(np.concatenate(weights), np.concatenate(k_hat))


def _outcomes(signals: Predictive, origin: np.ndarray, chosen: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw the log losses of chosen runs as some draws predict them, ``(n_origin, n_chosen)``."""
    return signals.log_losses_of(origin, np.asarray(chosen, int), rng)


# --- by learning from draws ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Learned:
    """What outcomes of a set of runs predict of quantities, learned on half of the draws and tested on the other half.

    Attributes
    ----------
    predicted : (n_draw, v) each draw's quantities as its own outcome predicts them
    actual : (n_draw, v) the quantities
    """

    predicted: np.ndarray
    actual: np.ndarray


def learned(signals: Predictive, chosen: Sequence[int], quantities: np.ndarray, seed: int) -> Learned:
    """Learn to predict quantities from outcomes: a quadratic in the few directions that matter most.

    Parameters
    ----------
    signals : of the candidates' log losses, (n_draw, c)
    chosen : candidates that are run
    quantities : (n_draw, v)
    seed : of outcomes

    Notes
    -----
    The regression never sees the draws on which it is tested. Acting on it gains no more than the best use of the
    outcomes would, so gains are lower bounds and standard deviations upper bounds, for sets of any size (the regression
    of Strong, Oakley and Brennan 2014, tested out of sample).
    """
    count = len(signals.location)
    rng = stream(seed, LEARNED_OUTCOMES)
    outcomes = winsorise(_outcomes(signals, np.arange(count), chosen, rng))
    half = rng.permutation(count) < count // 2
    predicted = np.empty(quantities.shape)
    for train in (half, ~half):
        predicted[~train] = _predicted(outcomes[train], quantities[train], outcomes[~train])
    return Learned(predicted, quantities)


def _predicted(seen: np.ndarray, quantities: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Regress quantities on outcomes that were seen, and predict them for new ones."""
    centre = seen.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(seen - centre, rowvar=False).reshape(seen.shape[1], -1))
    kept = values > values.max() * ROUNDING
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    mean = quantities.mean(axis=0)
    scale = np.maximum(quantities.std(axis=0), 1e-300)
    white = (seen - centre) @ whiten
    directions, _, _ = np.linalg.svd(white.T @ ((quantities - mean) / scale), full_matrices=False)
    turn = whiten @ directions[:, :DIRECTIONS]
    design, wanted = (_quadratic(np.clip((y - centre) @ turn, -REACH, REACH)) for y in (seen, new))
    ridge = np.eye(design.shape[1])
    ridge[0, 0] = 0.0
    weights = np.linalg.solve(design.T @ design + ridge, design.T @ (quantities - mean))
    return np.asarray(mean + wanted @ weights)


def _quadratic(scores: np.ndarray) -> np.ndarray:
    """Return one, the scores, and their products, ``(n, 1 + q + q (q + 1) / 2)``."""
    left, right = np.triu_indices(scores.shape[1])
    return np.column_stack([np.ones(len(scores)), scores, scores[:, left] * scores[:, right]])

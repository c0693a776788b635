"""Information: what runs that are not trained yet would say about what is at stake, before their losses are known.

Three answers to one question. The *linear* one takes signals and stakes as jointly normal, with the covariance that
they have over draws: a set of runs then costs a few products, so that thousands of sets can be searched. *Weights* draw
outcomes, weigh every draw by how well it foretold them, and smooth the weights (Vehtari et al. 2024, arXiv 1507.02646):
exact in the limit of many draws, for any law and for laws that disagree; they say when too few draws are left to carry
the answer, as after many runs. *Regression* then learns from the draws how to act on outcomes.

Value of information: Raiffa and Schlaifer 1961; by reweighting, Heath et al. 2017 (arXiv 1702.08804).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from bayes_scaling.predict.predictive import Predictive

CENTRAL = 0.99  # share of draws that covariances follow; the rest is held at its edge
UNRELIABLE = 0.7  # Pareto k above which weights are not trusted (Vehtari et al. 2024)
BLOCK = 64  # outcomes that are weighed together
DIRECTIONS = 4  # of outcomes, in which a regression is quadratic
REACH = 3.0  # standard deviations of a direction, beyond which a regression goes on flat
ROUNDING = 1e-10
EVEN = 1e-9  # differences of log weights that say nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Joint:
    """Covariance of what c candidate runs would show with itself and with v stakes, given the runs chosen so far.

    Attributes
    ----------
    covariance : (c + v, c) of candidates' expected log losses and stakes (rows) with the former
    noise : (c,) variance of one run's own scatter: that of a normal that says as much as its Student-t
    """

    covariance: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, signals: Predictive, stakes: np.ndarray) -> Joint:
        """Take covariances over draws.

        Parameters
        ----------
        signals : of the candidates' log losses, (n_draw, c)
        stakes : (n_draw, v)
        """
        seen = moderate(signals.location)
        seen = seen - seen.mean(axis=0)
        both = np.concatenate([seen, stakes - stakes.mean(axis=0)], axis=1)
        return cls(both.T @ seen / len(seen), np.median(signals.informative_variance, axis=0))

    @functools.cached_property
    def shifts(self) -> np.ndarray:
        """How far one more run of each candidate is expected to move each stake, ``(v, c)``: standard deviations."""
        count = len(self.noise)
        total = np.maximum(np.diagonal(self.covariance), 0.0) + self.noise
        return np.asarray(self.covariance[count:] / np.sqrt(total))

    def given(self, candidate: int) -> Joint:
        """Return what is left once a run of a candidate is known."""
        total = max(self.covariance[candidate, candidate], 0.0) + self.noise[candidate]
        told = np.outer(self.covariance[:, candidate], self.covariance[candidate]) / total
        return Joint(self.covariance - told, self.noise)


def shifts_of(joint: Joint, chosen: Sequence[int]) -> tuple[np.ndarray, Joint]:
    """Return how far each of some runs moves each stake, one after the other, ``(v, n_chosen)``, and what is left."""
    columns = []
    for candidate in chosen:
        columns.append(joint.shifts[:, candidate])
        joint = joint.given(candidate)
    return np.array(columns).reshape(len(columns), len(joint.covariance) - len(joint.noise)).T, joint


def moderate(values: np.ndarray) -> np.ndarray:
    """Hold the few most extreme draws of each column at the edge of the rest."""
    tail = (1 - CENTRAL) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return np.asarray(np.clip(values, low, high))


# --- by drawing outcomes ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors after outcomes of a set of runs, as weights of the draws.

    Attributes
    ----------
    weights : (n_outcome, n_draw), each row adds to one
    k_hat : (n_outcome,) Pareto k of the weights; above 0.7 the row rests on too few draws
    """

    weights: np.ndarray
    k_hat: np.ndarray

    @property
    def unreliable(self) -> float:
        """Share of outcomes whose weights are not to be trusted."""
        return float(np.mean(~(self.k_hat <= UNRELIABLE)))  # not a number where one draw takes all

    def means(self, stakes: np.ndarray) -> np.ndarray:
        """Return the mean of each stake after each outcome, ``(n_outcome, v)``."""
        return np.asarray(self.weights @ stakes)

    def variances(self, stakes: np.ndarray) -> np.ndarray:
        """Return the variance of each stake after each outcome, ``(n_outcome, v)``."""
        centred = stakes - stakes.mean(axis=0)
        return np.asarray(np.maximum(self.weights @ centred**2 - self.means(centred) ** 2, 0.0))


def posteriors(signals: Predictive, chosen: Sequence[int], outcomes: int, seed: int) -> Posteriors:
    """Draw outcomes of a set of runs and weigh all draws by each.

    Parameters
    ----------
    signals : of the candidates' log losses, (n_draw, c)
    chosen : candidates; one that stands there twice is run twice
    outcomes : how many are drawn, each from a draw of its own, which then has no say in its posterior
    seed : of outcomes

    Notes
    -----
    The draw that an outcome comes from would foretell it best, and make every experiment look better than it is.
    """
    from arviz_stats.base import array_stats

    count = len(signals.location)
    rng = np.random.default_rng([seed, 21])
    origin = rng.choice(count, min(outcomes, count), replace=False)
    losses = _drawn(signals, origin, chosen, rng)
    weights, k_hat = [], []
    for start in range(0, len(origin), BLOCK):
        block = slice(start, start + BLOCK)
        log_weight = sum(
            signals.log_density_of(losses[block, place], candidate).T for place, candidate in enumerate(chosen)
        ) + np.zeros((len(origin[block]), count))
        own = (np.arange(len(log_weight)), origin[block])
        log_weight[own] = log_weight.min(axis=1)
        away = np.minimum(log_weight.max(axis=1, keepdims=True) - log_weight, 700.0)
        weight = np.exp(-away)
        weight, k = weight / weight.sum(axis=1, keepdims=True), np.full(len(away), -np.inf)
        largest = np.partition(away, math.ceil(3 * math.sqrt(count)), axis=1)[:, : math.ceil(3 * math.sqrt(count))]
        told = np.ptp(largest, axis=1) > EVEN  # a tail of equal weights needs no smoothing, and cannot have any
        if told.any():
            smoothed, k[told] = array_stats.psislw(away[told], axis=-1)  # it takes minus log weights
            weight[told] = np.exp(smoothed)
        weights.append(weight)
        k_hat.append(k)
    return Posteriors(np.concatenate(weights), np.concatenate(k_hat))


def _drawn(signals: Predictive, origin: np.ndarray, chosen: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw the log losses of chosen runs as some draws predict them, ``(n_origin, n_chosen)``."""
    return signals.log_losses_of(origin, np.asarray(chosen, int), rng)


# --- by learning from draws ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Learned:
    """What outcomes of a set of runs foretell of stakes, learned on one half of the draws and tried on the other.

    Attributes
    ----------
    foretold : (n_draw, v) each draw's stakes as its own outcome foretells them
    actual : (n_draw, v) the stakes
    """

    foretold: np.ndarray
    actual: np.ndarray


def learned(signals: Predictive, chosen: Sequence[int], stakes: np.ndarray, seed: int) -> Learned:
    """Learn to foretell stakes from outcomes: a quadratic in the few directions of them that matter most.

    Parameters
    ----------
    signals : of the candidates' log losses, (n_draw, c)
    chosen : candidates that are run
    stakes : (n_draw, v)
    seed : of outcomes

    Notes
    -----
    It never sees the draws on which it is tried. Whoever acts on it therefore gains no more than who knows how to use
    the outcomes best: gains are lower bounds and spreads upper ones, for sets of any size (the regression of Strong,
    Oakley and Brennan 2014, tried out of sample).
    """
    count = len(signals.location)
    rng = np.random.default_rng([seed, 23])
    outcomes = moderate(_drawn(signals, np.arange(count), chosen, rng))
    half = rng.permutation(count) < count // 2
    foretold = np.empty(stakes.shape)
    for teach in (half, ~half):
        foretold[~teach] = _foretold(outcomes[teach], stakes[teach], outcomes[~teach])
    return Learned(foretold, stakes)


def _foretold(seen: np.ndarray, stakes: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Fit stakes to outcomes that were seen, and answer for those that are asked."""
    centre = seen.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(seen - centre, rowvar=False).reshape(seen.shape[1], -1))
    kept = values > values.max() * ROUNDING
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    mean = stakes.mean(axis=0)
    scale = np.maximum(stakes.std(axis=0), 1e-300)
    white = (seen - centre) @ whiten
    directions, _, _ = np.linalg.svd(white.T @ ((stakes - mean) / scale), full_matrices=False)
    turn = whiten @ directions[:, :DIRECTIONS]
    design, question = (_quadratic(np.clip((y - centre) @ turn, -REACH, REACH)) for y in (seen, asked))
    ridge = np.eye(design.shape[1])
    ridge[0, 0] = 0.0
    weights = np.linalg.solve(design.T @ design + ridge, design.T @ (stakes - mean))
    return np.asarray(mean + question @ weights)


def _quadratic(scores: np.ndarray) -> np.ndarray:
    """Return one, the scores, and their products, ``(n, 1 + q + q (q + 1) / 2)``."""
    left, right = np.triu_indices(scores.shape[1])
    return np.column_stack([np.ones(len(scores)), scores, scores[:, left] * scores[:, right]])

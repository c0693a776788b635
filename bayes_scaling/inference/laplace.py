"""The normal approximation at the mode as a posterior, corrected by importance weights.

A posterior of few runs is skewed, and wider than the curvature at its mode says: draws of that approximation may all
miss it, and one of them would get all the weight. So the proposal learns from its draws: mean and covariance of the
weighted draws make the next one, until draws of all proposals together, weighted as draws of their mixture, count for
enough (adaptive multiple importance sampling, Cornuet et al. 2012). Weights that leave too few draws to learn from are
tempered.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.special

from bayes_scaling.inference.chains import Chains, Settings
from bayes_scaling.inference.compiled import Posterior, potentials
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.weights import effective, pareto_smoothed

DEGREES = 4  # of freedom of the proposals: tails heavier than those of the posterior
ROUNDS = 8  # of learning at most
ENOUGH = 400  # effective draws, at which the proposal is left as it is
FURTHEST = 1e4  # in log density below the best draw; others count as this
NOTHING = 1e-20  # of the largest weight: all draws below it together change no digit of a sum
PER_DIMENSION = 10  # effective draws to learn from, and 100 at least


@dataclasses.dataclass(frozen=True, eq=False)
class Proposal:
    """A t distribution: its mean, ``(dim,)``, and the lower Cholesky factor of its scale matrix, ``(dim, dim)``."""

    mean: np.ndarray
    factor: np.ndarray

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws, ``(count, dim)``."""
        white = rng.standard_normal((count, len(self.mean)))
        stretch = np.sqrt(rng.chisquare(DEGREES, (count, 1)) / DEGREES)
        return np.asarray(self.mean + white / stretch @ self.factor.T)

    @functools.cached_property
    def inverse(self) -> np.ndarray:
        """Inverse of the factor, for one product per draw instead of one solution."""
        return np.linalg.inv(self.factor)

    def log_density(self, u: np.ndarray) -> np.ndarray:
        """Return the log density up to a constant that all proposals share, ``(n_draw,)``."""
        white = (u - self.mean) @ self.inverse.T
        distance = np.einsum("ij,ij->i", white, white)
        power = (DEGREES + len(self.mean)) / 2
        return np.asarray(-power * np.log1p(distance / DEGREES) - np.log(np.diag(self.factor)).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Tried:
    """Draws of all proposals so far.

    Attributes
    ----------
    u : (n_draw, dim)
    log_target : (n_draw,) log density of the posterior up to a constant
    proposals : as many draws each
    log_proposals : (n_proposal, n_draw) log density of each
    """

    u: np.ndarray
    log_target: np.ndarray
    proposals: tuple[Proposal, ...]
    log_proposals: np.ndarray

    @classmethod
    def none(cls, dim: int) -> Tried:
        """Return no draws."""
        return cls(np.zeros((0, dim)), np.zeros(0), (), np.zeros((0, 0)))

    def more(
        self, proposal: Proposal, count: int, log_target: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
    ) -> Tried:
        """Add draws of one more proposal."""
        u = proposal.draw(count, rng)
        own = log_target(u)
        both = np.concatenate([self.u, u])
        rows = [
            np.append(before, old.log_density(u))
            for old, before in zip(self.proposals, self.log_proposals, strict=True)
        ]
        return Tried(
            both,
            np.append(self.log_target, np.where(np.isfinite(own), own, -np.inf)),
            (*self.proposals, proposal),
            np.stack([*rows, proposal.log_density(both)]),
        )

    @functools.cached_property
    def log_weight(self) -> np.ndarray:
        """Log weight of each draw as one of the mixture of all proposals, ``(n_draw,)``, up to a constant."""
        return np.asarray(self.log_target - scipy.special.logsumexp(self.log_proposals, axis=0))

    def learned(self) -> Proposal | None:
        """Return a proposal like the posterior as far as the draws tell; None where too few are possible at all."""
        dim = self.u.shape[1]
        least = max(PER_DIMENSION * dim, 100)
        possible = np.isfinite(self.log_weight)
        if possible.sum() <= least:
            return None
        nearer = np.maximum(self.log_weight, self.log_weight.max() - FURTHEST)
        log_weight = np.where(possible, nearer, -np.inf)

        def tempered(power: float) -> np.ndarray:
            return np.asarray(scipy.special.softmax(power * log_weight))

        def short(power: float) -> float:
            return float(least - effective(tempered(power)))

        weight = tempered(1.0 if short(1.0) <= 0 else scipy.optimize.brentq(short, 1e-3 / FURTHEST, 1.0))
        count = effective(weight)
        counts = weight > NOTHING * weight.max()
        weight, u = weight[counts], self.u[counts]
        mean = weight @ u
        centred = u - mean
        covariance = (weight[:, None] * centred).T @ centred
        alone = np.diag(np.diag(covariance))  # a covariance of so few draws is noisy, its diagonal is not
        return Proposal(mean, np.linalg.cholesky((count * covariance + dim * alone) / (count + dim)))


def laplace_draws(posterior: Posterior, mode: Mode, settings: Settings, seed: int) -> tuple[Chains, Diagnostics]:
    """Importance-resample heavy-tailed proposals that start as the normal approximation at the mode.

    Weights are Pareto-smoothed; their k-hat and effective size say whether the draws can stand in for the posterior.
    The draws carry no chain structure: they are dealt out to ``chains`` at random.
    """
    (model, data, priors), rng = posterior, np.random.default_rng(seed)
    total, dim = settings.chains * settings.draws, len(mode.u)
    at_once = max(total // 2, 4 * PER_DIMENSION * dim)

    def log_target(u: np.ndarray) -> np.ndarray:
        return -np.asarray(potentials(model)(u, data, priors))

    proposal = Proposal(mode.u, np.linalg.cholesky(mode.covariance))
    tried = Tried.none(dim).more(proposal, at_once, log_target, rng)
    for _ in range(ROUNDS):
        enough = effective(scipy.special.softmax(tried.log_weight)) > ENOUGH
        proposal = tried.learned() or proposal
        tried = tried.more(proposal, at_once, log_target, rng)
        if enough:
            break
    tried = tried.more(proposal, at_once, log_target, rng)
    (smoothed,), (k_hat,) = pareto_smoothed(tried.log_weight[None])
    weight = np.exp(smoothed)
    chosen = rng.choice(len(weight), total, p=weight)
    worth = 1 / (1 / effective(weight) + 1 / total)  # of the weights, and of drawing from them
    shape = (settings.chains, settings.draws)
    stats = {
        "diverging": np.zeros(shape, bool),
        "n_steps": np.zeros(shape, np.int64),
        "energy": -tried.log_target[chosen].reshape(shape),
        "acceptance_rate": np.ones(shape),
    }
    # Weights without a k-hat are as bad as can be; NaN would say that there are no weights.
    k_hat = math.inf if np.isnan(k_hat) else float(k_hat)
    report = Diagnostics(1.0, worth, worth, 0, 1.0, worst=model.sites[0], k_hat=k_hat)
    return Chains(tried.u[chosen].reshape(*shape, dim), stats), report

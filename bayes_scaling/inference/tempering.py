"""Parallel tempering: for posteriors of several modes, between which chains of their own never pass.

Every chain is a ladder of copies. A copy samples the prior times the likelihood to a power, from 0, the prior, to 1,
the posterior. In each iteration every copy moves by Hamiltonian Monte Carlo, and then neighbours may swap: even pairs
and odd pairs by turns, so that a copy goes on up or down as long as its swaps are accepted. What the posterior visits
comes from the prior again and again, so each mode is visited as often as its share of the posterior says.

Rounds grow longer. After each, powers are spread so that all neighbours swap equally often, and every rung is whitened
by its draws. The first long round whose draws are good is kept, without what it took to tune the steps.

Syed, Bouchard-Cote, Deligiannidis and Doucet 2022, Non-reversible parallel tempering (J. R. Stat. Soc. B 84, 321).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.programs import compiled
from bayes_scaling.errors import FitError
from bayes_scaling.inference.chains import PIECE, Chains, of_each
from bayes_scaling.inference.diagnostics import diagnose
from bayes_scaling.inference.hmc import DIVERGENT, judged, leapfrog
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.problem import Problem, Sampled
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import Priors
from bayes_scaling.model.integrated import Integrated
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

RUNGS = 20  # about twice the sum of the shares of refused swaps, which is near 10 for tables of runs
WEAKEST = 1e-4  # first power above that of the prior, before they are spread
LENGTH = 3.0  # of a trajectory on the last rung at its longest, in standard deviations
LEAPS = 8, 32  # least and most leapfrog steps of it
SHORTER, LONGER = 0.2, 1.0  # range of the factor by which steps vary: narrow places need small ones
ACCEPTED = 0.9  # of trajectories, on average, to which steps are tuned
TUNING = (1, 2, 4, 8, 16)  # pieces of the rounds that only tune
TUNED_AGAIN = 4  # pieces at the beginning of a round whose draws are kept
THINNED = (2, 4, 8, 16)  # iterations for each kept draw, of these rounds; the last only where it is likely to do
RATE = 0.05  # at which steps are tuned
FIRST_STEP = 0.2  # in standard deviations of each rung
NARROWEST = 1e-12  # variance relative to that of the prior, or of a coordinate alone
KNOWN = 20  # draws for each coordinate that the whitening before counts for
MOST_COORDINATES, MOST_WORK = 60, 1000  # above which it takes too long: coordinates, and rows times what each costs


def can_temper(problem: Problem) -> bool:
    """Say whether tempering would take a minute or two at most, and not hours."""
    return len(problem.coordinates) <= MOST_COORDINATES and _work(problem) <= MOST_WORK


def _work(problem: Problem) -> int:
    """Return the number of rows, times what each costs."""
    each = 1 + problem.model.size if isinstance(problem.model, Integrated) else 1
    return each * len(problem.data.log_loss)


def sample_tempered(problem: Problem) -> Sampled:
    """Sample by parallel tempering, in rounds that grow longer until the draws are good.

    Raises
    ------
    FitError
        When that would take too long.
    """
    if not can_temper(problem):
        raise FitError(
            f"parallel tempering would take hours: this posterior has {len(problem.coordinates)} coordinates and the "
            f"work of {_work(problem):,} rows, expected at most {MOST_COORDINATES} and {MOST_WORK:,}; take sampler auto"
        )
    settings, done = problem.settings, 0
    draws = settings.chains * settings.draws
    kept = [thin * settings.draws // PIECE for thin in THINNED]
    all_pieces = sum(TUNING) + sum(TUNED_AGAIN + pieces for pieces in kept)
    ladder = Ladder.between(problem.prior_u, problem.mode)
    copies = _starts(problem, ladder)

    def run(pieces: int, rate: float) -> Round:
        nonlocal copies, done
        found = _run(problem, ladder, copies, range(done, done + pieces), rate)
        copies, done = found.copies, done + pieces
        problem.progress("tempering", done / all_pieces)
        return found

    for pieces in TUNING:
        ladder = ladder.learned(run(pieces, RATE))
    for thin, pieces in zip(THINNED, kept, strict=True):
        ladder = ladder.stepping(run(TUNED_AGAIN, RATE))
        found = run(pieces, 0.0)
        chains = found.chains(thin)
        diagnostics = diagnose(chains, problem.coordinates)
        if not diagnostics.problems(draws) or (thin == THINNED[-2] and not diagnostics.nearly(draws)):
            break
        ladder = ladder.learned(found)
    return Sampled(chains, diagnostics, "tempered HMC")


class Rungs(NamedTuple):
    """What the compiled program knows of a ladder: its powers, and affine maps ``u = location + factor @ z``."""

    leaps: Any
    powers: Any
    location: Any
    factor: Any
    inverse: Any


class Sums(NamedTuple):
    """Over iterations: of draws relative to the location of their rung, of their outer products, of refusals."""

    draws: Any
    squares: Any
    refused: Any


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Powers of the likelihood, and how draws of each are whitened.

    Attributes
    ----------
    powers : (rung,) from 0 to 1
    location : (rung, site)
    covariance : (rung, site, site)
    log_step : (rung,) logarithm of the step, in whitened coordinates
    """

    powers: np.ndarray
    location: np.ndarray
    covariance: np.ndarray
    log_step: np.ndarray

    @classmethod
    def between(cls, prior_u: np.ndarray, mode: Mode) -> Ladder:
        """Return a first ladder, of normal approximations to the prior, by its draws, and to the posterior."""
        powers = np.concatenate([[0.0], np.geomspace(WEAKEST, 1.0, RUNGS - 1)])
        mean, dim = prior_u.mean(0), prior_u.shape[1]
        wide = np.linalg.cholesky(np.cov(prior_u.T).reshape(dim, dim) + 1e-10 * np.eye(dim))
        relative = np.linalg.solve(wide, np.linalg.solve(wide, mode.covariance).T)
        variance, directions = np.linalg.eigh((relative + relative.T) / 2)
        variance = np.clip(variance, NARROWEST, 1.0)
        axes, away = wide @ directions, directions.T @ np.linalg.solve(wide, mode.u - mean)
        precision = 1 - powers[:, None] + powers[:, None] / variance
        location = mean + (powers[:, None] / variance / precision * away) @ axes.T
        covariance = np.einsum("id,kd,jd->kij", axes, 1 / precision, axes)
        return cls(powers, location, covariance, np.full(RUNGS, math.log(FIRST_STEP)))

    @property
    def leaps(self) -> int:
        """Leapfrog steps of trajectories: as many as take the last rung across the posterior."""
        return int(np.clip(math.ceil(LENGTH / math.exp(self.log_step[-1])), *LEAPS))

    @property
    def rungs(self) -> Rungs:
        """What the compiled program knows of it."""
        sd = np.sqrt(np.einsum("kii->ki", self.covariance))
        size, directions = np.linalg.eigh(self.covariance / (sd[:, :, None] * sd[:, None]))
        factor = sd[:, :, None] * directions * np.sqrt(np.maximum(size, NARROWEST))[:, None]
        return Rungs(self.leaps, self.powers, self.location, factor, np.linalg.inv(factor))

    def stepping(self, found: Round) -> Ladder:
        """Return the same with the steps to which a round was tuned."""
        return dataclasses.replace(self, log_step=found.log_step.mean(0))

    def learned(self, found: Round) -> Ladder:
        """Return a ladder whose neighbours swap equally often, whitened by the draws of a round and stepping as it."""
        weight = found.count / (found.count + KNOWN * self.location.shape[1])
        location = self.location + found.mean
        covariance = weight * found.covariance + (1 - weight) * self.covariance
        refused = np.concatenate([[0.0], np.cumsum(found.refused + 1e-6)])
        powers = np.interp(np.linspace(0.0, refused[-1], RUNGS), refused, self.powers)
        powers[[0, -1]] = 0.0, 1.0
        places = np.interp(powers, self.powers, np.arange(RUNGS))
        lower = np.minimum(places.astype(int), RUNGS - 2)
        share = places - lower

        def between(values: np.ndarray) -> np.ndarray:
            there = share.reshape(-1, *(1 for _ in values.shape[1:]))
            return np.asarray((1 - there) * values[lower] + there * values[lower + 1])

        return Ladder(powers, between(location), between(covariance), between(found.log_step.mean(0)))


@dataclasses.dataclass(frozen=True)
class Round:
    """What came of some iterations of all chains.

    Attributes
    ----------
    leaps : leapfrog steps of each trajectory
    copies : (chain, rung, site) where they ended
    log_step : (chain, rung) to which steps were tuned
    count : draws of each rung
    mean, covariance : (rung, site) and (rung, site, site), relative to the location of each rung
    refused : (rung - 1,) share of the swaps of neighbours that would be refused
    posterior : (chain, iteration, site) draws of the last rung
    stats : of the last rung, by name, (chain, iteration)
    """

    leaps: int
    copies: np.ndarray
    log_step: np.ndarray
    count: int
    mean: np.ndarray
    covariance: np.ndarray
    refused: np.ndarray
    posterior: np.ndarray
    stats: dict[str, np.ndarray]

    def chains(self, thin: int) -> Chains:
        """Return every ``thin``-th draw of the posterior."""
        stats = {name: values[:, ::thin] for name, values in self.stats.items()}
        steps = np.full(stats["energy"].shape, RUNGS * self.leaps * thin)
        return Chains(self.posterior[:, ::thin], {**stats, "n_steps": steps})


def _starts(problem: Problem, ladder: Ladder) -> np.ndarray:
    """Return starts of copies, ``(chain, rung, site)``: those of chains lie around different modes, where there are.

    What would start where there is no density starts at the mode.
    """
    rng = np.random.default_rng(problem.seed)
    modes = np.concatenate([problem.mode.u[None], problem.mode.rivals])
    chosen = modes[np.arange(problem.settings.chains) % len(modes)] - problem.mode.u
    white = rng.standard_normal((len(chosen), *ladder.location.shape))
    scattered = np.einsum("kij,ckj->cki", ladder.rungs.factor, white)
    starts = ladder.location + ladder.powers[:, None] * chosen[:, None] + scattered
    possible = np.isfinite(problem.log_density(starts.reshape(-1, starts.shape[-1]))).reshape(starts.shape[:-1])
    return np.where(possible[..., None], starts, problem.mode.u)


def _run(problem: Problem, ladder: Ladder, copies: np.ndarray, pieces: range, rate: float) -> Round:
    """Run all chains for some pieces, in one thread per core; steps are tuned at a rate."""
    advance, rungs = _advance(problem.model), ladder.rungs

    def chain(index: int) -> tuple[Any, Sums, list[Any]]:
        key = jax.random.fold_in(jax.random.PRNGKey(problem.seed), index)
        state, seen, kept = (copies[index], ladder.log_step), [], []
        for piece in pieces:
            state, sums, posterior = advance(key, piece * PIECE, state, rungs, rate, problem.data, problem.priors)
            seen.append(jax.tree.map(np.asarray, sums))
            kept.append(jax.tree.map(np.asarray, posterior))
        of_pieces = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        return jax.tree.map(np.asarray, state), jax.tree.map(lambda *parts: sum(parts), *seen), [*of_pieces]

    states, sums, kept = zip(*of_each(chain, len(copies)), strict=True)
    ends, log_step = (np.stack(parts) for parts in zip(*states, strict=True))
    count = len(copies) * len(pieces) * PIECE
    mean, squares, refused = (sum(parts) / count for parts in zip(*sums, strict=True))
    posterior, diverging, energy, acceptance = (np.stack(parts) for parts in zip(*kept, strict=True))
    return Round(
        leaps=ladder.leaps,
        copies=ends,
        log_step=log_step,
        count=count,
        mean=mean,
        covariance=squares - np.einsum("ki,kj->kij", mean, mean),
        refused=refused,
        posterior=posterior,
        stats={"diverging": diverging, "energy": energy, "acceptance_rate": acceptance},
    )


@compiled
def _advance(model: Model) -> Any:
    @jax.jit
    def advance(
        key: Array, first: int, state: Any, rungs: Rungs, rate: float, data: Observations, priors: Priors
    ) -> Any:
        def potential(z: Array, power: Array, location: Array, factor: Array) -> Array:
            return model.tempered(location + factor @ z, power, data, priors)

        slopes = jax.vmap(jax.grad(potential))
        # Of the power: minus the log likelihood.
        with_slopes = jax.vmap(jax.value_and_grad(potential, (0, 1)))
        maps = (rungs.powers, rungs.location, rungs.factor)
        apart = rungs.powers[1:] - rungs.powers[:-1]

        def iterate(state: Any, number: Array) -> Any:
            u, log_step, sums = state
            keys = jax.random.split(jax.random.fold_in(key, number), 4)
            z = jnp.einsum("kij,kj->ki", rungs.inverse, u - rungs.location)
            p = jax.random.normal(keys[0], z.shape)
            vary = jax.random.uniform(keys[1], log_step.shape, minval=math.log(SHORTER), maxval=math.log(LONGER))
            step = jnp.exp(log_step + vary)[:, None]

            before, (slope, minus_log_likelihood) = with_slopes(z, *maps)
            there, p_there, _ = leapfrog(lambda z: slopes(z, *maps), (z, p, slope), step, rungs.leaps)
            after, (_, minus_log_likelihood_there) = with_slopes(there, *maps)
            energy, energy_there = before + jnp.sum(p**2, 1) / 2, after + jnp.sum(p_there**2, 1) / 2
            error, accept = judged(energy, energy_there)
            taken = jax.random.uniform(keys[2], accept.shape) < accept
            moved = rungs.location + jnp.einsum("kij,kj->ki", rungs.factor, there)
            u = jnp.where(taken[:, None], moved, u)
            minus_log_likelihood = jnp.where(taken, minus_log_likelihood_there, minus_log_likelihood)

            would_swap = jnp.exp(jnp.minimum(apart * (minus_log_likelihood[1:] - minus_log_likelihood[:-1]), 0.0))
            pairs = jnp.arange(RUNGS - 1)
            swap = (pairs % 2 == number % 2) & (jax.random.uniform(keys[3], pairs.shape) < would_swap)
            u = u[jnp.arange(RUNGS) + jnp.append(swap, False) - jnp.insert(swap, 0, False)]

            away = u - rungs.location
            sums = Sums(
                sums.draws + away,
                sums.squares + jnp.einsum("ki,kj->kij", away, away),
                sums.refused + 1 - would_swap,
            )
            log_step = log_step + rate * (accept - ACCEPTED)
            # Long steps that diverge are only refused; where short ones do, draws may miss a narrow place.
            diverging = (error[-1] > DIVERGENT) & (vary[-1] < (math.log(SHORTER) + math.log(LONGER)) / 2)
            posterior = u[-1], diverging, jnp.where(taken, energy_there, energy)[-1], accept[-1]
            return (u, log_step, sums), posterior

        u, log_step = state
        nothing = Sums(jnp.zeros_like(u), jnp.zeros_like(rungs.factor), jnp.zeros_like(apart))
        (u, log_step, sums), posterior = jax.lax.scan(iterate, (u, log_step, nothing), first + jnp.arange(PIECE))
        return (u, log_step), sums, posterior

    return advance

"""Ways to sample one posterior: the fast path behind its gate, the safe path with a retry, the normal approximation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.programs import compiled
from bayes_scaling.errors import FitError
from bayes_scaling.inference.sampling import (
    Chains,
    Diagnostics,
    Mode,
    Progress,
    Settings,
    compile_chains,
    constrained,
    diagnose,
    find_mode,
    laplace_draws,
    normal_whitening,
    potentials,
    run_chains,
)
from bayes_scaling.model.program import BASIS, Geometry, Model, Observations, Priors

OTHER_SEED = 1_000_003  # how far seeds of further chains lie from those of the first
PRIOR_STARTS = 23  # draws of the prior that are looked at
CLIMBS = 4  # the best of them that are climbed from
FAST_WARMUP = 150
CENTRING_DRAWS = 4000  # of the normal approximation, to see how much groups say
WELL_KNOWN = 0.25  # posterior over prior standard deviation, below which a table fixes a parameter


@dataclasses.dataclass(frozen=True)
class Problem:
    """One posterior to sample, over unconstrained coordinates ``u``.

    A sampling method of your own needs `log_density`, `mode`, ``settings`` and ``seed``, and hands its draws to
    `sampled`.

    Attributes
    ----------
    model, data, priors : the compiled model and its arguments
    prior_u : (prior draw, coordinate) draws of the prior
    settings : ``chains`` and ``draws`` that were asked for, and how NUTS is run
    seed : the same seed must give the same draws
    progress : called with a stage and the fraction of it that is done
    known_mode : the mode, where it is known already
    """

    model: Model
    data: Observations
    priors: Priors
    prior_u: np.ndarray
    settings: Settings
    seed: int
    progress: Progress
    known_mode: Mode | None = None

    @functools.cached_property
    def mode(self) -> Mode:
        """Posterior mode ``u`` and ``covariance`` there, climbed to from the prior's centre and from prior draws."""
        if self.known_mode is not None:
            return self.known_mode
        starts = np.concatenate([self.prior_u.mean(0)[None], self.prior_u[:PRIOR_STARTS]])
        return find_mode(self.model, self.data, self.priors, starts, CLIMBS)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the unconstrained coordinates."""
        return self.model.sites

    def log_density(self, u: np.ndarray) -> np.ndarray:
        """Return the log posterior density up to a constant, ``(n,)``, at ``u``, ``(n, coordinate)``."""
        return -np.asarray(potentials(self.model)(jnp.asarray(u), self.data, self.priors))

    def sampled(self, u: np.ndarray, how: str) -> Sampled:
        """Judge the chains of a sampling method by R-hat and effective sample size.

        Parameters
        ----------
        u : (chain, draw, coordinate), after warm-up; as many as ``settings`` asks for
        how : name of the method
        """
        shape = (self.settings.chains, self.settings.draws, len(self.coordinates))
        if np.shape(u) != shape:
            raise FitError(f"{how} returned draws of shape {np.shape(u)}; expected (chain, draw, coordinate) = {shape}")
        chains, draws, dim = shape
        energy = -self.log_density(np.reshape(u, (-1, dim))).reshape(chains, draws)
        stats = {"diverging": ~np.isfinite(energy), "energy": energy}
        result = Chains(np.asarray(u, float), stats)
        # The fraction of missing information is a matter of Hamiltonian methods.
        return Sampled(result, dataclasses.replace(diagnose(result, self.coordinates), bfmi=float("nan")), how)

    def sample(self, starts: np.ndarray, settings: Settings) -> tuple[Chains, Diagnostics]:
        """Run NUTS in coordinates whitened at the mode, from ``starts``, ``(chain, site)``, and judge it."""
        whitening = normal_whitening(self.mode.u, self.mode.covariance)
        local = np.linalg.solve(whitening.factor, (starts - self.mode.u).T).T
        compile_chains(self.model, self.data, self.priors, settings)
        chains = run_chains(self.model, self.data, self.priors, whitening, local, settings, self.seed, self.progress)
        return chains, diagnose(chains, self.coordinates)

    def in_geometry(self, geometry: Geometry) -> Problem:
        """Return the same posterior in other coordinates."""
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, geometry=geometry),
            prior_u=_moved(self, self.prior_u, geometry),
            known_mode=None,
        )

    def standardised(self, u: np.ndarray) -> np.ndarray:
        """Return draws, (chain, draw, coordinate), in the standard coordinates, in which a fit keeps them."""
        if not self.model.populations and not self.model.increments:
            return u
        standard = Geometry.standard(self.data.geometry.centring, self.model.increments, len(self.data.log_loss))
        return _moved(self, u.reshape(-1, u.shape[-1]), standard).reshape(u.shape)


def with_good_geometry(problem: Problem) -> Problem:
    """Return the same posterior in coordinates that suit what the table says about groups and discrepancy."""
    if problem.model.increments:
        problem = _with_whitened_path(problem)
    return _with_good_centring(problem) if problem.model.populations else problem


FIRST_SCALE = 0.01  # of the scatter, for a first look at the table
LOOKS = 2


def _with_whitened_path(problem: Problem) -> Problem:
    """Whiten the increments of the discrepancy given all else, by what the table says about them at the mode.

    What each row says depends on the width of the scatter, and on which rows are outliers, and so on the mode: the
    first look takes all rows for equal, the second knows better.
    """
    model, data = problem.model, problem.data
    basis = np.asarray(data.columns[BASIS])
    pulls, sigma = basis * (np.asarray(data.weight) / FIRST_SCALE**2)[:, None], FIRST_SCALE
    for look in range(LOOKS):
        curvature = basis.T @ pulls
        size, rotation = np.linalg.eigh((curvature + curvature.T) / 2)
        geometry = Geometry(
            data.geometry.centring,
            jnp.asarray(rotation),
            jnp.asarray(np.maximum(size, 0.0)),
            jnp.asarray(rotation.T @ pulls.T),
            jnp.asarray(float(sigma)),
        )
        problem = problem.in_geometry(geometry)
        if look + 1 < LOOKS:
            theta = _theta_at_mode(problem)
            pulls, sigma = np.asarray(_pulls(model)(theta, data)), np.exp(np.mean(np.log(theta["sigma"])))
    return problem


def _theta_at_mode(problem: Problem) -> dict[str, np.ndarray]:
    theta = constrained(problem.model)(jnp.asarray(problem.mode.u[None]), problem.data, problem.priors)
    return {name: np.asarray(values[0]) for name, values in theta.items()}


@compiled
def _pulls(model: Model) -> Any:
    return jax.jit(model.pulls)


def _with_good_centring(problem: Problem) -> Problem:
    """Return the same posterior in coordinates that suit how much each group says about itself.

    A group whose runs fix its value is sampled as that value, one that says little as its offset from the
    population; the share is 1 minus the variance of the group's value over that of the population, in the normal
    approximation at the mode. The approximation itself is carried over to the new coordinates by its draws: a mode
    sought there may run away to a population without spread.
    """
    rng, mode = np.random.default_rng(problem.seed), problem.mode
    draws = rng.multivariate_normal(mode.u, mode.covariance, CENTRING_DRAWS, method="eigh")
    geometry = problem.data.geometry
    values = _on_the_line(problem.model)(jnp.asarray(draws), geometry.centring, problem.priors)
    centring = {}
    for site, (line, spread) in values.items():
        share = np.var(np.asarray(line), axis=0) / np.median(np.asarray(spread)) ** 2
        centring[site] = jnp.asarray(np.clip(1 - share, 0, 1))
    after = dataclasses.replace(geometry, centring=centring)
    moved = _moved(problem, draws, after)
    chosen = problem.in_geometry(after)
    # Far draws of an approximation in many dimensions lie where the posterior is not: the better half says where it is.
    energy = np.asarray(potentials(problem.model)(jnp.asarray(moved), chosen.data, problem.priors))
    better = moved[np.argsort(np.where(np.isfinite(energy), energy, np.inf))[: CENTRING_DRAWS // 2]]
    return dataclasses.replace(chosen, known_mode=Mode(better.mean(0), np.cov(better.T), np.empty((0, moved.shape[1]))))


@compiled
def _on_the_line(model: Model) -> Any:
    return jax.jit(jax.vmap(model.on_the_line, (0, None, None)))


@compiled
def _mover(model: Model) -> Any:
    return jax.jit(jax.vmap(model.moved, (0, None, None, None)))


def _moved(problem: Problem, u: np.ndarray, geometry: Geometry) -> np.ndarray:
    return np.asarray(_mover(problem.model)(jnp.asarray(u), geometry, problem.data, problem.priors))


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What a sampling method returns.

    Attributes
    ----------
    chains : the draws, with statistics
    diagnostics : whether they can be trusted
    how : how they came about, in words; `Fit.sampler_used`
    """

    chains: Chains
    diagnostics: Diagnostics
    how: str


class SamplingMethod(Protocol):
    """A way to sample a posterior."""

    def __call__(self, problem: Problem, /) -> Sampled:
        """Sample one posterior."""


def sample_auto(problem: Problem) -> Sampled:
    """Fast NUTS with the whitening held fixed; the safe path when its diagnostics are not good."""
    settings, mode = problem.settings, problem.mode
    # Where a population's spread is learned the posterior is not near normal: the fast path would only cost time.
    if not len(mode.rivals) and not problem.model.populations:
        # Starts are twice as spread as the approximation, so that R-hat can see chains that have not met.
        starts = mode.u + _scatter(problem, 2.0)
        # Where the data fix every parameter the posterior is close to normal, and three leapfrog steps cross it.
        well_known = bool(np.all(np.sqrt(np.diag(mode.covariance)) < WELL_KNOWN * problem.prior_u.std(0)))
        fast = dataclasses.replace(settings, warmup=FAST_WARMUP, target_accept=0.8, adapt_mass=False)
        if well_known:
            fast = dataclasses.replace(fast, target_accept=0.7, max_tree_depth=2)
        chains, diagnostics = problem.sample(starts, fast)
        if not diagnostics.problems(settings.chains * settings.draws):
            return Sampled(chains, diagnostics, "fast NUTS")
    return sample_nuts(problem)


def sample_nuts(problem: Problem) -> Sampled:
    """NUTS with a long warm-up that adapts a dense mass matrix; once more with stronger settings when needed.

    Chains that agree, but are too short for their tails, get as many others beside them.
    """
    settings = problem.settings
    # Chains start at every mode that was found, so that R-hat can see when they do not meet.
    modes = np.concatenate([problem.mode.u[None], problem.mode.rivals])
    centres = modes[np.arange(settings.chains) % len(modes)]
    starts = centres + _scatter(problem, 1.0)
    if problem.model.populations:
        settings = dataclasses.replace(settings, target_accept=0.98)  # small steps through narrow populations
    chains, diagnostics = problem.sample(starts, settings)
    if not diagnostics.problems(settings.chains * settings.draws):
        return Sampled(chains, diagnostics, "NUTS")
    stronger = dataclasses.replace(settings, warmup=2000, draws=3 * settings.draws, target_accept=0.99)
    chains, diagnostics = problem.sample(starts, stronger)
    if min(diagnostics.ess_bulk, diagnostics.ess_tail) < 400 and diagnostics.nearly(settings.chains * stronger.draws):
        again = dataclasses.replace(problem, seed=problem.seed + OTHER_SEED)
        more, _ = again.sample(centres + _scatter(again, 1.0), stronger)
        chains = Chains(
            np.concatenate([chains.u, more.u]),
            {name: np.concatenate([values, more.stats[name]]) for name, values in chains.stats.items()},
        )
        return Sampled(chains, diagnose(chains, problem.model.sites), "NUTS, stronger settings, twice the chains")
    return Sampled(chains, diagnostics, "NUTS, stronger settings")


def _scatter(problem: Problem, width: float) -> np.ndarray:
    """Draw offsets for the starts of chains, ``(chain, site)``, from the normal approximation times ``width``."""
    shape = (problem.settings.chains, len(problem.mode.u))
    white = np.random.default_rng(problem.seed).standard_normal(shape)
    return width * white @ np.linalg.cholesky(problem.mode.covariance).T


def sample_laplace(problem: Problem) -> Sampled:
    """Importance-resampled normal approximation at the mode."""
    chains, diagnostics = laplace_draws(
        problem.model, problem.data, problem.priors, problem.mode, problem.settings, problem.seed
    )
    return Sampled(chains, diagnostics, "Laplace")


METHODS: Mapping[str, SamplingMethod] = {
    "auto": sample_auto,
    "nuts": sample_nuts,
    "laplace": sample_laplace,
}

"""Ways to sample one posterior: the fast path behind its gate, the safe path with a retry, the normal approximation."""

from __future__ import annotations

import dataclasses

import numpy as np

from bayes_scaling.inference.chains import Chains, Settings
from bayes_scaling.inference.diagnostics import Diagnostics, diagnose
from bayes_scaling.inference.laplace import laplace_draws
from bayes_scaling.inference.nuts import whitening_of
from bayes_scaling.inference.problem import Problem, Sampled
from bayes_scaling.model.integrated import Integrated

OTHER_SEED = 1_000_003  # how far seeds of further draws lie from those of the first
FAST_WARMUP = 150
WELL_KNOWN = 0.25  # posterior over prior standard deviation, below which a table fixes a parameter
AGAIN = "whitened by its draws"
MET, TELLING = 1.1, 50  # R-hat and effective draws of chains whose covariance is near that of the posterior


def sample_auto(problem: Problem) -> Sampled:
    """Fast NUTS with the whitening held fixed, once more whitened by its own draws; the safe path when neither is good.

    The second round runs the same compiled program. Its chains go on where those of the first ended: chains that have
    not met are still apart.
    """
    settings, mode = problem.settings, problem.mode
    # A posterior of populations is far from normal: the fast path would only cost time.
    if len(mode.rivals) or problem.model.populations:
        return sample_nuts(problem)
    # Starts lie twice as far apart as the approximation says, so that R-hat can see chains that have not met.
    starts = mode.u + _scatter(problem, 2.0)
    # Where the data fix every parameter the posterior is close to normal, and three leapfrog steps cross it.
    well_known = bool(np.all(np.sqrt(np.diag(mode.covariance)) < WELL_KNOWN * problem.prior_u.std(0)))
    fast, careful = fast_settings(settings), 0.9
    if isinstance(problem.model, Integrated):
        # Without increments, gradients are few and shapes odd: small steps cost less than the safe path.
        fast, careful = dataclasses.replace(fast, target_accept=0.95), 0.98
    if well_known:
        fast = dataclasses.replace(fast, target_accept=0.7, max_tree_depth=2)
    chains, diagnostics = problem.sample(starts, fast)
    if not diagnostics.problems(settings.chains * settings.draws):
        return Sampled(chains, diagnostics, "fast NUTS")
    if _tell_where(diagnostics):
        chains, diagnostics = _once_more(problem, chains, dataclasses.replace(fast, target_accept=careful))
        if not diagnostics.problems(settings.chains * settings.draws):
            return Sampled(chains, diagnostics, f"fast NUTS, {AGAIN}")
    return sample_nuts(problem)


def fast_settings(settings: Settings) -> Settings:
    """Return how the fast path samples most posteriors."""
    return dataclasses.replace(settings, warmup=FAST_WARMUP, target_accept=0.8, adapt_mass=False)


def sample_nuts(problem: Problem) -> Sampled:
    """NUTS with a long warm-up that adapts a dense mass matrix, then with stronger settings when needed.

    After each, draws that are nearly good whiten another round of very small steps. Chains that agree but are too short
    for their tails get as many more beside them.
    """
    settings = problem.settings
    starts, draws = starts_at_modes(problem), 3 * settings.draws
    if problem.model.populations:
        settings = dataclasses.replace(settings, target_accept=0.98)  # small steps through narrow populations
    stronger = dataclasses.replace(settings, warmup=2000, draws=draws, target_accept=0.99)
    small = dataclasses.replace(settings, warmup=FAST_WARMUP, draws=draws, target_accept=0.995, adapt_mass=False)
    for how, one in (("NUTS", settings), ("NUTS, stronger settings", stronger)):
        chains, diagnostics = problem.sample(starts, one)
        if not diagnostics.problems(one.chains * one.draws):
            return Sampled(chains, diagnostics, how)
        if _tell_where(diagnostics) and not problem.model.populations:
            more, judged = _once_more(problem, chains, small)
            if not judged.problems(small.chains * small.draws):
                return Sampled(more, judged, f"{how}, {AGAIN}")
    if min(diagnostics.ess_bulk, diagnostics.ess_tail) < 400 and diagnostics.nearly(stronger.chains * stronger.draws):
        again = _with_other_seed(problem)
        more, _ = again.sample(starts_at_modes(again), stronger)
        chains = Chains(
            np.concatenate([chains.u, more.u]),
            {name: np.concatenate([values, more.stats[name]]) for name, values in chains.stats.items()},
        )
        return Sampled(chains, diagnose(chains, problem.model.sites), "NUTS, stronger settings, twice the chains")
    return Sampled(chains, diagnostics, "NUTS, stronger settings")


def _tell_where(diagnostics: Diagnostics) -> bool:
    """Say whether the covariance of draws is near enough to that of the posterior to whiten it."""
    return diagnostics.rhat < MET and diagnostics.ess_bulk > TELLING


def _once_more(problem: Problem, chains: Chains, settings: Settings) -> tuple[Chains, Diagnostics]:
    """Sample from where chains ended, in coordinates that their draws whiten."""
    return _with_other_seed(problem).sample(chains.u[:, -1], settings, whitening_of(chains))


def _with_other_seed(problem: Problem) -> Problem:
    """Return the same posterior for further draws; its mode is not sought again."""
    return dataclasses.replace(problem, seed=problem.seed + OTHER_SEED, known_mode=problem.mode)


def starts_at_modes(problem: Problem) -> np.ndarray:
    """Return starts of chains, ``(chain, site)``, around every mode, so that R-hat can see when they do not meet."""
    modes = np.concatenate([problem.mode.u[None], problem.mode.rivals])
    return np.asarray(modes[np.arange(problem.settings.chains) % len(modes)] + _scatter(problem, 1.0))


def _scatter(problem: Problem, factor: float) -> np.ndarray:
    """Draw offsets for the starts of chains, ``(chain, site)``, from the normal approximation times ``factor``."""
    shape = (problem.settings.chains, len(problem.mode.u))
    white = np.random.default_rng(problem.seed).standard_normal(shape)
    return factor * white @ np.linalg.cholesky(problem.mode.covariance).T


def sample_laplace(problem: Problem) -> Sampled:
    """Importance-resampled normal approximation at the mode."""
    chains, diagnostics = laplace_draws(
        problem.model, problem.data, problem.priors, problem.mode, problem.settings, problem.seed
    )
    return Sampled(chains, diagnostics, "Laplace")

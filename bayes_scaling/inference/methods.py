"""Ways to sample one posterior: the fast path behind its gate, the safe path, the normal approximation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from bayes_scaling.inference.chains import Chains, Settings
from bayes_scaling.inference.diagnostics import Diagnostics, diagnose
from bayes_scaling.inference.laplace import laplace_draws
from bayes_scaling.inference.nuts import whitening_of
from bayes_scaling.inference.problem import Problem, Sampled
from bayes_scaling.inference.tempering import can_temper, sample_tempered
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
    first = Sampled(*problem.sample(starts, fast), "fast NUTS")
    if _good(first):
        return first
    if _tell_where(first.diagnostics):
        carefully = dataclasses.replace(fast, target_accept=careful)
        more = Sampled(*_once_more(problem, first.chains, carefully), f"fast NUTS, {AGAIN}")
        if _good(more):
            return more
    return sample_nuts(problem)


def fast_settings(settings: Settings) -> Settings:
    """Return how the fast path samples most posteriors."""
    return dataclasses.replace(settings, warmup=FAST_WARMUP, target_accept=0.8, adapt_mass=False)


def sample_nuts(problem: Problem) -> Sampled:
    """NUTS with a long warm-up that adapts a dense mass matrix; where its draws are not good, ways that take longer.

    Those are stronger settings, as many chains again where chains agree but are too short for their tails, and parallel
    tempering, unless that would take too long. Chains that do not meet are tempered first: no smaller step brings them
    together. Where nothing gives good draws, those with the least R-hat are returned.
    """
    tried = []
    for sampled in _ways(problem):
        if _good(sampled):
            return sampled
        tried.append(sampled)
    return min(reversed(tried), key=lambda sampled: sampled.diagnostics.rhat)


def _ways(problem: Problem) -> Iterator[Sampled]:
    """Yield what each way gives, when it is asked for the next."""
    settings = problem.settings
    if problem.model.populations:
        settings = dataclasses.replace(settings, target_accept=0.98)  # small steps through narrow populations
    stronger = dataclasses.replace(settings, warmup=2000, draws=3 * settings.draws, target_accept=0.99)
    first = _nuts(problem, settings, "NUTS")
    yield first
    apart = first.diagnostics.rhat > MET
    if apart and can_temper(problem):
        yield sample_tempered(problem)
    longer = _nuts(problem, stronger, "NUTS, stronger settings")
    yield longer
    if min(longer.diagnostics.ess_bulk, longer.diagnostics.ess_tail) < 400 and longer.diagnostics.nearly(_size(longer)):
        yield _with_as_many_chains(problem, longer, stronger)
    if not apart and can_temper(problem):
        yield sample_tempered(problem)


def _nuts(problem: Problem, settings: Settings, how: str) -> Sampled:
    """Sample by NUTS; draws that are nearly good whiten another round of very small steps."""
    chains, diagnostics = problem.sample(starts_at_modes(problem), settings)
    first = Sampled(chains, diagnostics, how)
    if _good(first) or problem.model.populations or not _tell_where(diagnostics):
        return first
    draws = 3 * problem.settings.draws
    small = dataclasses.replace(settings, warmup=FAST_WARMUP, draws=draws, target_accept=0.995, adapt_mass=False)
    more = Sampled(*_once_more(problem, chains, small), f"{how}, {AGAIN}")
    return more if _good(more) else first


def _with_as_many_chains(problem: Problem, sampled: Sampled, settings: Settings) -> Sampled:
    """Sample as many chains again, and judge all together."""
    again = _with_other_seed(problem)
    more, _ = again.sample(starts_at_modes(again), settings)
    chains = Chains(
        np.concatenate([sampled.chains.u, more.u]),
        {name: np.concatenate([values, more.stats[name]]) for name, values in sampled.chains.stats.items()},
    )
    return Sampled(chains, diagnose(chains, problem.model.sites), f"{sampled.how}, twice the chains")


def _good(sampled: Sampled) -> bool:
    return not sampled.diagnostics.problems(_size(sampled))


def _size(sampled: Sampled) -> int:
    """Return the number of draws of all chains."""
    return int(sampled.chains.stats["energy"].size)


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
    chains, diagnostics = laplace_draws(problem.posterior, problem.mode, problem.settings, problem.seed)
    return Sampled(chains, diagnostics, "Laplace")

"""Ways to sample one posterior: the fast path behind its gate, the safe path with a retry, the normal approximation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from bayes_scaling._model import Model, Observations, Priors
from bayes_scaling._sampling import (
    Chains,
    Diagnostics,
    Mode,
    Progress,
    Settings,
    compile_chains,
    diagnose,
    find_mode,
    laplace_draws,
    normal_whitening,
    run_chains,
)

PRIOR_STARTS = 23  # draws of the prior that are looked at
CLIMBS = 4  # the best of them that are climbed from
FAST_WARMUP = 150
WELL_KNOWN = 0.25  # posterior over prior standard deviation, below which a table fixes a parameter


@dataclasses.dataclass(frozen=True)
class Problem:
    """One posterior to sample: compiled model, table, priors, draws of the prior, settings."""

    model: Model
    data: Observations
    priors: Priors
    prior_u: np.ndarray
    settings: Settings
    seed: int
    progress: Progress

    @functools.cached_property
    def mode(self) -> Mode:
        """Posterior mode, climbed to from the prior's centre and from draws of the prior."""
        starts = np.concatenate([self.prior_u.mean(0)[None], self.prior_u[:PRIOR_STARTS]])
        return find_mode(self.model, self.data, self.priors, starts, CLIMBS)

    def sample(self, starts: np.ndarray, settings: Settings) -> tuple[Chains, Diagnostics]:
        """Run NUTS in coordinates whitened at the mode, from ``starts``, ``(chain, site)``, and judge it."""
        whitening = normal_whitening(self.mode.u, self.mode.covariance)
        local = np.linalg.solve(whitening.factor, (starts - self.mode.u).T).T
        compile_chains(self.model, self.data, self.priors, settings)
        chains = run_chains(self.model, self.data, self.priors, whitening, local, settings, self.seed, self.progress)
        return chains, diagnose(chains, self.model.sites)


type Sampled = tuple[Chains, Diagnostics, str]


def sample_auto(problem: Problem) -> Sampled:
    """Fast NUTS with the whitening held fixed; the safe path when its diagnostics are not good."""
    settings, mode = problem.settings, problem.mode
    if not len(mode.rivals):
        # Starts are twice as spread as the approximation, so that R-hat can see chains that have not met.
        starts = mode.u + _scatter(problem, 2.0)
        # Where the data fix every parameter the posterior is close to normal, and three leapfrog steps cross it.
        well_known = bool(np.all(np.sqrt(np.diag(mode.covariance)) < WELL_KNOWN * problem.prior_u.std(0)))
        fast = dataclasses.replace(settings, warmup=FAST_WARMUP, target_accept=0.8, adapt_mass=False)
        if well_known:
            fast = dataclasses.replace(fast, target_accept=0.7, max_tree_depth=2)
        chains, diagnostics = problem.sample(starts, fast)
        if not diagnostics.problems(settings.chains * settings.draws):
            return chains, diagnostics, "fast NUTS"
    return sample_nuts(problem)


def sample_nuts(problem: Problem) -> Sampled:
    """NUTS with a long warm-up that adapts a dense mass matrix; once more with stronger settings when needed."""
    settings = problem.settings
    # Chains start at every mode that was found, so that R-hat can see when they do not meet.
    modes = np.concatenate([problem.mode.u[None], problem.mode.rivals])
    centres = modes[np.arange(settings.chains) % len(modes)]
    starts = centres + _scatter(problem, 1.0)
    chains, diagnostics = problem.sample(starts, settings)
    if not diagnostics.problems(settings.chains * settings.draws):
        return chains, diagnostics, "NUTS"
    stronger = dataclasses.replace(settings, warmup=2000, draws=3 * settings.draws, target_accept=0.99)
    chains, diagnostics = problem.sample(starts, stronger)
    return chains, diagnostics, "NUTS, stronger settings"


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
    return chains, diagnostics, "Laplace"


METHODS: Mapping[str, Callable[[Problem], Sampled]] = {
    "auto": sample_auto,
    "nuts": sample_nuts,
    "laplace": sample_laplace,
}

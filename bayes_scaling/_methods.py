"""Ways to sample one posterior: the fast path behind its gate, the safe path with a retry, the normal approximation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from bayes_scaling._model import Model, Observations, Priors
from bayes_scaling._sampling import (
    Chains,
    Diagnostics,
    Mode,
    Progress,
    Settings,
    Whitening,
    compile_chains,
    diagnose,
    find_mode,
    laplace_draws,
    normal_whitening,
    prior_whitening,
    run_chains,
)
from bayes_scaling._scope import carried

PRIOR_STARTS = 23  # draws of the prior that are looked at
CLIMBS = 5  # the best of them that are climbed from
FAST_WARMUP = 150


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

    def compile_beside(self, settings: Settings) -> AbstractContextManager[None]:
        """Compile the chains in another thread while the block runs; its end waits for it."""
        return _beside(compile_chains, self.model, self.data, self.priors, settings)

    def sample(self, whitening: Whitening, starts: np.ndarray, settings: Settings) -> tuple[Chains, Diagnostics]:
        """Run NUTS and judge it."""
        compile_chains(self.model, self.data, self.priors, settings)
        chains = run_chains(self.model, self.data, self.priors, whitening, starts, settings, self.seed, self.progress)
        return chains, diagnose(chains, self.model.sites)


@contextmanager
def _beside(work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Do some work in another thread, in the caller's scope."""
    same_scope = carried()

    def scoped() -> None:
        with same_scope():
            work(*arguments)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(scoped)
        yield
        done.result()


type Sampled = tuple[Chains, Diagnostics, str]


def sample_auto(problem: Problem) -> Sampled:
    """Fast NUTS in whitened coordinates; the safe path when it is not good enough."""
    settings = problem.settings
    fast = dataclasses.replace(settings, warmup=FAST_WARMUP, target_accept=0.8, adapt_mass=False)
    with problem.compile_beside(fast):
        mode = problem.mode
    if not len(mode.rivals):
        # Starts are twice as spread as the approximation, so that R-hat can see chains that have not met.
        starts = 2 * np.random.default_rng(problem.seed).standard_normal((settings.chains, len(mode.u)))
        chains, diagnostics = problem.sample(normal_whitening(mode.u, mode.covariance), starts, fast)
        if not diagnostics.problems(settings.chains * settings.draws):
            return chains, diagnostics, "fast NUTS"
    return sample_nuts(problem)


def sample_nuts(problem: Problem) -> Sampled:
    """Prior-scaled NUTS with an adapting dense mass matrix; once more with stronger settings when needed."""
    whitening = prior_whitening(problem.prior_u)
    settings, mode = problem.settings, problem.mode
    # Chains start at every mode that was found, so that R-hat can see when they do not meet.
    modes = np.concatenate([mode.u[None], mode.rivals])
    centres = modes[np.arange(settings.chains) % len(modes)]
    scatter = np.random.default_rng(problem.seed).standard_normal(centres.shape)
    starts = centres + scatter @ np.linalg.cholesky(mode.covariance).T
    starts = np.linalg.solve(whitening.factor, (starts - whitening.location).T).T
    chains, diagnostics = problem.sample(whitening, starts, settings)
    if not diagnostics.problems(settings.chains * settings.draws):
        return chains, diagnostics, "NUTS"
    stronger = dataclasses.replace(settings, warmup=2000, draws=3 * settings.draws, target_accept=0.99)
    chains, diagnostics = problem.sample(whitening, starts, stronger)
    return chains, diagnostics, "NUTS, stronger settings"


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

"""One posterior to sample, and what a sampling method is."""

from __future__ import annotations

import dataclasses
import functools
from typing import Protocol

import numpy as np

from bayes_scaling.base.streams import INTEGRATED_OUT, stream
from bayes_scaling.errors import FitError
from bayes_scaling.inference.chains import Chains, Progress, Settings
from bayes_scaling.inference.compiled import Posterior, completed, potentials
from bayes_scaling.inference.compiled import moved as _moved
from bayes_scaling.inference.diagnostics import Diagnostics, diagnose
from bayes_scaling.inference.mode import Mode, find_mode
from bayes_scaling.inference.nuts import Whitening, compile_chains, normal_whitening, run_chains
from bayes_scaling.model.composition import Priors
from bayes_scaling.model.geometry import Geometry
from bayes_scaling.model.integrated import Integrated
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

PRIOR_STARTS = 23  # draws of the prior that are looked at
CLIMBS = 4  # the best of them that are climbed from


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


@dataclasses.dataclass(frozen=True)
class Problem:
    """One posterior to sample, over unconstrained coordinates ``u``.

    A sampling method of your own needs `log_density`, `mode`, ``settings`` and ``seed``, and hands its draws to
    `sampled`. Where noise is normal the increments of the discrepancy and the start of curves are integrated out: they
    are no coordinates.

    Attributes
    ----------
    model, data, priors : the compiled model and its arguments
    prior_u : (prior draw, coordinate) draws of the prior
    settings : ``chains`` and ``draws`` that were asked for, and how NUTS is run
    seed : the same seed must give the same draws
    progress : called with a stage and the fraction of it that is done
    known_mode : the mode, where it is known already
    known_ends : (place, coordinate) where climbs in the coordinates before ended, in these, where that is known
    """

    model: Model
    data: Observations
    priors: Priors
    prior_u: np.ndarray
    settings: Settings
    seed: int
    progress: Progress
    known_mode: Mode | None = None
    known_ends: np.ndarray | None = None

    @functools.cached_property
    def mode(self) -> Mode:
        """Posterior mode ``u`` and ``covariance`` there, climbed to from the prior's centre and from prior draws."""
        if self.known_mode is not None:
            return self.known_mode
        return find_mode(self.posterior, self.climb_from, CLIMBS)

    @property
    def posterior(self) -> Posterior:
        """The compiled model and its arguments."""
        return Posterior(self.model, self.data, self.priors)

    @property
    def climb_from(self) -> np.ndarray:
        """Where a climb to the mode may start, ``(start, coordinate)``; the best few are taken."""
        if self.known_ends is not None:
            return self.known_ends
        return np.concatenate([self.prior_u.mean(0)[None], self.prior_u[:PRIOR_STARTS]])

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the unconstrained coordinates."""
        return self.model.sites

    def log_density(self, u: np.ndarray) -> np.ndarray:
        """Return the log posterior density up to a constant, ``(n,)``, at ``u``, ``(n, coordinate)``."""
        return -np.asarray(potentials(self.model)(u, self.data, self.priors))

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

    def sample(
        self, starts: np.ndarray, settings: Settings, whitening: Whitening | None = None
    ) -> tuple[Chains, Diagnostics]:
        """Run NUTS from ``starts``, ``(chain, site)``, in coordinates whitened at the mode or as given; judge it."""
        if whitening is None:
            whitening = normal_whitening(self.mode.u, self.mode.covariance)
        local = np.linalg.solve(whitening.factor, (starts - whitening.location).T).T
        compile_chains(self.posterior, settings)
        chains = run_chains(self.posterior, whitening, local, settings, self.seed, self.progress)
        return chains, diagnose(chains, self.coordinates)

    def in_geometry(self, geometry: Geometry) -> Problem:
        """Return the same posterior in other coordinates."""
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, geometry=geometry),
            prior_u=moved(self, self.prior_u, geometry),
            known_mode=None,
            known_ends=None,
        )

    def standardised(self, u: np.ndarray) -> np.ndarray:
        """Return draws, (chain, draw, coordinate), in the standard coordinates, in which a fit keeps them.

        What was integrated out is drawn, given the rest of each draw.
        """
        model, flat = self.model, u.reshape(-1, u.shape[-1])
        standard = flat
        if model.populations or model.increments:
            geometry = Geometry.standard(self.data.geometry.centring, model.increments, len(self.data.log_loss))
            standard = moved(self, flat, geometry)
        if isinstance(model, Integrated):
            rng = stream(self.seed, INTEGRATED_OUT)
            white = rng.standard_normal((len(flat), model.size))
            standard = model.whole_coordinates(
                standard, np.asarray(completed(model)(flat, white, self.data, self.priors)), rng
            )
        return standard.reshape(*u.shape[:-1], -1)


def moved(problem: Problem, u: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return unconstrained draws, ``(n, coordinate)``, in the coordinates of another geometry."""
    function, at_once = _moved(problem.model), len(problem.prior_u)
    # As many at a time as there are draws of the prior, so that one program moves them all.
    pieces = [np.resize(u[first : first + at_once], problem.prior_u.shape) for first in range(0, len(u), at_once)]
    after = [np.asarray(function(piece, geometry, problem.data, problem.priors)) for piece in pieces]
    return np.concatenate(after)[: len(u)]

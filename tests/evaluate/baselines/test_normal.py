"""The normal approximation: exact where the posterior is normal, and honest about what it is."""

from __future__ import annotations

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.baselines.normal import normal_approximation
from tests.support import design

CHINCHILLA = bs.load_law("chinchilla")
TRUTH = dict(CHINCHILLA.at("besiroglu2024").constants.values)


@pytest.fixture(scope="module")
def runs() -> bs.Runs:
    return bs.simulate(CHINCHILLA, design(), TRUTH | {"sigma": 0.005, "nu": 30.0}, seed=1)


def test_draws_have_the_mode_and_the_curvature_of_the_posterior(runs: bs.Runs) -> None:
    seen = []

    def watched(problem: bs.Problem) -> bs.Sampled:
        seen.append(problem.mode)
        return normal_approximation(problem)

    fit = bs.fit(CHINCHILLA, runs, discrepancy="none", sampler=bs.Sampler(watched, draws=5000), progress=False)
    u = fit.unconstrained.reshape(-1, fit.unconstrained.shape[-1])
    mode = seen[0]
    spread = np.sqrt(np.diag(mode.covariance))
    assert np.abs(u.mean(axis=0) - mode.u) == pytest.approx(0, abs=5 * spread.max() / np.sqrt(len(u)))
    assert np.cov(u, rowvar=False) / np.outer(spread, spread) == pytest.approx(
        mode.covariance / np.outer(spread, spread), abs=0.05
    )
    assert fit.sampler_used == "normal approximation" and fit.converged


def test_well_known_constants_are_as_sampled(runs: bs.Runs) -> None:
    approximate = bs.fit(CHINCHILLA, runs, discrepancy="none", sampler=bs.Sampler(normal_approximation), progress=False)
    sampled = bs.fit(CHINCHILLA, runs, discrepancy="none", progress=False)
    ahead = {"params": 7e9, "tokens": 1.4e11}
    one, other = (np.log(bs.forecast(fit, **ahead).interval(0.9)) for fit in (approximate, sampled))
    assert one == pytest.approx(other, abs=0.5 * np.ptp(other))

"""The normal approximation and the proposals that it learns from its draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

import bayes_scaling as bs
from bayes_scaling.inference.laplace import DEGREES, Proposal, Tried
from bayes_scaling.inference.weights import effective
from tests.support import fit_exact

NARROW = Proposal(np.zeros(3), 0.3 * np.eye(3))
COVARIANCE = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 4.0]])


def log_target(u: np.ndarray) -> np.ndarray:
    """A normal far wider than the first proposal, and away from it."""
    return np.asarray(scipy.stats.multivariate_normal(np.array([1.0, 1.0, -2.0]), COVARIANCE).logpdf(u))


def test_a_proposal_knows_its_density() -> None:
    one = Proposal(np.array([1.0, -2.0]), np.array([[2.0, 0.0], [0.5, 1.5]]))
    u = np.random.default_rng(0).normal(size=(50, 2))
    known = scipy.stats.multivariate_t(one.mean, one.factor @ one.factor.T, df=DEGREES).logpdf(u)
    np.testing.assert_allclose(np.ptp(one.log_density(u) - known), 0.0, atol=1e-9)  # up to a constant
    drawn = one.draw(100_000, np.random.default_rng(1))
    np.testing.assert_allclose(np.median(drawn, axis=0), one.mean, atol=0.03)


def test_proposals_find_a_posterior_that_the_first_one_misses() -> None:
    rng = np.random.default_rng(0)
    tried = Tried.none(3).more(NARROW, 1000, log_target, rng)
    assert effective(softmax(tried.log_weight)) < 20
    for _ in range(5):
        proposal = tried.learned()
        assert proposal is not None
        tried = tried.more(proposal, 1000, log_target, rng)
    assert effective(softmax(tried.log_weight)) > 1000
    weight = np.exp(tried.log_weight - tried.log_weight.max())
    np.testing.assert_allclose(weight @ tried.u / weight.sum(), [1.0, 1.0, -2.0], atol=0.15)
    np.testing.assert_allclose(np.cov(tried.u.T, aweights=weight), COVARIANCE, atol=0.4)


def test_a_target_of_any_scale_can_be_learned() -> None:
    """As of runs without scatter: log densities that differ by more than any sum of weights holds."""
    rng = np.random.default_rng(0)
    tried = Tried.none(3).more(NARROW, 1000, lambda u: 1e9 * log_target(u), rng)
    proposal = tried.learned()
    assert proposal is not None and np.isfinite(proposal.factor).all()
    assert np.linalg.norm(proposal.mean - [1.0, 1.0, -2.0]) < np.linalg.norm(NARROW.mean - [1.0, 1.0, -2.0])


def test_too_few_possible_draws_teach_nothing() -> None:
    def hardly_ever(u: np.ndarray) -> np.ndarray:
        return np.where(u[:, 0] > np.sort(u[:, 0])[-50], 0.0, np.nan)

    tried = Tried.none(3).more(NARROW, 1000, hardly_ever, np.random.default_rng(0))
    assert np.isneginf(tried.log_target).sum() > 900
    assert tried.learned() is None


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=50))
def test_effective_draws_lie_between_one_and_all(log_weight: list[float]) -> None:
    assert 1 - 1e-9 <= effective(softmax(log_weight)) <= len(log_weight) + 1e-9


@pytest.mark.parametrize("law", ["chinchilla", "kaplan_joint"])
def test_a_posterior_of_five_runs_is_that_of_nuts(law: str) -> None:
    """It is skewed and far wider than its mode says: the approximation as it is keeps a handful of draws."""
    params, tokens = [1e8, 3e8, 1e9, 1e8, 3e8], [2e9, 6e9, 2e10, 8e9, 2.4e10]
    loss = [3.41, 3.02, 2.71, 3.22, 2.87]
    runs = bs.Runs.from_frame(pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}))
    quick = fit_exact(law, runs, sampler="laplace", seed=0)
    assert quick.diagnostics.ess_bulk > 200
    slow = fit_exact(law, runs, seed=0)
    assert slow.converged
    points = {"params": 1e10, "tokens": 2e11}
    said, right = (np.log(bs.forecast(one, **points, unconverged=True).mean[:, 0]) for one in (quick, slow))
    assert abs(said.mean() - right.mean()) < 0.25 * right.std()
    assert 0.7 < said.std() / right.std() < 1.4

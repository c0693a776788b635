"""Other priors from draws that are there: what sampling again says, and nothing where weights cannot tell."""

from __future__ import annotations

import numpy as np
import numpyro.distributions as dist
import pytest
from arviz_stats.base import array_stats

import bayes_scaling as bs
from bayes_scaling.inference.reweighting import under_other_priors
from tests.support import design

MOST_APART = 4.5  # Monte Carlo errors between two means


@pytest.fixture(scope="module")
def fitted() -> bs.Fit:
    runs = bs.simulate("chinchilla", design(24), "besiroglu2024", seed=3)
    return bs.fit("chinchilla", runs, noise="normal", discrepancy="none", seed=0, progress=False)


def ess(values: np.ndarray) -> float:
    return float(array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean"))


@pytest.mark.parametrize("prior", [dist.Beta(1.5, 4.0), dist.Beta(4.0, 1.5)], ids=["low", "high"])
def test_it_agrees_with_sampling_again(fitted: bs.Fit, prior: dist.Distribution) -> None:
    law = fitted.law.with_priors({"E": prior})
    found = under_other_priors(fitted, law, seed=0)
    again = bs.fit(law, fitted.runs, noise="normal", discrepancy="none", seed=1, progress=False)
    assert found is not None and found.converged and found.sampler_used.endswith("reweighted")
    assert found.manifest["priors_given"] == again.manifest["priors_given"]
    share = found.diagnostics.ess_bulk / fitted.diagnostics.ess_bulk
    assert share < 1
    for name in ("E", "alpha", "beta", "sigma"):
        before, weighted, sampled = (np.log(one.draws[name]) for one in (fitted, found, again))
        middle = sampled.mean()
        for here, x, y in (
            (before, weighted, sampled),
            (np.abs(before - middle), np.abs(weighted - middle), np.abs(sampled - middle)),
        ):
            # Draws that are taken twice lie side by side, which says nothing of the chain that they are from.
            error = np.sqrt(x.var() / (share * ess(here)) + y.var() / ess(y))
            assert abs(x.mean() - y.mean()) < MOST_APART * error
    assert np.mean(found.prior["E"]) == pytest.approx(np.mean(again.prior["E"]), rel=0.1)


@pytest.mark.parametrize("steep", [200.0, 2000.0, 1e5])
def test_a_prior_that_contradicts_the_table_is_left_to_sampling(fitted: bs.Fit, steep: float) -> None:
    assert under_other_priors(fitted, fitted.law.with_priors({"E": dist.Beta(1.0, steep)}), seed=0) is None


def test_another_law_is_left_to_sampling(fitted: bs.Fit) -> None:
    assert under_other_priors(fitted, bs.load_law("kaplan_joint"), seed=0) is None

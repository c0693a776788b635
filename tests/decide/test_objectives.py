"""Objectives against closed forms, quadrature and Monte Carlo."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.decide import objectives as ob
from bayes_scaling.decide.decision import allocate
from bayes_scaling.errors import PlanError
from bayes_scaling.model.families import Normal, NormalParts
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.predictive import Predictive, Residuals
from tests.support import losses_of_parts, scattered


@pytest.fixture(scope="module")
def beliefs(chinchilla_fit: bs.Fit) -> Ensemble:
    return Ensemble.of(chinchilla_fit, seed=0)


def normal(location: Any, width: Any) -> Predictive:
    """One draw per location and width, at one point."""
    m, w = np.broadcast_arrays(np.atleast_1d(np.asarray(location, float)), np.asarray(width, float))
    return scattered(m[:, None], w[:, None])


def log_improvement_by_quadrature(m: float, w: float, incumbent: float) -> float:
    """Integrate (incumbent - loss) over the normal, with the density at the incumbent in front: nothing cancels."""
    d = (math.log(incumbent) - m) / w
    if d > 0:
        value, _ = scipy.integrate.quad(
            lambda t: -math.expm1(-w * t) * scipy.stats.norm.pdf(d - t), 0, d + 12, points=[d], epsabs=0, limit=200
        )
        return math.log(incumbent * value)
    scale = max(1.0, -d)
    value, _ = scipy.integrate.quad(
        lambda u: -math.expm1(-w * u / scale) * math.exp(d * u / scale - (u / scale) ** 2 / 2), 0, 60, epsabs=0
    )
    return math.log(incumbent * value / scale) - d**2 / 2 - 0.5 * math.log(2 * math.pi)


@pytest.mark.parametrize("width", [1e-6, 0.004, 0.09, 0.11, 0.4, 2.0])
@pytest.mark.parametrize("d", [-2000.0, -120.0, -99.0, -12.0, -1.5, 0.0, 0.99, 1.01, 8.0, 50.0])
def test_log_improvement_is_the_integral(width: float, d: float) -> None:
    m = math.log(2.1) - d * width
    found = float(ob.log_improvement(normal(m, width), 2.1)[0, 0, 0])
    assert math.isfinite(found)
    assert found == pytest.approx(log_improvement_by_quadrature(m, width, 2.1), rel=1e-9, abs=1e-8)


def test_expected_improvement_in_the_limit_of_small_noise() -> None:
    """Then loss is normal, and EI is s (z Phi(z) + phi(z))."""
    incumbent, width = 2.0, 1e-7
    for z in (5.0, 0.0, -2.5):
        mean = incumbent * (1 - z * width)
        s = mean * width
        exact = s * (z * scipy.stats.norm.cdf(z) + scipy.stats.norm.pdf(z))
        found = ob.improvement(normal(math.log(mean), width), incumbent)
        assert float(found[0, 0]) == pytest.approx(exact, rel=1e-5)


def test_log_ei_is_the_log_of_ei_and_outlives_it() -> None:
    incumbent, goal, ei = 2.0, ob.Goal(2.0), ob.expected_improvement()
    some = normal(np.log([1.95, 2.0, 2.02]), 0.01)
    value, error = ei.value(some, goal)
    assert math.log(value[0]) == pytest.approx(float(ei.score(some, goal)[0]), rel=1e-12)
    assert 0 < error[0] < value[0]
    far = normal(np.log([2.6, 2.8]), 0.003)
    assert ei.value(far, goal)[0][0] == 0.0
    exact = [log_improvement_by_quadrature(float(m), 0.003, incumbent) for m in far.location[:, 0]]
    assert float(ei.score(far, goal)[0]) == pytest.approx(max(exact) - math.log(2), rel=1e-10)


def test_monte_carlo_error_is_that_of_the_mean() -> None:
    rng, goal, ei = np.random.default_rng(0), ob.Goal(2.0), ob.expected_improvement()
    values = [ei.value(normal(rng.normal(math.log(2.0), 0.05, 400), 0.01), goal) for _ in range(300)]
    means, errors = np.array(values)[:, :, 0].T
    assert means.std() == pytest.approx(errors.mean(), rel=0.15)


@pytest.mark.parametrize("worst", [0.01, 0.05, 0.5])
def test_cvar_of_a_normal(worst: float) -> None:
    m, w = math.log(2.0), 0.1
    z = scipy.stats.norm.ppf(1 - worst)
    exact = math.exp(m + w**2 / 2) * scipy.stats.norm.cdf(w - z) / worst
    assert ob.cvar_given_draw(normal([m] * 5, w), worst).mean() == pytest.approx(exact, rel=1e-12)
    small = 1e-6  # the loss itself is normal then: mean + sd phi(z) / worst
    found = ob.cvar_given_draw(normal(m, small), worst).mean()
    assert (found / 2 - 1) / small == pytest.approx(scipy.stats.norm.pdf(z) / worst, rel=1e-4)


def test_the_mixture_has_the_moments_of_its_draws() -> None:
    rng = np.random.default_rng(1)
    stretch = rng.uniform(0.5, 2.0, (300, 3))
    parts = Residuals(Normal(), {}, NormalParts(np.zeros_like(stretch), stretch))
    mixture = Predictive.of(rng.normal(0.7, 0.05, (300, 2)), rng.uniform(0.005, 0.05, (300, 2)), parts)
    losses = np.concatenate([losses_of_parts(mixture, seed) for seed in range(2000)])
    goal = ob.Goal(2.0, 1.9)
    table = ((1.6, 3.0), (2.0, 2.0), (2.4, -1.0))
    for objective, exact in (
        (ob.expected_loss(), losses.mean(axis=0)),
        (ob.expected_improvement(), np.maximum(2.0 - losses, 0).mean(axis=0)),
        (ob.probability_of_target(), (losses <= 1.9).mean(axis=0)),
        (ob.loss_quantile(0.9), np.quantile(losses, 0.9, axis=0)),
        (ob.cvar(0.1), np.sort(losses, axis=0)[-len(losses) // 10 :].mean(axis=0)),
        (ob.utility(table), np.interp(losses, *np.transpose(table)).mean(axis=0)),
        (ob.utility(lambda loss: -(loss**2)), -(losses**2).mean(axis=0)),
    ):
        value, error = objective.value(mixture, goal)
        np.testing.assert_allclose(value, exact, rtol=4e-3, err_msg=objective.label)
        assert (error > 0).all() and (error < 0.2 * np.abs(value)).all()
    both = ob.mean_and_cvar(0.5, 0.1).value(mixture, goal)[0]
    parts = ob.expected_loss().value(mixture, goal)[0] + 0.5 * ob.cvar(0.1).value(mixture, goal)[0]
    np.testing.assert_allclose(both, parts)


def test_a_deviation_of_the_run_widens_its_loss_as_its_scatter_does() -> None:
    run = Predictive.of(np.zeros((3, 1)), np.full((3, 1), 0.03), Residuals.normal(3), np.full((3, 1), 0.04))
    assert ob.quantile(run, 0.9)[0] == pytest.approx(math.exp(0.05 * scipy.stats.norm.ppf(0.9)))
    assert ob.loss_given_draw(run)[0, 0] == pytest.approx(math.exp(0.05**2 / 2))


def test_bad_objectives_are_explained(beliefs: Ensemble) -> None:
    for ask, says in (
        (lambda: ob.cvar(5), "write 0.05 for 5 percent"),
        (lambda: ob.loss_quantile(1.0), "expected a fraction between 0 and 1"),
        (lambda: ob.mean_and_cvar(-1.0), "expected 0 or more"),
        (lambda: ob.utility([(2.0, 1.0)]), "two or more rows"),
        (lambda: ob.utility([(2.0, 1.0), (2.0, 0.0)]), "two values for one loss"),
        (lambda: allocate(beliefs, 1e22, objective=ob.utility(lambda loss: loss.sum())), "one finite value per loss"),
        (lambda: allocate(beliefs, 1e22, objective=ob.probability_of_target()), "give target="),
    ):
        with pytest.raises(PlanError) as caught:
            ask()
        assert says in str(caught.value) and "\n" not in str(caught.value)

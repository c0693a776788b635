"""Families of scatter: a family that a user writes works everywhere, and defaults agree with closed forms."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.model.families import Family, Normal, StudentT, log_gamma_half_step
from bayes_scaling.predict.predictive import Predictive, Residuals
from tests.support import design, fit_exact, losses_of_parts


@dataclasses.dataclass(frozen=True)
class Laplace(Family):
    """What a user writes: one method."""

    label = "laplace"

    def distribution(self, location: Any, scale: Any, theta: Any) -> dist.Distribution:
        return dist.Laplace(location, scale)


@dataclasses.dataclass(frozen=True)
class PlainNormal(Family):
    """A normal without its closed forms, to try the defaults."""

    label = "plain_normal"

    def distribution(self, location: Any, scale: Any, theta: Any) -> dist.Distribution:
        return dist.Normal(location, scale)


def predictive(family: Family, theta: dict[str, np.ndarray], draws: int = 500) -> Predictive:
    rng = np.random.default_rng(0)
    location = rng.normal(0.7, 0.02, (draws, 2))
    return Predictive.of(location, np.full((draws, 2), 0.05), Residuals.of(family, theta, draws, 0))


def test_defaults_agree_with_the_closed_forms_of_a_normal() -> None:
    plain, exact = predictive(PlainNormal(), {}), predictive(Normal(), {})
    loss = np.array([1.9, 2.2])
    np.testing.assert_allclose(plain.log_density(loss), exact.log_density(loss), rtol=1e-9)
    np.testing.assert_allclose(plain.probability_below(loss), exact.probability_below(loss), rtol=1e-9)
    np.testing.assert_allclose(plain.informative_variance, exact.informative_variance, rtol=0.03)
    np.testing.assert_allclose(PlainNormal().central_half_width({}), 1.0, rtol=1e-9)
    with scope():
        np.testing.assert_allclose(PlainNormal().weight(np.array([0.01, 1.0, 9.0]), {}), 1.0, rtol=1e-9)
    assert np.std(np.log(plain.losses(1))) == pytest.approx(np.std(np.log(exact.losses(1))), rel=0.05)


def test_the_weight_of_a_student_t_is_the_slope_of_its_density() -> None:
    squares = np.array([0.04, 1.0, 25.0])
    with scope():
        slope = Family.weight(StudentT(), squares, {"nu": 3.0})
        np.testing.assert_allclose(slope, StudentT().weight(squares, {"nu": 3.0}), rtol=1e-9)


def test_the_centre_of_a_student_t_holds_what_that_of_a_normal_does() -> None:
    theta = {"nu": np.array([1.0, 3.0, 30.0])}
    half = StudentT().central_half_width(theta)
    np.testing.assert_allclose(StudentT().probability_below(half, theta), scipy.special.ndtr(1.0))


def test_the_density_of_a_student_t_and_its_slope_in_nu_are_exact() -> None:
    nu = np.array([0.5, 1.0, 1.7, 4.0, 30.0, 1e3, 1e8])
    residual = np.linspace(-8, 8, 33)
    half = nu / 2
    with scope():
        density = StudentT().distribution(0.1, 0.02, {"nu": nu[:, None]}).log_prob(0.1 + 0.02 * residual)
        step, slope = (np.asarray(jax.vmap(of)(half)) for of in (log_gamma_half_step, jax.grad(log_gamma_half_step)))
    exact = scipy.stats.t.logpdf(0.1 + 0.02 * residual, nu[:, None], 0.1, 0.02)
    np.testing.assert_allclose(density, exact, rtol=1e-11, atol=1e-11)
    known = half < 1e6  # beyond, differences of log gammas lose their digits
    log_gammas = scipy.special.gammaln(half + 0.5) - scipy.special.gammaln(half)
    np.testing.assert_allclose(step[known], log_gammas[known], rtol=1e-11, atol=1e-12)
    digammas = scipy.special.digamma(half + 0.5) - scipy.special.digamma(half)
    np.testing.assert_allclose(slope[known], digammas[known], rtol=1e-11)
    assert step[-1] == pytest.approx(np.log(half[-1]) / 2) and slope[-1] == pytest.approx(0.5 / half[-1], rel=1e-6)


@pytest.mark.parametrize("family", [Laplace(), StudentT(), Normal(), PlainNormal()], ids=lambda family: family.label)
def test_normal_parts_stand_for_the_family(family: Family) -> None:
    """Integrals over the parts, which plans use, are those over the family itself."""
    theta = {"nu": np.full(40_000, 4.0)} if family.parameters else {}
    whole = predictive(family, theta, 40_000)
    exact = whole.losses(3)
    parts = losses_of_parts(whole, 3)
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        np.testing.assert_allclose(np.quantile(parts, level, axis=0), np.quantile(exact, level, axis=0), rtol=5e-3)


@pytest.mark.slow
def test_a_family_of_ones_own_is_fitted_forecast_scored_and_planned_with() -> None:
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values) | {"sigma": 0.01}
    noise = bs.Noise(family=Laplace())
    runs = bs.simulate("chinchilla", design(), truth, noise=noise, seed=2)
    fit = fit_exact("chinchilla", runs, noise=noise, seed=0)
    assert fit.converged and fit.manifest["noise"]["family"] == "laplace"
    low, high = np.quantile(fit.flat()["sigma"], [0.005, 0.995])
    assert low < 0.01 < high
    ahead = bs.forecast(fit, params=7e10, tokens=1.4e12)
    median = ahead.median("mean")
    exact = np.mean(
        [
            scipy.stats.laplace(np.log(m), s).pdf(np.log(median[0]))
            for m, s in zip(ahead.mean[:, 0], fit.flat()["sigma"], strict=True)
        ]
    )
    assert np.exp(ahead.predictive.log_density(median))[0] * median[0] == pytest.approx(exact, rel=1e-6)
    assert len(bs.evaluate.find_outliers(fit)) == len(runs)
    plan = bs.allocate(fit, 1e22)
    assert plan.interval(0.9)[0] < plan.choice.expected_loss < plan.interval(0.9)[1]


def test_several_runs_scatter_as_the_family_says(chinchilla_fit: bs.Fit) -> None:
    """The best of two runs, whose own scatter is most of what is not known, has the distribution of a drawn minimum."""
    ensemble = bs.Ensemble.of(chinchilla_fit)
    (name, member), count = next(iter(ensemble.members.items())), len(ensemble)
    theta = member.theta | {"sigma": np.full(count, 0.1)}
    wide = dataclasses.replace(member, theta=theta, residuals=Residuals.of(Laplace(), {}, count, 0))
    ensemble = dataclasses.replace(ensemble, members={name: wide})
    split = bs.DecisionProblem(ensemble, objective="expected_loss").portfolio(1e22, 2)
    runs = ensemble.new_run(ensemble.points(params=split.runs["params"], tokens=split.runs["tokens"]))
    residual = np.random.default_rng(0).laplace(size=(50, count, 2))
    exact = np.exp(runs.location + 0.1 * residual).min(axis=-1)
    for level in (0.05, 0.5, 0.95):
        assert np.quantile(split.losses, level) == pytest.approx(np.quantile(exact, level), rel=0.01)


def test_laws_with_different_scatter_are_mixed(chinchilla_runs: bs.Runs) -> None:
    fits = {
        "heavy": fit_exact("chinchilla", chinchilla_runs, noise=bs.Noise("student_t"), seed=0),
        "normal": fit_exact("chinchilla", chinchilla_runs, noise=bs.Noise("normal"), seed=0),
    }
    alone = {name: bs.forecast(fit, params=7e10, tokens=1.4e12) for name, fit in fits.items()}
    both = Predictive.mixture([forecast.predictive for forecast in alone.values()])
    loss = alone["heavy"].median()
    densities = [np.exp(forecast.predictive.log_density(loss)) for forecast in alone.values()]
    np.testing.assert_allclose(np.exp(both.log_density(loss)), np.mean(densities, axis=0))
    assert both.width.shape == (8000, 4, 1)


def test_the_recipe_of_contributing_is_a_noise_model(chinchilla_runs: bs.Runs, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipe = re.findall(r"```python\n(.*?)```", text.partition("## Add a noise model")[2], re.DOTALL)[0]
    assert len(recipe.splitlines()) <= 30
    names = {"runs": chinchilla_runs}
    exec(recipe, names)
    fit: Any = names["fit"]
    assert fit.converged and fit.noise.scatter_family.label == "soft_laplace"
    fit.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc", noise=fit.noise)
    np.testing.assert_array_equal(again.draws["alpha"], fit.draws["alpha"])
    with pytest.raises(bs.errors.FitError, match="noise family 'soft_laplace', which is not built in; pass it: noise="):
        bs.load_fit(tmp_path / "fit.nc")

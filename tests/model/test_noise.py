"""Observation models: what they scatter, and that the data can tell them apart."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.model.noise import FAMILIES, SCALES
from tests.support import design, fit_exact

TRUTH = {"sigma": 0.01, "nu": 4.0, "kappa": 0.3}


@pytest.mark.parametrize("family", FAMILIES)
def test_density_draws_and_cumulative_agree(family: str) -> None:
    noise = bs.Noise(family)
    with scope():
        density = np.asarray(noise.distribution(0.0, TRUTH, {}, 0.0).log_prob(np.array([0.0, 0.02])))
    reference = scipy.stats.t(4.0, 0, 0.01) if family == "student_t" else scipy.stats.norm(0, 0.01)
    np.testing.assert_allclose(density, reference.logpdf([0.0, 0.02]), rtol=1e-10)
    theta = {name: np.full(20_000, value) for name, value in TRUTH.items()}
    draws = np.log(noise.draw(np.zeros((20_000, 1)), np.ones((20_000, 1)), theta, None, 0)[:, 0])
    assert scipy.stats.kstest(0.01 * draws, reference.cdf).pvalue > 1e-3
    residual = np.full((20_000, 1), 1.5)
    assert noise.scatter_family.probability_below(residual, theta)[0, 0] == pytest.approx(reference.cdf(0.015))


def test_known_errors_add_in_quadrature() -> None:
    with scope():
        width = bs.Noise("normal", "known").row_scale(TRUTH, {"noise.relative_se": np.array([0.0, 0.01])})
    np.testing.assert_allclose(width, [0.01, 0.01 * np.sqrt(2)])


def test_growing_noise_is_wider_for_small_runs() -> None:
    with scope():
        width = np.asarray(
            bs.Noise("normal", "growing").row_scale(TRUTH, {"noise.relative_size": np.array([0.01, 1.0, 100.0])})
        )
    np.testing.assert_allclose(width, 0.01 * np.array([100**0.3, 1, 100**-0.3]))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(bs.errors.LawError, match="noise family is 'gauss'; expected normal or student_t"):
        bs.Noise("gauss")
    with pytest.raises(bs.errors.LawError, match="noise scale is 'wide'; expected"):
        bs.Noise("normal", "wide")


def test_known_scale_needs_its_column(chinchilla_runs: bs.Runs) -> None:
    with pytest.raises(bs.errors.DataError, match="loss_se"):
        fit_exact("chinchilla", chinchilla_runs, noise=bs.Noise("normal", "known"))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", SCALES)
def test_every_noise_is_fitted_and_found_again(family: str, scale: str) -> None:
    noise = bs.Noise(family, scale)
    table = design(48).assign(loss_se=0.01)
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)
    # Tails where the prior expects them: heavier ones, from 48 runs, leave some of sigma to the prior of nu.
    truth |= {row.name: {**TRUTH, "nu": 12.0}[row.name] for row in noise.parameters}
    runs = bs.simulate("chinchilla", table, truth, noise=noise, seed=5)
    runs = bs.Runs.from_frame(runs.table.assign(loss_se=0.01 * runs.loss))
    fit = fit_exact("chinchilla", runs, noise=noise, seed=0)
    assert fit.converged
    low, high = np.quantile(fit.flat()["sigma"], [0.005, 0.995])
    assert low < 0.01 < high
    forecast = bs.forecast(fit, params=7e10, tokens=1.4e12)
    # Scatter that shrinks with size adds next to nothing this far out, less than draws tell.
    assert np.all(np.diff(forecast.interval(0.9)) > 0.99 * np.diff(forecast.interval(0.9, "mean")))


@pytest.mark.slow
def test_growing_noise_learns_which_runs_to_trust() -> None:
    """Large runs scatter less than small ones in truth; a forecast that knows it is narrower at large sizes."""
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values) | {"sigma": 0.01, "kappa": 0.3}
    runs = bs.simulate("chinchilla", design(48), truth, noise=bs.Noise("normal", "growing"), seed=6)
    growing, constant = (
        fit_exact("chinchilla", runs, noise=bs.Noise("normal", scale)) for scale in ("growing", "constant")
    )
    assert np.quantile(growing.flat()["kappa"], 0.05) > 0.1
    point = {"params": 7e10, "tokens": 1.4e12}
    widths = [np.diff(bs.forecast(fit, **point).interval(0.9)).item() for fit in (growing, constant)]
    assert widths[0] < 0.7 * widths[1]

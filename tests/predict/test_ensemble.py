"""Ensembles: one law or several, asked for a forecast or by a plan, say the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.predict.forecast import MOST_PLACES
from tests.support import fit_exact


@dataclasses.dataclass(frozen=True)
class Weighted:
    """What a comparison hands on, as far as forecasts read it."""

    fits: Mapping[str, bs.Fit]
    weights: Mapping[str, float]
    runs: bs.Runs


@pytest.fixture(scope="module")
def both(chinchilla_fit: bs.Fit, wandering_fit: bs.Fit, chinchilla_runs: bs.Runs) -> Weighted:
    return Weighted(
        {"exact": chinchilla_fit, "wandering": wandering_fit}, {"exact": 0.25, "wandering": 0.75}, chinchilla_runs
    )


def test_a_mixture_has_as_many_draws_of_each_law_as_its_weight_says(both: Weighted) -> None:
    forecast = bs.forecast(both, params=7e10, tokens=1.4e12)
    assert forecast.draws().shape == (4000, 1)
    alone = {name: set(bs.forecast(fit, params=7e10, tokens=1.4e12).fitted[:, 0]) for name, fit in both.fits.items()}
    counts = {name: sum(value in draws for value in forecast.fitted[:, 0]) for name, draws in alone.items()}
    assert counts == {"exact": 1000, "wandering": 3000}
    assert set(forecast.members) == {"exact", "wandering"} and "law form" in forecast.contains["fitted"]


def test_comparison_and_ensemble_forecast_the_same(both: Weighted) -> None:
    point = {"params": [1e10, 7e10], "tokens": 1.4e12}
    direct = bs.forecast(both, **point)
    through = bs.forecast(bs.Ensemble.of(both), **point)
    np.testing.assert_array_equal(direct.new_run, through.new_run)


def test_forecasts_and_plans_ask_the_same_distribution(both: Weighted) -> None:
    ensemble = bs.Ensemble.of(both)
    points = ensemble.points(params=[1e10, 7e10], tokens=1.4e12)
    planned, forecast = ensemble.new_run(points), bs.forecast(both, params=[1e10, 7e10], tokens=1.4e12)
    for probability in (0.05, 0.5, 0.95):
        loss = forecast.quantile(probability)
        np.testing.assert_allclose(planned.probability_below(loss), probability, atol=0.03)


def test_many_points_are_followed_on_a_grid(both: Weighted) -> None:
    """Beyond some sizes a path is interpolated: bands stay, memory does not grow with the square of the points."""
    fit = both.fits["wandering"]
    tokens = np.geomspace(1e9, 1e14, MOST_PLACES + 50)
    many = bs.forecast(fit, params=1e9, tokens=tokens)
    few = bs.forecast(fit, params=1e9, tokens=tokens[::80])
    widths = [np.diff(np.log(one.interval(0.9, "mean")))[:, 0] for one in (many, few)]
    np.testing.assert_allclose(widths[0][::80], widths[1], rtol=0.12)


def test_what_follows_from_other_inputs_may_be_left_out(chinchilla_fit: bs.Fit) -> None:
    by_tokens = bs.forecast(chinchilla_fit, params=7e10, tokens=1.4e12, batch_tokens=4e6)
    by_steps = bs.forecast(chinchilla_fit, params=7e10, steps=3.5e5, batch_tokens=4e6)
    by_flops = bs.forecast(chinchilla_fit, params=7e10, flops=6 * 7e10 * 1.4e12)
    for other in (by_steps, by_flops):
        np.testing.assert_allclose(other.new_run, by_tokens.new_run)
    assert {"steps", "flops"} <= set(by_tokens.points)


def test_the_group_of_an_ensemble_is_that_of_its_forecast() -> None:
    params = np.tile(np.geomspace(1e8, 1e10, 12), 2)
    table = pd.DataFrame(
        {"params": params, "tokens": np.tile([1e10, 3e10, 1e11], 8), "dataset": np.repeat(["a", "b"], 12)}
    )
    runs = bs.simulate("chinchilla", table, "besiroglu2024", seed=3)
    fit = fit_exact("chinchilla", runs, pooling={"alpha": bs.separate("dataset")}, sampler="laplace", seed=0)
    ensemble = bs.Ensemble.of(fit, group={"dataset": "b"}, unconverged=True)
    ours = bs.forecast(ensemble, params=1e11, tokens=1e12)
    direct = bs.forecast(fit, params=1e11, tokens=1e12, dataset="b", unconverged=True)
    np.testing.assert_array_equal(np.sort(ours.mean, axis=0), np.sort(direct.mean, axis=0))


def test_draws_that_are_not_there_are_refused(both: Weighted) -> None:
    with pytest.raises(bs.BayesScalingError, match="draws are counted from 0 to 3999; got"):
        bs.Ensemble.of(both).take([5000])

"""Ensembles: one law or several, asked for a forecast or by a plan, say the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.model.discrepancy import MOST_PLACES
from bayes_scaling.predict.ensemble import draws_of
from tests.support import design, fit_exact


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
    assert (
        set(forecast.members) == {"exact", "wandering"} and "disagreement between laws" in forecast.contains["fitted"]
    )


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


@pytest.fixture(scope="module")
def pooled() -> bs.Fit:
    params = np.tile(np.geomspace(1e8, 1e10, 12), 2)
    table = pd.DataFrame(
        {"params": params, "tokens": np.tile([1e10, 3e10, 1e11], 8), "dataset": np.repeat(["a", "b"], 12)}
    )
    runs = bs.simulate("chinchilla", table, "besiroglu2024", seed=3)
    return fit_exact("chinchilla", runs, pooling={"alpha": bs.separate("dataset")}, sampler="laplace", seed=0)


def test_the_group_of_an_ensemble_is_that_of_its_forecast(pooled: bs.Fit) -> None:
    ensemble = bs.Ensemble.of(pooled, group={"dataset": "b"}, unconverged=True)
    ours = bs.forecast(ensemble, params=1e11, tokens=1e12)
    direct = bs.forecast(pooled, params=1e11, tokens=1e12, dataset="b", unconverged=True)
    np.testing.assert_array_equal(np.sort(ours.mean, axis=0), np.sort(direct.mean, axis=0))


def test_an_ensemble_answers_for_another_group_with_the_same_draws(pooled: bs.Fit) -> None:
    here, there = (bs.Ensemble.of(pooled, group={"dataset": name}, unconverged=True) for name in ("a", "b"))
    few = here.take([7, 3, 3])
    moved = draws_of(few, 0, group={"dataset": "b"})
    assert moved.taken and moved.draws["chinchilla"].tolist() == [7, 3, 3] and moved.group == {"dataset": "b"}
    points = there.points(params=1e11, tokens=1e12)
    np.testing.assert_array_equal(moved.log_mean(points), there.take([7, 3, 3]).log_mean(points))
    assert draws_of(few, 0) is few and draws_of(few, 0, group={"dataset": "a"}) is few
    plans = [bs.allocate(one, 1e21, group={"dataset": "b"}).params for one in (here, there)]
    assert plans[0] == plans[1] != bs.allocate(here, 1e21).params
    with pytest.raises(bs.errors.FitError, match="pooled over dataset, not over optimizer"):
        bs.allocate(here, 1e21, group={"optimizer": "adamw"})


def test_noise_that_reads_a_size_asks_for_it_in_the_same_words() -> None:
    growing = bs.Noise("normal", scale="growing")
    runs = bs.simulate("chinchilla", design(), "besiroglu2024", seed=1)
    fit = fit_exact("power_law:input=tokens", runs, noise=growing, sampler="laplace", seed=0)
    ensemble = bs.Ensemble.of(fit, unconverged=True)
    for ask in (
        lambda: bs.forecast(fit, tokens=1e12, unconverged=True),
        lambda: ensemble.new_run(ensemble.points(tokens=1e12)),
    ):
        with pytest.raises(bs.errors.ForecastError, match="grows towards small runs needs flops of each planned run"):
            ask()
    assert len(ensemble.new_run(ensemble.points(tokens=1e12, params=1e9))) == len(ensemble)


def test_draws_that_are_not_there_are_refused(both: Weighted) -> None:
    with pytest.raises(bs.BayesScalingError, match="draws are counted from 0 to 3999; got"):
        bs.Ensemble.of(both).take([5000])


def test_a_forecast_of_some_draws_is_of_exactly_those(both: Weighted) -> None:
    ensemble, point = bs.Ensemble.of(both), {"params": [1e10, 7e10], "tokens": 1.4e12}
    few = ensemble.take([3990, 5, 3, 3])
    assert few.weights == {"exact": 0.75, "wandering": 0.25}
    found = bs.forecast(few, **point)
    alone = {name: bs.forecast(fit, **point) for name, fit in both.fits.items()}
    for of in ("fitted", "mean"):
        expected = [alone[name].draws(of)[draws] for name, draws in few.draws.items()]
        np.testing.assert_allclose(found.draws(of), np.concatenate(expected), rtol=1e-12)
    np.testing.assert_allclose(np.log(found.fitted[:3]), few.log_mean(few.points(**point))[:3], rtol=1e-12)
    assert found.new_run.shape == (4, 2) and len(found.predictive) == 4
    one = ensemble.take([0, 1])
    assert one.weights == {"exact": 1.0} and bs.forecast(one, **point).new_run.shape == (2, 2)
    rare = ensemble.take(np.append(np.arange(1000, 4000), 0))
    assert len(bs.forecast(rare, **point).mean) == 3001 and rare.weights["exact"] < 1e-3


def test_an_ensemble_says_what_it_holds_and_why(ensemble: bs.Ensemble, chinchilla_runs: bs.Runs) -> None:
    assert list(ensemble.fits) == list(ensemble.weights) == ["chinchilla", "chinchilla, law alone"]
    assert ensemble.runs is chinchilla_runs and ensemble.leading is ensemble.fits["chinchilla"]
    assert repr(ensemble) == "<Ensemble: chinchilla, fitted to 48 runs, 4000 draws>"
    table = ensemble.to_frame()
    assert list(table["weight"]) == [0.75, 0.25] and table["why"][0] == "it would have forecast best"
    alone = ensemble.only("chinchilla, law alone")
    assert alone.weights == {"chinchilla, law alone": 1.0} and len(alone.to_frame()) == 1
    assert bs.Ensemble.of(ensemble.fits["chinchilla"]).to_frame()["why"].tolist() == ["its weight was given"]
    with pytest.raises(bs.BayesScalingError, match="the ensemble has no law 'nesting'; it has chinchilla; chinchilla,"):
        ensemble.only("nesting")


def test_an_ensemble_is_drawn_again_by_another_seed(ensemble: bs.Ensemble) -> None:
    again, other = bs.Ensemble.of(ensemble, seed=3), bs.Ensemble.of(ensemble, seed=4)
    points = ensemble.points(params=7e10, tokens=1.4e12)
    draws = [one.new_run(points).losses(0) for one in (ensemble, again, other)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_the_seed_of_a_plan_draws_paths_of_an_ensemble_as_that_of_a_forecast_does(ensemble: bs.Ensemble) -> None:
    problems = [bs.DecisionProblem(one, seed=4) for one in (ensemble, bs.Ensemble.of(ensemble, seed=4))]
    points = ensemble.points(params=7e10, tokens=1.4e12)
    first, again = (problem.ensemble.log_mean(points) for problem in problems)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(problems[0].ensemble.log_law(points), ensemble.log_law(points))
    assert (first != ensemble.log_mean(points)).any()


def test_whoever_made_an_ensemble_accepted_its_fits(wandering_fit: bs.Fit) -> None:
    odd = dataclasses.replace(wandering_fit, diagnostics=dataclasses.replace(wandering_fit.diagnostics, rhat=1.5))
    with pytest.raises(bs.errors.ConvergenceError, match="did not converge"):
        bs.Ensemble.of(odd)
    accepted = bs.Ensemble.of(odd, unconverged=True)
    again = bs.Ensemble.of(accepted, seed=1)
    point = {"params": 7e10, "tokens": 1.4e12}
    np.testing.assert_array_equal(bs.forecast(again, **point).mean, bs.forecast(accepted, **point).mean)


def test_inverse_problems_and_quantities_mix_the_laws(ensemble: bs.Ensemble) -> None:
    alone = [bs.compute_optimal(fit, 1e21, seed=3) for fit in ensemble.fits.values()]
    split = bs.compute_optimal(ensemble, 1e21, seed=3)
    chosen = [member.draws for member in ensemble.members.values()]
    expected = np.concatenate([one.params[draws] for one, draws in zip(alone, chosen, strict=True)])
    np.testing.assert_array_equal(split.params, expected)
    assert len(split.loss) == len(bs.required(ensemble, 2.2).draws) == 4000
    found = bs.quantity(ensemble, "params_opt", flops=[1e21, 1e22])
    assert found.draws.shape == (4000, 2) and found.laws == ensemble.weights
    with pytest.raises(bs.errors.LawError, match="none of the laws has a quantity 'critical_batch'; they have "):
        bs.quantity(ensemble, "critical_batch")
    with pytest.raises(bs.errors.ForecastError, match=r"flops has a value per draw, .* give that one, as in fits"):
        bs.quantity(ensemble, "params_opt", flops=np.full((4000, 1), 1e21))


def test_plans_and_records_rest_on_an_ensemble(ensemble: bs.Ensemble) -> None:
    plan = bs.allocate(ensemble, 1e22)
    assert plan.label == "chinchilla"
    ahead = bs.forecast(ensemble, params=7e10, tokens=1.4e12)
    basis = bs.preregister(ahead, rests_on=ensemble).content["rests_on"]
    assert [(one["law"], one["weight"]) for one in basis["laws"]] == list(ensemble.weights.items())


def test_what_needs_one_law_says_so(ensemble: bs.Ensemble) -> None:
    with pytest.raises(
        bs.errors.ArgumentError, match="fit is an Ensemble; expected a Fit, .* or one of the fits of an"
    ):
        bs.plot.traces(ensemble)

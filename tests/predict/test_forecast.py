"""Forecasts: bands and odds against closed forms, and what bad questions are told."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.predict.cautions import out_of_range
from tests.support import refusal

POINT = {"params": 7e10, "tokens": 1.4e12}


@pytest.fixture(scope="module")
def forecast(chinchilla_fit: bs.Fit) -> bs.Forecast:
    return bs.forecast(chinchilla_fit, params=[7e9, 7e10], tokens=[1.4e11, 1.4e12])


def test_a_size_that_changes_nothing_is_said(chinchilla_runs: bs.Runs) -> None:
    """A law of tokens forecasts the same for any model; a reader of the answer must know."""
    law, frame = "power_law:input=tokens", chinchilla_runs.table[["params", "tokens", "loss"]]
    one = frame.assign(params=1e9)
    said = {}
    for name, table in (("all", frame), ("one", one), ("none", frame.drop(columns="params"))):
        fit = bs.fit(law, bs.Runs.from_frame(table), discrepancy="none", sampler="laplace", progress=False)
        said[name] = bs.forecast(fit, params=7e10, tokens=1.4e11, unconverged=True).cautions[:1]
    start = "the forecast does not depend on params 7e+10"
    assert said["all"] == (f"{start}, which the law does not read",)
    assert said["one"] == (f"{start}: every fitted run has 1e+09, so it is that of a run with 1e+09",)
    ones = bs.fit(law, bs.Runs.from_frame(one), discrepancy="none", sampler="laplace", progress=False)
    small = bs.forecast(ones, params=7e8, tokens=1.4e11, unconverged=True).cautions[0]
    assert small.endswith("so it is that of a run with 1e+09")
    assert said["none"] == (f"{start}: no column of the fitted table was read as params",)
    same = bs.forecast(fit, params=1e9, tokens=[1.4e11, 2e11], unconverged=True)
    assert "does not depend on params 1e+09: no" in same.cautions[0]
    flops = bs.fit("power_law:input=flops", chinchilla_runs, discrepancy="none", sampler="laplace", progress=False)
    assert bs.forecast(flops, params=1e10, tokens=2e11, unconverged=True).cautions == ()
    derived = bs.forecast(fit, params=7e10, flops=6 * 7e10 * 1.4e11, unconverged=True)  # tokens follow from both
    assert not any("does not depend" in line for line in derived.cautions)


def test_sizes_that_name_a_group_are_read(chinchilla_runs: bs.Runs) -> None:
    how: dict[str, Any] = {"discrepancy": "none", "sampler": "laplace", "progress": False}
    frame = chinchilla_runs.table[["tokens", "loss"]].assign(
        params=np.where(np.arange(len(chinchilla_runs)) % 2, 1e8, 1e9)
    )
    pooling = {"L_0": bs.partial("params")}
    fit = bs.fit("power_law:input=tokens", bs.Runs.from_frame(frame), pooling=pooling, **how)
    assert not any("depend" in line for line in bs.forecast(fit, params=1e8, tokens=2e11, unconverged=True).cautions)


def test_the_mean_is_the_law_at_every_draw(chinchilla_fit: bs.Fit, forecast: bs.Forecast) -> None:
    theta = chinchilla_fit.flat()
    by_hand = theta["E"] + theta["A"] / 7e10 ** theta["alpha"] + theta["B"] / 1.4e12 ** theta["beta"]
    np.testing.assert_allclose(forecast.mean[:, 1], by_hand, rtol=1e-12)


def test_a_new_run_scatters_around_the_mean_as_the_noise_says(chinchilla_fit: bs.Fit, forecast: bs.Forecast) -> None:
    theta = chinchilla_fit.flat()
    residual = (np.log(forecast.new_run) - np.log(forecast.mean)) / theta["sigma"][:, None]
    uniform = chinchilla_fit.noise.scatter_family.probability_below(residual, theta).ravel()
    np.testing.assert_allclose(np.quantile(uniform, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)


def test_what_parameters_leave_open_is_averaged_by_the_weights_of_laws(forecast: bs.Forecast) -> None:
    wide = dataclasses.replace(forecast, fitted=forecast.fitted**3)  # three times as wide, in log loss
    both = dataclasses.replace(forecast, members={"one": (0.9, forecast), "other": (0.1, wide)})
    alone = forecast.uncertainty()["parameters"]
    np.testing.assert_allclose(both.uncertainty()["parameters"], alone * np.sqrt(0.9 + 0.1 * 3**2))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("tokens", 1 / 10, 1000.0), ("batch_tokens", 1 / 3, 3.0), ("peak_learning_rate", 1 / 3, 3.0)],
)
def test_sizes_may_lie_further_out_than_what_a_law_trades_off(name: str, least: float, most: float) -> None:
    fitted = {name: np.array([1e3, 1e4])}
    inside, outside = (
        [*out_of_range(fitted, {name: np.array([planned])})] for planned in (1.01 * 1e3 * least, 0.99 * 1e3 * least)
    )
    assert not inside and f"{1 / least / 0.99:.3g} times below the smallest" in outside[0]
    above = [[*out_of_range(fitted, {name: np.array([1e4 * most * off])})] for off in (0.99, 1.01)]
    assert not above[0] and "times the largest" in above[1][0]


def test_scatter_that_grows_is_measured_from_the_middle_of_the_fitted_runs(chinchilla_runs: bs.Runs) -> None:
    growing = bs.Noise("normal", "growing")
    fit = bs.fit("chinchilla", chinchilla_runs, noise=growing, discrepancy="none", sampler="laplace", progress=False)
    ahead = bs.forecast(fit, params=[1e9, 1e10], tokens=[2e10, 2e11], unconverged=True)
    size = np.array([1.2e20, 1.2e22]) / np.exp(np.log(chinchilla_runs.column("flops")).mean())
    sigma, kappa = (fit.flat()[name][:, None] for name in ("sigma", "kappa"))
    np.testing.assert_allclose(ahead.predictive.scale, sigma * size**-kappa)


def test_intervals_nest_and_hold_what_they_say(forecast: bs.Forecast) -> None:
    for of in ("mean", "new_run"):
        inner, outer = forecast.interval(0.5, of), forecast.interval(0.9, of)
        assert np.all(outer[:, 0] < inner[:, 0]) and np.all(inner[:, 1] < outer[:, 1])
        draws = forecast.draws(of)
        inside = np.mean((draws >= outer[:, 0]) & (draws <= outer[:, 1]), axis=0)
        np.testing.assert_allclose(inside, 0.9, atol=2e-3)
    assert np.all(np.diff(forecast.interval(0.9)) > np.diff(forecast.interval(0.9, "mean")))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 0.98))
def test_odds_and_quantiles_are_inverse(forecast: bs.Forecast, probability: float) -> None:
    loss = float(forecast.quantile(probability)[0])
    assert forecast.probability_below(loss)[0] == pytest.approx(probability, abs=1e-3)


def test_a_table_and_names_give_the_same(chinchilla_fit: bs.Fit) -> None:
    by_name = bs.forecast(chinchilla_fit, **POINT, seed=3)
    by_table = bs.forecast(chinchilla_fit, pd.DataFrame([POINT]), seed=3)
    by_runs = bs.forecast(chinchilla_fit, bs.Runs.from_frame(pd.DataFrame([POINT | {"loss": 2.0}])), seed=3)
    np.testing.assert_array_equal(by_name.new_run, by_table.new_run)
    np.testing.assert_array_equal(by_name.new_run, by_runs.new_run)
    assert not np.array_equal(by_name.new_run, bs.forecast(chinchilla_fit, **POINT, seed=4).new_run)


def test_planned_runs_are_spelled_like_fitted_ones(chinchilla_fit: bs.Fit) -> None:
    table = pd.DataFrame({"N": [7e10], "training tokens": [1.4e12]})
    by_name = bs.forecast(chinchilla_fit, **POINT)
    np.testing.assert_array_equal(bs.forecast(chinchilla_fit, table).new_run, by_name.new_run)
    np.testing.assert_array_equal(bs.forecast(chinchilla_fit, table.assign(tokens=1.4e12, D=1.0)).mean, by_name.mean)
    assert list(table) == ["N", "training tokens"]
    with pytest.raises(bs.errors.DataError, match=r"row 1, column N \(read as params\): -1 is negative"):
        bs.forecast(chinchilla_fit, table.assign(N=-1))
    with pytest.raises(bs.errors.DataError, match="'N' and 'n_params' could both be params; rename or drop one"):
        bs.forecast(chinchilla_fit, table.assign(n_params=1e9))


def test_steps_and_batch_give_tokens(chinchilla_fit: bs.Fit) -> None:
    points = pd.DataFrame({"params": [7e10], "steps": [7e5], "batch_tokens": [2e6]})
    np.testing.assert_array_equal(bs.forecast(chinchilla_fit, points).mean, bs.forecast(chinchilla_fit, **POINT).mean)


def test_extrapolation_is_said(chinchilla_fit: bs.Fit, forecast: bs.Forecast) -> None:
    largest = chinchilla_fit.runs.column("flops").max()
    np.testing.assert_allclose(forecast.extrapolation, 6 * np.array([7e9 * 1.4e11, 7e10 * 1.4e12]) / largest)


def test_frame_json_and_dataset_hold_the_same_numbers(forecast: bs.Forecast) -> None:
    frame = forecast.to_frame([0.8], target=2.1)
    content = json.loads(forecast.to_json([0.8], target=2.1))
    assert content["points"][1]["new_run_0.8_low"] == frame["new_run_0.8_low"][1]
    assert content["bands"]["new_run"].startswith("one new run") and content["loss_unit"] == "nats/token"
    assert frame["probability_below_target"].between(0, 1).all()
    dataset = forecast.to_dataset()
    np.testing.assert_array_equal(dataset["new_run"].values, forecast.new_run)
    assert dataset["mean"].attrs["contains"] == "mean curve (parameters)"


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"params": 7e10}, "tokens is missing"),
        ({"params": -1, "tokens": 1e12}, "the planned runs, row 1, column params: -1 is negative"),
        ({"params": float("nan"), "tokens": 1e12}, "column params: the value is missing"),
        ({"params": [1e9, 2e9], "tokens": [1e9, 2e9, 3e9]}, "inputs of different lengths (params 2, tokens 3)"),
        ({"width": 100}, "'width' is no input of a run"),
    ],
)
def test_bad_points_are_explained(chinchilla_fit: bs.Fit, question: dict[str, object], says: str) -> None:
    with pytest.raises((bs.errors.ForecastError, bs.errors.DataError)) as caught:
        bs.forecast(chinchilla_fit, **question)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"params": 7e10, "tokens": 1.4e12}, ()),
        (
            {"params": 70, "tokens": 1.4},
            ("if billions are meant, write 7e+10", "if trillions are meant, write 1.4e+12", "0.02 tokens per param"),
        ),
        ({"params": 1e22, "tokens": 2e23}, ("params 1e+22 is", "tokens 2e+23 is", "compute of the largest fitted run")),
        ({"params": 5e5, "tokens": 1e9}, ("times below the smallest", "tokens per parameter, where fitted runs have")),
        ({"params": [1e9, 70, 7], "tokens": 2e10}, ("row 3: params 7 is", "row 3: 2.86e+09 tokens per parameter")),
        ({"params": 1e9, "tokens": 1e11, "steps": 1e5, "batch_tokens": 1e3}, ("tokens is 1e+03 times steps x batch",)),
    ],
)
def test_what_no_fitted_run_shows_is_said(
    chinchilla_fit: bs.Fit, question: dict[str, object], says: tuple[str, ...]
) -> None:
    forecast = bs.forecast(chinchilla_fit, **question)
    assert len(forecast.cautions) == len(says)
    for said, expected in zip(forecast.cautions, says, strict=True):
        assert expected in said
    assert json.loads(forecast.to_json())["cautions"] == list(forecast.cautions)


@pytest.mark.parametrize(
    "spoiled",
    [{"params": 0.07}, {"params": 0}, {"params": math.inf}, {"tokens": 1e51}, {"flops": 1e3}, {"flops": 1e25}],
)
def test_a_forecast_refuses_what_a_table_refuses_in_the_same_words(
    chinchilla_fit: bs.Fit, spoiled: dict[str, float]
) -> None:
    run = {"params": 7e10, "tokens": 1.4e12, **spoiled}
    in_a_table = refusal(lambda: bs.Runs.from_frame(pd.DataFrame([{**run, "loss": 2.0}])))
    planned = refusal(lambda: bs.forecast(chinchilla_fit, **run))
    assert planned == in_a_table.replace("the table", "the planned runs")


def test_a_table_of_text_is_explained(chinchilla_fit: bs.Fit) -> None:
    with pytest.raises(
        bs.errors.DataError, match="row 2, column params: '70B' is not a number: write it out in raw units"
    ):
        bs.forecast(chinchilla_fit, pd.DataFrame({"params": [1e9, "70B"], "tokens": [1e11, 1e12]}))


def test_bad_questions_are_explained(chinchilla_fit: bs.Fit, forecast: bs.Forecast) -> None:
    with pytest.raises(
        bs.errors.ForecastError, match=r"probability is 90, expected a fraction .*; write 0.9 for 90 percent"
    ):
        forecast.interval(90)
    with pytest.raises(bs.errors.ForecastError, match="expected a fraction"):
        forecast.quantile(0.0)
    with pytest.raises(bs.errors.ForecastError, match="of fitted, mean, new_run, not of 'median'"):
        forecast.interval(0.9, of="median")
    with pytest.raises(bs.errors.ForecastError, match="target loss is -1"):
        forecast.probability_below(-1)
    with pytest.raises(bs.errors.ForecastError, match="either as a table or by name"):
        bs.forecast(chinchilla_fit, pd.DataFrame([POINT]), params=1e9)
    with pytest.raises(bs.errors.ForecastError, match="the planned runs has no rows; expected one row for each run"):
        bs.forecast(chinchilla_fit, pd.DataFrame([POINT]).iloc[:0])


def test_a_forecast_that_the_prior_decides_says_so(chinchilla_runs: bs.Runs, chinchilla_fit: bs.Fit) -> None:
    how: dict[str, Any] = {"discrepancy": "none", "sampler": "laplace", "progress": False}
    loss = 2.5 * np.exp(0.005 * np.random.default_rng(0).standard_normal(100))
    seeds = bs.fit("chinchilla", bs.Runs.from_frame(pd.DataFrame({"params": 1e9, "tokens": 2e10, "loss": loss})), **how)
    far = bs.forecast(seeds, params=1e10, tokens=2e11, unconverged=True).cautions
    assert sum("so the prior decides it" in line for line in far) == 1
    assert bs.forecast(seeds, params=1e9, tokens=2e10, unconverged=True).cautions == ()
    near = bs.forecast(seeds, params=1.05e9, tokens=2e10, unconverged=True)
    assert np.log(near.mean).std() < 0.01 and near.cautions == (), "the prior decides, but of next to nothing"
    one = chinchilla_runs.table.assign(tokens=20 * chinchilla_runs.table["params"])[["params", "tokens", "loss"]]
    along = bs.fit("chinchilla", bs.Runs.from_frame(one), **how)
    for fit in (chinchilla_fit, along):
        ahead = bs.forecast(fit, params=1e11, tokens=2e12, unconverged=True)
        assert not any("the prior decides" in line for line in ahead.cautions)


def test_more_points_than_memory_holds_are_refused(chinchilla_fit: bs.Fit) -> None:
    sizes = np.geomspace(1e8, 1e10, 50_001)
    with pytest.raises(bs.errors.ForecastError, match="50,001 points were asked for, and .* at most 50,000 at once"):
        bs.forecast(chinchilla_fit, params=sizes, tokens=20 * sizes)


def test_a_new_group_of_separate_levels_is_the_priors_word(chinchilla_runs: bs.Runs) -> None:
    runs = bs.Runs.from_frame(chinchilla_runs.table.assign(data=["a", "b"] * 24))
    fits = [
        bs.fit("chinchilla", runs, pooling={"L_0": pool("data")}, discrepancy="none", sampler="laplace", seed=0)
        for pool in (bs.separate, bs.partial)
    ]
    alone, population = (bs.forecast(fit, params=1e10, tokens=2e11, data="c", unconverged=True) for fit in fits)
    (said,) = [one for one in alone.cautions if "prior alone" in one]
    assert said.startswith("data c is not in the fitted table, and L_0 is separate for each data: the prior alone says")
    known = bs.forecast(fits[0], params=1e10, tokens=2e11, data="b", unconverged=True)
    assert not [one for one in (*population.cautions, *known.cautions) if "prior alone" in one]

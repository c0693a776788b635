"""Runs whose learning rate is not given: they go as the longest fitted run went, and it is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingWarning, ForecastError, PlanError
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.model.schedule import Schedule
from bayes_scaling.model.simulate import typical_design
from tests.support import fit_exact

LAW = bs.load_law("nesting_schedule")
CONSTANTS = {"E": 1.7, "A": 400.0, "K": 900.0, "alpha": 0.34, "beta": 0.3, "q": 0.8, "g": 0.3, "p": 0.5, "memory": 2e8}
TRUTH = {**CONSTANTS, "sigma": 0.001, "sigma_curve": 0.003, "length": 1.0}
NOISE = bs.Noise("normal", rows="correlated", start="none")


@pytest.fixture(scope="module")
def runs() -> bs.Runs:
    return bs.simulate(LAW, typical_design(LAW, 80), TRUTH, noise=NOISE, seed=0)


@pytest.fixture(scope="module")
def fit(runs: bs.Runs) -> bs.Fit:
    return fit_exact("nesting_schedule", runs, noise=NOISE, sampler=bs.Sampler("laplace", draws=250), seed=0)


@pytest.fixture(scope="module")
def usual(runs: bs.Runs) -> Schedule:
    found = Schedule.usual(LAW, runs)
    assert found is not None
    return found


def test_the_usual_schedule_is_that_of_the_longest_run_that_ends_lowest(runs: bs.Runs, usual: Schedule) -> None:
    ends = runs.ends().table
    longest = ends[ends["tokens"] == ends["tokens"].max()]
    assert usual.run == longest.loc[longest["loss"].idxmin(), "run"]
    assert usual.done[-1] == 1.0 and usual.rates[-1] < usual.rates[0]
    assert Schedule.usual(bs.load_law("chinchilla"), runs) is None


def test_the_usual_schedule_is_not_that_of_a_shorter_run_that_ends_lower() -> None:
    done = np.linspace(0.1, 1.0, 10)
    rows = [
        pd.DataFrame(
            {"run": run, "params": 1e8, "tokens": end * done, "learning_rate": rate / done, "loss": low / done**0.1}
        )
        for run, end, rate, low in (("long", 1e10, 1e-3, 3.0), ("short", 9e9, 2e-3, 2.5))
    ]
    found = Schedule.usual(LAW, bs.Runs.from_frame(pd.concat(rows, ignore_index=True)))
    assert found is not None and found.run == "long" and found.rates[-1] == 1e-3


def test_the_end_of_a_run_is_the_last_row_of_its_whole_curve(fit: bs.Fit, usual: Schedule) -> None:
    tokens = np.array([2e9, 5e10])
    ends = bs.forecast(fit, params=5e8, tokens=tokens, unconverged=True)
    for one, end in enumerate(tokens):
        along = {"tokens": end * np.array(usual.done), "learning_rate": usual.rates}
        curve = bs.forecast(fit, params=5e8, run="planned", **along, unconverged=True)
        np.testing.assert_allclose(ends.mean[:, one], curve.mean[:, -1], rtol=1e-9)
    assert [said for said in ends.cautions if f"along run '{usual.run}'" in said]
    assert not [said for said in curve.cautions if "no learning rate" in said]


def test_a_trajectory_goes_as_the_usual_schedule_and_says_so(fit: bs.Fit, usual: Schedule) -> None:
    found = bs.trajectory(fit, params=5e8, tokens=5e10, unconverged=True)
    np.testing.assert_allclose(
        found.points["learning_rate"], np.interp(found.positions / 5e10, usual.done, usual.rates)
    )
    assert [said for said in found.forecast.cautions if f"along run '{usual.run}'" in said]
    constant = bs.trajectory(fit, params=5e8, tokens=5e10, learning_rate=3e-4, unconverged=True)
    assert (constant.median()[-1] > found.median()[-1]) and not constant.forecast.cautions


def test_rows_of_one_run_need_their_rates(fit: bs.Fit) -> None:
    with pytest.raises(ForecastError, match="rows of one run need the learning rate of each"):
        bs.forecast(fit, params=5e8, tokens=[1e9, 2e9], run="planned", unconverged=True)


def test_runs_without_a_name_have_schedules_of_their_own(fit: bs.Fit) -> None:
    given = {"params": [5e8, 5e8], "tokens": [1e9, 2e9], "learning_rate": [3e-4, 1e-4]}
    alone = [
        bs.forecast(fit, **{name: values[i] for name, values in given.items()}, unconverged=True).fitted[:, 0]
        for i in (0, 1)
    ]
    together = bs.forecast(fit, **given, unconverged=True).fitted
    nameless = bs.forecast(fit, pd.DataFrame({**given, "run": [None, None]}), unconverged=True).fitted
    one_run = bs.forecast(fit, **given, run="one", unconverged=True).fitted
    ensemble = bs.Ensemble.of(fit, unconverged=True)
    log_law = ensemble.log_law(ensemble.points(**given))
    for found in (together, nameless, np.exp(log_law)):
        np.testing.assert_allclose(found, np.transpose(alone), rtol=1e-9)
    np.testing.assert_allclose(one_run[:, 0], alone[0], rtol=1e-9)
    assert (one_run[:, 1] < alone[1]).mean() > 0.9


def test_rows_that_go_on_have_the_schedule_so_far_whatever_the_noise(fit: bs.Fit, runs: bs.Runs) -> None:
    """At a constant rate so far, which falls from here on; independent rows have no deviation to go on from."""
    sampler = bs.Sampler("laplace", draws=250)
    separate, other = (
        fit_exact(law, runs, noise="normal", sampler=sampler, seed=0) for law in ("nesting_schedule", "chinchilla")
    )
    so_far = runs.table[runs.table["run"] == "constant-4"].drop(columns="loss")
    last = so_far.iloc[-1]
    ahead = pd.DataFrame(
        {**last, "tokens": last["tokens"] * np.array([1.2, 1.5]), "learning_rate": last["learning_rate"] / [2, 10]}
    )
    whole = pd.concat([so_far, ahead], ignore_index=True).assign(run="another")
    for one, own in ((fit, True), (separate, False)):
        found = bs.forecast(one, ahead, unconverged=True)
        assert found.continues == ("constant-4",) and not found.cautions
        assert ("own deviation" in found.contains["mean"]) == own
        entire = bs.forecast(one, whole, unconverged=True)
        np.testing.assert_allclose(found.fitted, entire.fitted[:, -2:], rtol=1e-9)
        named = bs.continued(one, "constant-4", ahead[["tokens", "learning_rate"]], unconverged=True)
        np.testing.assert_array_equal(named.new_run, found.new_run)
    fits, weights = {"chinchilla": other, "nesting_schedule": separate}, {"chinchilla": 0.4, "nesting_schedule": 0.6}
    both = bs.forecast(SimpleNamespace(fits=fits, weights=weights, runs=runs), ahead, unconverged=True)
    assert both.continues == ("constant-4",) and "own deviation" not in both.contains["mean"]


def test_a_plan_leaves_out_laws_of_whole_schedules_beside_others(fit: bs.Fit, runs: bs.Runs) -> None:
    other = fit_exact("chinchilla", runs, noise=NOISE, sampler=bs.Sampler("laplace", draws=250), seed=0)
    weights = {"nesting_schedule": 0.6, "chinchilla": 0.4}
    fits = {"nesting_schedule": fit, "chinchilla": other}
    both = bs.Ensemble.of(SimpleNamespace(fits=fits, weights=weights, runs=runs), unconverged=True)
    with pytest.warns(BayesScalingWarning, match="nesting_schedule reads the history of a run"):
        plan = bs.allocate(both, budget=1e21)
    assert plan.label == "chinchilla"
    assert both.without(["nesting_schedule"]).weights == {"chinchilla": 1.0}
    with pytest.raises(PlanError, match="a plan needs a law in params and tokens"):
        bs.allocate(both.only("nesting_schedule"), budget=1e21)
    with pytest.raises(ForecastError, match="no law but these"):
        both.without(list(fits))


def test_rates_that_change_along_runs_choose_the_laws(runs: bs.Runs) -> None:
    table = runs.table
    assert default_laws(runs) == ("nesting_schedule", "chinchilla")
    one_size = table[table["params"] == 1e8].assign(steps=lambda rows: rows["tokens"] / 2.5e5)
    assert default_laws(bs.Runs.from_frame(one_size)) == ("nesting_schedule", "multi_power")
    unknown = one_size.drop(columns=["params", "tokens"])
    assert default_laws(bs.Runs.from_frame(unknown)) == ("multi_power", "annealing")
    peaks = table.assign(learning_rate=table.groupby("run")["learning_rate"].transform("max"))
    assert "nesting_schedule" not in default_laws(bs.Runs.from_frame(peaks))


def test_laws_that_read_no_rate_are_asked_beside_one_that_does(fit: bs.Fit, runs: bs.Runs) -> None:
    other = fit_exact("chinchilla", runs, noise=NOISE, sampler=bs.Sampler("laplace", draws=250), seed=0)
    fits, weights = {"nesting_schedule": fit, "chinchilla": other}, {"nesting_schedule": 0.6, "chinchilla": 0.4}
    both = bs.Ensemble.of(SimpleNamespace(fits=fits, weights=weights, runs=runs), unconverged=True)
    assert len(bs.trajectory(both, params=5e8, tokens=5e10).points) == 64
    given = {"params": 5e8, "tokens": [1e9, 2e9], "learning_rate": [3e-4, 1e-4], "run": "planned"}
    assert bs.forecast(both, **given).mean.shape[1] == 2
    under_way = runs.where(runs.table["run"] != "cosine-4").table["run"].iloc[0]
    last = float(runs.table.loc[runs.table["run"] == under_way, "tokens"].max())
    on = bs.trajectory(both, run=under_way, tokens=[1.5 * last, 2 * last], learning_rate=[3e-4, 1e-4])
    assert on.median()[1] < on.median()[0]
    with pytest.raises(ForecastError, match="goes on: give the learning rate of its rows ahead"):
        bs.forecast(both, params=1e8, tokens=2 * last, run=under_way)
    with pytest.raises(ForecastError, match="'temperature' is no input of a run"):
        bs.forecast(both, params=5e8, tokens=1e9, temperature=1.0)

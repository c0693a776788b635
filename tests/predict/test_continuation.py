"""Rows that continue a run of the fitted table: `forecast` and `continued` say the same of them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.evaluate.candidates import Candidate, Cut
from bayes_scaling.model.observations import rows_read
from bayes_scaling.predict.ensemble import Ensemble
from tests.support import fit_exact

TOKENS = np.geomspace(1e9, 1.6e10, 9)
SHOWN = 6  # rows of the big run that are fitted
OFFSET = 0.05  # of log loss, by which the big run lies above the law
LAWS = ("power_law:input=tokens", "delayed_power_law")
NOISE = bs.Noise("normal", rows="correlated")


@dataclasses.dataclass(frozen=True)
class Weighted:
    """Fits with weights, as a comparison has them."""

    fits: Mapping[str, bs.Fit]
    weights: Mapping[str, float]
    runs: bs.Runs


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Curves of one law, the last of which lies above the others."""
    rng = np.random.default_rng(0)
    parts = []
    for name in ("a", "b", "c", "d", "big"):
        shift = OFFSET if name == "big" else 0.01 * rng.standard_normal()
        loss = (1.8 + (2e9 / TOKENS) ** 0.3) * np.exp(shift + 0.001 * rng.standard_normal(len(TOKENS)))
        parts.append(pd.DataFrame({"run": name, "params": 1e8, "tokens": TOKENS, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def below(table: pd.DataFrame) -> pd.DataFrame:
    kept = (table["run"] != "big") | (table["tokens"] <= TOKENS[SHOWN - 1])
    return pd.DataFrame(table.loc[kept].reset_index(drop=True))


@pytest.fixture(scope="module")
def fit(below: pd.DataFrame) -> bs.Fit:
    return fit_exact(LAWS[0], bs.Runs.from_frame(below), noise=NOISE, seed=0)


@pytest.fixture(scope="module")
def ahead(table: pd.DataFrame) -> pd.DataFrame:
    held_out = (table["run"] == "big") & (table["tokens"] > TOKENS[SHOWN - 1])
    return pd.DataFrame(table.loc[held_out, ["run", "params", "tokens"]].reset_index(drop=True))


def test_rows_ahead_may_come_in_any_order(fit: bs.Fit, ahead: pd.DataFrame) -> None:
    in_order, backwards = bs.forecast(fit, ahead), bs.forecast(fit, ahead.iloc[::-1])
    assert len(ahead) > 2 and backwards.continues == ("big",)
    np.testing.assert_array_equal(backwards.mean[:, ::-1], in_order.mean)
    np.testing.assert_array_equal(backwards.curve[:, ::-1], in_order.curve)


def test_a_forecast_of_later_rows_goes_on_from_the_run(fit: bs.Fit, ahead: pd.DataFrame, table: pd.DataFrame) -> None:
    own, fresh = bs.forecast(fit, ahead), bs.forecast(fit, ahead.drop(columns="run"))
    assert own.continues == ("big",) and fresh.continues == ()
    assert "run big's own deviation" in own.contains["mean"]
    assert "own deviation" not in fresh.contains["mean"]
    assert (np.ptp(own.interval(0.9), axis=1) < np.ptp(fresh.interval(0.9), axis=1)).all()
    truth = table["loss"].to_numpy()[-3:]
    assert (np.abs(np.log(own.median() / truth)) < np.abs(np.log(fresh.median() / truth))).all()
    assert json.loads(own.to_json())["continues"] == ["big"]


def test_a_run_whose_rows_hardly_scatter_goes_on_from_its_last_loss(below: pd.DataFrame) -> None:
    """Also where no knot of the discrepancy is, so that each draw has its path lie elsewhere there."""
    apart = {"a": 1.0, "b": 1.03, "big": 1.06, "c": 1.09, "d": 1.12}
    rows = below.assign(tokens=below["tokens"] * below["run"].map(apart))
    runs, last = bs.Runs.from_frame(rows), rows.iloc[-1]
    fit = bs.fit(LAWS[0], runs, noise=NOISE, discrepancy="brownian", sampler="laplace", seed=0)
    sure = dataclasses.replace(fit, draws={**fit.draws, "sigma": 1e-6 * fit.draws["sigma"]})
    found = bs.continued(sure, "big", {"tokens": last["tokens"] * np.array([1.0, 2.0])}, unconverged=True)
    np.testing.assert_allclose(found.predictive.location[:, 0], np.log(last["loss"]), atol=1e-6)


def test_a_run_goes_on_from_all_its_rows_read_or_not(fit: bs.Fit, ahead: pd.DataFrame, below: pd.DataFrame) -> None:
    """Rows that the sampler leaves out still show where a curve lies."""
    few = dataclasses.replace(NOISE, rows_per_curve=4)
    some = bs.fit(LAWS[0], bs.Runs.from_frame(below), noise=few, discrepancy="none", seed=0, progress=False)
    own, whole = bs.forecast(some, ahead), bs.forecast(fit, ahead)
    assert some.manifest["runs"]["rows_read"] == 20 and fit.manifest["runs"]["rows_read"] == len(below)
    spread = np.ptp(np.log(whole.interval(0.9)), axis=1)
    assert (np.abs(np.log(own.median() / whole.median())) < spread / 2).all()
    other = below.assign(loss=below["loss"] * np.where(below["run"] == "big", 1.02, 1.0))
    rows = rows_read(some.composition, some.runs)
    unread = (below["run"] == "big") & ~below.index.isin(rows)
    assert unread.sum() == 2
    moved = dataclasses.replace(some, runs=bs.Runs.from_frame(below.where(~unread, other)))
    assert (bs.forecast(moved, ahead).median() > own.median()).all()


def test_continued_and_forecast_are_one(fit: bs.Fit, ahead: pd.DataFrame) -> None:
    named = bs.continued(fit, "big", {"tokens": ahead["tokens"]})
    by_label = bs.forecast(fit, ahead)
    for of in ("fitted", "mean", "new_run"):
        np.testing.assert_array_equal(named.draws(of), by_label.draws(of))
    loss = np.full(len(ahead), 3.0)
    np.testing.assert_array_equal(named.predictive.log_density(loss), by_label.predictive.log_density(loss))


def test_runs_go_on_side_by_side(fit: bs.Fit, ahead: pd.DataFrame) -> None:
    """Rows of other runs in the same question change nothing but random numbers."""
    more = pd.DataFrame({"run": ["a", "new", "new"], "params": 1e8, "tokens": [2e10, 2e10, 3e10]})
    alone, together = bs.forecast(fit, ahead), bs.forecast(fit, pd.concat([more, ahead], ignore_index=True))
    assert together.continues == ("a", "big")
    assert "the own deviations of 2 runs that go on" in together.contains["mean"]
    np.testing.assert_allclose(together.median()[3:], alone.median(), rtol=2e-3)
    np.testing.assert_allclose(
        np.ptp(together.interval(0.9), axis=1)[3:], np.ptp(alone.interval(0.9), axis=1), rtol=0.1
    )
    new = np.log(together.new_run[:, 1:3] / together.mean[:, 1:3])
    assert np.corrcoef(new.T)[0, 1] > 0.5


def test_rows_of_a_new_run_are_as_wide_as_its_deviation_says(fit: bs.Fit) -> None:
    """The density of one row has the scatter of whole curves in closed form, also where no draw of it came."""
    far = pd.DataFrame({"tokens": [3e10]})
    forecast, theta = bs.forecast(fit, far), fit.flat()
    width = np.hypot(theta["sigma"], theta["sigma_curve"])
    location = np.log(forecast.mean[:, 0])
    for away in (0.0, 4.0, 8.0):
        loss = math.exp(np.median(location) + away * np.median(width))
        by_hand = np.exp(scipy.stats.norm.logpdf(math.log(loss), location, width)).mean() / loss
        below = np.mean(scipy.stats.norm.cdf(math.log(loss), location, width))
        assert forecast.predictive.log_density(np.array([loss]))[0] == pytest.approx(math.log(by_hand), rel=1e-6)
        assert forecast.predictive.probability_below(loss)[0] == pytest.approx(below, rel=1e-6)
    spread = np.diff(np.quantile(np.log(forecast.new_run[:, 0]), [0.16, 0.84]))
    same = np.diff(np.quantile(np.log(forecast.predictive.losses(1)[:, 0]), [0.16, 0.84]))
    np.testing.assert_allclose(spread, same, rtol=0.1)


def test_laws_are_mixed(below: pd.DataFrame, fit: bs.Fit, ahead: pd.DataFrame) -> None:
    runs = bs.Runs.from_frame(below)
    other = fit_exact(LAWS[1], runs, noise=NOISE, sampler="laplace", seed=0)

    both = Weighted({"one": fit, "two": other}, {"one": 0.5, "two": 0.5}, runs)
    ensemble = Ensemble.of(both, unconverged=True)
    for source in (both, ensemble):
        found = bs.forecast(source, ahead, unconverged=True)
        assert found.continues == ("big",) and "run big's own deviation" in found.contains["mean"]
        named = bs.continued(source, "big", {"tokens": ahead["tokens"]}, unconverged=True)
        np.testing.assert_array_equal(named.new_run, found.new_run)
        centre = np.mean([bs.forecast(one, ahead, unconverged=True).median() for one in (fit, other)], axis=0)
        np.testing.assert_allclose(found.median(), centre, rtol=0.005)
    few = ensemble.take([0, 1, len(ensemble) - 1])
    assert len(bs.continued(few, "big", {"tokens": ahead["tokens"]}).mean) == len(bs.forecast(few, ahead).mean) == 3


def test_held_out_rows_go_on_from_fitted_ones_only(table: pd.DataFrame, fit: bs.Fit) -> None:
    """What was held out is no part of what its forecast saw: changing it changes no forecast."""
    cut = Cut("tokens", TOKENS[SHOWN - 1] * 1.01)
    law = bs.load_law(LAWS[0])
    candidate = Candidate("one", law, noise=NOISE, discrepancy="none", sampler="laplace")
    changed = table.assign(loss=np.where(table["tokens"] > cut.at, table["loss"] * 1.3, table["loss"]))
    found = [
        bs.compare([candidate], bs.Runs.from_frame(rows), cuts=[cut], alongside=(), loo=False, progress=False).scores
        for rows in (table, changed)
    ]
    np.testing.assert_array_equal(found[0]["median"], found[1]["median"])
    big = found[0]["run"] == "big"
    assert float(found[0]["error"][big].abs().max()) < 0.02 < OFFSET


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"params": 2e9}, "run 'big' has params 2e.09 instead of 1e.08: taken for another run"),
        ({"params": 1.001e8}, "run 'big' has params 1.001e.08 instead of 1e.08: taken for another run"),
        ({"tokens": [1e9, 1.2e10, 1.6e10]}, "rows of run 'big' begin before its last fitted one"),
    ],
)
def test_a_name_alone_makes_no_continuation(
    fit: bs.Fit, ahead: pd.DataFrame, change: dict[str, Any], says: str
) -> None:
    found = bs.forecast(fit, ahead.assign(**change))
    assert found.continues == ()
    assert pytest.approx(bs.forecast(fit, ahead.assign(**change, run="new")).median()) == found.median()
    assert re.search(says, "; ".join(found.cautions))


def test_the_fitted_rows_themselves_are_those_of_new_runs(fit: bs.Fit) -> None:
    assert bs.forecast(fit, fit.runs).continues == ()


def test_separate_runs_are_not_continued(below: pd.DataFrame, ahead: pd.DataFrame) -> None:
    """Where rows are independent, a name says nothing."""
    fit = fit_exact(LAWS[0], bs.Runs.from_frame(below), noise="normal", sampler="laplace", seed=0)
    assert bs.forecast(fit, ahead, unconverged=True).continues == ()


def test_a_curve_whose_rows_were_fitted_as_separate_runs_is_said(below: pd.DataFrame, ahead: pd.DataFrame) -> None:
    fit = fit_exact(LAWS[0], bs.Runs.from_frame(below), noise="normal", sampler="laplace", seed=0)
    rows = ahead[["tokens"]]
    assert "own deviation from the law is left out" in bs.continued(fit, "big", rows, unconverged=True).cautions[0]
    with pytest.warns(bs.errors.BayesScalingWarning, match="rows of run big were fitted as separate runs"):
        bs.midrun(fit, "big", float(rows["tokens"].iloc[-1]), unconverged=True)


def test_rows_ahead_are_spelled_like_fitted_ones(fit: bs.Fit, ahead: pd.DataFrame) -> None:
    spelled = bs.continued(fit, "big", ahead[["tokens"]].rename(columns={"tokens": "tokens_seen"}))
    np.testing.assert_array_equal(spelled.mean, bs.continued(fit, "big", ahead[["tokens"]]).mean)


def test_no_rows_ahead_are_refused(fit: bs.Fit, ahead: pd.DataFrame) -> None:
    with pytest.raises(bs.errors.ForecastError, match="has no rows; expected one row for each run"):
        bs.continued(fit, "big", ahead[["tokens"]].iloc[:0])

"""Forecasts on record, and what became of them."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.decide.provenance import LEVELS
from bayes_scaling.decide.records import _read

THEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
LATER = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def forecast(chinchilla_fit: bs.Fit) -> bs.Forecast:
    return bs.forecast(chinchilla_fit, params=[1e9, 1e13], tokens=[2e10, 2e14])


@pytest.fixture(scope="module")
def registered(chinchilla_fit: bs.Fit, forecast: bs.Forecast) -> bs.Registered:
    return bs.preregister(forecast, rests_on=chinchilla_fit, name="two <runs>", now=THEN)


def test_quantiles_are_read_as_a_distribution() -> None:
    levels = np.array(LEVELS)
    normal = scipy.stats.norm(0.7, 0.02)
    for x in normal.ppf([1e-4, 0.003, 0.31, 0.5, 0.87, 0.9999]):
        below, density = _read(levels, normal.ppf(levels), x)
        assert below == pytest.approx(normal.cdf(x), rel=1e-6)
        assert density == pytest.approx(normal.logpdf(x), abs=1e-6)


def test_a_file_holds_what_is_needed_and_stays(registered: bs.Registered, tmp_path: Path) -> None:
    path = registered.save(tmp_path / "deep" / "forecast.json")
    content = json.loads(path.read_text())
    assert content["registered"] == "2026-01-02T03:04:05+00:00"
    assert content["rests_on"]["data"]["rows"] == 48
    assert content["rests_on"]["laws"][0]["law"] == "chinchilla"
    assert any("times as large" in caveat for caveat in content["caveats"])
    assert bs.Registered.read(path).digest == registered.digest == content["digest"]
    with pytest.raises(bs.errors.DataError, match="never overwritten"):
        registered.save(path)
    content["runs"][0]["quantiles"]["0.5"] *= 1.01
    path.write_text(json.dumps(content))
    with pytest.raises(bs.errors.DataError, match="was changed since"):
        bs.Registered.read(path)


def test_scores_are_those_of_the_forecast(registered: bs.Registered, forecast: bs.Forecast) -> None:
    losses = forecast.quantile(0.8)
    scores = bs.score_registered(registered, losses, now=LATER)
    np.testing.assert_allclose(scores["pit"], 0.8, atol=1e-6)
    assert scores["inside_80"].all() and not scores["inside_50"].any()
    density = forecast.predictive.log_density(losses) + np.log(losses)
    np.testing.assert_allclose(scores["log_score"], density, atol=0.25)
    np.testing.assert_allclose(scores["median"], forecast.median(), rtol=1e-6)
    table = pd.DataFrame({"params": [5e8, 1e13], "tokens": [1e10, 2e14], "loss": [3.0, losses[1]]})
    found = bs.score_registered(registered, table, now=LATER)
    assert len(found) == 1 and found["run"].iloc[0] == 1
    assert found["pit"].iloc[0] == pytest.approx(0.8)


def test_a_plan_goes_on_record_from_its_json(chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    plan = bs.allocate(chinchilla_fit, 1e24)
    written = json.loads(json.dumps({"plan": plan.to_dict(), "budgets": []}))
    assert bs.preregister(written, now=THEN).content == bs.preregister(plan, now=THEN).content
    registered = bs.preregister(plan, now=THEN)
    low, _ = plan.interval(0.9)
    scores = bs.score_registered(registered, low)
    assert scores["pit"].iloc[0] == pytest.approx(0.05, abs=1e-6)
    assert registered.runs["params"].iloc[0] == plan.params
    assert registered.content["rests_on"]["extrapolation"] > 1


def test_a_record_grows_and_counts_runs_once(registered: bs.Registered, forecast: bs.Forecast, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    assert bs.TrackRecord.read(path).verdict == "Nothing has been scored yet."
    scores = bs.score_registered(registered, forecast.median(), now=LATER)
    record = bs.TrackRecord.read(path).add(scores)
    record.save(path)
    again = bs.TrackRecord.read(path)
    pd.testing.assert_frame_equal(again.scores, scores)
    with pytest.raises(bs.errors.DataError, match="was scored before"):
        again.add(scores)
    assert (again.summary()["inside"] == 2).all()
    assert "2 of 2 measured runs lay inside" in again.verdict


def test_bands_that_do_not_hold_are_seen(registered: bs.Registered, forecast: bs.Forecast) -> None:
    record = bs.TrackRecord(pd.DataFrame())
    for i in range(10):
        scores = bs.score_registered(registered, forecast.median() * 1.2)
        record = record.add(scores.assign(digest=str(i)))
    assert record.summary()["inside"].sum() == 0
    assert "too few" in record.verdict
    assert (record.scores["log_score"] < -10).all()
    assert np.isfinite(record.scores["log_score"]).all()


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([1.0], "of 2 runs, and 1 loss was given"),
        ([math.nan, 2.0], r"losses\[0\] is nan \(float\); expected a number"),
        (pd.DataFrame({"params": [1.0], "tokens": [1.0], "loss": [2.0]}), "none of 2 registered runs"),
        (pd.DataFrame({"params": [1.0]}), "needs loss"),
        (pd.DataFrame({"params": ["x", 1e9], "tokens": [1.0, 2e10], "loss": [2.0, "y"]}), "measured loss is nan"),
    ],
)
def test_bad_outcomes_are_explained(registered: bs.Registered, losses: Any, says: str) -> None:
    with pytest.raises(bs.errors.BayesScalingError, match=says):
        bs.score_registered(registered, losses)


def test_other_files_are_refused(forecast: bs.Forecast, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("{", "{}", "[1]"):
        path.write_text(text)
        with pytest.raises(bs.errors.DataError, match="registered forecast"):
            bs.Registered.read(path)
    with pytest.raises(bs.errors.ForecastError, match="rests_on"):
        bs.preregister(forecast)
    with pytest.raises(bs.errors.ForecastError, match="this is not a plan"):
        bs.preregister({"plan": {}})

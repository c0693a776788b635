"""Scores against closed forms and against what they are for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bayes_scaling.evaluate.scores import coverage, crps, extrapolation_range, score, summarise
from bayes_scaling.predict.predictive import Predictive
from tests.support import scattered


def normal(mean: float, sd: float, draws: int = 4000, points: int = 1) -> Predictive:
    return scattered(np.full((draws, points), mean), sd)


def test_crps_of_a_normal_is_the_closed_form() -> None:
    draws = np.random.default_rng(0).normal(1.0, 0.5, (40_000, 1))
    for value in (0.2, 1.0, 2.5):
        z = (value - 1.0) / 0.5
        exact = 0.5 * (z * (2 * scipy.stats.norm.cdf(z) - 1) + 2 * scipy.stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
        assert crps(draws, np.array([value]))[0] == pytest.approx(exact, abs=0.01)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=30), st.floats(-3, 3))
def test_crps_is_that_of_its_definition(values: list[float], at: float) -> None:
    x = np.array(values)
    pairs = np.abs(x[:, None] - x[None]).sum() / (len(x) * (len(x) - 1))
    assert crps(x[:, None], np.array([at]))[0] == pytest.approx(np.abs(x - at).mean() - pairs / 2, abs=1e-9)


def test_crps_of_one_draw_is_its_absolute_error() -> None:
    np.testing.assert_allclose(crps(np.array([[1.0, 3.0]]), np.array([1.2, 2.5])), [0.2, 0.5])


def test_log_score_and_pit_are_those_of_the_distribution() -> None:
    loss = np.array([2.0, 2.2])
    scores = score(normal(np.log(2.0), 0.05, points=2), loss)
    exact = scipy.stats.norm.logpdf(np.log(loss), np.log(2.0), 0.05) - np.log(loss)
    np.testing.assert_allclose(scores["log_score"], exact, rtol=1e-9)
    np.testing.assert_allclose(scores["pit"], scipy.stats.norm.cdf(np.log(loss / 2.0) / 0.05), rtol=1e-9)
    assert scores["width"][0] == pytest.approx(2 * 1.645 * 0.05, rel=0.05)
    assert scores["error"][1] == pytest.approx(np.log(1.1), abs=0.005)
    assert (scores["low"] < scores["lower"]).all() and (scores["upper"] < scores["high"]).all()


def test_the_right_spread_scores_best() -> None:
    loss = np.exp(np.random.default_rng(1).normal(0, 0.1, 500))
    means = {}
    for sd in (0.03, 0.1, 0.3):
        scores = score(scattered(np.zeros((1000, 500)), sd), loss)
        means[sd] = scores[["log_score", "crps"]].mean()
    assert max(means, key=lambda sd: means[sd]["log_score"]) == 0.1
    assert min(means, key=lambda sd: means[sd]["crps"]) == 0.1


def test_coverage_counts_central_intervals() -> None:
    pit = np.array([0.01, 0.06, 0.3, 0.5, 0.74, 0.97])
    assert coverage(pit, 0.9) == pytest.approx(4 / 6)
    assert coverage(pit, 0.5) == pytest.approx(3 / 6)


def test_ranges_and_summaries() -> None:
    names = extrapolation_range(np.array([0.5, 2.0, 2.1, 50.0, 1e4]))
    assert names.tolist() == ["up to 2x", "up to 2x", "2x to 10x", "10x to 100x", "over 100x"]
    scores = score(normal(0.0, 0.1, points=4), np.ones(4)).assign(candidate=["a", "a", "b", "b"])
    table = summarise(scores, ["candidate"])
    assert table["candidate"].tolist() == ["a", "b"] and table["n"].tolist() == [2, 2]
    assert isinstance(table, pd.DataFrame) and (table["inside_50%"] == 1.0).all()

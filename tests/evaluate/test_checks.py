"""Outliers, influence and identifiability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from tests.support import design, fit_exact

CHINCHILLA = bs.load_law("chinchilla")


def test_a_clean_table_has_few_flags(chinchilla_fit: bs.Fit) -> None:
    outliers = bs.evaluate.find_outliers(chinchilla_fit)
    assert outliers["outlier"].sum() <= 1
    assert outliers["tail_probability"].is_monotonic_increasing
    assert sorted(outliers["run"]) == sorted(chinchilla_fit.runs.labels)


def test_influence_is_close_to_really_leaving_the_run_out(chinchilla_fit: bs.Fit) -> None:
    influence = bs.evaluate.find_influential(chinchilla_fit)
    assert (influence["k_hat"] < 0.7).all()
    first = influence.iloc[0]
    keep = np.array([label != first["run"] for label in chinchilla_fit.runs.labels])
    refit = fit_exact("chinchilla", chinchilla_fit.runs.where(keep))
    log = np.log(chinchilla_fit.flat()[first["parameter"]])
    moved = (np.log(refit.flat()[first["parameter"]]).mean() - log.mean()) / log.std()
    assert moved == pytest.approx(first["shift"], abs=0.15)


def test_leave_one_out_is_close_to_exact(chinchilla_fit: bs.Fit) -> None:
    scores = bs.evaluate.leave_one_out(chinchilla_fit)
    row = int(np.argmin(scores))
    keep = np.arange(len(scores)) != row
    refit = fit_exact("chinchilla", chinchilla_fit.runs.where(keep))
    left_out = chinchilla_fit.runs.where(~keep)
    forecast = bs.forecast(refit, left_out)
    theta = refit.flat()
    import scipy.stats

    density = scipy.stats.t(theta["nu"], np.log(forecast.mean[:, 0]), theta["sigma"]).pdf(np.log(left_out.loss[0]))
    assert scores[row] == pytest.approx(np.log(density.mean()) - np.log(left_out.loss[0]), abs=0.15)


def test_a_good_design_has_nothing_to_say() -> None:
    assert bs.evaluate.identifiability(CHINCHILLA, bs.Runs.from_frame(design().assign(loss=3.0))) == ()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (lambda t: t.assign(params=1e9), "params takes one value (1e+09) in all 48 runs: alpha cannot be learned"),
        (lambda t: t.assign(tokens=2e10), "tokens takes one value (2e+10) in all 48 runs: beta cannot be learned"),
        (lambda t: t.assign(tokens=20 * t["params"]), "params and tokens move together"),
        (lambda t: t.assign(params=1e9 + t.index), "params spans less than a decade"),
        (lambda t: t.head(4), "4 distinct runs for 5 parameters: the prior will dominate"),
    ],
)
def test_a_poor_design_is_named_before_the_fit(table: object, says: str) -> None:
    runs = bs.Runs.from_frame(table(design()).assign(loss=np.linspace(3, 2, 48)[: len(table(design()))]))  # type: ignore[operator]
    assert says in "; ".join(bs.evaluate.identifiability(CHINCHILLA, runs))


def test_constants_that_cannot_be_told_apart_are_named() -> None:
    runs = bs.Runs.from_frame(design().assign(params=1e9, loss=np.linspace(3, 2, 48)))
    assert any("E" in text and "cannot be told apart" in text for text in bs.evaluate.identifiability(CHINCHILLA, runs))


@pytest.mark.slow
def test_few_runs_are_fitted_and_the_prior_said(chinchilla_runs: bs.Runs) -> None:
    few = chinchilla_runs.where(np.arange(48) < 3)
    fit = fit_exact("chinchilla", few)
    assert "prior will dominate" in "; ".join(bs.evaluate.identifiability(CHINCHILLA, few))
    assert fit.contraction["nu"] < 0.3
    assert np.isfinite(
        bs.forecast(fit, pd.DataFrame({"params": [1e10], "tokens": [1e11]}), unconverged=True).interval()
    ).all()

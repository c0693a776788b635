"""Outliers, influence and identifiability."""

from __future__ import annotations

import dataclasses
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special

import bayes_scaling as bs
from bayes_scaling.evaluate import checks
from bayes_scaling.evaluate.checks import fits_without
from bayes_scaling.inference import at_rows
from bayes_scaling.inference.weights import pareto_smoothed, unreliable
from bayes_scaling.model.observations import rows_read
from tests.support import design, fit_exact

CHINCHILLA = bs.load_law("chinchilla")


def test_a_clean_table_has_few_flags(chinchilla_fit: bs.Fit) -> None:
    outliers = bs.evaluate.find_outliers(chinchilla_fit)
    assert outliers["outlier"].sum() <= 1
    assert outliers["tail_probability"].is_monotonic_increasing
    assert sorted(outliers["run"]) == sorted(chinchilla_fit.runs.labels)


@pytest.mark.parametrize(("scales", "outlier"), [(3, False), (6, True)])
def test_of_many_runs_one_may_lie_three_scales_off(chinchilla_fit: bs.Fit, scales: int, outlier: bool) -> None:
    table, off = chinchilla_fit.runs.table, np.exp(scales * np.median(chinchilla_fit.flat()["sigma"]))
    centre = np.exp(np.median(chinchilla_fit.expected[0][:, 0]))
    moved = bs.Runs.from_frame(table.assign(loss=table["loss"].where(table.index > 0, centre * off)))
    first = bs.evaluate.find_outliers(dataclasses.replace(chinchilla_fit, runs=moved)).loc[0]
    assert first["tail_probability"] < 0.01 and first["outlier"] == outlier


def test_influence_is_close_to_really_leaving_the_run_out(chinchilla_fit: bs.Fit) -> None:
    influence = bs.evaluate.find_influential(chinchilla_fit)
    assert (influence["k_hat"] < 0.7).all()
    first = influence.iloc[0]
    keep = np.array([label != first["run"] for label in chinchilla_fit.runs.labels])
    refit = fit_exact("chinchilla", chinchilla_fit.runs.where(keep))
    log = np.log(chinchilla_fit.flat()[first["parameter"]])
    moved = (np.log(refit.flat()[first["parameter"]]).mean() - log.mean()) / log.std()
    assert moved == pytest.approx(first["shift"], abs=0.15)


def test_a_run_is_influential_that_moves_a_parameter_by_more_than_the_limit(
    chinchilla_fit: bs.Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = bs.evaluate.find_influential(chinchilla_fit)["shift"].abs().to_numpy()
    for limit, runs in ((1.01 * shift[0], 0), (1.001 * shift[2], 2)):
        monkeypatch.setattr(checks, "MOST_SHIFT", limit)
        assert bs.evaluate.find_influential(chinchilla_fit)["influential"].sum() == runs


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


def test_fits_without_some_rows_are_those_of_the_others(chinchilla_fit: bs.Fit) -> None:
    sampler, groups = bs.Sampler("laplace", draws=200), [np.array([3]), np.array([0, 7])]
    found = fits_without(chinchilla_fit, groups, sampler, 5)
    for fit, group in zip(found, groups, strict=True):
        rest = chinchilla_fit.runs.where(~np.isin(np.arange(len(chinchilla_fit.runs)), group))
        alone = fit_exact("chinchilla", rest, sampler=bs.Sampler("laplace", draws=200, like_rows=48), seed=5)
        np.testing.assert_array_equal(fit.unconstrained, alone.unconstrained)
        assert list(fit.runs.labels) == list(rest.labels)
    assert fits_without(chinchilla_fit, [], sampler, 5) == []


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (lambda t: t.assign(params=1e9), "params takes one value (1e+09) in all 48 runs: alpha cannot be learned"),
        (lambda t: t.assign(tokens=2e10), "tokens takes one value (2e+10) in all 48 runs: beta cannot be learned"),
        (lambda t: t.assign(tokens=20 * t["params"]), "params and tokens move together"),
        (lambda t: t.assign(tokens=1e19 / t["params"]), "move together (correlation of their logs -1"),
        (lambda t: t.assign(params=1e9 + t.index), "params spans less than a decade"),
        (lambda t: t.assign(params=np.geomspace(1e9, 9e9, 48)), "params spans less than a decade (1e+09 to 9e+09)"),
        (lambda t: t.head(4), "4 distinct runs for 5 parameters: the prior will dominate"),
    ],
)
def test_a_poor_design_is_named_before_the_fit(table: object, says: str) -> None:
    runs = bs.Runs.from_frame(table(design()).assign(loss=np.linspace(3, 2, 48)[: len(table(design()))]))  # type: ignore[operator]
    assert says in "; ".join(bs.evaluate.identifiability(CHINCHILLA, runs))


def test_sizes_that_are_constant_do_not_move_together() -> None:
    same = pd.DataFrame({"params": 1e9, "tokens": 2e10, "loss": np.linspace(3, 2, 1000)})
    said = bs.evaluate.identifiability(CHINCHILLA, bs.Runs.from_frame(same))
    assert any("takes one value" in line for line in said) and not any("move together" in line for line in said)


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


def test_a_check_takes_memory_by_the_row_not_by_its_square() -> None:
    runs = bs.Runs.from_frame(design(200_000)[["params", "tokens"]].assign(loss=3.0))
    tracemalloc.start()
    try:
        assert bs.evaluate.identifiability(CHINCHILLA, runs) == ()
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()


def test_rows_of_a_large_table_are_judged_in_blocks(chinchilla_fit: bs.Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, influence = bs.evaluate.leave_one_out(chinchilla_fit), bs.evaluate.find_influential(chinchilla_fit)
    monkeypatch.setattr(at_rows, "AT_ONCE", 10_000)
    monkeypatch.setattr(at_rows, "BLOCK", 10_000)
    blocks = list(at_rows.by_rows(chinchilla_fit))
    assert [(len(block.draws), block.expected.shape) for block in blocks] == [(400, (400, 25)), (400, (400, 23))]
    monkeypatch.setattr(checks, "by_rows", lambda fit: blocks)
    assert bs.evaluate.leave_one_out(chinchilla_fit) == pytest.approx(scores, abs=0.15)
    again = bs.evaluate.find_influential(chinchilla_fit)
    # Two parameters may move by about as much, to either side: which of them moves most is then chance.
    shift, as_before = (found["shift"].abs().sort_index().to_numpy() for found in (again, influence))
    assert shift == pytest.approx(as_before, abs=0.2)


def test_draws_by_rows_are_bounded_at_any_number_of_rows() -> None:
    for rows, kept, enough in ((48, 4000, 4000), (25_000, 400, 400), (1_000_000, 8, 400), (100_000_000, 4, 400)):
        fit: Any = SimpleNamespace(unconstrained=np.zeros((4, 1000, 1)), runs=range(rows))
        assert len(at_rows.kept_draws(fit)) == kept
        assert len(at_rows.kept_draws(fit, at_rows.ENOUGH)) == enough


def test_copies_of_one_draw_make_weights_unreliable_not_a_crash() -> None:
    weight = np.zeros((3, 400))
    weight[1, :200] = 50.0  # copies of one draw have all the weight
    weight[2] = np.random.default_rng(0).normal(size=400)
    smoothed, k_hat = pareto_smoothed(weight)
    assert np.exp(smoothed).sum(axis=1) == pytest.approx(1.0)
    assert list(unreliable(k_hat)) == [False, True, False]
    assert np.isnan(k_hat[1])


def test_a_row_that_was_not_read_takes_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its score is that of the posterior as it is, and no weights are smoothed; a row that was read is left out."""
    tokens = np.tile(np.geomspace(1e8, 1e10, 40), 3)
    table = pd.DataFrame({"run": np.repeat(["a", "b", "c"], 40), "tokens": tokens})
    truth = {"E": 1.8, "alpha": 0.3, "X_c": 2e9, "sigma": 0.001, "sigma_curve": 0.01, "length": 1.5}
    noise = bs.Noise("normal", rows="correlated")
    runs = bs.simulate("power_law:input=tokens", table, truth, noise=noise, seed=0)
    fit = fit_exact("power_law:input=tokens", runs, noise=noise, sampler="laplace")
    read = np.isin(np.arange(len(runs)), rows_read(fit.composition, runs))
    density = fit.at_rows.log_density
    as_it_is = scipy.special.logsumexp(density, axis=0) - np.log(len(density)) - np.log(runs.loss)
    smoothed: list[int] = []

    def counted(log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        smoothed.append(len(log_weight))
        return pareto_smoothed(log_weight)

    monkeypatch.setattr(checks, "pareto_smoothed", counted)
    gain = bs.evaluate.leave_one_out(fit) - as_it_is
    assert read.sum() == 36 and sum(smoothed) == 36
    np.testing.assert_allclose(gain[~read], 0.0, atol=1e-9)
    assert (gain[read] < 0).all()

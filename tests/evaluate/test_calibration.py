"""Calibration: ranks are uniform where model and truth agree, and are not where something was broken on purpose."""

from __future__ import annotations

import dataclasses
import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.evaluate import calibration as _calibration
from bayes_scaling.evaluate.calibration import RANKED, Ranks, loo_pit, predictive_check, sbc
from bayes_scaling.laws.parameters import resolve
from bayes_scaling.model.observations import centre_of
from bayes_scaling.model.simulate import grid, simulate
from tests.support import design, fit_exact

LAW = bs.load_law("power_law:input=tokens")
DESIGN = grid(tokens=np.logspace(8, 11, 24))
NORMAL = bs.Noise("normal")
EXACT = bs.Discrepancy("none")

calibrate = functools.partial(sbc, LAW, DESIGN, noise=NORMAL, discrepancy=EXACT)


def _ranks(z_scale: float, tables: int = 200) -> Ranks:
    """Ranks of a posterior whose width is the true one over ``z_scale``, by exact computation."""
    z = z_scale * np.random.default_rng(0).standard_normal(tables)
    ranks = np.random.default_rng(1).binomial(RANKED, scipy.special.ndtr(z))[:, None]
    return Ranks(("sigma",), ranks, RANKED, np.ones(tables, bool), np.ones(tables), np.zeros(tables, bool))


def test_uniform_ranks_pass_and_others_do_not() -> None:
    good, narrow = (_ranks(scale).uniformity().loc["sigma"] for scale in (1.0, 2.0))
    assert good["p_value"] > 0.001 and good["sd_z"] == pytest.approx(1.0, abs=0.15)
    assert narrow["p_value"] < 1e-4 and narrow["sd_z"] > 1.4
    low = dataclasses.replace(_ranks(1.0), ranks=np.full((200, 1), 90)).uniformity().loc["sigma"]
    assert low["mean_z"] > 1, "most draws lie below the truth"


def test_tables_without_convergence_are_left_out() -> None:
    ranks = _ranks(1.0)
    broken = np.arange(200) < 100
    spoiled = dataclasses.replace(ranks, ranks=np.where(broken[:, None], 0, ranks.ranks), converged=~broken)
    assert spoiled.uniformity()["p_value"].item() > 0.001
    with pytest.raises(bs.errors.FitError, match="none of the 200 fits converged"):
        dataclasses.replace(ranks, converged=np.zeros(200, bool)).uniformity()


def test_parts_of_a_study_are_joined_and_others_are_not() -> None:
    ranks = _ranks(1.0)
    half = dataclasses.replace(ranks, ranks=ranks.ranks[:100], converged=ranks.converged[:100])
    rest = dataclasses.replace(ranks, ranks=ranks.ranks[100:], converged=ranks.converged[100:])
    pd.testing.assert_frame_equal(Ranks.joined([half, rest]).uniformity(), ranks.uniformity())
    with pytest.raises(bs.errors.FitError, match="rank other quantities"):
        Ranks.joined([half, dataclasses.replace(rest, names=("tau",))])


@pytest.mark.slow
def test_a_law_is_calibrated() -> None:
    ranks = calibrate(tables=100)
    assert ranks.names == ("E", "alpha", "X_c", "sigma", "misfit")
    assert ranks.ranks.shape == (100, 5) and ranks.converged.mean() > 0.95
    table = ranks.uniformity()
    assert (table["p_value"] > 0.001).all(), table
    assert (table["mean_z"].abs() < 0.35).all(), table


@pytest.mark.slow
def test_a_law_with_a_discrepancy_is_calibrated() -> None:
    # With an irreducible loss on top, one table of these 60 keeps the sampler for more than a minute.
    law = bs.load_law("power_law:input=tokens,form=pure")
    ranks = sbc(law, DESIGN, noise=NORMAL, tables=60)
    table = ranks.uniformity()
    assert "tau" in table.index and ranks.converged.mean() > 0.9
    assert (table["p_value"] > 0.001).all(), table
    assert (table["mean_z"].abs() < 0.45).all(), table


@pytest.mark.slow
def test_a_wrong_likelihood_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def noisier(law: bs.laws.Law, table: Any, truth: dict[str, float] | None = None, **how: Any) -> bs.Runs:
        return simulate(law, table, truth and {**truth, "sigma": 2 * truth["sigma"]}, **how)

    monkeypatch.setattr(_calibration, "simulate", noisier)
    table = calibrate(tables=40).uniformity()
    assert table["p_value"].min() < 1e-4 and table["p_value"].idxmin() == "sigma"


@pytest.mark.slow
def test_a_posterior_that_ignores_the_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _calibration._misfit

    def deaf(at: Any, data: Any) -> Any:
        return dataclasses.replace(_at(at, data), weight=np.zeros_like(data.weight))

    def hearing(model: Any) -> Any:
        return lambda theta, data: real(model)(theta, dataclasses.replace(data, weight=np.ones_like(data.weight)))

    _at = _calibration._at
    monkeypatch.setattr(_calibration, "_at", deaf)
    monkeypatch.setattr(_calibration, "_misfit", hearing)
    p_value = calibrate(tables=40).uniformity()["p_value"]
    assert p_value["misfit"] < 1e-4 and p_value.drop("misfit").min() > 0.001


@pytest.mark.slow
def test_ranks_repeat_and_nothing_is_compiled_twice(caplog: pytest.LogCaptureFixture) -> None:
    first = calibrate(tables=6, seed=3)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        second = calibrate(tables=6, seed=3)
    np.testing.assert_array_equal(first.ranks, second.ranks)
    np.testing.assert_array_equal(first.converged, second.converged)
    # Small operations outside our programs may come and go; the sampler's own must not.
    compiled = [record.message for record in caplog.records if "XLA compilation" in record.message]
    assert not [text for text in compiled if "advance" in text or "start" in text], compiled
    assert not np.array_equal(first.ranks, calibrate(tables=6, seed=4).ranks)
    parts = Ranks.joined([calibrate(tables=2, seed=3), calibrate(tables=range(2, 6), seed=3)])
    np.testing.assert_array_equal(first.ranks, parts.ranks)
    np.testing.assert_array_equal(first.converged, parts.converged)


def test_workers_give_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_calibration, "AT_ONCE", 2)
    here = calibrate(tables=3, seed=3)
    with ThreadPoolExecutor(2) as threads:
        there = calibrate(tables=3, seed=3, executor=threads)
    np.testing.assert_array_equal(here.ranks, there.ranks)
    np.testing.assert_array_equal(here.alone, there.alone)


@pytest.mark.slow
def test_ranks_are_those_of_the_exact_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few runs and narrow priors, so that weighted draws of the prior are the posterior."""
    import numpyro.distributions as dist

    law = LAW.with_priors(
        {"L_0": dist.LogNormal(0.0, 0.01), "E": dist.Beta(60, 60), "alpha": dist.LogNormal(-1.6, 0.05)}
    )
    seen: list[tuple[dict[str, float], bs.Runs]] = []

    def watched(law: bs.laws.Law, table: Any, truth: dict[str, float] | None = None, **how: Any) -> bs.Runs:
        runs = simulate(law, table, truth, **how)
        if truth is not None:
            seen.append((truth, runs))
        return runs

    monkeypatch.setattr(_calibration, "simulate", watched)
    few = grid(tokens=np.logspace(9, 10, 4))
    ranks = sbc(law, few, noise=NORMAL, discrepancy=EXACT, tables=20)
    x = few["tokens"].to_numpy()
    rows = (*law.parameters, *NORMAL.parameters)
    sampled = (*law.sampled, *NORMAL.parameters)
    with scope():
        keys = jax.random.split(jax.random.key(9), len(sampled))
        draws = {row.site: row.prior.sample(key, (200_000,)) for row, key in zip(sampled, keys, strict=True)}
        theta = resolve(rows, draws, centre_of(law, 3.0, {"tokens": x}))
    prior = {name: np.asarray(theta[name]) for name in ("E", "alpha", "X_c", "sigma")}
    mean = np.log(prior["E"][:, None] + (prior["X_c"][:, None] / x) ** prior["alpha"][:, None])
    exact = np.empty((20, 4))
    for i, (truth, runs) in enumerate(seen):
        log_weight = scipy.stats.norm.logpdf(np.log(runs.loss), mean, prior["sigma"][:, None]).sum(axis=1)
        weight = np.exp(log_weight - scipy.special.logsumexp(log_weight))
        exact[i] = [weight[values < truth[name]].sum() for name, values in prior.items()]
    assert 1 / np.sum(weight**2) > 500
    error = (ranks.ranks[:, :4] + 0.5) / (RANKED + 1) - exact
    assert np.abs(error).max() < 0.25 and np.abs(error.mean(axis=0)).max() < 0.04, error


def test_a_calibration_of_nothing_is_refused() -> None:
    with pytest.raises(bs.errors.FitError, match="tables is 0"):
        calibrate(tables=0)
    with pytest.raises(bs.errors.FitError, match=r"tables is range\(-1, 3\); tables are counted from 0"):
        calibrate(tables=range(-1, 3))
    with pytest.raises(bs.errors.LawError, match="the design lacks tokens"):
        sbc(LAW, grid(params=[1e8, 1e9]))


# --- one fitted table -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def normal_fit() -> bs.Fit:
    """Sixty-four runs that scatter as the fit believes."""
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values) | {"sigma": 0.005}
    runs = simulate("chinchilla", design(64), truth, noise=NORMAL, seed=11)
    return fit_exact("chinchilla", runs, noise=NORMAL)


def test_pit_is_uniform_where_the_fit_is_right(normal_fit: bs.Fit, chinchilla_fit: bs.Fit) -> None:
    for fit in (normal_fit, chinchilla_fit):
        pit = loo_pit(fit)
        assert pit.shape == (len(fit.runs),) and ((pit >= 0) & (pit <= 1)).all()
        assert scipy.stats.kstest(pit, "uniform").pvalue > 0.001


def test_pit_is_not_uniform_where_the_fit_is_wrong(normal_fit: bs.Fit) -> None:
    narrow = dataclasses.replace(normal_fit, draws={**normal_fit.draws, "sigma": normal_fit.draws["sigma"] / 3})
    pit = loo_pit(narrow)
    assert scipy.stats.kstest(pit, "uniform").pvalue < 0.001
    assert np.mean((pit < 0.1) | (pit > 0.9)) > 0.5


def test_pit_is_close_to_really_leaving_the_run_out(normal_fit: bs.Fit) -> None:
    row = int(np.argmin(loo_pit(normal_fit)))
    keep = np.arange(len(normal_fit.runs)) != row
    refit = fit_exact("chinchilla", normal_fit.runs.where(keep), noise=NORMAL)
    left_out = normal_fit.runs.where(~keep)
    mean = np.log(bs.forecast(refit, left_out).mean[:, 0])
    exact = scipy.special.ndtr((np.log(left_out.loss[0]) - mean) / refit.flat()["sigma"]).mean()
    assert loo_pit(normal_fit)[row] == pytest.approx(exact, rel=0.2)


def test_a_clean_table_is_no_surprise(normal_fit: bs.Fit) -> None:
    table = predictive_check(normal_fit)
    assert list(table.index) == ["scale", "largest", "neighbours", "skewness"]
    assert not table["surprising"].any(), table
    assert (table["5.0%"] < table["95.0%"]).all()


def test_one_in_twenty_clean_tables_has_any_of_four_surprises(normal_fit: bs.Fit) -> None:
    wide = dataclasses.replace(normal_fit, draws={**normal_fit.draws, "sigma": 1.32 * normal_fit.draws["sigma"]})
    scale = predictive_check(wide).loc["scale"]
    assert 0.05 / 4 < scale["tail_probability"] < 0.05 and not scale["surprising"]


def test_heavy_tails_surprise_a_normal_fit() -> None:
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values) | {"sigma": 0.005, "nu": 1.5}
    runs = simulate("chinchilla", design(64), truth, seed=12)
    table = predictive_check(fit_exact("chinchilla", runs, noise=NORMAL))
    assert table.loc["largest", "surprising"], table
    assert table.loc["largest", "observed"] > table.loc["largest", "95.0%"]


def test_a_bend_that_the_law_lacks_surprises(normal_fit: bs.Fit) -> None:
    size = np.log(normal_fit.runs.column("params") * normal_fit.runs.column("tokens"))
    wave = 0.02 * np.sin(2 * np.pi * (size - size.min()) / np.ptp(size) * 3)
    runs = bs.Runs.from_frame(normal_fit.runs.table.assign(loss=normal_fit.runs.loss * np.exp(wave)))
    assert predictive_check(fit_exact("chinchilla", runs, noise=NORMAL)).loc["neighbours", "surprising"]

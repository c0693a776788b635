"""Correlated residuals along training curves: an exact density, at a linear cost, that does not count rows as runs."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.model.choices import default_noise
from bayes_scaling.model.curves import APART, draw_deviations, layout_of, one_step_ahead, well_spread_rows
from bayes_scaling.model.families import Normal, StudentT
from bayes_scaling.model.observations import curve_layout, rows_along_curves
from tests.support import fit_exact

TRUTH = {"sigma_curve": 0.7, "length": 1.3}


def scattered_rows(lengths: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of runs of these lengths, in any order."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(len(lengths)), lengths)
    order = rng.permutation(len(run))
    return run[order], np.exp(rng.uniform(0, 6, len(run)))[order]


def covariance(run: np.ndarray, position: np.ndarray) -> np.ndarray:
    apart = np.abs(np.log(position)[:, None] - np.log(position))
    return TRUTH["sigma_curve"] ** 2 * np.exp(-apart / TRUTH["length"]) * (run[:, None] == run)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
def test_density_is_that_of_the_joint_normal(lengths: list[int], seed: int) -> None:
    run, position = scattered_rows(lengths, seed)
    rng = np.random.default_rng(seed)
    width = rng.uniform(0.1, 0.5, len(run))
    dense = covariance(run, position) + np.diag(width**2)
    residual = rng.multivariate_normal(np.zeros(len(run)), dense)
    layout = layout_of(run, position)
    with scope():
        columns = {"noise.layout_row": jnp.asarray(layout.row, float), "noise.layout_gap": jnp.asarray(layout.gap)}
        expected, scale = one_step_ahead(jnp.asarray(residual), jnp.asarray(width), TRUTH, columns, Normal())
    ours = scipy.stats.norm(np.asarray(expected), np.asarray(scale)).logpdf(residual).sum()
    assert ours == pytest.approx(scipy.stats.multivariate_normal(np.zeros(len(run)), dense).logpdf(residual), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(0, 99))
def test_every_row_lies_in_one_lane_behind_its_predecessor(lengths: list[int], seed: int) -> None:
    run, position = scattered_rows(lengths, seed)
    layout = layout_of(run, position)
    assert sorted(layout.row[layout.row < len(run)]) == list(range(len(run)))
    for step, column in np.argwhere((layout.gap < APART) & (layout.row < len(run))):
        before, here = layout.row[step - 1, column], layout.row[step, column]
        assert run[before] == run[here]
        assert layout.gap[step, column] == pytest.approx(np.log(position[here] / position[before]))
    assert np.sum(layout.gap < APART) == len(run) - len(lengths)


def test_drawn_departures_have_the_stated_covariance() -> None:
    run, position = scattered_rows([5, 3, 1], 0)
    draws = draw_deviations(
        {name: np.full(60_000, value) for name, value in TRUTH.items()},
        layout_of(run, position),
        len(run),
        np.random.default_rng(0),
    )
    np.testing.assert_allclose(np.cov(draws.T), covariance(run, position), atol=0.012)


def curves(runs: int, rows: int, seed: int, noise: bs.Noise) -> bs.Runs:
    """Simulated curves of a power law in tokens, with a slow departure of each."""
    tokens = np.tile(np.geomspace(1e8, 1e10, rows), runs)
    table = pd.DataFrame({"run": np.repeat([f"r{i}" for i in range(runs)], rows), "tokens": tokens})
    truth = {"E": 1.8, "alpha": 0.3, "X_c": 2e9, "sigma": 0.001, "sigma_curve": 0.01, "length": 1.5}
    return bs.simulate("power_law:input=tokens", table, truth, noise=noise, seed=seed)


@pytest.mark.slow
def test_rows_are_not_counted_as_runs() -> None:
    """Five times the rows of the same runs teach next to nothing; independent rows would halve the interval."""
    noise = bs.Noise("normal", rows="correlated", start="none")
    widths = {}
    for rows in (20, 100):
        fit = fit_exact("power_law:input=tokens", curves(6, rows, 1, noise), noise=noise, seed=0)
        assert fit.converged, fit
        low, high = bs.forecast(fit, tokens=1e11).interval(0.9, of="mean")[0]
        widths[rows] = high - low
    assert 0.7 < widths[100] / widths[20] < 1.3
    naive = fit_exact("power_law:input=tokens", curves(6, 100, 1, noise), noise=bs.Noise("normal"), seed=0)
    low, high = bs.forecast(naive, tokens=1e11).interval(0.9, of="mean")[0]
    assert high - low < 0.6 * widths[100]


@pytest.mark.slow
def test_intervals_hold_on_curves() -> None:
    noise = bs.Noise("normal", rows="correlated", start="none")
    truth = {"E": 1.8, "alpha": 0.3, "sigma": 0.001, "sigma_curve": 0.01, "length": 1.5}
    hits = []
    for seed in range(20):
        fit = fit_exact("power_law:input=tokens", curves(5, 40, seed, noise), noise=noise, seed=seed)
        assert fit.converged, (seed, fit)
        for name, value in truth.items():
            low, high = np.quantile(fit.draws[name], [0.05, 0.95])
            hits.append(low <= value <= high)
    assert 0.8 <= np.mean(hits) <= 0.99


def test_default_noise_sees_curves() -> None:
    single = pd.DataFrame({"params": [1e8, 2e8, 3e8], "tokens": [1e9, 2e9, 3e9], "loss": [3.0, 2.9, 2.8]})
    assert default_noise(bs.Runs.from_frame(single)) == bs.Noise()
    ends = single.assign(run=["a", "b", "c"])
    assert default_noise(bs.Runs.from_frame(ends)) == bs.Noise()
    one = single.assign(run="a", params=1e8)
    assert default_noise(bs.Runs.from_frame(one)) == bs.Noise("normal", rows="correlated")
    others = single.assign(run=["b", "c", "d"], params=2e8, tokens=single["tokens"] * 1.5)
    assert default_noise(bs.Runs.from_frame(pd.concat([one, others]))) == bs.Noise(), "half of the rows are no curve"
    tuned = single.drop(columns="params").assign(run="a", tokens=1e9, examples=[100, 200, 400])
    assert default_noise(bs.Runs.from_frame(tuned)) == bs.Noise("normal", rows="correlated")


@pytest.mark.parametrize("examples", ["a text", [1, 2], None], ids=lambda value: type(value).__name__)
def test_examples_that_a_log_shows_order_no_rows(examples: object) -> None:
    steps = np.tile(np.geomspace(100, 1600, 5), 3)
    rows = pd.DataFrame({"run": np.repeat(["a", "b", "c"], 5), "steps": steps, "loss": 2 + steps**-0.3})
    runs = bs.Runs.from_frame(rows.assign(examples=[examples] * 15))
    assert default_noise(runs) == bs.Noise("normal", rows="correlated")
    assert rows_along_curves(runs, 3).tolist() == rows_along_curves(bs.Runs.from_frame(rows), 3).tolist()
    with pytest.raises(bs.errors.DataError, match="no column says how far along"):
        bs.Runs.from_frame(rows.drop(columns="steps").assign(params=1e6, examples=[examples] * 15))


def test_rows_of_one_model_tuned_on_more_and_more_data_lie_along_its_examples() -> None:
    """Tokens, which come first, do not differ along a run, and so say nothing of where a row lies."""
    examples = np.tile([200.0, 800.0, 3200.0, 12800.0], 3)
    frame = pd.DataFrame({"run": np.repeat(["a", "b", "c"], 4), "examples": examples, "tokens": 1e9})
    law = bs.load_law("fine_tuning")
    truth = {"E": 1.0, "beta": 0.4, "D_l": 10.0, "B": 40.0, "sigma": 0.001, "sigma_curve": 0.03, "length": 2.0}
    noise = bs.Noise("normal", rows="correlated")
    runs = bs.simulate(law, frame, truth, noise=noise, seed=0)
    fit = fit_exact(law, runs, noise=noise, sampler="laplace", seed=0)
    rows = {name: runs.column(name) for name in ("examples", "tokens")}
    layout = curve_layout(noise, {**rows, "run": pd.factorize(runs.table["run"])[0]})
    assert layout is not None
    gaps = layout.gap[(layout.row < len(runs)) & (layout.gap < 10)]
    assert len(gaps) == 9 and np.allclose(gaps, np.log(4))
    ahead = pd.DataFrame({"run": ["a", "new"], "examples": 25600.0})
    forecast = bs.forecast(fit, ahead, unconverged=True)
    low, high = forecast.interval(0.9)
    assert high[0] - low[0] < 0.8 * (high[1] - low[1])  # it goes on from where run a has been


def test_rows_of_one_planned_run_move_together() -> None:
    noise = bs.Noise("normal", rows="correlated", start="none")
    fit = fit_exact("power_law:input=tokens", curves(6, 20, 1, noise), sampler="laplace", seed=0)
    assert fit.noise.rows == "correlated"
    near = pd.DataFrame({"tokens": [1.00e11, 1.02e11]})
    together = np.log(bs.forecast(fit, near.assign(run="big")).new_run / bs.forecast(fit, near).mean)
    apart = np.log(bs.forecast(fit, near).new_run / bs.forecast(fit, near).mean)
    assert np.corrcoef(together.T)[0, 1] > 0.8
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.3
    np.testing.assert_allclose(together.std(0), apart.std(0), rtol=0.15)


def test_heavy_tails_take_a_spike_for_a_spike() -> None:
    """One row far off moves the expectation of the next one less than under normal noise."""
    residual = np.zeros(20)
    residual[10] = 0.2
    layout = layout_of(np.zeros(20, int), np.geomspace(1e3, 1e5, 20))
    with scope():
        columns = {"noise.layout_row": jnp.asarray(layout.row, float), "noise.layout_gap": jnp.asarray(layout.gap)}
        theta = {"sigma_curve": 0.01, "length": 1.0, "nu": 3.0}
        moved = {
            tails: float(one_step_ahead(jnp.asarray(residual), jnp.asarray(0.005), theta, columns, family)[0][11])
            for tails, family in (("heavy", StudentT()), ("normal", Normal()))
        }
    assert 0 < moved["heavy"] < 0.1 * moved["normal"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(2, 15), st.integers(0, 99))
def test_chosen_rows_are_few_of_each_curve_its_ends_among_them(lengths: list[int], most: int, seed: int) -> None:
    run, position = scattered_rows(lengths, seed)
    chosen = well_spread_rows(run, position, most)
    assert (np.diff(chosen) > 0).all()
    for one, length in enumerate(lengths):
        rows = np.flatnonzero(run == one)
        mine = chosen[run[chosen] == one]
        assert len(mine) == min(length, most)
        assert {rows[position[rows].argmin()], rows[position[rows].argmax()]} <= {*mine.tolist()}
    again = well_spread_rows(run[chosen], position[chosen], most)
    np.testing.assert_array_equal(again, np.arange(len(chosen)))


def test_chosen_rows_do_not_depend_on_the_order_or_on_other_curves() -> None:
    run, position = scattered_rows([30, 9, 25], 3)
    whole = {(run[i], position[i]) for i in well_spread_rows(run, position, 7)}
    for one in range(3):
        rows = np.flatnonzero(run == one)[::-1]
        alone = well_spread_rows(run[rows], position[rows], 7)
        assert {(one, position[rows][i]) for i in alone} == {place for place in whole if place[0] == one}


def test_chosen_rows_lie_evenly_in_log_steps() -> None:
    position = np.geomspace(10.0, 1e5, 97)
    chosen = well_spread_rows(np.zeros(97, int), position, 13)
    np.testing.assert_array_equal(chosen, np.arange(0, 97, 8))


def test_a_fit_says_which_rows_it_read_and_keeps_all() -> None:
    runs = curves(5, 40, 3, bs.Noise("normal", rows="correlated"))
    fit = fit_exact("power_law:input=tokens", runs, sampler="laplace")
    assert "at most 12 read of each run" in repr(fit) and "60 of them read" in repr(fit)
    assert fit.manifest["runs"]["rows_read"] == 60 and fit.manifest["runs"]["rows"] == len(fit.runs) == 200
    assert fit.log_likelihood.shape[-1] == 200
    every = bs.Noise("normal", rows="correlated", rows_per_curve=None)
    whole = fit_exact("power_law:input=tokens", runs, noise=every, sampler="laplace")
    assert "read" not in repr(whole) and whole.manifest["runs"]["rows_read"] == 200
    rows = well_spread_rows(np.repeat(np.arange(5), 40), runs.column("tokens"), 12)
    by_hand = fit_exact("power_law:input=tokens", runs.where(np.isin(np.arange(200), rows)), sampler="laplace")
    assert by_hand.manifest["runs"]["rows_read"] == 60


def test_senseless_rows_per_curve_are_refused() -> None:
    with pytest.raises(bs.BayesScalingError, match="rows_per_curve is 2; a curve needs at least 3 rows"):
        bs.Noise("normal", rows="correlated", rows_per_curve=2)
    with pytest.raises(bs.BayesScalingError, match="independent rows are all read"):
        bs.Noise("normal", rows_per_curve=20)

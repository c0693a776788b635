"""Whole loss curves: bands that hold them, the step at which they reach a loss, what stands beside them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.predict import beside
from bayes_scaling.predict.along import reached
from tests.support import fit_exact

STEPS = np.geomspace(500, 16_000, 8)
PARAMS = (1e7, 3e7, 1e8, 3e8)
BATCHES = (1e5, 2e6)
PLANNED = {"params": 1e9, "batch_tokens": 5e5}
NOISE = bs.Noise("normal", rows="correlated", start="none")
TRUTH = {
    **bs.load_law("kaplan_trajectory").at("kaplan2020").constants.values,
    **{"sigma": 0.001, "sigma_curve": 0.01, "length": 1.5},
}
LAPLACE = bs.Sampler("laplace", draws=500)


def design(params: tuple[float, ...], batches: tuple[float, ...], steps: np.ndarray) -> pd.DataFrame:
    """Rows of curves of every size at every batch."""
    table = bs.grid(params=list(params), batch_tokens=list(batches), steps=steps.tolist())
    return table.assign(run=[f"{n:.0f}-{b:.0f}" for n, b in zip(table["params"], table["batch_tokens"], strict=True)])


def simulated(seed: int, planned: np.ndarray = STEPS) -> tuple[bs.Runs, pd.DataFrame]:
    """Small runs to fit, and larger ones at another batch to forecast; each has a departure of its own."""
    small, large = design(PARAMS, BATCHES, STEPS), design((8e8, 2e9), (5e5,), planned)
    both = bs.simulate("kaplan_trajectory", pd.concat([small, large]), TRUTH, noise=NOISE, seed=seed).table
    fitted = both["params"] <= max(PARAMS)
    return bs.Runs.from_frame(both[fitted].reset_index(drop=True)), both[~fitted]


@pytest.fixture(scope="module")
def runs() -> bs.Runs:
    return simulated(0)[0]


@pytest.fixture(scope="module")
def fit(runs: bs.Runs) -> bs.Fit:
    return fit_exact("kaplan_trajectory", runs, noise=NOISE, sampler=LAPLACE, seed=0)


@pytest.fixture(scope="module")
def planned(fit: bs.Fit) -> bs.Trajectory:
    return bs.trajectory(fit, **PLANNED, steps=20_000)


# --- curves ---


def test_a_curve_is_one_forecast_of_its_rows(fit: bs.Fit) -> None:
    found = bs.trajectory(fit, **PLANNED, steps=STEPS)
    rows = bs.forecast(fit, run="another", **PLANNED, steps=STEPS)
    for of in ("mean", "new_run"):
        np.testing.assert_array_equal(found.draws(of), rows.draws(of))
    assert found.positions.tolist() == STEPS.tolist() and found.along == "steps" and found.run == ""
    assert "its departure from the law" in found.contains["curve"]
    assert "scatter of single rows" in found.contains["new_run"]


def test_rows_of_a_curve_depart_from_the_law_together(fit: bs.Fit) -> None:
    """Close rows share their departure, far ones do not; the scatter of single rows comes on top, on its own."""
    found = bs.trajectory(fit, **PLANNED, steps=[1000.0, 1010.0, 16_000.0])
    away = np.log(found.draws("curve") / found.draws("mean"))
    near, far = np.corrcoef(away.T)[0, 1:]
    assert near > 0.95 and far < 0.6
    single = np.log(found.draws("new_run") / found.draws("curve"))
    assert np.abs(np.corrcoef(single.T)[0, 1:]).max() < 0.15
    assert np.std(single, axis=0) == pytest.approx(np.median(fit.flat()["sigma"]), rel=0.3)


def test_an_end_gives_rows_from_the_first_fitted_step_on(planned: bs.Trajectory) -> None:
    steps = planned.positions
    assert steps[0] == STEPS[0] and steps[-1] == 20_000 and (np.diff(steps) > 0).all()
    assert (steps == np.round(steps)).all() and 40 < len(steps) <= 64
    assert (np.diff(planned.median("mean")) < 0).all()


# --- bands ---


@pytest.mark.parametrize("batch", [64.0, 5e5])
def test_a_run_by_tokens_has_the_rows_of_one_by_steps(fit: bs.Fit, batch: float) -> None:
    """The smallest fitted run by tokens may have a batch larger or smaller than this one."""
    run = {"params": 1e9, "batch_tokens": batch}
    by_tokens, by_steps = bs.trajectory(fit, **run, tokens=20_000 * batch), bs.trajectory(fit, **run, steps=20_000)
    np.testing.assert_array_equal(by_tokens.points["steps"], by_steps.points["steps"])
    np.testing.assert_array_equal(by_tokens.forecast.curve, by_steps.forecast.curve)
    between = bs.trajectory(fit, **run, tokens=20_000.5 * batch).points["steps"]
    assert between.iloc[-1] == 20_000.5 and (between.iloc[:-1] % 1 == 0).all() and between.is_monotonic_increasing


def test_a_simultaneous_band_holds_whole_draws(planned: bs.Trajectory) -> None:
    for of in ("mean", "curve", "new_run"):
        low, high = planned.simultaneous(0.8, of).T
        inside = (planned.draws(of) >= low) & (planned.draws(of) <= high)
        assert inside.all(axis=1).mean() == pytest.approx(0.8, abs=0.005)
        near, far = planned.interval(0.8, of).T
        assert (low <= near).all() and (far <= high).all()


@pytest.mark.slow
def test_bands_and_steps_to_a_loss_hold_simulated_curves() -> None:
    """Larger runs at another batch than fitted: 24 curves of 12 tables."""
    planned = np.geomspace(500, 32_000, 40)
    at_rows, whole, reached = [], [], []
    law = bs.load_law("kaplan_trajectory").at("kaplan2020")
    for seed in range(12):
        runs, ahead = simulated(seed, planned)
        fit = fit_exact("kaplan_trajectory", runs, noise=NOISE, sampler=LAPLACE, seed=seed)
        for _, curve in ahead.groupby("run"):
            params, batch, loss = (curve[name].to_numpy() for name in ("params", "batch_tokens", "loss"))
            found = bs.trajectory(
                fit, params=params[0], batch_tokens=batch[0], steps=planned, seed=seed, unconverged=True
            )
            low, high = found.interval(0.9, "new_run").T
            at_rows.append(np.mean((low <= loss) & (loss <= high)))
            low, high = found.simultaneous(0.9, "new_run").T
            whole.append(((low <= loss) & (loss <= high)).all())
            # Scatter is a tenth of a departure, so the measured rows say where the curve itself is.
            target = float(law(params=params[:1], batch_tokens=batch[:1], steps=planned[25:26])[0])
            below = np.append(loss <= target, True)
            at = np.append(planned, math.inf)[np.argmax(below) + np.array([-1, 0])]
            first, last = found.required(target).interval(0.9)
            reached.append(first <= at[1] and at[0] <= last)
    assert 0.78 < np.mean(at_rows) <= 0.98
    assert np.mean(whole) >= 0.75
    assert np.mean(reached) >= 0.75


# --- losses that are reached ---


def test_a_loss_on_the_curve_is_reached_where_the_curve_is_there(planned: bs.Trajectory) -> None:
    lowest = np.minimum.accumulate(planned.draws(), axis=1)
    target = float(np.median(planned.draws()[:, -1]))
    needed = planned.required(target)
    assert needed.of == "steps" and "ends at 20000 steps" in needed.along
    assert needed.reachable == np.mean(lowest[:, -1] <= target)
    for row in (10, 30, 50):
        before = needed.draws <= planned.positions[row] * (1 + 1e-9)
        assert (before == (lowest[:, row] <= target * (1 + 1e-9))).mean() > 0.999
    tokens = planned.required(target, "tokens").draws
    np.testing.assert_allclose(tokens, needed.draws * PLANNED["batch_tokens"], rtol=1e-9)


def test_a_loss_that_is_never_reached_is_said(planned: bs.Trajectory) -> None:
    assert planned.required(0.5).reachable == 0 and planned.required(0.5).interval(0.9) == (math.inf, math.inf)
    said = planned.reached(0.5)
    assert said["probability_reached"] == 0 and said["steps"] == {"median": None, "low": None, "high": None}
    begun = planned.required(50.0)
    assert (begun.draws == pytest.approx(planned.positions[0])) and begun.reachable == 1


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=12),
    st.floats(-1.2, 1.2),
)
def test_the_first_row_below_a_goal_is_found(values: list[float], goal: float) -> None:
    curve = np.minimum.accumulate(np.array([values]), axis=1)
    place = np.arange(float(len(values)))
    found = reached(curve, place, np.array([goal]))[0]
    if min(values) > goal:
        assert math.isinf(found)
        return
    after = next(i for i, value in enumerate(values) if value <= goal)
    assert max(after - 1, 0) <= found <= after


# --- a run under way ---


def test_a_run_under_way_goes_on_from_its_rows(fit: bs.Fit, runs: bs.Runs) -> None:
    run = str(runs.table["run"].iloc[-1])
    rows = runs.table[runs.table["run"] == run]
    own = bs.trajectory(fit, run=run, steps=64_000)
    ahead = bs.continued(fit, run, {"steps": own.positions}, until=64_000)
    np.testing.assert_array_equal(own.draws("curve"), ahead.mean)
    np.testing.assert_array_equal(own.draws("new_run"), ahead.new_run)
    assert own.positions[0] == pytest.approx(STEPS[-1]) and own.positions[-1] == pytest.approx(64_000)
    assert len(own.so_far) == len(rows) and run in own.contains["curve"] and run in repr(own)
    fresh = bs.trajectory(fit, **rows[["params", "batch_tokens"]].iloc[0], steps=own.positions)
    width = [np.log(np.divide(*one.interval(0.9).T[::-1])) for one in (own, fresh)]
    assert (width[0][:20] < width[1][:20]).all()
    reached = float(rows["loss"].iloc[3])
    first = rows["steps"][rows["loss"] <= reached].iloc[0]
    assert (own.required(reached).draws == first).all()


# --- beside it ---


def test_quantities_beside_the_curve_are_those_of_the_law_at_its_losses(fit: bs.Fit, planned: bs.Trajectory) -> None:
    losses = planned.median().tolist()
    critical = bs.quantity(fit, "critical_batch", loss=losses)
    np.testing.assert_allclose(planned.beside["critical_batch"].draws, critical.draws)
    share = np.median(planned.beside["run_compute_share"].draws, axis=0)
    flops = 6 * PLANNED["params"] * PLANNED["batch_tokens"] * planned.positions * share
    frontier = bs.quantity(fit, "frontier_loss", flops=flops.tolist())
    np.testing.assert_allclose(planned.beside["frontier_loss"].draws, frontier.draws)
    assert "stop_steps" not in planned.beside
    stopped = bs.trajectory(fit, **PLANNED, steps=20_000, given={"gap": 0.02}).beside_frame(0.8)
    assert {"stop_steps", "critical_batch"} <= set(stopped["quantity"])
    assert (stopped["low"] <= stopped["median"]).all() and (stopped["median"] <= stopped["high"]).all()


def test_quantities_are_computed_when_they_are_asked_for_with_the_draws_of_the_curve(
    fit: bs.Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(beside, "quantity", lambda *a, **k: asked.append(a[1]) or bs.quantity(*a, **k))
    rows = np.linspace(100, 20_000, 6_000)
    found = bs.trajectory(fit, **PLANNED, steps=rows)
    assert asked == [] and "critical_batch" in found.beside and "flops" not in found.beside
    critical = found.beside["critical_batch"].draws
    assert set(asked) == {"critical_batch"}
    assert critical.shape == found.draws().shape and len(critical) < len(fit.flat()["sigma"])
    few = fit.thinned(len(critical))
    at_once = bs.quantity(few, "critical_batch", loss=found.median().tolist())
    monkeypatch.setattr(beside, "BLOCK", 1000 * len(critical))
    in_blocks = bs.trajectory(fit, **PLANNED, steps=rows).beside["critical_batch"]
    np.testing.assert_array_equal(in_blocks.draws, at_once.draws)
    pd.testing.assert_frame_equal(in_blocks.points, at_once.points)


def test_several_laws_make_one_curve(fit: bs.Fit, runs: bs.Runs) -> None:
    other = fit_exact("three_term", runs, noise=NOISE, sampler=LAPLACE, seed=0)

    class Two:
        fits, weights, runs = {"one": fit, "other": other}, {"one": 0.75, "other": 0.25}, fit.runs

    for source in (Two(), bs.Ensemble.of(Two(), unconverged=True)):
        found = bs.trajectory(source, **PLANNED, steps=20_000, unconverged=True)
        assert (
            set(found.forecast.members) == {"one", "other"} and "disagreement between laws" in found.contains["curve"]
        )
        assert {"critical_batch", "best_batch"} <= set(found.beside)
        assert found.beside["best_batch"].laws == {"other": 0.25}


def test_a_result_is_a_table_and_json(planned: bs.Trajectory) -> None:
    frame = planned.to_frame((0.9,))
    assert len(frame) == len(planned.positions)
    assert (frame["curve_whole_0.9_low"] <= frame["curve_0.9_low"]).all()
    content = json.loads(planned.to_json((0.5, 0.9), [3.0, 0.5]))
    assert [one["loss"] for one in content["targets"]] == [3.0, 0.5] and content["targets"][1][
        "probability_reached"
    ] == 0
    assert len(content["rows"]) == len(frame) and content["bands"] == planned.contains
    assert {row["steps"] for row in content["beside"]} == {20_000.0}


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": -5}, "steps is -5, expected positive numbers"),
        ({"steps": 0}, "expected positive numbers"),
        ({"steps": math.nan}, "expected positive numbers"),
        ({"steps": [200, 100]}, "must grow from row to row"),
        ({"steps": "many"}, "expected a number or a list of numbers"),
        ({"steps": []}, "expected positive numbers"),
        ({}, "say how long the run is"),
        ({"steps": 1000, "tokens": 1e9}, "in steps or in tokens, not in both"),
        ({"steps": 1000, "params": [1e8, 1e9]}, "params is a list, so give steps as a list"),
        ({"steps": 1000, "params": -1}, "params"),
        ({"steps": 1000, "speed": 3}, "'speed' is no input of a run"),
        ({"steps": 1000, "given": {"gap": 0.1, "luck": 1}}, "no quantity of the laws reads luck"),
        ({"steps": 1000, "run": "none"}, "the fitted table has no run 'none'"),
    ],
)
def test_senseless_runs_are_refused(fit: bs.Fit, change: dict[str, Any], says: str) -> None:
    with pytest.raises(bs.BayesScalingError, match=says):
        bs.trajectory(fit, **{**PLANNED, **change})


def test_a_run_without_its_batch_is_refused(fit: bs.Fit) -> None:
    with pytest.raises(bs.errors.ForecastError, match="batch_tokens is missing"):
        bs.trajectory(fit, params=1e9, steps=1000)


def test_a_run_beyond_its_end_is_refused(fit: bs.Fit, runs: bs.Runs) -> None:
    with pytest.raises(bs.errors.ForecastError, match="is at steps 16000 already"):
        bs.trajectory(fit, run=str(runs.table["run"].iloc[0]), steps=100)


def test_a_law_without_steps_is_refused(runs: bs.Runs) -> None:
    ends = bs.Runs.from_frame(runs.table.groupby("run").tail(1)[["params", "loss"]].reset_index(drop=True))
    fit = fit_exact("power_law:input=params", ends, sampler=LAPLACE, seed=0)
    with pytest.raises(bs.errors.ForecastError, match="a trajectory needs laws that read steps or tokens"):
        bs.trajectory(fit, params=1e9, steps=100, unconverged=True)


def test_ends_of_runs_are_no_curves(chinchilla_fit: bs.Fit) -> None:
    found = bs.trajectory(chinchilla_fit, params=1e9, tokens=1e10)
    assert "holds ends of runs and no curves" in found.forecast.cautions[-1]
    assert found.along == "tokens" and "departure" not in found.contains["curve"]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda found: found.draws("tomorrow"), "a trajectory is of mean, curve, new_run"),
        (lambda found: found.interval(90), "write 0.9 for 90 percent"),
        (lambda found: found.simultaneous(1.0), "expected a fraction"),
        (lambda found: found.required(-1.0), "target loss is -1"),
        (lambda found: found.required(math.inf), "expected a positive number"),
        (lambda found: found.required(3.0, "params"), "reached at steps, tokens, not at 'params'"),
    ],
)
def test_senseless_questions_are_refused(planned: bs.Trajectory, ask: Any, says: str) -> None:
    with pytest.raises(bs.BayesScalingError, match=says):
        ask(planned)

"""What finished runs say of the rest of one that is under way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import ForecastError
from bayes_scaling.model.noise import Noise
from bayes_scaling.predict.deviations import Deviations, SoFar
from bayes_scaling.predict.finished import COMMON, PER_E_FOLD, Finished, _in_common, finished_like, taken_over
from tests.support import fit_exact

CORRELATED = Noise("normal", rows="correlated")
STEPS = np.geomspace(500, 16_000, 24)
END, HALF = 16_000.0, 8000.0
SIZES = {"a": 1e7, "b": 3e7, "c": 1e8, "d": 3e8, "big": 1e9}


def table(fall: float, cut: bool = True) -> pd.DataFrame:
    """Curves that end so much below a law, the more the larger they are; the big one is halfway through."""
    rng = np.random.default_rng(1)
    parts = []
    for name, params in SIZES.items():
        share = STEPS / END
        law = (8.8e13 / params) ** 0.076 + (400 / STEPS) ** 0.76
        bend = -fall * (1 + np.log(params / 1e7) / 5) * share**3
        loss = law * np.exp(bend + 0.0005 * rng.standard_normal(len(STEPS)))
        rows = pd.DataFrame({"run": name, "params": params, "steps": STEPS, "batch_tokens": 5e5, "loss": loss})
        rows["architecture"] = "transformer"  # which is no number
        parts.append(rows[rows["steps"] <= HALF] if cut and name == "big" else rows)
    return pd.concat(parts, ignore_index=True)


def ends(fall: float) -> tuple[bs.Fit, bs.Forecast, bs.Forecast, float]:
    """Return a fit, the end of the big run without and with its plan, and the loss that was measured there."""
    fit = fit_exact("kaplan_steps", bs.Runs.from_frame(table(fall)), noise=CORRELATED, seed=0)
    alone, with_plan = (
        bs.continued(fit, "big", {"steps": [END]}, until=until, unconverged=True) for until in (None, END)
    )
    whole = table(fall, cut=False)
    return fit, alone, with_plan, float(whole[(whole["run"] == "big") & (whole["steps"] == END)]["loss"].iloc[0])


def test_runs_that_end_below_the_law_say_that_this_one_will() -> None:
    fit, alone, with_plan, measured = ends(0.02)
    error = [abs(np.log(one.median()[0] / measured)) for one in (alone, with_plan)]
    assert alone.interval(0.9)[0, 0] > measured, "the law alone does not know that curves bend"
    assert error[1] < error[0] / 2
    assert "finished runs" in with_plan.contains["mean"] and "finished runs" not in alone.contains["mean"]
    assert not with_plan.cautions
    low, high = with_plan.interval(0.9)[0]
    assert low < measured < high
    plan = bs.midrun(fit, "big", END, unconverged=True)
    assert plan.options["median"].iloc[1] == pytest.approx(with_plan.median()[0], rel=2e-3)
    later = bs.continued(fit, "big", {"steps": [END, 2 * END]}, until=END, unconverged=True).median()
    without = bs.continued(fit, "big", {"steps": [END, 2 * END]}, unconverged=True).median()
    assert np.diff(np.log(later)) == pytest.approx(np.diff(np.log(without)), abs=2e-3), "what is shown of the end stays"


def test_runs_that_go_as_the_law_says_change_little() -> None:
    _, alone, with_plan, measured = ends(0.0)
    assert with_plan.median()[0] == pytest.approx(alone.median()[0], rel=2e-3)
    width = [np.ptp(np.log(one.interval(0.9)[0])) for one in (alone, with_plan)]
    assert width[0] * 0.98 < width[1] < 2 * width[0]
    assert with_plan.median()[0] == pytest.approx(measured, rel=3e-3)


def test_it_is_said_where_no_finished_run_shows_the_rest() -> None:
    frame = table(0.02)
    late = frame[(frame["run"] == "big") | (frame["steps"] > HALF)]
    fit = fit_exact("kaplan_steps", bs.Runs.from_frame(late), noise=CORRELATED, seed=0)
    alone, with_plan = (
        bs.continued(fit, "big", {"steps": [END]}, until=until, unconverged=True) for until in (None, END)
    )
    np.testing.assert_array_equal(alone.new_run, with_plan.new_run)
    assert not alone.cautions
    assert "no other run has rows before and after 0.47 of its length" in with_plan.cautions[0]
    with pytest.warns(UserWarning, match="no other run has rows before and after"):
        bs.midrun(fit, "big", END, unconverged=True)


def test_an_end_that_is_behind_is_refused_and_one_far_beyond_is_named() -> None:
    fit = fit_exact("kaplan_steps", bs.Runs.from_frame(table(0.0)), noise=CORRELATED, seed=0)
    far = bs.continued(fit, "big", {"steps": [5 * END]}, until=5 * END, unconverged=True)
    assert any("5 times as long as the longest other run" in caution for caution in far.cautions)
    for until in (5000.0, np.inf):
        with pytest.raises(ForecastError, match="is to end at .*; expected a number above where it is"):
            bs.continued(fit, "big", {"steps": [END]}, until=until, unconverged=True)


def test_what_runs_have_in_common_is_the_posterior_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    error, apart = 0.01 * rng.standard_normal((5, 1, 1)), np.array([-3.0, -2.0, -1.5, -1.0, 0.5])
    expected, scatter = np.full((5, 1, 1), 1e-4), np.full((5, 1, 1), 1e-5)
    found, variance, wider = (float(part[0, 0]) for part in _in_common(error, expected, scatter, apart))
    design = np.stack([np.ones(5), apart], axis=1)
    precision = design.T @ design / 1.1e-4 + np.diag([1 / (COMMON**2 * 1e-4), 1 / (PER_E_FOLD**2 * 1e-4)])
    centre = np.linalg.solve(precision, design.T @ error[:, 0, 0] / 1.1e-4)
    assert found == pytest.approx(centre[0])
    assert variance == pytest.approx(wider * np.linalg.inv(precision)[0, 0])
    assert wider >= 1


def test_errors_beyond_what_is_expected_widen_the_run_ahead() -> None:
    apart, usual = np.zeros(6), np.full((6, 1, 1), 1e-6)
    odd = np.array([1, -1, 1, -1, 1, -1]).reshape(6, 1, 1) * 0.05
    assert _in_common(odd, usual, usual, apart)[2][0, 0] > 100
    assert _in_common(odd * 0, usual, usual, apart)[2][0, 0] == 1


def rows_of(shares: np.ndarray) -> SoFar:
    """One finished run that lies 1 % lower in its second half."""
    residual = np.where(shares > 0.5, -0.01, 0.0)[None]
    theta = {"sigma": np.array([0.001]), "sigma_curve": np.array([0.004]), "length": np.array([1.0])}
    return SoFar(np.zeros(len(shares), int), shares * 1e4, residual, np.full(residual.shape, 0.001), theta)


def test_a_run_with_too_little_before_the_share_says_nothing() -> None:
    zeros = np.zeros((1, 2))
    going = Deviations(zeros, zeros + 0.004, zeros)
    short = Finished(rows_of(np.array([0.2, 0.9, 1.0])), np.zeros(1))
    rng = np.random.default_rng(0)
    assert taken_over(CORRELATED, going, short, 0.5, np.array([0.7, 1.0]), rng) is going
    long = Finished(rows_of(np.array([0.1, 0.3, 0.5, 0.8, 1.0])), np.zeros(1))
    found = taken_over(CORRELATED, going, long, 0.5, np.array([0.5, 1.0]), rng)
    assert found.centre[0, 0] == 0 and found.scale[0, 0] == 0.004, "at its current row nothing is taken over"
    assert -0.01 < found.centre[0, 1] < -0.004 and found.scale[0, 1] > 0.004


def test_the_nearest_runs_are_looked_at() -> None:
    names = [f"r{i}" for i in range(40)]
    parts = [
        pd.DataFrame({"run": name, "params": 1e6 * 1.2**i, "steps": [1.0, 2.0, 3.0], "loss": 3.0})
        for i, name in enumerate(names)
    ]
    parts.append(pd.DataFrame({"run": "two rows", "params": 1e6, "steps": [1.0, 2.0], "loss": 3.0}))
    frame = pd.concat(parts, ignore_index=True)
    near = finished_like(frame, "r39", "steps", 3.0, CORRELATED)
    assert set(near["run"]) == set(names[23:39])
    assert finished_like(frame, "r39", "steps", 3.0, Noise(rows="independent")).empty

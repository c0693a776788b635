"""A run so far: where it will go, and whether to stop it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from tests.support import fit_exact

STEPS = np.geomspace(1000, 16_000, 9)
BATCH = 5e5
OFFSET = 0.02  # of log loss, by which the big run lies above the law


def curve(params: float, steps: np.ndarray) -> np.ndarray:
    """The law that curves follow here."""
    return np.asarray((8.8e13 / params) ** 0.076 + (400 / steps) ** 0.76)


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    """Small runs to their end, and the first half of a big one, which lies above the others."""
    rng = np.random.default_rng(0)
    parts = []
    for name, params in (("a", 1e7), ("b", 3e7), ("c", 1e8), ("d", 3e8), ("big", 1e9)):
        steps = STEPS[STEPS <= 8100] if name == "big" else STEPS
        shift = OFFSET if name == "big" else 0.003 * rng.standard_normal()
        loss = curve(params, steps) * np.exp(shift + 0.001 * rng.standard_normal(len(steps)))
        rows = {"run": name, "params": params, "steps": steps, "batch_tokens": BATCH, "loss": loss}
        parts.append(pd.DataFrame(rows))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fit(curves: pd.DataFrame) -> bs.Fit:
    noise = bs.Noise("normal", rows="correlated")
    return fit_exact("kaplan_steps", bs.Runs.from_frame(curves), noise=noise, seed=0)


@pytest.fixture(scope="module")
def half_way(fit: bs.Fit) -> bs.MidRun:
    return bs.midrun(fit, "big", 16_000, unconverged=True)


def test_a_run_goes_on_from_where_it_is(fit: bs.Fit, curves: pd.DataFrame) -> None:
    last = float(STEPS[STEPS <= 8100][-1])
    own = bs.continued(fit, "big", {"steps": [last, 8500.0, 16_000.0]}, unconverged=True)
    other = bs.forecast(fit, params=1e9, steps=[last, 8500.0, 16_000.0], unconverged=True)
    seen = float(curves.loc[curves["run"] == "big", "loss"].iloc[-1])
    assert own.median("mean")[0] == pytest.approx(seen, rel=0.004)
    assert (np.ptp(own.interval(0.9), axis=1) < np.ptp(other.interval(0.9), axis=1)).all()
    truth = curve(1e9, np.array([last, 8500.0, 16_000.0])) * math.exp(OFFSET)
    assert abs(np.log(own.median()[1] / truth[1])) < abs(np.log(other.median()[1] / truth[1]))
    assert own.interval(0.9)[2][0] < truth[2] < own.interval(0.9)[2][1]
    assert "run big's own deviation" in own.contains["mean"]
    np.testing.assert_allclose(own.extrapolation, [1, 8500 / last, 16_000 / last])


def test_options_cost_what_is_left_and_tell_what_they_bring(half_way: bs.MidRun, curves: pd.DataFrame) -> None:
    options = half_way.options
    assert list(options["option"]) == ["stop now", "continue as planned", "extend 1.5 times", "extend 2 times"]
    last = float(STEPS[STEPS <= 8100][-1])
    np.testing.assert_allclose(options["cost"], 6 * 1e9 * BATCH * (options["steps"] - last))
    assert options["median"].is_monotonic_decreasing
    ahead = options.iloc[1:]
    assert (ahead["low"] < ahead["median"]).all() and (ahead["median"] < ahead["high"]).all()
    # The incumbent is the best of the other runs, which the big one has passed already.
    best = float(curves.loc[curves["run"] != "big", "loss"].min())
    assert options["value"].iloc[1] == pytest.approx(best - options["expected_loss"].iloc[1], rel=0.01)
    written = half_way.to_dict()
    assert written["options"][0]["cost"] == 0 and written["incumbent"] == best and written["target"] is None


def test_what_is_left_is_paid_in_the_unit_of_the_cost(fit: bs.Fit, half_way: bs.MidRun) -> None:
    hours = bs.midrun(fit, "big", 16_000, cost=bs.costs.gpu_hours(1e15, 0.4), unconverged=True)
    np.testing.assert_allclose(hours.options["cost"], half_way.options["cost"] / (1e15 * 0.4 * 3600))


def test_without_a_price_extensions_are_listed_and_not_recommended(fit: bs.Fit, half_way: bs.MidRun) -> None:
    assert half_way.options["net"].is_monotonic_increasing and half_way.best == "continue as planned"
    said = half_way.verdict
    assert said.startswith("Continue as planned: expected improvement")
    assert "What it costs is not counted, so no extension is recommended: a price counts it." in said
    gain = half_way.options["value"].iloc[3] - half_way.options["value"].iloc[1]
    assert "Extending it 1.5 times would gain another" in said and f"2 times {gain:.3g} for 4.8e19 FLOPs more." in said
    cheap = bs.midrun(fit, "big", 16_000, price=1e-30, unconverged=True)
    assert cheap.best == "extend 2 times" and "not counted" not in cheap.verdict
    alone = bs.midrun(fit, "big", 16_000, extend=(), unconverged=True)
    assert alone.verdict.endswith("What it costs is not counted: a price counts it.")


def test_stopping_now_leaves_the_measured_loss(half_way: bs.MidRun, curves: pd.DataFrame) -> None:
    seen, now = float(curves.loc[curves["run"] == "big", "loss"].iloc[-1]), half_way.options.iloc[0]
    np.testing.assert_allclose(now[["median", "low", "high", "expected_loss"]].to_numpy(float), seen, rtol=1e-7)
    best = float(curves.loc[curves["run"] != "big", "loss"].min())
    assert now["value"] == pytest.approx(max(best - seen, 0.0), abs=1e-7) and now["beats_incumbent"] == (seen <= best)
    np.testing.assert_allclose(half_way.interval(0.5)[0], seen, rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"incumbent": 1.0}, r"no option is likely to beat 1 \(expected improvement over the incumbent .* at most\)"),
        ({"objective": "probability_of_target", "target": 1.0}, "no option reaches 1"),
        (
            {"objective": "probability_of_target", "target": 9.0},
            "the probability of the target is 1, and going on would not change it",
        ),
    ],
)
def test_a_run_that_nothing_helps_is_stopped(fit: bs.Fit, options: dict[str, Any], says: str) -> None:
    for price in (0.0, 1e-30):
        found = bs.midrun(fit, "big", 16_000, price=price, unconverged=True, **options)
        assert re.match(rf"Stop now: {says}\. As planned the loss would be 2\.\d+ nats/token", found.verdict)
        assert found.best == "stop now" and found.to_dict()["stop"] == found.stop and "budget" not in found.verdict
    flat = bs.objectives.utility([(30.0, 1.0), (40.0, 0.0)])
    assert bs.midrun(fit, "big", 16_000, objective=flat, unconverged=True).verdict.startswith(
        "No recommendation: the ut"
    )


def test_a_price_stops_a_run(fit: bs.Fit, half_way: bs.MidRun) -> None:
    worth = half_way.options["value"].iloc[1] - half_way.options["value"].iloc[0]
    per_flop = worth / half_way.options["cost"].iloc[1]
    dear = bs.midrun(fit, "big", 16_000, price=3 * per_flop, unconverged=True)
    assert dear.best == "stop now"
    loss = bs.midrun(fit, "big", 16_000, objective=bs.objectives.expected_loss(), extend=(), unconverged=True)
    np.testing.assert_allclose(loss.options["net"], -loss.options["expected_loss"])
    aimed = bs.midrun(
        fit, "big", 16_000, objective=bs.objectives.probability_of_target(), target=2.45, unconverged=True
    )
    assert aimed.to_dict()["target"] == 2.45
    odds = aimed.options
    np.testing.assert_allclose(odds["value"], odds["reaches_target"])


@pytest.mark.parametrize(
    ("run", "until", "change", "says"),
    [
        ("gone", 16_000, {}, "no run 'gone'; it has a, b, c, d"),
        ("big", 4000, {}, "is at steps 8000, and was to end at 4000"),
        ("big", 16_000, {"extend": (0.5,)}, "expected factors above 1"),
        ("big", 16_000, {"price": -1.0}, "the price is -1"),
        ("big", 16_000, {"objective": bs.objectives.probability_of_target()}, "there is no target"),
        ("big", 16_000, {"ahead": {"steps": [9000.0]}}, "need one at each of steps"),
    ],
)
def test_bad_questions_are_explained(fit: bs.Fit, run: str, until: float, change: dict[str, Any], says: str) -> None:
    with pytest.raises(bs.BayesScalingError, match=says):
        bs.midrun(fit, run, until, unconverged=True, **change)


def test_rows_ahead_go_on(fit: bs.Fit) -> None:
    with pytest.raises(bs.errors.ForecastError, match="go on from steps 8000 in order; got 500"):
        bs.continued(fit, "big", {"steps": [500.0]}, unconverged=True)


def test_runs_of_one_row_are_no_curves(chinchilla_fit: bs.Fit) -> None:
    with pytest.raises(bs.errors.ForecastError, match="run 'sim-1' has one row in the fitted table"):
        bs.continued(chinchilla_fit, "sim-1", {"tokens": [1e12]})


@pytest.mark.filterwarnings("ignore:the table has curves of 2 sizes")
def test_a_law_of_tokens_goes_on_in_tokens(curves: pd.DataFrame) -> None:
    """Steps are in the table, too; what counts is what the law reads."""
    table = curves[curves["run"].isin(["d", "big"])].assign(tokens=lambda rows: rows["steps"] * BATCH)
    noise = bs.Noise("normal", rows="correlated")
    fit = fit_exact("power_law:input=tokens", bs.Runs.from_frame(table), noise=noise, sampler="laplace", seed=0)
    found = bs.midrun(fit, "big", 16_000 * BATCH, extend=(), unconverged=True)
    np.testing.assert_allclose(found.options["tokens"], [8000 * BATCH, 16_000 * BATCH])
    np.testing.assert_allclose(found.options["cost"], [0.0, 6 * 1e9 * 8000 * BATCH])


def test_a_run_that_will_hardly_bring_what_is_wanted_may_stop(fit: bs.Fit, half_way: bs.MidRun) -> None:
    low = half_way.interval(0.9998)[1, 0]
    for wanted in ({"incumbent": low}, {"objective": "probability_of_target", "target": low}):
        found = bs.midrun(fit, "big", 16_000, unconverged=True, **wanted)
        assert found.best == "stop now" and "with a probability of" in found.stop, found.verdict
        likely = {
            name: half_way.options["median"].iloc[1] if name != "objective" else it for name, it in wanted.items()
        }
        assert bs.midrun(fit, "big", 16_000, unconverged=True, **likely).best == "continue as planned"

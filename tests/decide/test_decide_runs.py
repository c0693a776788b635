"""Several runs from one budget: the best of k against closed forms, ladders that add up."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import gpu_hours, lifetime
from bayes_scaling.decide.objectives import Objective, cvar, expected_improvement, expected_loss, loss_quantile
from bayes_scaling.decide.portfolio import Portfolio, _Split
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble
from tests.support import THREE, believed

TRUTH = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)


@pytest.fixture(scope="module")
def quiet() -> Ensemble:
    return believed("chinchilla", TRUTH, draws=100, spread=0.01)


@pytest.fixture(scope="module")
def noisy(quiet: Ensemble) -> Ensemble:
    """Runs that scatter by ten percent: two tries beat one that is a little better."""
    (member,) = quiet.members.values()
    theta = {**member.theta, "sigma": np.full(len(quiet), 0.1)}
    return dataclasses.replace(quiet, members={"chinchilla": dataclasses.replace(member, theta=theta)})


def test_one_run_where_runs_hardly_scatter(quiet: Ensemble) -> None:
    found = bs.DecisionProblem(quiet).portfolio(1e23)
    assert found.gain < 0 and "One run with the whole budget is better than 2" in found.verdict
    for errors in (-1.9, 1.9):
        assert "is as good as 2" in dataclasses.replace(found, gain=errors * found.gain_se).verdict
    assert found.runs["share"].sum() == pytest.approx(1) and found.runs["cost"].sum() == pytest.approx(1e23, rel=1e-9)
    assert found.runs["best"].tolist() == [1.0, 0.0] and found.runs["share"][0] > 0.9
    single = bs.allocate(quiet, 1e23)
    assert found.single == pytest.approx(single.value, abs=4 * found.value_se)


def test_several_runs_where_they_do(noisy: Ensemble) -> None:
    found = bs.DecisionProblem(noisy).portfolio(1e23, 3)
    assert found.gain > 4 * found.gain_se and "3 runs are better than one" in found.verdict
    assert found.runs["cost"].sum() == pytest.approx(1e23, rel=1e-9) and found.runs["share"].is_monotonic_decreasing
    assert found.runs["best"].sum() == pytest.approx(1.0)
    # What the search found is no worse than an even split at the best size of a third of the budget.
    one = bs.allocate(noisy, 1e23 / 3)
    losses = np.exp(one.predictive.location + 0.1 * np.random.default_rng(0).standard_normal((100, 4000 * 3)))
    even = np.maximum(found.goal.incumbent - losses.reshape(100, -1, 3).min(axis=2), 0).mean()
    assert found.value > even - 3 * found.value_se
    low, high = found.interval(0.9)
    assert low < np.median(found.losses) < high < one.interval(0.9)[1]
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(content["runs"]) == 3 and content["verdict"] == found.verdict and "3 runs" in repr(found)
    assert bs.DecisionProblem(noisy).portfolio(1e23, 3).to_dict() == found.to_dict()


def test_the_best_of_equal_runs_has_the_mean_of_a_smallest_normal() -> None:
    """The least of k standard normals has mean -0.5642 for two and -0.8463 for three."""
    same = believed("chinchilla", TRUTH, draws=4000, spread=0.0)
    centre = float(same.log_mean(same.points(params=1e10, tokens=1e12))[0, 0])
    for k, mean in ((2, -0.56419), (3, -0.84628)):
        split = _Split(bs.DecisionProblem(same, objective=expected_loss()).checked, 1e23, k)
        run = {name: np.repeat(v, k) for name, v in same.points(params=1e10, tokens=1e12).items()}
        least = (split.outcomes(same, run)[:, 0, 0].min(axis=-1) - centre) / 0.005
        assert least.mean() == pytest.approx(mean, abs=4 * least.std() / np.sqrt(4000))


def test_heavy_tails_fall_on_runs_independently(chinchilla_fit: bs.Fit) -> None:
    beliefs = Ensemble.of(chinchilla_fit).take(range(500))
    run = {name: np.repeat(v, 2) for name, v in beliefs.points(params=1e10, tokens=1e12).items()}
    drawn = _Split(bs.DecisionProblem(beliefs, objective=expected_improvement()).checked, 1e23, 2).outcomes(
        beliefs, run
    )[:, :, 0]
    left, right = (drawn - beliefs.log_mean(beliefs.points(params=1e10, tokens=1e12))[:, :, None]).reshape(-1, 2).T
    assert abs(scipy.stats.spearmanr(np.abs(left), np.abs(right)).statistic) < 0.1
    assert scipy.stats.ks_2samp(left, right).pvalue > 1e-3


@pytest.mark.parametrize("objective", [loss_quantile(0.9), cvar(0.1)])
def test_other_objectives_judge_the_best_of_several(noisy: Ensemble, objective: Objective) -> None:
    found = bs.DecisionProblem(noisy, objective=objective).portfolio(1e23, 2)
    beyond = np.sort(found.losses.reshape(-1))[-found.losses.size // 10 :]
    exact = beyond[0] if objective.label.startswith("0.9") else beyond.mean()
    assert found.value == pytest.approx(exact, rel=5e-3)
    assert found.gain > 2 * found.gain_se > 0 and found.value < found.single


def test_batches_and_constraints_hold_for_every_run() -> None:
    three = believed("three_term", THREE)
    held = Constraints(params=(1e9, 1e10))
    found = bs.DecisionProblem(three, constraints=held).portfolio(1e22)
    assert (found.runs["params"] <= 1e10 * (1 + 1e-9)).all() and (found.runs["batch_tokens"] > 1e4).all()
    assert isinstance(found, Portfolio)


def test_a_ladder_adds_up(quiet: Ensemble) -> None:
    hours = gpu_hours(989e12, np.linspace(0.3, 0.5, 21))
    found = bs.DecisionProblem(quiet, cost=hours, target=2.0).ladder(1e5, share=0.1, rungs=3, ratio=2.0, reserve=0.2)
    assert found.total == pytest.approx(1e5, rel=1e-9)
    assert found.rungs["cost"].sum() == pytest.approx(1e4) and found.reserve == pytest.approx(2e4)
    np.testing.assert_allclose(found.rungs["cost"].to_numpy()[1:] / found.rungs["cost"].to_numpy()[:-1], 2.0)
    assert found.final.cost == pytest.approx(7e4) and found.final.goal.target == 2.0
    frame = found.to_frame()
    assert frame["role"].tolist() == ["rung 1", "rung 2", "rung 3", "final", "reserve"]
    assert frame["share"].sum() == pytest.approx(1.0)
    assert ((frame["low"] < frame["expected_loss"]) & (frame["expected_loss"] < frame["high"]))[:4].all()
    rung = bs.allocate(quiet, float(frame["cost"][1]), cost=hours, objective=expected_loss())
    assert frame["params"][1] == pytest.approx(rung.params, rel=1e-6)
    assert 0 < found.uncertainty_left < 1
    assert (
        bs.DecisionProblem(quiet, cost=hours).ladder(1e5, share=0.1, rungs=8, ratio=2.0).uncertainty_left
        < found.uncertainty_left
    )
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["reserve"] == found.reserve
    assert "3 rungs" in repr(found)


def test_what_a_ladder_leaves_is_that_of_the_joint_normal(quiet: Ensemble) -> None:
    """The rungs and the final run err together; each rung is seen with the scatter of one run."""
    found = bs.DecisionProblem(quiet).ladder(1e23, rungs=3)
    rungs = quiet.points(**{name: found.rungs[name] for name in ("params", "tokens")})
    final = quiet.points(params=found.final.params, tokens=found.final.tokens)
    whole = np.cov(np.hstack([quiet.log_mean(rungs), quiet.log_mean(final)]).T)
    seen = whole[:3, :3] + 0.005**2 * np.eye(3)
    left = 1 - whole[3, :3] @ np.linalg.solve(seen, whole[:3, 3]) / whole[3, 3]
    assert found.uncertainty_left == pytest.approx(np.sqrt(left), rel=0.05)


def test_rungs_are_trained_and_not_served(quiet: Ensemble) -> None:
    found = bs.DecisionProblem(quiet, cost=lifetime(1e12)).ladder(1e23)
    np.testing.assert_allclose(found.rungs["cost"], 6 * found.rungs["params"] * found.rungs["tokens"])
    assert found.total == pytest.approx(1e23)


def test_bad_splits_are_explained(quiet: Ensemble) -> None:
    for ask, says in (
        (lambda: bs.DecisionProblem(quiet).portfolio(1e23, 1), "expected a whole number from 2"),
        (lambda: bs.DecisionProblem(quiet, cost=lifetime(1e12)).portfolio(1e23), "leave serving out"),
        (lambda: bs.DecisionProblem(quiet).ladder(1e23, share=10), "write 0.1 for 10 percent"),
        (lambda: bs.DecisionProblem(quiet).ladder(1e23, share=0.6, reserve=0.4), "leave nothing for the final run"),
        (lambda: bs.DecisionProblem(quiet).ladder(1e23, rungs=0), "rungs is 0"),
        (lambda: bs.DecisionProblem(quiet).ladder(1e23, ratio=0.5), "ratio is 0.5"),
    ):
        with pytest.raises(PlanError) as caught:
            ask()
        assert says in str(caught.value) and "\n" not in str(caught.value)

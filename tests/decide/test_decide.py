"""Allocation: objectives against closed forms and quadrature, optima against Chinchilla's, budgets that add up."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.decide import objectives as ob
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import gpu_hours, lifetime
from bayes_scaling.decide.decision import DecisionProblem, allocate
from bayes_scaling.decide.plan import Plan
from bayes_scaling.errors import ArgumentError, BayesScalingError, PlanError
from bayes_scaling.model.families import PARTS
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import POINTS_AT_ONCE
from tests.support import fit_exact, losses_of_parts

PEAK = 989e12


@pytest.fixture(scope="module")
def beliefs(chinchilla_fit: bs.Fit) -> Ensemble:
    return Ensemble.of(chinchilla_fit, seed=0)


@pytest.fixture(scope="module")
def plan(beliefs: Ensemble) -> Plan:
    return allocate(beliefs, 1e23, target=2.0)


@pytest.fixture(scope="module")
def comparison(chinchilla_fit: bs.Fit, wandering_fit: bs.Fit) -> bs.Comparison:
    """Two laws with weights and one that earned none, as a comparison hands them on."""
    nothing: dict[str, Any] = {"candidates": (), "cuts": (), "scores": pd.DataFrame(), "refits": pd.DataFrame()}
    return bs.Comparison(
        runs=chinchilla_fit.runs,
        left_one_out={},
        loo_notes={},
        fits={"alone": chinchilla_fit, "path": wandering_fit, "failed": SimpleNamespace()},
        weights={"alone": 0.25, "path": 0.7499, "failed": 0.0001},
        loo_weights={},
        seconds=0.0,
        **nothing,
    )


# --- beliefs ---


def test_beliefs_are_those_of_a_forecast(chinchilla_fit: bs.Fit, beliefs: Ensemble) -> None:
    params, tokens = np.array([1e9, 1e11]), np.array([2e10, 3e12])
    ahead = bs.forecast(chinchilla_fit, params=params, tokens=tokens)
    np.testing.assert_allclose(
        np.exp(beliefs.log_mean(beliefs.points(params=params, tokens=tokens))), ahead.mean, rtol=1e-12
    )
    found = beliefs.new_run(beliefs.points(params=params, tokens=tokens))
    for p in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(ob.quantile(found, p), ahead.quantile(p), rtol=2e-3)
    below = ob.probability_below(found, 2.0).mean(axis=0)
    np.testing.assert_allclose(below, ahead.predictive.probability_below(np.array([2.0])), atol=2e-3)


def test_the_path_is_one_function_per_draw(wandering_fit: bs.Fit) -> None:
    believed = Ensemble.of(wandering_fit, seed=3)
    params, tokens = np.geomspace(1e8, 1e14, 40), np.geomspace(1e10, 1e16, 40)
    together = believed.discrepancy(believed.points(params=params, tokens=tokens))
    one_by_one = np.concatenate(
        [believed.discrepancy(believed.points(params=N, tokens=D)) for N, D in zip(params, tokens, strict=True)], axis=1
    )
    np.testing.assert_array_equal(together, one_by_one)
    # The same size by another split is the same place on the path.
    np.testing.assert_allclose(
        believed.discrepancy(believed.points(params=params * 7, tokens=tokens / 7)), together, atol=1e-12
    )
    ahead = bs.forecast(wandering_fit, params=params[20:], tokens=tokens[20:])
    spread = (np.log(ahead.mean) - believed.log_law(believed.points(params=params[20:], tokens=tokens[20:]))).std(
        axis=0
    )
    np.testing.assert_allclose(together[:, 20:].std(axis=0), spread, rtol=0.1)


def test_laws_in_other_inputs_are_refused(grid_runs: bs.Runs) -> None:
    fit = fit_exact("power_law:input=flops,form=pure", grid_runs)
    with pytest.raises(PlanError, match="needs a law in params and tokens .or steps.; power_law.* takes flops"):
        allocate(fit, 1e22)


def test_an_unconverged_fit_is_refused(chinchilla_fit: bs.Fit) -> None:
    bad = dataclasses.replace(chinchilla_fit.diagnostics, rhat=1.5, divergences=3000)
    stuck = dataclasses.replace(chinchilla_fit, diagnostics=bad)
    with pytest.raises(bs.errors.ConvergenceError, match="did not converge"):
        allocate(stuck, 1e22)
    assert len(Ensemble.of(stuck, unconverged=True)) == 4000


# --- plans ---


@pytest.mark.parametrize("budget", [1e20, 5.76e23, 1e27])
@pytest.mark.parametrize(
    "objective", [ob.expected_improvement(), ob.expected_loss(), ob.probability_of_target(), ob.loss_quantile(0.9)]
)
def test_one_law_gives_the_closed_form(beliefs: Ensemble, budget: float, objective: ob.Objective) -> None:
    one = beliefs.take([17])
    theta = {name: float(v[0]) for name, v in next(iter(one.members.values())).theta.items()}
    a, b = theta["alpha"], theta["beta"]
    exact = (a * theta["A"] / (b * theta["B"])) ** (1 / (a + b)) * (budget / 6) ** (b / (a + b))
    found = allocate(one, budget, objective=objective, target=2.2)
    assert found.params == pytest.approx(exact, rel=1e-6)
    assert found.regret.max() < 1e-9
    assert found.value_se == 0


def test_the_optimum_of_every_draw_is_that_of_compute_optimal(chinchilla_fit: bs.Fit, plan: Plan) -> None:
    best = bs.compute_optimal(chinchilla_fit, 1e23)
    np.testing.assert_allclose(plan.optimum_params, best.params, rtol=1e-6)
    np.testing.assert_allclose(plan.optimum_tokens, best.tokens, rtol=1e-6)
    draws = {name: values.reshape(-1) for name, values in chinchilla_fit.draws.items()}
    exact = chinchilla_fit.law.quantity("params_opt", draws, flops=1e23)
    np.testing.assert_allclose(plan.optimum_params, exact, rtol=1e-9)
    assert plan.interval(0.9, "optimum_params") == pytest.approx(tuple(best.interval("params", 0.9)))
    low, high = plan.interval(0.9, "optimum_params")
    assert low < plan.params < high


def test_regret_is_never_negative_and_rules_of_thumb_lose(plan: Plan) -> None:
    for choice in (plan.choice, *plan.alternatives.values()):
        assert (choice.regret >= 0).all() and (choice.wasted >= 0).all() and (choice.wasted <= 1).all()
    twenty = plan.alternatives["twenty_tokens"]
    assert twenty.tokens / twenty.params == pytest.approx(20.0)
    assert plan.choice.expected_regret < twenty.expected_regret < math.inf
    assert set(plan.alternatives) == set(bs.units.PUBLISHED_FRONTIERS)
    # Expected regrets differ as expected losses of the mean curve do, and no place has a lower one.
    assert plan.choice.expected_regret == min(c.expected_regret for c in (plan.choice, *plan.alternatives.values()))


def test_wasted_flops_reach_the_same_loss(chinchilla_fit: bs.Fit, plan: Plan) -> None:
    twenty, draw = plan.alternatives["twenty_tokens"], 5
    less = bs.compute_optimal(chinchilla_fit, 1e23 * (1 - twenty.wasted[draw]))
    best = bs.compute_optimal(chinchilla_fit, 1e23)
    assert less.loss[draw] - best.loss[draw] == pytest.approx(twenty.regret[draw], rel=5e-3)


def test_a_plan_says_how_it_may_turn_out(plan: Plan, beliefs: Ensemble) -> None:
    assert plan.goal.incumbent == beliefs.best_loss
    low, high = plan.interval(0.9)
    inner = plan.interval(0.5)
    assert low < inner[0] < inner[1] < high < plan.cvar(0.05) + 0.1
    assert plan.cvar(0.05) > high
    assert plan.probability_beats_incumbent > 0.99
    assert 0 < plan.probability_reaches_target < 0.1
    losses = losses_of_parts(beliefs.new_run(beliefs.points(params=plan.params, tokens=plan.tokens)), 1)
    assert np.mean((losses > low) & (losses < high)) == pytest.approx(0.9, abs=0.02)
    assert plan.value == pytest.approx(np.maximum(plan.goal.incumbent - losses, 0).mean(), rel=0.01)
    frame = plan.to_frame()
    assert frame["choice"].tolist() == ["plan", *bs.units.PUBLISHED_FRONTIERS]
    content = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert content["plan"]["params"] == plan.params and content["unit"] == "FLOPs"
    assert "params" in repr(plan)


def test_an_interval_of_cost_holds_its_probability_among_few_costs(plan: Plan, beliefs: Ensemble) -> None:
    for count in (2, 3, 5, 10, 30):
        some = dataclasses.replace(plan, costs=np.linspace(1.0, 2.0, count))
        for share in (0.5, 0.8, 0.9):
            low, high = some.interval(share, "cost")
            assert {low, high} <= set(some.costs) and ((low <= some.costs) & (some.costs <= high)).mean() >= share
    many = np.random.default_rng(0).lognormal(0.0, 0.2, 4000)
    exact = np.quantile(many, [0.05, 0.95])
    np.testing.assert_allclose(dataclasses.replace(plan, costs=many).interval(0.9, "cost"), exact, rtol=5e-3)
    uncertain = bs.costs.gpu_hours(1e15, [0.3, 0.4, 0.5])
    found = allocate(beliefs.take(range(50)), 1e5, cost=uncertain)
    assert found.interval(0.9, "cost") == (found.costs.min(), found.costs.max())


def test_the_flat_region_ends_where_it_says(beliefs: Ensemble, plan: Plan) -> None:
    best = allocate(beliefs, 1e23, objective=ob.expected_loss())
    for edge in plan.flat:
        mean = np.exp(beliefs.log_mean(beliefs.points(params=edge, tokens=1e23 / (6 * edge)))).mean()
        lowest = np.exp(beliefs.log_mean(beliefs.points(params=best.params, tokens=best.tokens))).mean()
        assert mean - lowest == pytest.approx(plan.flat_within, rel=0.01)
    assert plan.flat[0] < plan.params < plan.flat[1]
    assert plan.flat_within == pytest.approx(0.001 * 2.05, rel=0.01)


def test_a_target_below_the_floor_has_no_probability(beliefs: Ensemble) -> None:
    found = allocate(beliefs.take(range(200)), 1e23, target=0.5)
    assert found.probability_reaches_target < 1e-12
    table = DecisionProblem(beliefs.take(range(200)), target=0.5).smallest_budget([0.1, 0.9])
    assert np.isinf(table["budget"]).all() and table["params"].isna().all()
    assert "in 100% of draws even an endless run is expected to stay above the target" in table["why"][0]


def test_what_keeps_a_probability_low_counts_the_error_of_the_law(wandering_fit: bs.Fit) -> None:
    """Draws whose irreducible loss is above the target, but which their discrepancy leads below it, are not counted."""
    ensemble = Ensemble.of(wandering_fit)
    target = float(np.quantile(wandering_fit.flat()["E"], 0.1))
    row = DecisionProblem(ensemble, target=target).smallest_budget([0.99]).iloc[0]
    assert "irreducible" not in row["why"]
    stays = float(row["why"].split("in ")[-1].split("%")[0]) / 100
    assert stays == pytest.approx(1 - row["reached"], abs=0.02)


def test_same_seed_same_plan(wandering_fit: bs.Fit) -> None:
    first, again = (allocate(wandering_fit, 1e23, seed=4, target=2.0).to_dict() for _ in range(2))
    assert first == again
    assert allocate(wandering_fit, 1e23, seed=5, target=2.0).to_dict() != first


def test_memory_is_that_of_a_few_blocks(beliefs: Ensemble) -> None:
    """However fine the search, no array is larger than a block of runs by draws by parts, and few stand at a time."""
    block = POINTS_AT_ONCE * len(beliefs) * PARTS * 8
    tracemalloc.start()
    allocate(beliefs, 2e23)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * block


def test_candidates_snap(beliefs: Ensemble) -> None:
    some = beliefs.take(range(200))
    found = allocate(some, 1e23, candidates=[70e9, 7e9, 13e9, 33e9])
    assert found.params == 33e9 and found.cost == pytest.approx(1e23)
    free = allocate(some, 1e23)
    assert found.unsnapped.params == free.params
    assert found.snapping_regret == pytest.approx(free.value - found.value) and found.snapping_regret > 0
    assert free.snapping_regret == 0
    with pytest.raises(PlanError, match="no candidate from 1e\\+10 to 1e\\+10 parameters is allowed"):
        allocate(some, 1e23, candidates=[1e10], constraints=Constraints(params=(2e10, 1e12)))
    with pytest.raises(ArgumentError, match=r"candidates\[0\] is '7B' \(str\); expected a number or a Shape"):
        allocate(some, 1e23, candidates=["7B"])


def test_constraints_hold_and_what_binds_is_named(beliefs: Ensemble) -> None:
    some = beliefs.take(range(100))
    scarce = allocate(some, 1e23, constraints=Constraints(tokens_available=1e11))
    assert scarce.tokens == pytest.approx(1e11) and scarce.cost == pytest.approx(1e23)
    small = allocate(some, 1e23, constraints=Constraints(params=(1e8, 1e10)))
    assert small.params == pytest.approx(1e10)
    even = allocate(some, 1e23, constraints=Constraints(tokens_per_param=(20.0, 20.0)))
    assert even.tokens / even.params == pytest.approx(20.0)
    assert not small.alternatives["twenty_tokens"].allowed and even.alternatives["twenty_tokens"].allowed
    served = allocate(some, 1e23, cost=lifetime(1e12), constraints=Constraints(tokens_per_param=(20.0, 20.0)))
    assert served.tokens / served.params == pytest.approx(20.0) and served.cost == pytest.approx(1e23)
    for constraints, says in (
        (
            Constraints(params=(1.0, 1e10), tokens_available=1e11),
            r"1e\+11 tokens available .* but params at most 1e\+10",
        ),
        (Constraints(params=(1e12, 1e13), tokens=(1e12, 1e14)), r"params at least 1e\+12 .* tokens at least 1e\+12"),
        (
            Constraints(tokens_per_param=(0.0, 1.0), tokens=(1e13, 1e14)),
            r"tokens_per_param at most 1 .* tokens at least 1e\+13",
        ),
    ):
        with pytest.raises(PlanError, match=says):
            allocate(some, 1e23, constraints=constraints)


def test_bad_questions_are_explained(beliefs: Ensemble) -> None:
    some = beliefs.take(range(10))
    for ask, says in (
        (lambda: allocate(some, -1e22), "the budget is -1e+22 FLOPs, expected a positive"),
        (lambda: allocate(some, math.nan), "budget is nan (float); expected a number"),
        (lambda: allocate(some, 3.0), "too few for any run"),
        (lambda: allocate(some, 1e22, incumbent=-2.0), "incumbent is -2"),
        (lambda: allocate(some, 1e22, target=0.0), "target is 0"),
        (lambda: allocate(some, 1e22, flat=5), "write 0.05 for 5 percent"),
        (lambda: allocate(some, 1e22).interval(90), "write 0.9 for 90 percent"),
        (lambda: allocate(some, 1e22).interval(0.9, "size"), "expected one of loss, cost"),
        (lambda: DecisionProblem(some, target=2.0).smallest_budget([50]), "write 0.5 for 50 percent"),
        (lambda: DecisionProblem(some).curve([]), "no budget was given"),
        (lambda: Constraints(params=(1e10, 1e9)), "expected 0 <= least <= most"),
        (lambda: Constraints(tokens=1e9), "expected 2 values, each a number"),
        (lambda: Constraints(tokens_available=-1.0), "tokens_available is -1"),
        (lambda: some.take([10]), "draws are counted from 0 to 9"),
    ):
        with pytest.raises(BayesScalingError) as caught:
            ask()
        assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_comparison_plans_with_all_its_laws(comparison: bs.Comparison) -> None:
    believed = Ensemble.of(comparison)
    assert len(believed) == 4000
    assert {name: len(member) for name, member in believed.members.items()} == {"alone": 1000, "path": 3000}
    found = allocate(comparison, 1e23)
    assert set(found.picks) == {"alone", "path"} and found.label.startswith("ensemble of alone 25%")
    alone = allocate(believed.only("path"), 1e23)
    assert found.picks["path"].params == pytest.approx(alone.params, rel=1e-6)
    assert found.to_dict()["picks"]["path"]["weight"] == pytest.approx(0.7499)
    assert found.to_frame()["choice"].tolist()[1:3] == ["alone by itself", "path by itself"]


# --- budgets ---


def test_budget_curve_follows_plans(beliefs: Ensemble) -> None:
    some = beliefs.take(range(200))
    curve = DecisionProblem(some).curve([1e22, 1e23, 1e24])
    one = allocate(some, 1e23)
    assert curve["params"][1] == pytest.approx(one.params, rel=1e-6)
    assert curve["value"][1] == pytest.approx(one.value)
    assert curve["value"].is_monotonic_increasing and curve["expected_loss"].is_monotonic_decreasing
    h = 1e21
    slope = (allocate(some, 1e23 + h).value - allocate(some, 1e23 - h).value) / (2 * h)
    assert curve["value_per_unit"][1] == pytest.approx(slope, rel=0.01, abs=0.0)
    assert (curve["loss_per_unit"] < 0).all()


def test_a_budget_curve_keeps_to_the_models_that_exist(beliefs: Ensemble) -> None:
    some = beliefs.take(range(50))
    shape = bs.units.Shape(32, 4096, vocabulary=32_000, context=2048)
    curve = DecisionProblem(some).curve([1e21, 1e23], [1e9, 7e9, 13e9])
    assert set(curve["params"]) <= {1e9, 7e9, 13e9} and curve["params"][0] < curve["params"][1]
    same = allocate(some, 1e23, candidates=[1e9, 7e9, 13e9])
    assert curve["value"][1] == pytest.approx(same.value) and curve["tokens"][1] == pytest.approx(same.tokens)
    one = DecisionProblem(some).curve([1e23], shape)
    assert one["tokens"][0] == pytest.approx(allocate(some, 1e23, candidates=shape).tokens)


def test_smallest_budget_is_where_the_probability_is_reached(beliefs: Ensemble) -> None:
    some = beliefs.take(range(0, 4000, 10))
    with pytest.warns(bs.errors.BayesScalingWarning, match=r"from a budget of 1\.\d+e25 FLOPs on, runs take 1"):
        table = DecisionProblem(some, target=1.95).smallest_budget([0.2, 0.5, 0.9])
    assert table["budget"].is_monotonic_increasing
    for row in table.itertuples():
        best = allocate(some, row.budget, objective=ob.probability_of_target(), target=1.95)
        assert best.value == pytest.approx(row.probability, abs=1e-3)
        assert row.reached >= row.probability
    hours = DecisionProblem(some, target=1.95, cost=gpu_hours(PEAK, 0.4)).smallest_budget([0.5])
    assert hours["budget"][0] == pytest.approx(table["budget"][1] / (PEAK * 0.4 * 3600), rel=1e-3)
    held = DecisionProblem(some, target=1.95, constraints=Constraints(tokens_available=1e11)).smallest_budget([0.5])
    assert math.isinf(held["budget"][0]) and "under these constraints" in held["why"][0]
    with pytest.raises(PlanError, match="constraints leave no plan"):
        DecisionProblem(
            some, target=1.95, constraints=Constraints(params=(1e25, 1e26), tokens=(1e25, 1e26))
        ).smallest_budget([0.5])
    easy = DecisionProblem(some, target=1e6).smallest_budget([0.5])
    assert math.isfinite(easy["budget"][0]) and "smallest budget" in easy["why"][0]


def test_a_problem_can_be_pickled(chinchilla_fit: bs.Fit) -> None:
    problem = bs.DecisionProblem(chinchilla_fit, objective="probability_of_target", target=2.0)
    there = pickle.loads(pickle.dumps(problem))
    assert there.allocate(1e22).to_frame().equals(problem.allocate(1e22).to_frame())
    several = bs.Ensemble.of(chinchilla_fit)
    there = pickle.loads(pickle.dumps(several))
    at = {"params": 7e10, "tokens": 1.4e12}
    np.testing.assert_array_equal(bs.forecast(there, **at).interval(0.9), bs.forecast(several, **at).interval(0.9))

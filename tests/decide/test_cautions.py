"""Cautions: budgets whose runs lie far from all fitted ones."""

from __future__ import annotations

import dataclasses

import pytest

import bayes_scaling as bs
from bayes_scaling.base.numbers import amount
from bayes_scaling.data.validation import PF_DAY
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import money
from bayes_scaling.decide.decision import DecisionProblem, allocate
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble
from tests.support import believed


@pytest.fixture(scope="module")
def chinchilla() -> Ensemble:
    return believed("chinchilla", dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values))


def test_a_budget_far_below_all_runs_is_cautioned_and_one_in_another_unit_refused(chinchilla: Ensemble) -> None:
    (runs,) = {member.fit.runs for member in chinchilla.members.values()}
    smallest = float(runs.column("flops").min())
    assert not allocate(chinchilla, smallest / 9).cautions
    assert any(
        "12 times below the smallest fitted run" in said for said in allocate(chinchilla, smallest / 12).cautions
    )
    with pytest.raises(
        PlanError, match=r"a budget of 6666 FLOPs buys a run .* if PF-days are meant, write 5.7\d*e\+23$"
    ):
        allocate(chinchilla, 6666.0)
    largest = float(runs.column("flops").max())
    with pytest.raises(PlanError, match="if PF-days are meant, write"):  # far beyond the fitted runs, as budgets are
        allocate(chinchilla, 1e5 * largest / PF_DAY)
    tiny = smallest / 1500
    for ask in (
        lambda problem, budget: problem.allocate(budget),
        lambda problem, budget: problem.curve([1e22, budget]),
        lambda problem, budget: problem.portfolio(budget),
        lambda problem, budget: problem.pilot({"params": (1e5, 1e6), "tokens": (1e5, 1e6)}, budget / 10, budget=budget),
    ):
        with pytest.raises(PlanError, match=r"1.5e\+03 times below the smallest fitted run .*, so check this one"):
            ask(DecisionProblem(chinchilla), tiny)
    cost = money(1e15, 0.4, 2.5)
    price = cost.spending(0).price
    allocate(chinchilla, smallest * price, cost=cost)
    with pytest.raises(PlanError, match=r"1.5e\+03 times below the smallest .*; check that the budget is in USD$"):
        allocate(chinchilla, tiny * price, cost=cost)


def test_budgets_far_outside_the_fitted_runs_are_named(chinchilla: Ensemble) -> None:
    (runs,) = {member.fit.runs for member in chinchilla.members.values()}
    flops = runs.column("flops")
    low, high = float(flops.min()), float(flops.max())
    problem = DecisionProblem(chinchilla, target=1.84)
    with pytest.warns(bs.errors.BayesScalingWarning) as said:
        problem.curve([low / 50, low / 20, high, 2e3 * high, 1e6 * high])
    few, many = sorted(str(one.message) for one in said)[::-1]
    assert few.startswith(f"up to a budget of {amount(low / 20, 'FLOPs')}, runs lie more than 10 times below the small")
    assert many.startswith(f"from a budget of {amount(2e3 * high, 'FLOPs')} on, runs take 2e+03 times the compute of")
    assert many.endswith(", and up to 1e+06 times")
    with pytest.warns(bs.errors.BayesScalingWarning, match="from a budget of .* times the compute of the largest"):
        problem.smallest_budget([0.5])
    problem.curve([low, high])
    held = dataclasses.replace(problem, constraints=Constraints(tokens_per_param=(2e3, 3e3)))
    with pytest.warns(
        bs.errors.BayesScalingWarning, match=r"the run for 1e22 FLOPs has 2e\+03 tokens per .* 1 more row"
    ):
        held.curve([1e22, 2e22])

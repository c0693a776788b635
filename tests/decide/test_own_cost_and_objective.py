"""A cost and an objective from outside: the recipes of CONTRIBUTING, run as they are printed there."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.decide.names import COSTS, OBJECTIVES
from bayes_scaling.decide.spelling import cost_of, objective_of
from bayes_scaling.errors import BayesScalingError, PlanError, Remedy

CONTRIBUTING = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def recipe(title: str) -> str:
    """Return the code below a heading."""
    section = CONTRIBUTING.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(code)


def made(title: str, name: str) -> Any:
    names: dict[str, Any] = {"__name__": __name__}
    exec(recipe(title), names)
    return names[name]


@pytest.fixture(scope="module")
def ensemble(chinchilla_fit: bs.Fit) -> bs.Ensemble:
    return bs.Ensemble.of(chinchilla_fit).take(range(100))


@pytest.mark.parametrize("title", ["Add a cost", "Add an objective"])
def test_recipes_are_short(title: str) -> None:
    assert len(recipe(title).splitlines()) <= 30


def test_a_cost_of_ones_own_does_what_built_in_ones_do(ensemble: bs.Ensemble) -> None:
    cost = made("Add a cost", "cost")
    plan = bs.allocate(ensemble, 1e4, cost=cost, target=2.2)
    assert plan.unit == "kg CO2" and plan.cost == pytest.approx(1e4)
    low, high = plan.interval(0.9, of="cost")
    assert low < 1e4 < high * 1.01
    flops = 6 * plan.params * plan.tokens
    intensity = cost.spending(0).per_flop * 1e18
    assert np.log(intensity).std() == pytest.approx(0.3, rel=0.05)
    assert flops * np.quantile(intensity, 0.9, method="inverted_cdf") / 1e18 == pytest.approx(1e4)
    problem = bs.DecisionProblem(ensemble, cost=cost, target=2.2)
    assert problem.portfolio(1e4).unit == "kg CO2"
    assert problem.smallest_budget([0.5])["budget"].iloc[0] > 0
    assert bs.allocate(ensemble, flops).params == pytest.approx(plan.params, rel=1e-6)


def test_an_objective_of_ones_own_does_what_built_in_ones_do(ensemble: bs.Ensemble) -> None:
    objective = made("Add an objective", "objective")
    plan = bs.allocate(ensemble, 1e22, objective=objective)
    inside = bs.objectives.probability_below(plan.predictive, 2.1) - bs.objectives.probability_below(
        plan.predictive, 2.0
    )
    assert plan.value == pytest.approx(inside.mean())
    assert plan.to_dict()["objective"] == "probability of a loss from 2 to 2.1"
    offers = {"params": (1e8, 1e9), "tokens": (1e9, 1e10)}
    assert bs.pilot(ensemble, offers, 1e20, budget=1e22, objective=objective).unit == "probability"
    assert bs.DecisionProblem(ensemble, objective=objective).curve([1e22])["value"][0] == pytest.approx(plan.value)


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(PlanError, match="expected maximise or minimise"):
        bs.objectives.Objective("x", "up", lambda p, goal: p.location)  # type: ignore[arg-type]


# --- names ---


@pytest.mark.parametrize(
    ("spelled", "label"),
    [
        ("expected_improvement", bs.objectives.expected_improvement().label),
        ("loss_quantile:0.9", bs.objectives.loss_quantile(0.9).label),
        ("cvar", bs.objectives.cvar().label),
        ("mean_and_cvar:2,0.1", bs.objectives.mean_and_cvar(2, 0.1).label),
        ("utility:1.9=1,2.1=0", "utility"),
    ],
)
def test_objectives_have_one_spelling(spelled: str, label: str) -> None:
    assert objective_of(spelled).label == label
    assert spelled.partition(":")[0] in OBJECTIVES


def test_every_name_makes_something() -> None:
    numbers = {"PROBABILITY": "0.9", "WEIGHT": "2", "WORST": "0.1", "LOSS": "1.9", "VALUE": "1"}
    for name, arguments in OBJECTIVES.items():
        text = re.sub("|".join(numbers), lambda word: numbers[word[0]], arguments.replace("[", "").replace("]", ""))
        text = text.replace("1.9=1,1.9=1", "1.9=1,2.1=0")
        assert objective_of(name + text).label
    given = {"gpu_hours": {"peak_flops": 1e15, "utilisation": 0.4}, "lifetime": {"serving_tokens": 1e12}}
    given["money"] = given["gpu_hours"] | {"price_per_gpu_hour": 2.0}
    for name in COSTS:
        assert cost_of(name, **given.get(name, {})).spending(0).price > 0


@pytest.mark.parametrize(
    ("spelled", "says"),
    [
        ("luck", "expected one of expected_improvement, expected_loss"),
        ("cvar:a", "expected cvar"),
        ("expected_loss:3", "expected expected_loss"),
        ("loss_quantile", "expected loss_quantile:PROBABILITY"),
        ("utility:3", "expected utility:LOSS=VALUE"),
    ],
)
def test_other_spellings_are_refused_with_the_list(spelled: str, says: str) -> None:
    with pytest.raises(PlanError, match=re.escape(says)):
        objective_of(spelled)


def test_a_problem_takes_names(ensemble: bs.Ensemble) -> None:
    named = bs.DecisionProblem(ensemble, cost="flops", objective="expected_loss").allocate(1e22)
    assert named.params == bs.allocate(ensemble, 1e22, objective=bs.objectives.expected_loss()).params
    with pytest.raises(PlanError, match=r"a budget in gpu_hours needs peak_flops=\.\.\. and utilisation=\.\.\."):
        bs.DecisionProblem(ensemble, cost="gpu_hours")
    with pytest.raises(PlanError, match="expected one of flops, gpu_hours, money, lifetime"):
        bs.DecisionProblem(ensemble, cost="euros")
    with pytest.raises(PlanError, match=r"give target=\.\.\."):
        bs.DecisionProblem(ensemble).smallest_budget()


def test_results_share_three_words(ensemble: bs.Ensemble) -> None:
    problem = bs.DecisionProblem(ensemble, target=2.1)
    offers = {"params": (1e8, 1e9), "tokens": (1e9, 1e10)}
    plan = problem.allocate(1e22)
    results: list[Any] = [plan, problem.portfolio(1e22), problem.ladder(1e22), bs.preregister(plan)]
    results.append(problem.pilot(offers, 1e20, budget=1e22))
    for one in results:
        low, high = np.asarray(one.interval(0.9)).reshape(-1, 2).T
        assert (low < high).all() and math.isfinite(high.max())
        assert len(one.to_frame()) >= 1
        assert one.verdict.endswith(".")


# --- errors with parts ---


def test_an_error_is_worded_by_each_place() -> None:
    error = PlanError("say it with {remedy}", Remedy("given", "unique_tokens"))
    assert str(error) == "say it with given={'unique_tokens': ...}"
    assert error.worded(lambda remedy: f"--at {remedy.key}=VALUE") == "say it with --at unique_tokens=VALUE"
    assert str(BayesScalingError("plain {braces} stay")) == "plain {braces} stay"

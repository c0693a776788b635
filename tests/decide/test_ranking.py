"""An objective that is the same for every run recommends none, and says what to change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.decide.ranking import why_unranked
from bayes_scaling.predict.ensemble import Ensemble
from tests.support import believed

BUDGET = 1e23
CONSTANTS = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)
OFFERS = {"params": (1e8, 1e9), "tokens": (1e9, 1e10)}


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return believed("chinchilla", CONSTANTS)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"incumbent": 0.5},
            "is 0 for every size that the budget buys, so none of them beats 0.5: give a higher incumb",
        ),
        (
            {"objective": "probability_of_target", "target": 0.5},
            "so none of them reaches 0.5: give a higher target, a lar",
        ),
        (
            {"objective": "probability_of_target", "target": 9.0},
            "is 1 for every size that the budget buys, so each of th",
        ),
        ({"objective": bs.objectives.utility([(30.0, 1.0), (40.0, 0.0)])}, "the utility is 1 for every size"),
    ],
)
def test_an_objective_that_ranks_nothing_recommends_nothing(
    ensemble: Ensemble, options: dict[str, Any], says: str
) -> None:
    problem = bs.DecisionProblem(ensemble, **options)
    plan, portfolio = problem.allocate(BUDGET), problem.portfolio(BUDGET)
    ladder, pilots = problem.ladder(BUDGET), problem.pilot(OFFERS, 1e21, budget=BUDGET)
    assert plan.verdict.startswith("No recommendation: ")
    assert says in plan.verdict
    assert plan.to_dict()["unranked"] == plan.unranked
    assert says in portfolio.verdict
    assert portfolio.to_dict()["unranked"] in portfolio.verdict
    assert ladder.verdict.startswith("No recommendation: ")
    assert pilots.verdict.startswith("No recommendation: every pilot is worth 0, because ")
    assert pilots.to_dict()["unranked"] in pilots.verdict


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "expected_loss"},
        {"objective": "probability_of_target", "target": 2.02},
        {"objective": "cvar:0.05"},
    ],
)
def test_an_objective_that_ranks_recommends(ensemble: Ensemble, options: dict[str, Any]) -> None:
    plan = bs.DecisionProblem(ensemble, **options).allocate(BUDGET)
    assert plan.verdict.startswith("Train ")
    assert plan.to_dict()["unranked"] is None


def test_one_choice_needs_no_ranking(ensemble: Ensemble) -> None:
    goal = bs.DecisionProblem(ensemble).checked.goal
    assert why_unranked(bs.objectives.expected_improvement(), goal, np.zeros(1), "it") == ""
    assert why_unranked(bs.objectives.expected_loss(), goal, np.full(2, 2.0), "both") != ""

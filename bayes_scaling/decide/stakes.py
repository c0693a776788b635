"""Stakes: what pilot runs are to inform, a choice that spends a budget or the forecast of a big run.

A choice has options, and each option has a worth given each draw, in the unit of the objective. Pilots that are paid
out of the same budget leave less for the big run: worth is held at several amounts spent, straight between them.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from bayes_scaling._errors import PlanError
from bayes_scaling.decide.allocate import Constraints
from bayes_scaling.decide.beliefs import Beliefs, Points
from bayes_scaling.decide.costs import Spending
from bayes_scaling.decide.objectives import Goal, Objective

OPTIONS = 48  # sizes of the big run among which the choice is made
LEVELS = 5  # amounts spent on pilots at which their worth is held
SIDE = 0.5  # e-folds beyond the draws' own optima that options reach


@dataclasses.dataclass(frozen=True, eq=False)
class Stakes:
    """What is at stake, given each draw.

    Attributes
    ----------
    label, unit : what is decided, and the unit of its worth
    big : the runs whose forecast is wanted
    targets : (n_draw, n_target) expected log loss of those runs
    options : what can be chosen when nothing is spent on pilots, a row each; none where only the forecast counts
    levels : (n_level,) amounts spent on pilots
    worth : (n_level, n_draw, n_option) of each option, more is better
    """

    label: str
    unit: str
    big: pd.DataFrame
    targets: np.ndarray
    options: pd.DataFrame
    levels: np.ndarray
    worth: np.ndarray

    @property
    def choice(self) -> bool:
        """Whether there is a choice to make; else only a forecast is wanted."""
        return self.worth.size > 0

    def between(self, held: np.ndarray, spent: float) -> np.ndarray:
        """Return what is held at every level, ``(n_level, ...)``, at an amount spent."""
        if len(self.levels) == 1:
            return np.asarray(held[0])
        place = np.clip(spent / self.levels[-1] * (len(self.levels) - 1), 0, len(self.levels) - 1)
        before = min(int(place), len(self.levels) - 2)
        share = place - before
        return np.asarray((1 - share) * held[before] + share * held[before + 1])

    def worth_after(self, spent: float) -> np.ndarray:
        """Return the worth of each option once so much was spent on pilots, ``(n_draw, n_option)``."""
        return self.between(self.worth, spent)

    @property
    def now(self) -> float:
        """Worth of the best option with nothing spent and nothing learned."""
        return float(self.worth[0].mean(axis=0).max())

    @property
    def perfect(self) -> float:
        """Expected worth of knowing the truth for nothing, over `now`: a ceiling on what any pilots bring."""
        return float(self.worth[0].max(axis=1).mean()) - self.now


def of_forecast(beliefs: Beliefs, big: Points) -> Stakes:
    """Return the stakes of a forecast: the expected loss of some runs."""
    frame = pd.DataFrame({name: values for name, values in big.items()})
    nothing = np.zeros((1, len(beliefs), 0))
    return Stakes(
        "forecast of the big run", "log loss", frame, beliefs.log_mean(big), frame.iloc[:0], np.zeros(1), nothing
    )


def of_budget(
    beliefs: Beliefs,
    spending: Spending,
    budget: float,
    objective: Objective,
    goal: Goal,
    constraints: Constraints,
    pilot_budget: float,
) -> Stakes:
    """Return the stakes of a budget: which N to train, where pilots leave less for it.

    Parameters
    ----------
    pilot_budget : the most that is spent on pilots; 0 where they are not paid out of the budget

    Raises
    ------
    PlanError
        When a law takes other inputs than params and tokens, or pilots may take all of the budget.
    """
    for member in beliefs.members.values():
        law = member.fit.law
        if set(law.inputs) != {"params", "tokens"}:
            raise PlanError(
                f"pilots for a budget need a law in params and tokens; {law.label} takes {', '.join(law.inputs)}: "
                "say which run to forecast instead (forecast_at)"
            )
    if not pilot_budget < budget:
        raise PlanError(
            f"the pilot budget is {pilot_budget:g} {spending.unit}, expected less than the budget of {budget:g} "
            "that pays for it"
        )
    if not objective.averages:
        raise PlanError(
            f"the objective is the {objective.label}, which is no mean over what may be true; to value pilots, choose "
            "expected improvement, expected loss, probability of the target or a utility"
        )
    levels = np.linspace(0.0, pilot_budget, LEVELS) if pilot_budget > 0 else np.zeros(1)
    whole = spending.surface(budget)
    least, most = constraints.range(whole)
    log_params, _ = beliefs.best(whole)
    ends = np.quantile(log_params, [0.005, 0.995]) + SIDE * np.array([-1.0, 1.0])
    ends = np.clip(ends, math.log(least), math.log(most))
    params = np.exp(np.linspace(ends[0], ends[1], OPTIONS if ends[1] - ends[0] > 1e-6 else 1))
    sign = 1.0 if objective.direction == "maximise" else -1.0
    worth = []
    for spent in levels:
        surface = spending.surface(budget - float(spent))
        low, high = constraints.range(surface)
        there = np.clip(params, low, high)
        points = beliefs.points(params=there, tokens=surface.tokens(there))
        worth.append(sign * objective.contributions(beliefs.new_run(points), goal))
    best = params[int(worth[0].mean(axis=0).argmax())]
    big = beliefs.points(params=best, tokens=whole.tokens(best))
    options = pd.DataFrame({"params": params, "tokens": whole.tokens(params)})
    label = f"which N to train with {budget:g} {spending.unit}, by {objective.label}"
    return Stakes(
        label,
        objective.unit or beliefs.loss_unit,
        pd.DataFrame(dict(big)),
        beliefs.log_mean(big),
        options,
        levels,
        np.array(worth),
    )

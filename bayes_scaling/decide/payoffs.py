"""Payoffs: what pilot runs are to inform, either a choice that spends a budget or the forecast of a big run.

A choice has options, and each option has a payoff given each draw, in the unit of the objective. Pilots that are paid
out of the same budget leave less for the big run: payoffs are computed at several amounts spent, and interpolated
linearly.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import Points
from bayes_scaling.decide.cautions import refuse_tiny
from bayes_scaling.decide.problem import CheckedDecision, predictives
from bayes_scaling.decide.ranking import why_unranked
from bayes_scaling.decide.regret import RegretOfRuns
from bayes_scaling.decide.space import Space
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble

OPTIONS = 48  # sizes of the big run among which the choice is made
LEVELS = 5  # amounts spent on pilots at which payoffs are computed
BATCHES = 5  # batches of the big run, where a law reads them
CLOSE = 1e-6  # e-folds of N within which sizes count as one
SIDE = 0.5  # e-folds by which options reach beyond the draws' own optima


@dataclasses.dataclass(frozen=True, eq=False)
class Payoffs:
    """Payoffs of a decision, given each draw.

    Attributes
    ----------
    label, unit : what is decided, and the unit of the payoff
    big : the runs whose forecast is wanted
    targets : (n_draw, n_target) expected log loss of those runs
    options : what can be chosen when nothing is spent on pilots, a row each; none where only the forecast counts
    levels : (n_level,) amounts spent on pilots
    worth : (n_level, n_draw, n_option) payoff of each option; more is better
    places : (n_option, n_coordinate) coordinates of the options: log N, and the batch
    unranked : why the objective ranks none of the options, whatever the truth; empty where it does
    """

    label: str
    unit: str
    big: pd.DataFrame
    targets: np.ndarray
    options: pd.DataFrame
    levels: np.ndarray
    worth: np.ndarray
    places: np.ndarray
    unranked: str = ""

    @property
    def choice(self) -> bool:
        """Whether there is a choice to make; otherwise only a forecast is wanted."""
        return self.worth.size > 0

    def worth_after(self, spent: float) -> np.ndarray:
        """Return the payoff of each option after spending so much on pilots, ``(n_draw, n_option)``."""
        last = len(self.levels) - 1
        if not last:
            return np.asarray(self.worth[0])
        place = np.clip(spent / self.levels[-1] * last, 0, last)
        before = min(int(place), last - 1)
        share = place - before
        return np.asarray((1 - share) * self.worth[before] + share * self.worth[before + 1])

    @property
    def wanted(self) -> np.ndarray:
        """What pilots should predict, ``(n_draw, v)``: the best option, or the loss where only a forecast is wanted.

        The payoff falls with the square of the distance from the best option. So the variance of the best option's
        place that pilots explain is, up to a factor, what they add to the payoff of the choice.
        """
        return self.places[self.worth[0].argmax(axis=1)] if self.choice else self.targets

    @property
    def now(self) -> float:
        """Payoff of the best option with nothing spent and nothing learned."""
        return float(self.worth[0].mean(axis=0).max())

    @property
    def perfect(self) -> float:
        """Expected gain from knowing which draw is the truth: if one is, an upper bound on the gain from any pilots."""
        return float(self.worth[0].max(axis=1).mean()) - self.now


def of_forecast(ensemble: Ensemble, big: Points) -> Payoffs:
    """Return the payoffs of a forecast of some runs: there is nothing to choose."""
    frame = pd.DataFrame(dict(big))
    nothing = np.zeros((1, len(ensemble), 0))
    return Payoffs(
        "forecast of the big run",
        "log loss",
        frame,
        ensemble.log_mean(big),
        frame.iloc[:0],
        np.zeros(1),
        nothing,
        np.zeros((0, 1)),
    )


def of_budget(problem: CheckedDecision, budget: float, pilot_budget: float, ensemble: Ensemble) -> Payoffs:
    """Return the payoffs of spending a budget on one run, of which pilots leave less.

    Parameters
    ----------
    problem : with all draws, which choose the run whose forecast is wanted, as of `DecisionProblem.allocate`
    ensemble : some of the draws, by which options are compared
    pilot_budget : the most that is spent on pilots; 0 where they are not paid out of the budget

    Raises
    ------
    PlanError
        When pilots may take the whole budget, or the objective is not an expected value.
    """
    objective, unit = problem.objective, problem.spending.unit
    if not pilot_budget < budget:
        raise PlanError(
            f"the pilot budget is {pilot_budget:g} {unit}, expected less than the budget of {budget:g} that pays for it"
        )
    if not objective.averages:
        raise PlanError(
            f"the objective is the {objective.label}, which is not an expected value, so pilots have no value by it; "
            "choose expected_improvement, expected_loss, probability_of_target or utility"
        )
    levels = np.linspace(0.0, pilot_budget, LEVELS) if pilot_budget > 0 else np.zeros(1)
    spaces = [problem.space(budget - float(spent)) for spent in levels]
    big = spaces[0].runs(problem.best_place(problem.ensemble, spaces[0])[None])
    refuse_tiny(problem, budget, big)
    problem = dataclasses.replace(problem, ensemble=ensemble)
    places = _places(spaces[0], RegretOfRuns.of(problem, spaces[0]).optima.log_params)
    worth = []
    for space in spaces:
        runs = functools.partial(lambda space, there: space.runs(np.clip(there, *space.box)), space)
        found = predictives(problem.ensemble, runs, places)
        worth.append(objective.sign * np.concatenate([objective.contributions(p, problem.goal) for p in found], axis=1))
    options = spaces[0].runs(places)
    # Pilots have a value where some draw, not only their mean, prefers one option to another.
    most, least = worth[0].max(axis=0), worth[0].min(axis=0)
    values = objective.sign * np.concatenate([most, least])
    unranked = why_unranked(objective, problem.goal, values, "every size considered") if len(places) > 1 else ""
    return Payoffs(
        f"what to train with {budget:g} {unit}, by {objective.label}",
        objective.unit or problem.ensemble.loss_unit,
        pd.DataFrame(big),
        problem.ensemble.log_mean(big),
        pd.DataFrame(dict(options)),
        levels,
        np.array(worth),
        places,
        unranked,
    )


def _places(space: Space, log_params: np.ndarray) -> np.ndarray:
    """Return places around the draws' own optima, and over all batches where there is a choice of them."""
    low, high = space.box
    ends = np.clip(np.quantile(log_params, [0.005, 0.995]) + SIDE * np.array([-1.0, 1.0]), low[0], high[0])
    sizes = np.linspace(ends[0], ends[1], OPTIONS if ends[1] - ends[0] > CLOSE else 1)
    if len(low) == 1:
        return sizes[:, None]
    shares = np.linspace(low[1], high[1], BATCHES if space.choice_of_batch else 1)
    return np.stack(np.meshgrid(sizes, shares, indexing="ij"), axis=-1).reshape(-1, 2)

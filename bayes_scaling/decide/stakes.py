"""Stakes: what pilot runs are to inform, a choice that spends a budget or the forecast of a big run.

A choice has options, and each option has a worth given each draw, in the unit of the objective. Pilots that are paid
out of the same budget leave less for the big run: worth is held at several amounts spent, straight between them.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import Points
from bayes_scaling.decide.question import Question, predictives
from bayes_scaling.decide.regret import Judge
from bayes_scaling.decide.space import Space
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble

OPTIONS = 48  # sizes of the big run among which the choice is made
LEVELS = 5  # amounts spent on pilots at which their worth is held
BATCHES = 5  # of the big run, where a law reads them
CLOSE = 1e-6  # e-folds of N that are one size
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
    places : (n_option, n_coordinate) where options stand: log N, and the place of the batch
    """

    label: str
    unit: str
    big: pd.DataFrame
    targets: np.ndarray
    options: pd.DataFrame
    levels: np.ndarray
    worth: np.ndarray
    places: np.ndarray

    @property
    def choice(self) -> bool:
        """Whether there is a choice to make; else only a forecast is wanted."""
        return self.worth.size > 0

    def worth_after(self, spent: float) -> np.ndarray:
        """Return the worth of each option once so much was spent on pilots, ``(n_draw, n_option)``."""
        last = len(self.levels) - 1
        if not last:
            return np.asarray(self.worth[0])
        place = np.clip(spent / self.levels[-1] * last, 0, last)
        before = min(int(place), last - 1)
        share = place - before
        return np.asarray((1 - share) * self.worth[before] + share * self.worth[before + 1])

    @property
    def wanted(self) -> np.ndarray:
        """What pilots should tell, ``(n_draw, v)``: which option is best, or where only a forecast is wanted, the loss.

        Worth falls with the square of the distance from the best option, so that the variance of where that stands,
        as far as pilots explain it, is what they add to the worth of the choice, up to a factor.
        """
        return self.places[self.worth[0].argmax(axis=1)] if self.choice else self.targets

    @property
    def now(self) -> float:
        """Worth of the best option with nothing spent and nothing learned."""
        return float(self.worth[0].mean(axis=0).max())

    @property
    def perfect(self) -> float:
        """Expected worth of knowing the truth for nothing, over `now`: a ceiling on what any pilots bring."""
        return float(self.worth[0].max(axis=1).mean()) - self.now


def of_forecast(beliefs: Ensemble, big: Points) -> Stakes:
    """Return the stakes of a forecast: the expected loss of some runs."""
    frame = pd.DataFrame(dict(big))
    nothing = np.zeros((1, len(beliefs), 0))
    return Stakes(
        "forecast of the big run",
        "log loss",
        frame,
        beliefs.log_mean(big),
        frame.iloc[:0],
        np.zeros(1),
        nothing,
        np.zeros((0, 1)),
    )


def of_budget(question: Question, budget: float, pilot_budget: float) -> Stakes:
    """Return the stakes of a budget: which run to train, where pilots leave less for it.

    Parameters
    ----------
    question : beliefs, objective and constraints
    pilot_budget : the most that is spent on pilots; 0 where they are not paid out of the budget

    Raises
    ------
    PlanError
        When pilots may take all of the budget, or the objective is no mean over what may be true.
    """
    objective, unit = question.objective, question.spending.unit
    if not pilot_budget < budget:
        raise PlanError(
            f"the pilot budget is {pilot_budget:g} {unit}, expected less than the budget of {budget:g} that pays for it"
        )
    if not objective.averages:
        raise PlanError(
            f"the objective is the {objective.label}, which is no mean over what may be true; to value pilots, choose "
            "expected improvement, expected loss, probability of the target or a utility"
        )
    levels = np.linspace(0.0, pilot_budget, LEVELS) if pilot_budget > 0 else np.zeros(1)
    spaces = [question.space(budget - float(spent)) for spent in levels]
    places = _places(spaces[0], Judge.of(question, spaces[0]).optima.log_params)
    sign = 1.0 if objective.direction == "maximise" else -1.0
    worth = []
    for space in spaces:
        runs = functools.partial(lambda space, there: space.runs(np.clip(there, *space.box)), space)
        found = predictives(question.beliefs, runs, places)
        worth.append(sign * np.concatenate([objective.contributions(p, question.goal) for p in found], axis=1))
    options = spaces[0].runs(places)
    best = int(worth[0].mean(axis=0).argmax())
    big = {name: values[[best]] for name, values in options.items()}
    return Stakes(
        f"what to train with {budget:g} {unit}, by {objective.label}",
        objective.unit or question.beliefs.loss_unit,
        pd.DataFrame(big),
        question.beliefs.log_mean(big),
        pd.DataFrame(dict(options)),
        levels,
        np.array(worth),
        places,
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

"""Whether an objective ranks the runs that can be chosen: where it is the same for all of them, none is recommended."""

from __future__ import annotations

import numpy as np

from bayes_scaling.data.columns import Points
from bayes_scaling.decide.objectives import Goal, Objective
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.space import Space

SIZES = 16  # sizes of a run that are compared
REACH = 10.0  # factor by which they extend to both sides
LEAST = 1e-6  # difference that ranks: in a probability, or as a share of the incumbent loss or of the largest value
EASIER = "a larger budget, or another objective such as expected_loss"


def why_unranked(objective: Objective, goal: Goal, values: np.ndarray, what: str) -> str:
    """Say why an objective ranks nothing, and what to change; empty where it does rank.

    Parameters
    ----------
    values : of the objective, one for each choice
    what : the choices, in words
    """
    if ranks(objective, goal, values):
        return ""
    value = float(np.mean(values))
    same = f"the {objective.label} is {value:.4g} for {what}"
    if objective.needs_target and value < 0.5:
        return f"{same}, so none of them reaches {goal.target:g}: give a higher target, {EASIER}"
    if objective.needs_target:
        return f"{same}, so each of them reaches {goal.target:g}: give a lower target, or another objective"
    if not objective.unit and objective.direction == "maximise":
        return f"{same}, so none of them beats {goal.incumbent:g}: give a higher incumbent, {EASIER}"
    return f"{same}, so it tells them not apart: give another objective"


def ranks(objective: Objective, goal: Goal, values: np.ndarray) -> bool:
    """Say whether an objective tells choices apart, or there is but one."""
    return len(values) < 2 or bool(np.ptp(values) > LEAST * scale_of(objective, goal, values))


def scale_of(objective: Objective, goal: Goal, values: np.ndarray) -> float:
    """Return the size of an objective, of which a millionth is next to nothing."""
    if objective.unit == "probability":
        return 1.0
    return float(np.abs(values).max()) if objective.unit else goal.incumbent


def unranked_sizes(problem: CheckedDecision, space: Space, optima: np.ndarray, run: Points) -> str:
    """Say why the objective ranks none of the sizes that a budget buys; empty where it does.

    Parameters
    ----------
    optima : (n_draw,) N of the draws' own optima, around which sizes are compared
    run : the run that the objective chose, which may be any of those that it does not tell apart
    """
    (least, most), middle = space.within, float(np.median(optima))
    sizes = np.unique(np.clip(np.geomspace(middle / REACH, middle * REACH, SIZES), least, most))
    batch = np.full(len(sizes), run["batch_tokens"][0]) if space.batched else None
    chosen = {name: values[:1] for name, values in run.items()}
    values = [
        problem.objective.value(problem.ensemble.new_run(runs), problem.goal)[0]
        for runs in (space.runs_of(sizes, batch), chosen)
    ]
    ranked = np.concatenate(values) if len(sizes) > 1 else values[0]
    return why_unranked(problem.objective, problem.goal, ranked, "every size that the budget buys")

"""Spellings: from the name of a cost or an objective, and its numbers, to the object."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bayes_scaling.base.messages import shown
from bayes_scaling.decide import costs, objectives
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.names import COSTS, OBJECTIVES, cost_names, objective_names
from bayes_scaling.decide.objectives import Objective
from bayes_scaling.errors import REMEDY, PlanError, Remedy

MAKERS: Mapping[str, Callable[..., Cost]] = {name: vars(costs)[name] for name in COSTS}


def cost_of(cost: Cost | str, **arguments: Any) -> Cost:
    """Return a cost as it is, or by its name.

    Parameters
    ----------
    cost : a cost, or the name of a built-in one
    arguments : those of the built-in cost, without those that keep their default

    Raises
    ------
    PlanError
        When there is no such cost, or it lacks an argument, or does not take one.
    """
    if not isinstance(cost, str):
        return cost
    if cost not in MAKERS:
        raise PlanError(f"the cost is {shown(cost)}, expected one of {cost_names()}")
    known = inspect.signature(MAKERS[cost]).parameters
    for name in arguments:
        if name not in known:
            others = " or ".join(other for other, make in MAKERS.items() if name in inspect.signature(make).parameters)
            raise PlanError(f"a budget in {cost} does not take {REMEDY}; use it with {others}", Remedy(name))
    missing = [name for name, one in known.items() if one.default is one.empty and name not in arguments]
    if missing:
        raise PlanError(f"a budget in {cost} needs {REMEDY}", *map(Remedy, missing))
    return MAKERS[cost](**arguments)


def objective_of(objective: Objective | str) -> Objective:
    """Return an objective as it is, or by its name and numbers, such as ``"mean_and_cvar:2,0.05"``.

    Raises
    ------
    PlanError
        When there is no such objective, or its numbers are not what it takes.
    """
    if not isinstance(objective, str):
        return objective
    name, _, text = objective.strip().partition(":")
    if name not in OBJECTIVES:
        raise PlanError(f"the objective is {shown(objective)}, expected one of {objective_names()}")
    make: Callable[..., Objective] = vars(objectives)[name]
    pairs = "=" in OBJECTIVES[name]
    try:
        numbers = [_pair(piece) if pairs else float(piece) for piece in text.split(",")] if text else []
        arguments: list[Any] = [numbers] if pairs else numbers
        inspect.signature(make).bind(*arguments)
    except (TypeError, ValueError):
        raise PlanError(f"the objective is {shown(objective)}, expected {name}{OBJECTIVES[name]}") from None
    return make(*arguments)


def _pair(piece: str) -> tuple[float, float]:
    loss, _, value = piece.partition("=")
    return float(loss), float(value)

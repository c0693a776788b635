"""Budgets: what each of several would buy, what one more unit is worth, and the smallest that reaches a loss."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import Cost, fraction
from bayes_scaling.decide.objectives import Objective, loss_given_draw, probability_below
from bayes_scaling.decide.optima import optima_of
from bayes_scaling.decide.question import ROUGHLY, Question, Source
from bayes_scaling.decide.space import Space, log_batch, run_columns
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import BEYOND, BLOCK, Ensemble

SMALLER, BUDGETS = 5.0, 28  # e-folds below the smallest fitted size, and budgets that are looked at first
CLOSE = 1e-4  # of log budget, where the search for the smallest one ends
NOWHERE = 1e40  # params and tokens at which only the irreducible loss is left
STEP = 0.05  # of log budget, for the value of one more unit


def budget_curve(
    source: Source,
    budgets: Sequence[float],
    *,
    cost: Cost | None = None,
    objective: Objective | None = None,
    incumbent: float | None = None,
    target: float | None = None,
    constraints: Constraints | None = None,
    given: Mapping[str, float] | None = None,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Say what every budget of a list would buy, and what one more unit of it is worth.

    Parameters
    ----------
    budgets : in the unit of the cost
    source, cost, objective, incumbent, target, constraints, given, group, unconverged, seed : as of `allocate`

    Returns
    -------
    pandas.DataFrame
        One row per budget: ``budget``, ``params``, ``tokens`` (and ``batch_tokens``, where a law reads it), ``value``
        and ``value_se`` of the objective, ``expected_loss`` of one new run, and their slopes ``value_per_unit`` and
        ``loss_per_unit`` (change for one more unit of budget, over a tenth of an e-fold, at the best size and batch).
    """
    asked = Question.of(
        source,
        cost=cost,
        objective=objective,
        incumbent=incumbent,
        target=target,
        constraints=constraints,
        given=given,
        group=group,
        unconverged=unconverged,
        seed=seed,
    )
    if not len(budgets):
        raise PlanError("no budget was given; expected one or more")
    return pd.DataFrame([_bought(asked, float(budget)) for budget in budgets])


def _bought(asked: Question, budget: float) -> dict[str, float]:
    """Return the best run of a budget, and slopes around it."""
    space = asked.space(budget)
    run = space.runs(asked.summit(asked.beliefs, space)[None])
    params, batch = float(run["params"][0]), run.get("batch_tokens")
    around = [asked.spending.surface(budget * math.exp(step)) for step in (-STEP, 0.0, STEP)]
    if around[0].tokens(params) < 1:  # the smaller budget would not train this size at all
        around[0] = space.surface
    tokens = np.array([float(one.tokens(params)) for one in around])
    runs = run_columns(np.full(3, params), tokens, None if batch is None else np.repeat(batch, 3), space.given)
    predictive = asked.beliefs.new_run(runs)
    value, error = asked.objective.value(predictive, asked.goal)
    loss = loss_given_draw(predictive).mean(axis=0)
    step = around[2].budget - around[0].budget
    return {
        "budget": budget,
        "params": params,
        "tokens": float(tokens[1]),
        **({} if batch is None else {"batch_tokens": float(batch[0])}),
        "value": float(value[1]),
        "value_se": float(error[1]),
        "expected_loss": float(loss[1]),
        "value_per_unit": float((value[2] - value[0]) / step),
        "loss_per_unit": float((loss[2] - loss[0]) / step),
    }


def smallest_budget(
    source: Source,
    target: float,
    probabilities: Sequence[float] = (0.5, 0.8, 0.9),
    *,
    cost: Cost | None = None,
    constraints: Constraints | None = None,
    given: Mapping[str, float] | None = None,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Say how much budget makes a loss as probable as wanted, at the size that makes it most probable.

    Parameters
    ----------
    target : loss of one new run
    probabilities : fractions
    source, cost, constraints, given, group, unconverged, seed : as of `allocate`

    Returns
    -------
    pandas.DataFrame
        One row per probability: ``probability``, ``budget`` (infinite where out of reach), ``params``, ``tokens``,
        ``reached`` (the probability there, or the most that was found) and ``why``, in words, where it is infinite.

    Notes
    -----
    Budgets are followed until the size of the run is 30 e-folds beyond the largest fitted one.
    """
    asked = Question.of(
        source,
        cost=cost,
        target=target,
        constraints=constraints,
        given=given,
        group=group,
        unconverged=unconverged,
        seed=seed,
    )
    wanted = [fraction("probability", p) for p in probabilities]
    thinned = asked.beliefs.take(np.arange(0, len(asked.beliefs), max(len(asked.beliefs) // ROUGHLY, 1)))
    grid = _log_flops(asked)

    @functools.cache
    def reach(log_flops: float) -> tuple[float, float, float]:
        return _most_probable(asked, thinned, asked.space_of_flops(math.exp(log_flops)))

    reached = np.array([reach(x)[0] for x in grid])
    if (reached < 0).all():
        asked.constraints.range(asked.space_of_flops(math.exp(grid[-1])).surface)  # says what excludes everything
        raise PlanError("constraints leave no plan at any budget; relax them")
    rows: list[dict[str, Any]] = []
    for probability in wanted:
        first = int(np.argmax(reached >= probability))
        if reached[first] < probability:
            most = float(reached.max())
            nothing = {"budget": math.inf, "params": math.nan, "tokens": math.nan, "reached": most}
            top = asked.space_of_flops(math.exp(grid[-1])).surface.budget
            rows.append({"probability": probability, **nothing, "why": _why(asked, most, top)})
            continue
        place, why = grid[first], "" if first else "the smallest budget that was looked at is enough"
        if first:
            before = grid[first - 1]
            while place - before > CLOSE:
                middle = (before + place) / 2
                before, place = (before, middle) if reach(middle)[0] >= probability else (middle, place)
        p, params, tokens = reach(place)
        budget = asked.space_of_flops(math.exp(place)).surface.budget
        row = {"probability": probability, "budget": budget, "params": params, "tokens": tokens, "reached": p}
        rows.append({**row, "why": why})
    return pd.DataFrame(rows)


def _log_flops(asked: Question) -> list[float]:
    """Return log FLOPs of the budgets that are looked at first: from those of small runs to far beyond large ones."""
    runs = [member.fit.runs for member in asked.beliefs.members.values()]
    known = np.log(np.concatenate([_flops_of(table, asked.constraints.batch_tokens[0]) for table in runs]))
    low = float(known.min()) - SMALLER
    serving = asked.spending.surface(asked.spending.price * NOWHERE).serving
    low = max(low, math.log(2 * FLOPS_PER_PARAM_TOKEN + 2 * serving) + 1)
    return [float(x) for x in np.linspace(low, max(low + 1, float(known.max()) + BEYOND), BUDGETS)]


def _flops_of(runs: Runs, batch: float) -> np.ndarray:
    """Return the FLOPs of fitted runs; of those that only say their steps, at a batch."""
    known = {name: runs.column(name) for name in ("params", "tokens", "steps", "flops") if name in runs}
    return np.asarray(derive_missing({"batch_tokens": batch, **known})[0]["flops"])


def _most_probable(asked: Question, thinned: Ensemble, space: Space) -> tuple[float, float, float]:
    """Return the highest probability of the target in a space, its N and D; -1 where constraints leave nothing.

    The best run lies among the draws' own optima; the probability is flat around it.
    """
    try:
        least, most = space.within
    except PlanError:
        return -1.0, math.nan, math.nan
    optima = optima_of(thinned, space)
    order = np.argsort(optima.log_params, kind="stable")
    spread = order[np.linspace(0.005 * (len(order) - 1), 0.995 * (len(order) - 1), BLOCK).round().astype(int)]
    ends = optima.log_params[spread[[0, -1]]]
    params = np.clip(np.exp(np.linspace(ends[0], ends[1], BLOCK)), least, most)
    tokens = np.asarray(space.surface.tokens(params))
    batch = None
    if space.batched:
        batch = np.exp(log_batch(np.log(tokens), optima.share[spread], space.constraints.log_batch))
    runs = run_columns(params, tokens, batch, space.given)
    reached = probability_below(asked.beliefs.new_run(runs), asked.goal.target).mean(axis=0)
    best = int(reached.argmax())
    return float(reached[best]), float(params[best]), float(tokens[best])


def _why(asked: Question, most: float, top: float) -> str:
    """Say why a probability is out of reach."""
    nowhere = np.array([NOWHERE])
    batch = nowhere if asked.batched else None
    limit = run_columns(nowhere, nowhere, batch, asked.given) | ({"steps": nowhere} if asked.batched else {})
    above = float(np.mean(asked.beliefs.log_mean(limit) > math.log(asked.goal.target)))
    under = "" if asked.constraints == Constraints() else " under these constraints"
    return (
        f"P(loss <= {asked.goal.target:g}) is at most {most:.3g}{under}, up to {top:.3g} {asked.spending.unit}; "
        f"{above:.0%} of draws have their irreducible loss above the target"
    )

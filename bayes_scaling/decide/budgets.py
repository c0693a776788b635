"""Budgets: what each of several buys, what one more unit is worth, and the smallest budget that reaches a loss."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import computed_percent
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN, Shape
from bayes_scaling.decide.candidates import Candidates, chosen_run
from bayes_scaling.decide.cautions import refuse_tiny
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import fraction
from bayes_scaling.decide.objectives import loss_given_draw, probability_below
from bayes_scaling.decide.optima import optima_of, share_of_batch
from bayes_scaling.decide.problem import ROUGHLY, CheckedDecision
from bayes_scaling.decide.space import Space, log_batch, run_columns
from bayes_scaling.errors import REMEDY, PlanError, Remedy
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import POINTS_AT_ONCE
from bayes_scaling.predict.paths import E_FOLDS_BEYOND

SMALLER, BUDGETS = 5.0, 28  # e-folds below the smallest fitted run, and number of budgets in the first pass
CLOSE = 1e-4  # precision of the smallest log budget
ENDLESS = 1e40  # params and tokens at which only the irreducible loss is left, and the law's own error
STEP = 0.05  # of log budget, for the slope


def budget_curve(
    problem: CheckedDecision, budgets: Sequence[float], candidates: Sequence[float | Shape] | Shape | None = None
) -> pd.DataFrame:
    """Say what each of several budgets would buy; see `DecisionProblem.curve`."""
    if not len(budgets):
        raise PlanError("no budget was given; expected one or more")
    return pd.DataFrame([_bought(problem, float(budget), candidates) for budget in budgets])


def _bought(
    problem: CheckedDecision, budget: float, candidates: Sequence[float | Shape] | Shape | None
) -> dict[str, float]:
    """Return the best run of a budget, and slopes around it."""
    space = problem.space(budget)
    exist = None if candidates is None else Candidates.of(candidates, problem, space)
    run, size, _ = chosen_run(problem, problem.ensemble, space, exist, None)
    refuse_tiny(problem, budget, run)
    params, batch = float(run["params"][0]), run.get("batch_tokens")
    around = [problem.spending.surface(budget * math.exp(step)) for step in (-STEP, 0.0, STEP)]
    if around[0].tokens(size) < 1:  # the smaller budget cannot train this size
        around[0] = space.surface
    tokens = np.array([float(one.tokens(size)) for one in around])
    runs = run_columns(np.full(3, params), tokens, None if batch is None else np.repeat(batch, 3), space.given)
    predictive = problem.ensemble.new_run(runs)
    value, error = problem.objective.value(predictive, problem.goal)
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


def smallest_budget(problem: CheckedDecision, probabilities: Sequence[float]) -> pd.DataFrame:
    """Say how much budget makes the target as probable as wanted; see `DecisionProblem.smallest_budget`."""
    if math.isnan(problem.goal.target):
        raise PlanError(
            f"the smallest budget is the one that reaches a target: give {REMEDY}", Remedy("target", value="loss")
        )
    wanted = [fraction("probability", p) for p in probabilities]
    thinned = problem.ensemble.take(np.arange(0, len(problem.ensemble), max(len(problem.ensemble) // ROUGHLY, 1)))
    grid = _log_flops(problem)

    @functools.cache
    def reach(log_flops: float) -> tuple[float, float, float]:
        return _most_probable(problem, thinned, problem.space_of_flops(math.exp(log_flops)))

    reached = np.array([reach(x)[0] for x in grid])
    if (reached < 0).all():
        problem.limits.constraints.range(
            problem.space_of_flops(math.exp(grid[-1])).surface
        )  # says what excludes everything
        raise PlanError("constraints leave no plan at any budget; relax them")
    rows: list[dict[str, Any]] = []
    for probability in wanted:
        first = int(np.argmax(reached >= probability))
        if reached[first] < probability:
            most = float(reached.max())
            nothing = {"budget": math.inf, "params": math.nan, "tokens": math.nan, "reached": most}
            top = problem.space_of_flops(math.exp(grid[-1])).surface.budget
            rows.append({"probability": probability, **nothing, "why": _why(problem, most, top)})
            continue
        place, why = grid[first], "" if first else "the smallest budget considered is enough"
        if first:
            before = grid[first - 1]
            while place - before > CLOSE:
                middle = (before + place) / 2
                before, place = (before, middle) if reach(middle)[0] >= probability else (middle, place)
        p, params, tokens = reach(place)
        budget = problem.space_of_flops(math.exp(place)).surface.budget
        row = {"probability": probability, "budget": budget, "params": params, "tokens": tokens, "reached": p}
        rows.append({**row, "why": why})
    return pd.DataFrame(rows, columns=["probability", "budget", "params", "tokens", "reached", "why"])


def _log_flops(problem: CheckedDecision) -> list[float]:
    """Return log FLOPs of the budgets of the first pass, from those of small runs to far beyond the largest."""
    runs = [member.fit.runs for member in problem.ensemble.members.values()]
    known = np.log(np.concatenate([_flops_of(table, problem.limits.constraints.batch_tokens[0]) for table in runs]))
    low = float(known.min()) - SMALLER
    serving = problem.spending.surface(problem.spending.price * ENDLESS).serving
    low = max(low, math.log(2 * FLOPS_PER_PARAM_TOKEN + 2 * serving) + 1)
    return [float(x) for x in np.linspace(low, max(low + 1, float(known.max()) + E_FOLDS_BEYOND), BUDGETS)]


def _flops_of(runs: Runs, batch: float) -> np.ndarray:
    """Return the FLOPs of fitted runs; runs that only give steps are counted at a batch."""
    known = {name: runs.column(name) for name in ("params", "tokens", "steps", "flops") if name in runs}
    return np.asarray(derive_missing({"batch_tokens": batch, **known})[0]["flops"])


def _most_probable(problem: CheckedDecision, thinned: Ensemble, space: Space) -> tuple[float, float, float]:
    """Return the highest probability of the target in a space, with N and D; -1 where constraints leave nothing.

    Runs between the draws' own optima are compared; the probability is flat around the best one.
    """
    try:
        least, most = space.within
    except PlanError:
        return -1.0, math.nan, math.nan
    optima = optima_of(thinned, space)
    order = np.argsort(optima.log_params, kind="stable")
    ends = optima.log_params[_spread(order)[[0, -1]]]
    params = np.clip(np.exp(np.linspace(ends[0], ends[1], POINTS_AT_ONCE)), least, most)
    tokens = np.asarray(space.surface.tokens(params))
    batch = None
    if space.batched:
        share = share_of_batch(thinned, optima)[order]
        # Of a law with little weight, thinning may leave no draw.
        share = share[np.isfinite(share)] if np.isfinite(share).any() else np.zeros(1)
        batch = np.exp(log_batch(np.log(tokens), _spread(share), space.constraints.log_batch))
    runs = run_columns(params, tokens, batch, space.given)
    reached = probability_below(problem.ensemble.new_run(runs), problem.goal.target).mean(axis=0)
    best = int(reached.argmax())
    return float(reached[best]), float(params[best]), float(tokens[best])


def _spread(ordered: np.ndarray) -> np.ndarray:
    """Return values at evenly spaced places of an order, without its ends, ``(POINTS_AT_ONCE,)``."""
    last = len(ordered) - 1
    return np.asarray(ordered[np.linspace(0.005 * last, 0.995 * last, POINTS_AT_ONCE).round().astype(int)])


def _why(problem: CheckedDecision, most: float, top: float) -> str:
    """Say why a probability is out of reach."""
    limits, endless = problem.limits, np.array([ENDLESS])
    batch = endless if limits.batched else None
    limit = run_columns(endless, endless, batch, limits.given) | ({"steps": endless} if limits.batched else {})
    above = float(np.mean(problem.ensemble.log_mean(limit) > math.log(problem.goal.target)))
    under = "" if limits.constraints == Constraints() else " under these constraints"
    return (
        f"P(loss <= {problem.goal.target:g}) is at most {most:.3g}{under}, up to {top:.3g} {problem.spending.unit}; "
        f"in {computed_percent(above)} of draws even an endless run is expected to stay above the target"
    )

"""Mid-run: stop a big run, let it go on as planned, or extend it, given its curve so far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import derive_missing
from bayes_scaling.decide.costs import Cost, flops
from bayes_scaling.decide.objectives import (
    Goal,
    Objective,
    expected_improvement,
    loss_given_draw,
    probability_below,
    quantile,
)
from bayes_scaling.errors import PlanError
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.continuation import continued, curve_so_far
from bayes_scaling.predict.forecast import Forecast

BAND = 0.9  # probability of the band of the loss


@dataclasses.dataclass(frozen=True, eq=False)
class MidRun:
    """What stopping, going on and extending a run would bring.

    Attributes
    ----------
    label : law and run
    loss_unit, unit : of losses, and of cost
    objective : in words
    price : worth of one unit of cost, in the unit of the objective
    options : one row each, the first to stop now: ``option``, where it ends, ``cost`` still to pay, ``median`` loss
        with its 90 % band (``low``, ``high``), ``expected_loss``, ``value`` of the objective with its Monte-Carlo error
        ``value_se``, ``net`` of the price, ``beats_incumbent`` and ``reaches_target`` (probabilities)
    forecast : at the end of each option
    """

    label: str
    loss_unit: str
    unit: str
    objective: str
    price: float
    options: pd.DataFrame
    forecast: Forecast

    @property
    def best(self) -> str:
        """The option with the highest net value."""
        return str(self.options["option"].iloc[self._best])

    @property
    def _best(self) -> int:
        return int(self.options["net"].to_numpy().argmax())

    @property
    def verdict(self) -> str:
        """The answer in two sentences."""
        best, now = self.options.iloc[self._best], self.options.iloc[0]
        text = f"{self.best.capitalize()}: {self.objective} {best['value']:.4g}, against {now['value']:.4g} now"
        band = (
            f"Its loss would be {best['median']:.4g} {self.loss_unit} (90 %: {best['low']:.4g} to {best['high']:.4g})"
        )
        return f"{text}, for {best['cost']:.3g} {self.unit} more. {band}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = [{str(k): v for k, v in row.items()} for row in self.options.to_dict(orient="records")]
        return {
            "beliefs": self.label,
            "loss_unit": self.loss_unit,
            "unit": self.unit,
            "objective": self.objective,
            "price": self.price,
            "best": self.best,
            "verdict": self.verdict,
            "band": BAND,
            "options": rows,
        }


def midrun(
    fit: Fit,
    run: str,
    until: float,
    *,
    extend: Sequence[float] = (1.5, 2.0),
    objective: Objective | None = None,
    incumbent: float | None = None,
    target: float | None = None,
    price: float = 0.0,
    cost: Cost | None = None,
    ahead: pd.DataFrame | Mapping[str, Any] | None = None,
    seed: int = 0,
    unconverged: bool = False,
) -> MidRun:
    """Say what stopping a run now, going on as planned, and extending it would bring.

    Parameters
    ----------
    fit : posterior of a law of whole curves, fitted to other runs and to this one so far
    run : its id in the column ``run``
    until : where it was to end, in what its curve is ordered by (steps, else tokens)
    extend : factors of ``until`` at which it might end instead
    objective, target, cost : as of `allocate`
    incumbent : loss to beat; by default the best of all other runs in the table
    price : worth of one unit of cost in the unit of the objective; at 0 going on costs nothing
    ahead : further columns that change along the run, such as its learning rate: rows from now to each end in order,
        ends included
    seed : of what is not known yet
    unconverged : go on with a fit that did not converge

    Raises
    ------
    PlanError
        When the plan ends before the last row, or a factor does not extend it.
    ForecastError
        When the fitted table has no such run.
    """
    so_far, along = curve_so_far(fit, run)
    last = float(so_far[along].iloc[-1])
    if not until > last:
        raise PlanError(f"run {run!r} is at {along} {last:g}, and was to end at {until:g}: there is nothing to decide")
    factors = [float(factor) for factor in extend]
    if any(not (math.isfinite(factor) and factor > 1) for factor in factors):
        raise PlanError(f"extend is {list(extend)}, expected factors above 1 such as (1.5, 2.0)")
    if not (math.isfinite(price) and price >= 0):
        raise PlanError(f"the price is {price:g}, expected the worth of one unit of cost, 0 or more")
    ends = [last, until, *(until * factor for factor in sorted(factors))]
    rows: Mapping[str, Any] | pd.DataFrame = {along: ends} if ahead is None else ahead
    found = continued(fit, run, rows, seed=seed, unconverged=unconverged)
    at = found.points[along].to_numpy(float)
    places = [int(np.argmin(np.abs(at - end))) for end in ends]
    if any(abs(at[place] / end - 1) > 1e-9 for place, end in zip(places, ends, strict=True)):
        raise PlanError(
            f"rows ahead of run {run!r} need one at each of {along} {', '.join(f'{end:g}' for end in ends)}"
        )
    wanted = expected_improvement() if objective is None else objective
    if wanted.needs_target and target is None:
        raise PlanError(f"the objective is the {wanted.label}, but no target was given: pass target=...")
    others = fit.runs.loss[fit.runs.table["run"].astype(str) != run]
    if incumbent is None and not len(others):
        raise PlanError("there is no other run to beat: give the incumbent's loss")
    goal = Goal(float(others.min()) if incumbent is None else incumbent, math.nan if target is None else target)
    predictive = found.predictive.at(places)
    value, error = wanted.value(predictive, goal)
    spending = (flops() if cost is None else cost).spending(seed)
    runs, _ = derive_missing({str(name): found.points[name].to_numpy(float)[places] for name in found.points})
    if "flops" not in runs:
        raise PlanError(f"the rows of run {run!r} do not say what they cost: they need params, and tokens or a batch")
    paid = (runs["flops"] - runs["flops"][0]) * spending.price
    sign = 1.0 if wanted.direction == "maximise" else -1.0
    tail = (1 - BAND) / 2
    options = pd.DataFrame(
        {
            "option": ["stop now", "go on as planned", *(f"extend {factor:g} times" for factor in sorted(factors))],
            along: ends,
            "cost": paid,
            "median": quantile(predictive, 0.5),
            "low": quantile(predictive, tail),
            "high": quantile(predictive, 1 - tail),
            "expected_loss": loss_given_draw(predictive).mean(axis=0),
            "value": value,
            "value_se": error,
            "net": sign * value - price * paid,
            "beats_incumbent": probability_below(predictive, goal.incumbent).mean(axis=0),
            "reaches_target": math.nan if target is None else probability_below(predictive, target).mean(axis=0),
        }
    )
    return MidRun(found.label, found.loss_unit, spending.unit, wanted.label, price, options, found)

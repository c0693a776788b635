"""Mid-run: stop a big run, continue it as planned, or extend it, given its curve so far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import equal_tails
from bayes_scaling.base.numbers import amount, span
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.decide.costs import Spending
from bayes_scaling.decide.objectives import Goal, Objective, loss_given_draw, probability_below, quantile
from bayes_scaling.decide.problem import GoalOptions, checked_goal
from bayes_scaling.decide.ranking import LEAST, ranks, scale_of, why_unranked
from bayes_scaling.decide.spelling import cost_of, objective_of
from bayes_scaling.errors import REMEDY, PlanError, Remedy
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.continuation import continued
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.predictive import Predictive
from bayes_scaling.predict.so_far import curve_so_far

BAND = 0.9  # probability of the band of the loss
KEPT = ("stop now", "continue as planned")  # the first two options
UNLIKELY = 1e-3  # probability of what is wanted, below which a run is not worth going on, where cost is not counted
EXACT = 1e-9  # scale of a loss that is measured, over the loss: quantiles need a density


@dataclasses.dataclass(frozen=True, eq=False)
class MidRun:
    """What stopping, continuing and extending a run would bring.

    Attributes
    ----------
    label : law and run
    loss_unit, unit : of losses, and of cost
    objective : in words
    goal : incumbent, and target where there is one
    price : worth of one unit of cost, in the unit of the objective; 0 where cost is not counted
    options : one row each, the first to stop now, with the loss that was measured last: ``option``, where it ends,
        ``cost`` still to pay, ``median`` loss with its 90 % band (``low``, ``high``), ``expected_loss``, ``value`` of
        the objective with its Monte-Carlo error ``value_se``, ``net`` of the price, ``beats_incumbent`` and
        ``reaches_target`` (probabilities)
    forecast : of the run's rows ahead
    predictive : distribution of the loss at the end of each option
    stop : why to stop, where going on changes nothing that counts; empty where it does
    unranked : why the objective ranks none of the options, where cost is not counted; empty where it does
    """

    label: str
    loss_unit: str
    unit: str
    objective: str
    goal: Goal
    price: float
    options: pd.DataFrame
    forecast: Forecast
    predictive: Predictive
    stop: str = ""
    unranked: str = ""

    @property
    def best(self) -> str:
        """The option with the highest net value; without a price, to stop or to continue as planned."""
        return str(self.options["option"].iloc[self._best])

    @property
    def _best(self) -> int:
        among = len(self.options) if self.price else len(KEPT)
        return 0 if self.stop else int(self.options["net"].to_numpy()[:among].argmax())

    @property
    def verdict(self) -> str:
        """The answer in a few sentences."""
        if self.unranked:
            return f"No recommendation: {self.unranked}."
        (now, planned), best = (self.options.iloc[i] for i in range(len(KEPT))), self.options.iloc[self._best]
        ahead = planned if self._best == 0 else best
        band = f"{ahead['median']:.4g} {self.loss_unit} (90%: {span(ahead['low'], ahead['high'])})"
        more = f"for {amount(ahead['cost'], self.unit)} more"
        if self.stop:
            return f"Stop now: {self.stop}. As planned the loss would be {band}, {more}."
        if self._best == 0:
            text = f"{self.objective} {now['value']:.4g}, against {planned['value']:.4g} as planned, {more}"
            return f"Stop now: {text}. As planned the loss would be {band}.{self._uncounted}"
        text = f"{self.objective} {best['value']:.4g}, against {now['value']:.4g} now, {more}"
        return f"{self.best.capitalize()}: {text}. The loss would be {band}.{self._uncounted}"

    @property
    def _uncounted(self) -> str:
        """Without a price, say that cost does not count, and what extensions would gain over the better of the rest."""
        if self.price:
            return ""
        best, longer = self.options.iloc[self._best], self.options.iloc[len(KEPT) :]
        if not len(longer):
            return " What it costs is not counted: a price counts it."
        gains = [
            f"{row['net'] - best['net']:.3g} for {amount(row['cost'] - best['cost'], self.unit)} more"
            for _, row in longer.iterrows()
        ]
        times = [option.removeprefix("extend ") for option in longer["option"]]
        said = "What it costs is not counted, so no extension is recommended: a price counts it"
        rest = "".join(f", {factor} {gain}" for factor, gain in zip(times[1:], gains[1:], strict=True))
        return f" {said}. Extending it {times[0]} would gain another {gains[0]}{rest}."

    def interval(self, probability: float = BAND) -> np.ndarray:
        """Return the equal-tailed interval of the loss at the end of each option, ``(n_option, 2)``."""
        return np.stack([quantile(self.predictive, tail) for tail in equal_tails(probability, PlanError)], axis=1)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per option."""
        return self.options.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = [{str(k): v for k, v in row.items()} for row in self.options.to_dict(orient="records")]
        return {
            "law": self.label,
            "loss_unit": self.loss_unit,
            "unit": self.unit,
            "objective": self.objective,
            "incumbent": self.goal.incumbent,
            "target": None if math.isnan(self.goal.target) else self.goal.target,
            "price": self.price,
            "best": self.best,
            "verdict": self.verdict,
            "stop": self.stop or None,
            "unranked": self.unranked or None,
            "band": BAND,
            "options": rows,
        }


@validated
def midrun(
    fit: Fit,
    run: str,
    until: float,
    *,
    extend: Sequence[float] = (1.5, 2.0),
    price: float = 0.0,
    ahead: pd.DataFrame | Mapping[str, Any] | None = None,
    **options: Unpack[GoalOptions],
) -> MidRun:
    """Say what stopping a run now, continuing it as planned, and extending it would bring.

    Parameters
    ----------
    fit : posterior of a law of whole curves, fitted to other runs and to this one so far
    run : its id in the column ``run``
    until : where it was to end, in what its curve is ordered by (steps, else tokens)
    extend : factors of ``until`` at which it might end instead
    price : worth of one unit of cost in the unit of the objective; at 0 cost is not counted, and extensions are listed
        but not recommended
    ahead : further columns that change along the run, such as its learning rate: rows from now to each end in order,
        ends included
    options : `GoalOptions`: cost, objective, incumbent (by default the best of all other runs), target, seed,
        unconverged

    Returns
    -------
    MidRun
        One row for each option, stopping now first, and the forecast of the rows ahead.

    Raises
    ------
    ConvergenceError
        When the fit did not converge.
    PlanError
        When the plan ends before the last row, or a factor does not extend it.
    ForecastError
        When the fitted table has no such run.
    """
    objective = objective_of(options.get("objective", "expected_improvement"))
    spending = cost_of(options.get("cost", "flops")).spending(options.get("seed", 0))
    ends, along = _ends(fit, run, until, extend)
    if not (math.isfinite(price) and price >= 0):
        raise PlanError(f"the price is {price:g}, expected the worth of one unit of cost, 0 or more")
    goal = _goal(fit, run, objective, options)
    rows: Mapping[str, Any] | pd.DataFrame = {along: ends} if ahead is None else ahead
    found = continued(
        fit,
        run,
        rows,
        until=until,
        seed=options.get("seed", 0),
        unconverged=options.get("unconverged", False),
    )
    for caution in found.cautions:
        warn_caller(caution)
    places = _places(found, run, along, ends)
    paid = _paid(found, run, places, spending)
    measured = float(curve_so_far(fit, run)[0]["loss"].iloc[-1])
    predictive = _measured_now(found.predictive.at(places), measured)
    value, error = objective.value(predictive, goal)
    low, high = equal_tails(BAND)
    beats, reaches = (_below(predictive, measured, loss) for loss in (goal.incumbent, goal.target))
    table = pd.DataFrame(
        {
            "option": [*KEPT, *(f"extend {end / until:g} times" for end in ends[2:])],
            along: ends,
            "cost": paid,
            "median": quantile(predictive, 0.5),
            "low": quantile(predictive, low),
            "high": quantile(predictive, high),
            "expected_loss": loss_given_draw(predictive).mean(axis=0),
            "value": value,
            "value_se": error,
            "net": objective.sign * value - price * paid,
            "beats_incumbent": beats,
            "reaches_target": reaches,
        }
    )
    stop = _why_stop(objective, goal, value)
    if not stop and not price:
        stop = _why_hopeless(objective, goal, reaches if objective.needs_target else beats, table["option"])
    unranked = "" if price or stop else why_unranked(objective, goal, value, "every option")
    return MidRun(
        label=found.label,
        loss_unit=found.loss_unit,
        unit=spending.unit,
        objective=objective.label,
        goal=goal,
        price=price,
        options=table,
        forecast=found,
        predictive=predictive,
        stop=stop,
        unranked=unranked,
    )


def _measured_now(predictive: Predictive, loss: float) -> Predictive:
    """Put the measured loss in the place of the forecast of the first option."""
    location, scale, deviation = (
        np.array(one) for one in (predictive.location, predictive.scale, predictive.deviation)
    )
    location[:, 0], scale[:, 0], deviation[:, 0] = math.log(loss), EXACT, 0.0
    return dataclasses.replace(predictive, location=location, scale=scale, deviation=deviation)


def _below(predictive: Predictive, measured: float, loss: float) -> np.ndarray:
    """Return the probability of each option that its loss is no higher than a given one; NaN where none is given."""
    if math.isnan(loss):
        return np.full(predictive.location.shape[1], math.nan)
    probability = probability_below(predictive, loss).mean(axis=0)
    probability[0] = float(measured <= loss)
    return probability


def _why_stop(objective: Objective, goal: Goal, value: np.ndarray) -> str:
    """Say why a run may stop, where no option changes an objective that wants a loss reached; empty otherwise."""
    improves = not objective.unit and objective.direction == "maximise"
    if ranks(objective, goal, value) or not (objective.needs_target or improves):
        return ""
    if value.max() > LEAST * scale_of(objective, goal, value):
        return f"the {objective.label} is {value[0]:.4g}, and going on would not change it"
    if objective.needs_target:
        return f"no option reaches {goal.target:g}"
    return f"no option is likely to beat {goal.incumbent:g} ({objective.label} {value.max():.2g} at most)"


def _why_hopeless(objective: Objective, goal: Goal, probability: np.ndarray, options: pd.Series) -> str:
    """Say why a run may stop whose planned end will hardly bring what is wanted; empty where it may, or has already."""
    improves = not objective.unit and objective.direction == "maximise"
    now, planned = probability[: len(KEPT)]
    if now or planned >= UNLIKELY or not (objective.needs_target or improves):
        return ""
    does, loss = ("reaches", goal.target) if objective.needs_target else ("beats", goal.incumbent)
    text = f"as planned it {does} {loss:g} with a probability of {planned:.1g}"
    best = int(probability.argmax())
    return f"{text}, if you {options.iloc[best]} of {probability[best]:.1g}" if probability[best] >= UNLIKELY else text


def _ends(fit: Fit, run: str, until: float, extend: Sequence[float]) -> tuple[list[float], str]:
    """Return where each option ends, the first now, and the column in which ends are counted."""
    so_far, along = curve_so_far(fit, run)
    last = float(so_far[along].iloc[-1])
    if not until > last:
        raise PlanError(f"run {run!r} is at {along} {last:g}, and was to end at {until:g}: there is nothing to decide")
    factors = [float(factor) for factor in extend]
    if any(not (math.isfinite(factor) and factor > 1) for factor in factors):
        raise PlanError(f"extend is {list(extend)}, expected factors above 1 such as (1.5, 2.0)")
    return [last, until, *(until * factor for factor in sorted(factors))], along


def _goal(fit: Fit, run: str, objective: Objective, options: GoalOptions) -> Goal:
    """Return the goal; the default incumbent is the best other run."""
    incumbent = options.get("incumbent")
    others = fit.runs.loss[fit.runs.table["run"].astype(str) != run]
    if incumbent is None and not len(others):
        raise PlanError(f"there is no other run to improve on: give {REMEDY}", Remedy("incumbent", value="loss"))
    return checked_goal(objective, float(others.min()) if incumbent is None else incumbent, options.get("target"))


def _places(found: Forecast, run: str, along: str, ends: Sequence[float]) -> list[int]:
    """Return the row of the forecast at each end."""
    at = found.points[along].to_numpy(float)
    places = [int(np.argmin(np.abs(at - end))) for end in ends]
    if any(abs(at[place] / end - 1) > 1e-9 for place, end in zip(places, ends, strict=True)):
        raise PlanError(
            f"rows ahead of run {run!r} need one at each of {along} {', '.join(f'{end:g}' for end in ends)}"
        )
    return places


def _paid(found: Forecast, run: str, places: Sequence[int], spending: Spending) -> np.ndarray:
    """Return what is still to pay at each end, ``(n_option,)``."""
    runs, _ = derive_missing({str(name): found.points[name].to_numpy(float)[places] for name in found.points})
    if "flops" not in runs:
        raise PlanError(f"the rows of run {run!r} do not say what they cost: they need params, and tokens or a batch")
    return np.asarray((runs["flops"] - runs["flops"][0]) * spending.price)

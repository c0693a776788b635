"""Pilots: which small runs to buy before a big one, if any.

Every run on offer gets two numbers: how much it would narrow the forecast of the big run, and what it would add to the
expected payoff of the decision, less its price in the same unit. Pilots that are paid out of the budget of the big run
leave less for it, so "buy nothing" is a possible answer.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.blas import ONE_THREAD
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.base.progress import Progress, progress_bar, silent
from bayes_scaling.base.spacing import evenly
from bayes_scaling.data.columns import Points
from bayes_scaling.data.naming import named_as_runs
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.decide import designs
from bayes_scaling.decide.costs import Spending
from bayes_scaling.decide.designs import Offer
from bayes_scaling.decide.information import Joint, learned, posteriors, winsorise
from bayes_scaling.decide.objectives import standard_error
from bayes_scaling.decide.payoffs import Payoffs, of_budget, of_forecast
from bayes_scaling.decide.pilot_plan import PilotPlan, Value
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.predictive import Predictive

DRAWS = 2000  # of the posterior
OUTCOMES, OFFERED = 256, 64  # outcomes drawn of the runs that are bought, and of each candidate alone
GRID = 8  # values of each input where candidates are given as ranges
WEIGHTED = 64  # candidates that are appraised by weights; the others by regression
FAILED = 0.1  # share of outcomes with unreliable weights above which regression is used
FINALISTS = 3  # sets that are appraised with more outcomes
COPIES = 4  # how often one candidate may be run
SETS, FINAL = 0.2, 0.3  # shares of the progress that the search of sets, and the best of them, take


@ONE_THREAD.on()
def choose_pilots(
    problem: CheckedDecision,
    candidates: pd.DataFrame | Mapping[str, Any],
    pilot_budget: float,
    budget: float | None,
    forecast_at: Mapping[str, Any] | None,
    price: float | None,
    copies: int,
) -> PilotPlan:
    """Choose small runs to buy before a big one; arguments as of `DecisionProblem.pilot`."""
    if (budget is None) == (forecast_at is None):
        raise PlanError("say what the pilots are for: either a budget, or the run to forecast (forecast_at)")
    if not (math.isfinite(pilot_budget) and pilot_budget > 0):
        raise PlanError(f"the pilot budget is {pilot_budget:g}, expected a positive number")
    if not (isinstance(copies, int) and copies >= 1):
        raise PlanError(f"copies is {copies!r}, expected how often one candidate may be run, 1 or more")
    if price is not None and not (math.isfinite(price) and price >= 0):
        raise PlanError(f"the price is {price:g}, expected the worth of one unit of cost, 0 or more")
    unit, ensemble = problem.spending.unit, thinned(problem.ensemble)
    frame = _offered(candidates, ensemble)
    points = ensemble.points(**{str(name): frame[name].to_numpy() for name in frame if name != "cost"})
    prices = _prices(frame, points, problem.spending)
    if prices.min() > pilot_budget:
        raise PlanError(
            f"the pilot budget of {pilot_budget:g} {unit} pays for none of the candidates; the cheapest costs "
            f"{prices.min():.3g}"
        )
    if budget is None:
        payoffs = of_forecast(ensemble, ensemble.points(**dict(forecast_at or {})))
    else:
        payoffs = of_budget(problem, budget, pilot_budget if price is None else 0.0, ensemble)
    offer = Offer(prices, np.full(len(prices), copies), pilot_budget)
    appraise = Appraiser(ensemble.new_run(points), payoffs, offer, price or 0.0, problem.seed)
    with progress_bar("pilot") as report:
        return best_pilots(appraise, frame, ensemble.label, unit, report)


def best_pilots(
    appraise: Appraiser, frame: pd.DataFrame, label: str, unit: str, report: Progress = silent
) -> PilotPlan:
    """Search sets, appraise the best of them, and every candidate alone.

    Parameters
    ----------
    frame : the candidates, a row each
    label, unit : laws that the draws are of, and the unit of costs
    report : is told how far the work is
    """
    payoffs, offer = appraise.payoffs, appraise.offer
    count = len(frame)
    joint = Joint.of(appraise.signals, winsorise(payoffs.wanted))
    report("sets of runs", 0.0)
    tried = designs.beginnings(joint, offer) if payoffs.choice else [designs.best_set(joint, offer)]
    alone = []
    for index in range(count):
        report("each run alone", SETS + (1 - SETS - FINAL) * index / count)
        alone.append(appraise.regressed([index]))
    report("the best of them", 1 - FINAL)
    for index in sorted(range(count), key=lambda i: (-alone[i].net, alone[i].uncertainty_left))[:WEIGHTED]:
        alone[index] = appraise([index], OFFERED)
    if payoffs.choice:
        affordable = [index for index in range(count) if offer.prices[index] <= offer.budget]
        tried.append([max(affordable, key=lambda i: alone[i].net)])
        tried = sorted(tried, key=lambda chosen: -appraise(chosen, OFFERED).net)[:FINALISTS]
    values = [appraise(chosen) for chosen in tried]
    best = int(np.argmax([value.net for value in values]))
    chosen, value = tried[best], values[best]
    if len(tried) > 1:  # the outcomes by which it is the best of several flatter it
        value = dataclasses.replace(appraise, seed=appraise.seed + 1)(chosen)
    if payoffs.choice and value.net <= value.gain_se:  # no different from buying nothing
        chosen, value = [], appraise([])
    numbers, counts = np.unique(np.asarray(chosen, int), return_counts=True)
    runs = frame.drop(columns="cost", errors="ignore").iloc[numbers].reset_index(drop=True)
    runs = runs.assign(copies=counts, cost=offer.prices[numbers] * counts)
    offers = frame.drop(columns="cost", errors="ignore").reset_index(drop=True)
    offers = pd.concat([offers, pd.DataFrame([one.to_dict() for one in alone])], axis=1)
    return PilotPlan(
        label=label,
        decision=payoffs.label,
        unit=payoffs.unit,
        budget=offer.budget,
        budget_unit=unit,
        runs=runs,
        chosen=tuple(int(i) for i in chosen),
        value=value,
        offers=offers,
        big=payoffs.big,
        log_losses=payoffs.targets,
        now=payoffs.now if payoffs.choice else math.nan,
        perfect=payoffs.perfect if payoffs.choice else math.nan,
        unranked=payoffs.unranked,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Appraiser:
    """Says what a set of runs would bring.

    Attributes
    ----------
    signals : distribution of the candidates' log losses
    payoffs : of the decision
    offer : the runs on offer, and the budget for them
    price : worth of one unit of cost where pilots are paid from elsewhere; 0 where the budget pays
    seed : of outcomes
    """

    signals: Predictive
    payoffs: Payoffs
    offer: Offer
    price: float
    seed: int

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """Expected log loss of the big runs, winsorised, ``(n_draw, n_target)``."""
        return winsorise(self.payoffs.targets)

    def _price(self, cost: float) -> float:
        """Return by how much a cost lowers the payoff of the decision."""
        if not self.payoffs.choice:
            return 0.0
        left = float(self.payoffs.worth_after(cost).mean(axis=0).max())
        return max(self.payoffs.now - left, 0.0) + self.price * cost

    def __call__(self, chosen: Sequence[int], outcomes: int = OUTCOMES) -> Value:
        """Appraise by weights of draws; by regression where the weights fail."""
        cost = self.offer.spent(chosen)
        if not chosen:
            return Value(0.0, 1.0, 0.0, 0.0, 0.0, "nothing", 0.0)
        after = posteriors(self.signals, chosen, outcomes, self.seed)
        if after.unreliable > FAILED:
            return dataclasses.replace(self.regressed(chosen), unreliable=after.unreliable)
        left = after.variances(self.targets).mean(axis=0)
        if not self.payoffs.choice:
            return self._value(cost, left, np.zeros(1), "weights", after.unreliable)
        means = after.means(self.payoffs.worth_after(cost))
        gains = means.max(axis=1) - means[:, int(means.mean(axis=0).argmax())]
        return self._value(cost, left, gains, "weights", after.unreliable)

    def regressed(self, chosen: Sequence[int]) -> Value:
        """Appraise by a regression learned on half of the draws and tested on the other half."""
        cost, targets = self.offer.spent(chosen), self.targets.shape[1]
        worth = self.payoffs.worth_after(cost)
        found = learned(self.signals, chosen, np.concatenate([self.targets, worth], axis=1), self.seed)
        left = ((found.predicted - found.actual)[:, :targets] ** 2).mean(axis=0)
        if not self.payoffs.choice:
            return self._value(cost, left, np.zeros(1), "regression", math.nan)
        best = found.predicted[:, targets:].argmax(axis=1)
        gains = worth[np.arange(len(worth)), best] - worth[:, int(worth.mean(axis=0).argmax())]
        return self._value(cost, left, gains, "regression", math.nan)

    def _value(self, cost: float, left: np.ndarray, gains: np.ndarray, method: str, unreliable: float) -> Value:
        total = float(self.targets.var(axis=0).sum())
        share = math.sqrt(min(float(left.sum()) / total, 1.0)) if total > 0 else 1.0
        error = float(standard_error(gains))
        ceiling = self.payoffs.perfect if self.payoffs.choice else 0.0
        return Value(
            cost, share, min(max(float(gains.mean()), 0.0), ceiling), error, self._price(cost), method, unreliable
        )


def thinned(ensemble: Ensemble) -> Ensemble:
    """Keep evenly spaced draws."""
    return ensemble if len(ensemble) <= DRAWS else ensemble.take(evenly(len(ensemble), DRAWS))


def _offered(candidates: pd.DataFrame | Mapping[str, Any], ensemble: Ensemble) -> pd.DataFrame:
    """Return candidates as a table of inputs, with their cost where given."""
    if isinstance(candidates, pd.DataFrame):
        known = {name for member in ensemble.members.values() for name in member.fit.law.inputs}
        known |= {"params", "tokens", "steps", "batch_tokens", "flops", "unique_tokens", "cost"}
        table, spelled = named_as_runs(candidates, known, "the candidates")
        frame = table[[name for name in table if name in known]]
        if not len(frame):
            raise PlanError("there are no candidates; give at least one run")
        may_be_zero = [name for member in ensemble.members.values() for name in member.fit.law.may_be_zero]
        inputs = [str(name) for name in frame if name != "cost"]
        frame = numeric(frame, inputs, Origin("the candidates", spelled), may_be_zero)
        return frame.assign(cost=pd.to_numeric(frame["cost"], errors="coerce")) if "cost" in frame else frame
    axes = {}
    for name, given in candidates.items():
        try:
            ends = np.atleast_1d(np.asarray(given, float))
        except (TypeError, ValueError, OverflowError):
            ends = np.full(1, np.nan)
        if ends.ndim != 1 or not np.isfinite(ends).all() or (ends <= 0).any() or ends[0] > ends[-1]:
            raise PlanError(f"candidates: {name} is {shown(given)}, expected a number or a range (least, most)")
        axes[name] = np.geomspace(ends[0], ends[1], GRID) if len(ends) == 2 and ends[0] < ends[1] else np.unique(ends)
    if not axes:
        raise PlanError("there are no candidates; give a table of runs or a range of each input")
    crossed = np.meshgrid(*axes.values(), indexing="ij")
    return pd.DataFrame({name: values.reshape(-1) for name, values in zip(axes, crossed, strict=True)})


def _prices(frame: pd.DataFrame, points: Points, spending: Spending) -> np.ndarray:
    """Return the cost of one run of each candidate, ``(n,)``, without serving."""
    if "cost" in frame:
        prices = frame["cost"].to_numpy(float)
    elif {"params", "tokens"} <= set(points):
        prices = points["flops"] * spending.price
    else:
        raise PlanError(f"candidates have {listed(list(frame))}; give their cost too, or params and tokens")
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise PlanError("costs of candidates: expected a positive number each")
    return prices

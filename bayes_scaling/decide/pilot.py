"""Pilots: which small runs to buy before a big one, or none.

For every run on offer: how much it would narrow the forecast of the big run, and what it would add to the expected
worth of the decision, less its price in the same unit. Pilots that are paid out of the budget of the big run leave less
for it, so "buy nothing, spend it now" is an answer like any other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import listed
from bayes_scaling.data.columns import Points
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.decide import designs, stakes
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import Cost, Spending, flops
from bayes_scaling.decide.information import Joint, learned, moderate, posteriors
from bayes_scaling.decide.objectives import Objective, standard_error
from bayes_scaling.decide.pilot_plan import PilotPlan, Value
from bayes_scaling.decide.question import Question, Source
from bayes_scaling.decide.stakes import Stakes
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.predictive import Predictive

DRAWS = 2000  # of the posterior
OUTCOMES, OFFERED = 256, 64  # of the runs that are bought, and of each candidate alone
GRID = 8  # values of each input where candidates are given as ranges
WEIGHED = 64  # candidates whose draws are weighed; of more, the others are judged by regression
FAILED = 0.1  # share of outcomes with unreliable weights, above which regression speaks
FINALISTS = 3  # sets that are judged with more outcomes
COPIES = 4  # how often one candidate may be run


def pilot(
    source: Source,
    candidates: pd.DataFrame | Mapping[str, Any],
    pilot_budget: float,
    *,
    budget: float | None = None,
    forecast_at: Mapping[str, Any] | None = None,
    objective: Objective | None = None,
    incumbent: float | None = None,
    target: float | None = None,
    constraints: Constraints | None = None,
    cost: Cost | None = None,
    given: Mapping[str, float] | None = None,
    price: float | None = None,
    copies: int = COPIES,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: int = 0,
) -> PilotPlan:
    """Choose small runs to buy before a big one.

    Parameters
    ----------
    source : fit, comparison or beliefs; draws of several laws are told apart by what the pilots show
    candidates : runs on offer, a row each, with the law's inputs in raw units and, if it is not 6 N D, their ``cost``
        in the unit of the budget; or a range of each input, ``{"params": (1e7, 1e9), "tokens": (1e8, 1e10)}``
    pilot_budget : the most that pilots may cost
    budget : the decision is which N to train with it
    forecast_at : in place of ``budget``: the decision waits for the forecast of this run, ``{"params": 7e10, ...}``
    objective, incumbent, target, constraints, cost, given, group, unconverged : as of `allocate`
    price : worth of one unit of cost, in the unit of the objective, where pilots are not paid out of the budget; 0 for
        pilots that cost nothing but time
    copies : how often one candidate may be run
    seed : of outcomes

    Returns
    -------
    PilotPlan
        Runs to buy, what they are expected to bring, and the same for every candidate alone.

    Raises
    ------
    PlanError
        When the question makes no sense: no candidate that the pilot budget pays, a missing input, no decision.

    Notes
    -----
    Sets are searched with a normal approximation and judged by reweighting 2,000 draws over 256 drawn outcomes. Where
    a set is so informative that few draws are left to speak, a regression over draws judges, and ``method`` says so.
    After the runs came in, fit again with them and ask again.
    """
    if (budget is None) == (forecast_at is None):
        raise PlanError("say what pilots are for: either a budget to allocate, or the run to forecast (forecast_at)")
    if not (math.isfinite(pilot_budget) and pilot_budget > 0):
        raise PlanError(f"the pilot budget is {pilot_budget:g}, expected a positive number")
    if not (isinstance(copies, int) and copies >= 1):
        raise PlanError(f"copies is {copies!r}, expected how often one candidate may be run, 1 or more")
    if price is not None and not (math.isfinite(price) and price >= 0):
        raise PlanError(f"the price is {price:g}, expected the worth of one unit of cost, 0 or more")
    question = None
    if budget is None:
        beliefs = (
            source if isinstance(source, Ensemble) else Ensemble.of(source, seed, group=group, unconverged=unconverged)
        )
        spending = (flops() if cost is None else cost).spending(seed)
    else:
        question = Question.of(
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
        beliefs, spending = question.beliefs, question.spending
    beliefs = _thinned(beliefs)
    frame = _offered(candidates, beliefs)
    points = beliefs.points(**{str(name): frame[name].to_numpy() for name in frame if name != "cost"})
    prices = _prices(frame, points, spending)
    if prices.min() > pilot_budget:
        raise PlanError(
            f"the pilot budget of {pilot_budget:g} {spending.unit} pays none of the candidates; the cheapest costs "
            f"{prices.min():.3g}"
        )
    if budget is None or question is None:
        at_stake = stakes.of_forecast(beliefs, beliefs.points(**dict(forecast_at or {})))
    else:
        asked = dataclasses.replace(question, beliefs=beliefs)
        at_stake = stakes.of_budget(asked, budget, pilot_budget if price is None else 0.0)
    market = designs.Market(prices, np.full(len(prices), copies), pilot_budget)
    return _chosen(beliefs, frame, beliefs.new_run(points), at_stake, market, spending.unit, price or 0.0, seed)


def _chosen(
    beliefs: Ensemble,
    frame: pd.DataFrame,
    signals: Predictive,
    at_stake: Stakes,
    market: designs.Market,
    unit: str,
    price: float,
    seed: int,
) -> PilotPlan:
    """Search sets, appraise the best of them, and every candidate alone."""
    count = len(frame)
    appraise = _Appraiser(signals, at_stake, market, price, moderate(at_stake.targets), seed)
    joint = Joint.of(signals, moderate(at_stake.wanted))
    tried = designs.beginnings(joint, market) if at_stake.choice else [designs.best_set(joint, market)]
    alone = [appraise.regressed([index]) for index in range(count)]
    for index in sorted(range(count), key=lambda i: (-alone[i].net, alone[i].spread_left))[:WEIGHED]:
        alone[index] = appraise([index], OFFERED)
    if at_stake.choice:
        affordable = [index for index in range(count) if market.prices[index] <= market.budget]
        tried.append([max(affordable, key=lambda i: alone[i].net)])
        tried = sorted(tried, key=lambda chosen: -appraise(chosen, OFFERED).net)[:FINALISTS]
    values = [appraise(chosen) for chosen in tried]
    best = int(np.argmax([value.net for value in values]))
    chosen, value = tried[best], values[best]
    if at_stake.choice and value.net <= value.gain_se:  # not told apart from nothing
        chosen, value = [], appraise([])
    numbers, counts = np.unique(np.asarray(chosen, int), return_counts=True)
    runs = frame.drop(columns="cost", errors="ignore").iloc[numbers].reset_index(drop=True)
    runs = runs.assign(copies=counts, cost=market.prices[numbers] * counts)
    offers = frame.drop(columns="cost", errors="ignore").reset_index(drop=True)
    offers = pd.concat([offers, pd.DataFrame([one.to_dict() for one in alone])], axis=1)
    return PilotPlan(
        label=beliefs.label,
        decision=at_stake.label,
        unit=at_stake.unit,
        budget=market.budget,
        budget_unit=unit,
        runs=runs,
        chosen=tuple(int(i) for i in chosen),
        value=value,
        offers=offers,
        big=at_stake.big,
        spread=np.diff(np.quantile(at_stake.targets, [0.16, 0.84], axis=0), axis=0)[0] / 2,
        now=at_stake.now if at_stake.choice else math.nan,
        perfect=at_stake.perfect if at_stake.choice else math.nan,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Appraiser:
    """Says what a set of runs would bring.

    Attributes
    ----------
    signals : of the candidates
    stakes : what is decided
    market : what is on offer
    price : worth of one unit of cost where pilots are paid from elsewhere; 0 where the budget pays
    targets : (n_draw, n_target) expected log loss of the big runs, the most extreme draws held
    seed : of outcomes
    """

    signals: Predictive
    stakes: Stakes
    market: designs.Market
    price: float
    targets: np.ndarray
    seed: int

    def _price(self, cost: float) -> float:
        """Return what a cost takes from the worth of the decision."""
        if not self.stakes.choice:
            return 0.0
        left = float(self.stakes.worth_after(cost).mean(axis=0).max())
        return max(self.stakes.now - left, 0.0) + self.price * cost

    def __call__(self, chosen: Sequence[int], outcomes: int = OUTCOMES) -> Value:
        """Answer by weighing draws; by regression where their weights fail."""
        cost = self.market.spent(chosen)
        if not chosen:
            return Value(0.0, 1.0, 0.0, 0.0, 0.0, "nothing", 0.0)
        after = posteriors(self.signals, chosen, outcomes, self.seed)
        if after.unreliable > FAILED:
            return dataclasses.replace(self.regressed(chosen), unreliable=after.unreliable)
        left = after.variances(self.targets).mean(axis=0)
        if not self.stakes.choice:
            return self._value(cost, left, np.zeros(1), "weights", after.unreliable)
        means = after.means(self.stakes.worth_after(cost))
        gains = means.max(axis=1) - means[:, int(means.mean(axis=0).argmax())]
        return self._value(cost, left, gains, "weights", after.unreliable)

    def regressed(self, chosen: Sequence[int]) -> Value:
        """Answer by what half of the draws teaches about the other half."""
        cost, targets = self.market.spent(chosen), self.targets.shape[1]
        worth = self.stakes.worth_after(cost)
        found = learned(self.signals, chosen, np.concatenate([self.targets, worth], axis=1), self.seed)
        left = ((found.foretold - found.actual)[:, :targets] ** 2).mean(axis=0)
        if not self.stakes.choice:
            return self._value(cost, left, np.zeros(1), "regression", math.nan)
        best = found.foretold[:, targets:].argmax(axis=1)
        gains = worth[np.arange(len(worth)), best] - worth[:, int(worth.mean(axis=0).argmax())]
        return self._value(cost, left, gains, "regression", math.nan)

    def _value(self, cost: float, left: np.ndarray, gains: np.ndarray, method: str, unreliable: float) -> Value:
        total = float(self.targets.var(axis=0).sum())
        share = math.sqrt(min(float(left.sum()) / total, 1.0)) if total > 0 else 1.0
        error = float(standard_error(gains))
        ceiling = self.stakes.perfect if self.stakes.choice else 0.0
        return Value(
            cost, share, min(max(float(gains.mean()), 0.0), ceiling), error, self._price(cost), method, unreliable
        )


def _thinned(beliefs: Ensemble) -> Ensemble:
    """Keep evenly spread draws."""
    if len(beliefs) <= DRAWS:
        return beliefs
    return beliefs.take(np.linspace(0, len(beliefs) - 1, DRAWS).round().astype(int))


def _offered(candidates: pd.DataFrame | Mapping[str, Any], beliefs: Ensemble) -> pd.DataFrame:
    """Return candidates as a table of inputs, and cost where it is given."""
    if isinstance(candidates, pd.DataFrame):
        known = {name for member in beliefs.members.values() for name in member.fit.law.inputs}
        known |= {"params", "tokens", "steps", "batch_tokens", "flops", "unique_tokens", "cost"}
        frame = candidates[[name for name in candidates if name in known]].reset_index(drop=True)
        if not len(frame):
            raise PlanError("there are no candidates; give at least one run")
        may_be_zero = [name for member in beliefs.members.values() for name in member.fit.law.may_be_zero]
        inputs = [str(name) for name in frame if name != "cost"]
        frame = numeric(frame, inputs, Origin("the candidates", {}), may_be_zero)
        return frame.assign(cost=pd.to_numeric(frame["cost"], errors="coerce")) if "cost" in frame else frame
    axes = {}
    for name, given in candidates.items():
        ends = np.atleast_1d(np.asarray(given, float))
        if ends.ndim != 1 or not np.isfinite(ends).all() or (ends <= 0).any() or ends[0] > ends[-1]:
            raise PlanError(f"candidates: {name} is {given!r}, expected a number or a range (least, most)")
        axes[name] = np.geomspace(ends[0], ends[1], GRID) if len(ends) == 2 and ends[0] < ends[1] else np.unique(ends)
    if not axes:
        raise PlanError("there are no candidates; give a table of runs or a range of each input")
    crossed = np.meshgrid(*axes.values(), indexing="ij")
    return pd.DataFrame({name: values.reshape(-1) for name, values in zip(axes, crossed, strict=True)})


def _prices(frame: pd.DataFrame, points: Points, spending: Spending) -> np.ndarray:
    """Return the cost of one run of each candidate, ``(n,)``; served tokens are no part of it."""
    if "cost" in frame:
        prices = frame["cost"].to_numpy(float)
    elif {"params", "tokens"} <= set(points):
        prices = points["flops"] * spending.price
    else:
        raise PlanError(f"candidates have {listed(list(frame))}; give their cost too, or params and tokens")
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise PlanError("costs of candidates: expected a positive number each")
    return prices

"""Allocation: which model a budget should train, on how many tokens, and how much that choice can be trusted.

A plan is the best point of an objective on the budget surface, where N fixes the D that spends the budget. Beside it
stand the optimum of every draw, what the plan loses against it, and what rules of thumb would lose.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize

from bayes_scaling._compare import Comparison
from bayes_scaling._counting import PUBLISHED_FRONTIERS, Frontier
from bayes_scaling._errors import PlanError
from bayes_scaling._fit import Fit
from bayes_scaling._validation import shown
from bayes_scaling.decide.beliefs import BLOCK, Beliefs, Predictive, completed
from bayes_scaling.decide.costs import FLOPS_PER_PARAM_TOKEN, SERVED_FLOPS, Cost, Spending, Surface, flops, fraction
from bayes_scaling.decide.objectives import (
    Goal,
    Objective,
    cvar_given_draw,
    expected_improvement,
    loss_given_draw,
    probability_below,
    quantile,
)

FIRST = 7 * BLOCK  # points of the first pass over log N
FINEST = 1e-9  # of log N, where the search ends
SMOOTH = 1e-11  # misfit of a polynomial through the optimum, over the objective, below which its summit is taken
NEAR = 0.05  # e-folds of N within which that is tried
LEAST = np.concatenate([[0.0], np.geomspace(1e-4, 8.0, BLOCK - 1)])  # budgets exp(-this) for equivalent FLOPs
SMALLER, BUDGETS = 5.0, 28  # e-folds below the smallest fitted size, and budgets that are looked at first
CLOSE = 1e-4  # of log budget, where the search for the smallest one ends
NOWHERE = 1e40  # params and tokens at which only the irreducible loss is left
STEP = 0.05  # of log budget, for the value of one more unit

type Source = Fit | Comparison | Beliefs


# --- constraints ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Constraints:
    """What a plan must keep to; ranges are (least, most).

    Attributes
    ----------
    params, tokens, tokens_per_param : ranges of N, D and D / N
    tokens_available : D may not exceed them
    """

    params: tuple[float, float] = (1.0, math.inf)
    tokens: tuple[float, float] = (1.0, math.inf)
    tokens_per_param: tuple[float, float] = (0.0, math.inf)
    tokens_available: float = math.inf

    def __post_init__(self) -> None:
        for name in ("params", "tokens", "tokens_per_param"):
            given = getattr(self, name)
            if not (isinstance(given, tuple | list) and len(given) == 2):
                raise PlanError(f"constraint {name} is {given!r}, expected a range (least, most)")
            low, high = given
            if not 0 <= low <= high or math.isinf(low) or not high > 0:
                raise PlanError(f"constraint {name} is ({low:g}, {high:g}), expected 0 <= least <= most")
        if not self.tokens_available >= 1:
            raise PlanError(f"tokens_available is {self.tokens_available:g}, expected a number of tokens")

    def range(self, surface: Surface) -> tuple[float, float]:
        """Return the range of N on a budget surface that all constraints leave.

        Raises
        ------
        PlanError
            When nothing is left; the two constraints that exclude each other are named.
        """
        ratio, tokens = self.tokens_per_param, self.tokens
        least = {
            "at least 1 parameter": 1.0,
            f"params at least {self.params[0]:g}": self.params[0],
            f"tokens at most {tokens[1]:g}": surface.params_of_tokens(tokens[1]) if tokens[1] < math.inf else 0.0,
            f"{self.tokens_available:g} tokens available": surface.params_of_tokens(self.tokens_available)
            if self.tokens_available < math.inf
            else 0.0,
            f"tokens_per_param at most {ratio[1]:g}": surface.params_of_ratio(ratio[1]) if ratio[1] < math.inf else 0.0,
        }
        most = {
            "the budget, with one token to train on,": surface.most_params,
            f"params at most {self.params[1]:g}": self.params[1],
            f"tokens at least {tokens[0]:g}": surface.params_of_tokens(max(tokens[0], 1.0)),
            f"tokens_per_param at least {ratio[0]:g}": surface.params_of_ratio(ratio[0]) if ratio[0] > 0 else math.inf,
        }
        low, high = max(least, key=lambda name: least[name]), min(most, key=lambda name: most[name])
        if least[low] > most[high] * (1 + 1e-12):
            raise PlanError(
                f"constraints leave no plan that spends {surface.flops:.4g} FLOPs: {low} needs N >= {least[low]:.4g}, "
                f"but {high} needs N <= {most[high]:.4g}; relax one of the two or change the budget"
            )
        return least[low], max(least[low], most[high])


# --- the result -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """One run that spends the budget, and how good it is.

    Attributes
    ----------
    params, tokens : N and D
    cost : in the unit of the budget, at the quantile that has to meet it
    value, value_se : of the objective, and its Monte-Carlo standard error
    expected_loss : of one new run
    regret : (n_draw,) what the mean curve loses here against the draw's own optimum, in the unit of the loss
    wasted : (n_draw,) regret as a share of the FLOPs: with so much less, well split, the law reaches the same loss
    allowed : whether it keeps to the constraints
    note : where it comes from
    """

    params: float
    tokens: float
    cost: float
    value: float
    value_se: float
    expected_loss: float
    regret: np.ndarray
    wasted: np.ndarray
    allowed: bool
    note: str

    @property
    def expected_regret(self) -> float:
        """Mean of the regret over draws."""
        return float(self.regret.mean())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "tokens_per_param": self.tokens / self.params,
            "cost": self.cost,
            "value": self.value,
            "value_se": self.value_se,
            "expected_loss": self.expected_loss,
            "expected_regret": self.expected_regret,
            "regret_95": float(np.quantile(self.regret, 0.95)),
            "wasted_flops": float(np.median(self.wasted)),
            "allowed": self.allowed,
            "note": self.note,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A recommended run, how it may turn out, and what else the budget could have bought.

    Attributes
    ----------
    label : whose beliefs it rests on
    loss_unit : of every loss
    budget, unit, cost_label : what is spent, and how it is counted
    objective : what was optimised
    goal : incumbent, and target where there is one
    choice : the recommended run
    predictive : of one new run there
    costs : (n_cost,) draws of its cost
    optimum_params, optimum_tokens : (n_draw,) every draw's own best split of the budget, without constraints
    unsnapped : the best run had any size existed; the same as ``choice`` without candidates
    flat : range of N whose expected regret is within ``flat_within`` of the lowest
    flat_within : in the unit of the loss
    alternatives : by name, published rules
    picks : by law of a comparison, the run it would choose alone; judged by all laws
    weights : of those laws
    """

    label: str
    loss_unit: str
    budget: float
    unit: str
    cost_label: str
    objective: Objective
    goal: Goal
    choice: Choice
    predictive: Predictive
    costs: np.ndarray
    optimum_params: np.ndarray
    optimum_tokens: np.ndarray
    unsnapped: Choice
    flat: tuple[float, float]
    flat_within: float
    alternatives: Mapping[str, Choice]
    picks: Mapping[str, Choice]
    weights: Mapping[str, float]

    @property
    def params(self) -> float:
        """N of the recommended run."""
        return self.choice.params

    @property
    def tokens(self) -> float:
        """D of the recommended run."""
        return self.choice.tokens

    @property
    def cost(self) -> float:
        """Cost of the recommended run, in the unit of the budget; equal to it but for rounding."""
        return self.choice.cost

    @property
    def value(self) -> float:
        """The objective there."""
        return self.choice.value

    @property
    def value_se(self) -> float:
        """Monte-Carlo standard error of the objective."""
        return self.choice.value_se

    @property
    def regret(self) -> np.ndarray:
        """Regret of every draw, ``(n_draw,)``, in the unit of the loss."""
        return self.choice.regret

    @property
    def snapping_regret(self) -> float:
        """What the objective loses because only some sizes exist; not negative."""
        sign = 1.0 if self.objective.direction == "maximise" else -1.0
        return max(sign * (self.unsnapped.value - self.choice.value), 0.0)

    @functools.cached_property
    def probability_beats_incumbent(self) -> float:
        """P(loss of one new run <= incumbent)."""
        return float(probability_below(self.predictive, self.goal.incumbent).mean())

    @functools.cached_property
    def probability_reaches_target(self) -> float:
        """P(loss of one new run <= target); NaN without a target."""
        if math.isnan(self.goal.target):
            return math.nan
        return float(probability_below(self.predictive, self.goal.target).mean())

    def interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of the loss of one new run."""
        tail = _tail(probability)
        return float(quantile(self.predictive, tail)[0]), float(quantile(self.predictive, 1 - tail)[0])

    def optimum_interval(self, of: str = "params", probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of the optimal ``params`` or ``tokens`` over draws."""
        if of not in ("params", "tokens"):
            raise PlanError(f"an optimum has params and tokens, not {of!r}")
        tail = _tail(probability)
        low, high = np.quantile(getattr(self, f"optimum_{of}"), [tail, 1 - tail])
        return float(low), float(high)

    def cost_interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of what the run will cost."""
        tail = _tail(probability)
        low, high = np.quantile(self.costs, [tail, 1 - tail])
        return float(low), float(high)

    def cvar(self, worst: float = 0.05) -> float:
        """Return the mean loss of the worst share of outcomes of one new run."""
        return float(cvar_given_draw(self.predictive, worst).mean())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        return {
            "beliefs": self.label,
            "loss_unit": self.loss_unit,
            "budget": self.budget,
            "unit": self.unit,
            "cost_counts": self.cost_label,
            "cost_90": list(self.cost_interval(0.9)),
            "objective": self.objective.label,
            "direction": self.objective.direction,
            "incumbent": self.goal.incumbent,
            "target": None if math.isnan(self.goal.target) else self.goal.target,
            "plan": self.choice.to_dict(),
            "interval_50": list(self.interval(0.5)),
            "interval_90": list(self.interval(0.9)),
            "probability_beats_incumbent": self.probability_beats_incumbent,
            "probability_reaches_target": None if math.isnan(self.goal.target) else self.probability_reaches_target,
            "cvar_5": self.cvar(0.05),
            "optimum_params_90": list(self.optimum_interval("params", 0.9)),
            "optimum_tokens_90": list(self.optimum_interval("tokens", 0.9)),
            "params_before_snapping": self.unsnapped.params,
            "snapping_regret": self.snapping_regret,
            "flat_params": list(self.flat),
            "flat_within": self.flat_within,
            "alternatives": {name: choice.to_dict() for name, choice in self.alternatives.items()},
            "picks": {name: {"weight": self.weights[name], **pick.to_dict()} for name, pick in self.picks.items()},
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: the plan, each law's own pick, published rules."""
        rows = [{"choice": "plan", **self.choice.to_dict()}]
        rows += [{"choice": f"{name} alone", **pick.to_dict()} for name, pick in self.picks.items()]
        rows += [{"choice": name, **rule.to_dict()} for name, rule in self.alternatives.items()]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return (
            f"<Plan: {self.params:.3g} params, {self.tokens:.3g} tokens for {self.budget:g} {self.unit}, {self.label}>"
        )


# --- making one -----------------------------------------------------------------------------------------------------


def allocate(
    source: Source,
    budget: float,
    *,
    cost: Cost | None = None,
    objective: Objective | None = None,
    incumbent: float | None = None,
    target: float | None = None,
    constraints: Constraints | None = None,
    candidates: Sequence[float] | None = None,
    flat: float = 0.001,
    seed: int = 0,
) -> Plan:
    """Choose the run that a budget should buy.

    Parameters
    ----------
    source : a fit, a comparison (its laws by weight), or beliefs
    budget : in the unit of the cost
    cost : how the budget is spent; `flops` by default
    objective : what to optimise; `expected_improvement` by default
    incumbent : loss to improve on; the best in the table by default
    target : loss that is wanted, for its probability
    constraints : what the plan must keep to; none by default
    candidates : parameter counts that really exist; any by default
    flat : a share of the loss: sizes that lose no more on average than the best are as good
    seed : of beliefs made from a fit or a comparison, and of what is uncertain about the cost

    Returns
    -------
    Plan
        The same seed gives the same plan.

    Raises
    ------
    PlanError
        When budget, constraints or candidates leave no plan, or the law takes other inputs.
    ConvergenceError
        When the fit did not converge.
    """
    asked = _Question.of(source, cost, objective, incumbent, target, constraints, seed)
    if not 0 < flat < 1:
        hint = f"; write {flat / 100:g} for {flat:g} percent" if 1 <= flat < 100 else ""
        raise PlanError(f"flat is {flat:g}, expected a share of the loss, like 0.001{hint}")
    beliefs, surface = asked.beliefs, asked.spending.surface(budget)
    within = asked.constraints.range(surface)
    sizes = None if candidates is None else _existing(candidates, within, surface)
    free = asked.summit(beliefs, surface, within)
    chosen = free if sizes is None else asked.best_of(beliefs, surface, sizes)
    several = len(beliefs.members) > 1
    alone = {
        name: asked.summit(beliefs.only(name), surface, within)
        if sizes is None
        else asked.best_of(beliefs.only(name), surface, sizes)
        for name in (beliefs.members if several else ())
    }
    rules = {name: _on_surface(frontier, surface) for name, frontier in PUBLISHED_FRONTIERS.items()}
    places = [chosen, free, *alone.values(), *rules.values()]
    notes = ["recommended", "any size"] + ["this law alone"] * len(alone)
    notes += [PUBLISHED_FRONTIERS[name].convention for name in rules]
    optimum, floor = beliefs.best(surface)
    choices, predictive = asked.judged(surface, np.array(places), notes, within, floor)
    lowest, flat_range = _flat_region(beliefs, surface, within, flat)
    params = np.exp(optimum)
    return Plan(
        label=beliefs.label,
        loss_unit=beliefs.loss_unit,
        budget=surface.budget,
        unit=asked.spending.unit,
        cost_label=asked.cost.label,
        objective=asked.objective,
        goal=asked.goal,
        choice=choices[0],
        predictive=predictive.point(0),
        costs=asked.spending.draws(choices[0].params, choices[0].tokens),
        optimum_params=params,
        optimum_tokens=np.asarray(surface.tokens(params)),
        unsnapped=choices[1],
        flat=flat_range,
        flat_within=flat * lowest,
        alternatives=dict(zip(rules, choices[2 + len(alone) :], strict=True)),
        picks=dict(zip(alone, choices[2 : 2 + len(alone)], strict=True)),
        weights={name: member.weight for name, member in beliefs.members.items()},
    )


def budget_curve(
    source: Source,
    budgets: Sequence[float],
    *,
    cost: Cost | None = None,
    objective: Objective | None = None,
    incumbent: float | None = None,
    target: float | None = None,
    constraints: Constraints | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Say what every budget of a list would buy, and what one more unit of it is worth.

    Parameters
    ----------
    budgets : in the unit of the cost
    source, cost, objective, incumbent, target, constraints, seed : as of `allocate`

    Returns
    -------
    pandas.DataFrame
        One row per budget: ``budget``, ``params``, ``tokens``, ``value`` and ``value_se`` of the objective,
        ``expected_loss`` of one new run, and their slopes ``value_per_unit`` and ``loss_per_unit`` (change for one more
        unit of budget, over a tenth of an e-fold, at the best size).
    """
    asked = _Question.of(source, cost, objective, incumbent, target, constraints, seed)
    if not len(budgets):
        raise PlanError("no budget was given; expected one or more")
    rows = []
    for budget in budgets:
        surface = asked.spending.surface(budget)
        params = asked.summit(asked.beliefs, surface, asked.constraints.range(surface))
        around = [asked.spending.surface(budget * math.exp(step)) for step in (-STEP, 0.0, STEP)]
        if around[0].tokens(params) < 1:  # the smaller budget would not train this size at all
            around[0] = surface
        tokens = np.array([one.tokens(params) for one in around])
        predictive = asked.beliefs.new_run(points(np.full(3, params), tokens))
        value, error = asked.objective.value(predictive, asked.goal)
        loss = loss_given_draw(predictive).mean(axis=0)
        step = around[2].budget - around[0].budget
        rows.append(
            {
                "budget": surface.budget,
                "params": params,
                "tokens": float(tokens[1]),
                "value": float(value[1]),
                "value_se": float(error[1]),
                "expected_loss": float(loss[1]),
                "value_per_unit": float((value[2] - value[0]) / step),
                "loss_per_unit": float((loss[2] - loss[0]) / step),
            }
        )
    return pd.DataFrame(rows)


def smallest_budget(
    source: Source,
    target: float,
    probabilities: Sequence[float] = (0.5, 0.8, 0.9),
    *,
    cost: Cost | None = None,
    constraints: Constraints | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Say how much budget makes a loss as probable as wanted, at the size that makes it most probable.

    Parameters
    ----------
    target : loss of one new run
    probabilities : fractions
    source, cost, constraints, seed : as of `allocate`

    Returns
    -------
    pandas.DataFrame
        One row per probability: ``probability``, ``budget`` (infinite where out of reach), ``params``, ``tokens``,
        ``reached`` (the probability there, or the most that was found) and ``why``, in words, where it is infinite.

    Notes
    -----
    Budgets are followed until the size of the run is 30 e-folds beyond the largest fitted one.
    """
    asked = _Question.of(source, cost, None, None, target, constraints, seed)
    wanted = [fraction("probability", p) for p in probabilities]
    members = list(asked.beliefs.members.values())
    low = min(member.grid[0] for member in members) - SMALLER + math.log(FLOPS_PER_PARAM_TOKEN)
    low = max(low, math.log(2 * FLOPS_PER_PARAM_TOKEN + SERVED_FLOPS * asked.unit_surface.serving) + 1)
    high = max(low + 1, max(member.grid[-1] for member in members) + math.log(FLOPS_PER_PARAM_TOKEN))

    @functools.cache
    def reach(log_flops: float) -> tuple[float, float]:
        return asked.most_probable(asked.of_flops(math.exp(log_flops)))

    grid = np.linspace(low, high, BUDGETS).tolist()
    reached = np.array([reach(x)[0] for x in grid])
    if (reached < 0).all():
        asked.constraints.range(asked.of_flops(math.exp(grid[-1])))  # says which constraint excludes everything
        raise PlanError("constraints leave no plan at any budget; relax them")
    rows = []
    for probability in wanted:
        first = int(np.argmax(reached >= probability))
        if reached[first] < probability:
            most = int(np.argmax(reached))
            above = float(
                np.mean(asked.beliefs.log_mean(points(np.array([NOWHERE]), np.array([NOWHERE]))) > math.log(target))
            )
            under = "" if asked.constraints == Constraints() else " under these constraints"
            why = (
                f"P(loss <= {target:g}) is at most {reached[most]:.3g}{under}, up to "
                f"{asked.of_flops(math.exp(high)).budget:.3g} {asked.spending.unit}; {above:.0%} of draws have their "
                "irreducible loss above the target"
            )
            nothing = {"params": math.nan, "tokens": math.nan, "reached": float(reached[most]), "why": why}
            rows.append({"probability": probability, "budget": math.inf, **nothing})
            continue
        place, why = grid[first], ""
        if first:
            before = grid[first - 1]
            while place - before > CLOSE:
                middle = (before + place) / 2
                before, place = (before, middle) if reach(middle)[0] >= probability else (middle, place)
        else:
            why = "the smallest budget that was looked at is enough"
        surface, params = asked.of_flops(math.exp(place)), reach(place)[1]
        rows.append(
            {
                "probability": probability,
                "budget": surface.budget,
                "params": params,
                "tokens": float(surface.tokens(params)),
                "reached": reach(place)[0],
                "why": why,
            }
        )
    return pd.DataFrame(rows)


# --- the question ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _Question:
    """Everything that a search over sizes needs, checked."""

    beliefs: Beliefs
    cost: Cost
    spending: Spending
    objective: Objective
    goal: Goal
    constraints: Constraints

    @classmethod
    def of(
        cls,
        source: Source,
        cost: Cost | None,
        objective: Objective | None,
        incumbent: float | None,
        target: float | None,
        constraints: Constraints | None,
        seed: int,
    ) -> _Question:
        for name, loss in (("incumbent", incumbent), ("target", target)):
            if loss is not None and not (math.isfinite(loss) and loss > 0):
                raise PlanError(f"{name} is {loss:g}, expected a positive loss")
        objective = expected_improvement() if objective is None else objective
        if objective.needs_target and target is None:
            raise PlanError(f"the objective is the {objective.label}, but no target was given: pass target=...")
        cost = flops() if cost is None else cost
        beliefs = source if isinstance(source, Beliefs) else Beliefs.of(source, seed)
        _refuse_other_inputs(beliefs)
        goal = Goal(
            beliefs.best_loss if incumbent is None else float(incumbent), math.nan if target is None else float(target)
        )
        constraints = Constraints() if constraints is None else constraints
        return cls(beliefs, cost, cost.spending(seed), objective, goal, constraints)

    @functools.cached_property
    def unit_surface(self) -> Surface:
        """The surface of a budget far beyond any, for what does not depend on it."""
        return self.spending.surface(NOWHERE)

    def of_flops(self, amount: float) -> Surface:
        """Return the surface of the budget that buys so many FLOPs."""
        return self.spending.surface(amount * self.unit_surface.budget / self.unit_surface.flops)

    def scores(self, beliefs: Beliefs, surface: Surface, params: np.ndarray) -> np.ndarray:
        """Return what the optimiser climbs at sizes on a surface, ``(n_point,)``, a block at a time."""
        out = []
        for start in range(0, len(params), BLOCK):
            N = params[start : start + BLOCK]
            out.append(self.objective.score(beliefs.new_run(points(N, surface.tokens(N))), self.goal))
        return np.concatenate(out)

    def summit(self, beliefs: Beliefs, surface: Surface, within: tuple[float, float]) -> float:
        """Return the best N on a surface."""
        return _climbed(lambda params: self.scores(beliefs, surface, params), within)

    def best_of(self, beliefs: Beliefs, surface: Surface, sizes: np.ndarray) -> float:
        """Return the best of some sizes."""
        return float(sizes[int(self.scores(beliefs, surface, sizes).argmax())])

    def most_probable(self, surface: Surface) -> tuple[float, float]:
        """Return the highest probability of the target on a surface, and its N; -1 where constraints leave nothing.

        The best size lies among the draws' own optima; the probability is flat around it.
        """
        try:
            least, most = self.constraints.range(surface)
        except PlanError:
            return -1.0, math.nan
        log_params, _ = self.beliefs.best(surface)
        ends = np.clip(np.quantile(log_params, [0.005, 0.995]), math.log(least), math.log(most))
        params = np.clip(np.exp(np.linspace(ends[0], ends[1], BLOCK)), least, most)
        reached = probability_below(
            self.beliefs.new_run(points(params, surface.tokens(params))), self.goal.target
        ).mean(axis=0)
        best = int(reached.argmax())
        return float(reached[best]), float(params[best])

    def judged(
        self,
        surface: Surface,
        params: np.ndarray,
        notes: Sequence[str],
        within: tuple[float, float],
        floor: np.ndarray,
    ) -> tuple[list[Choice], Predictive]:
        """Judge runs on a surface, given the log loss of every draw's own optimum, ``(n_draw,)``."""
        tokens = np.asarray(surface.tokens(params))
        predictive = self.beliefs.new_run(points(params, tokens))
        value, error = self.objective.value(predictive, self.goal)
        loss = loss_given_draw(predictive).mean(axis=0)
        over = np.maximum(np.expm1(self.beliefs.log_law(points(params, tokens)) - floor[:, None]), 0.0)
        regret = over * np.exp(floor[:, None] + self.beliefs.departure(points(params, tokens)))
        less = LEAST[np.log(surface.most_params) > 1.1 * LEAST]
        wasted = _wasted(over, np.expm1(self.beliefs.best_with_less(surface, less) - floor[:, None]), less)
        choices = [
            Choice(
                params=float(params[i]),
                tokens=float(tokens[i]),
                cost=self.spending.cost(float(params[i]), float(tokens[i])),
                value=float(value[i]),
                value_se=float(error[i]),
                expected_loss=float(loss[i]),
                regret=regret[:, i],
                wasted=wasted[:, i],
                allowed=bool(within[0] * (1 - 1e-9) <= params[i] <= within[1] * (1 + 1e-9)),
                note=note,
            )
            for i, note in enumerate(notes)
        ]
        return choices, predictive


def points(params: np.ndarray, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Return runs as what laws read of them."""
    return completed({"params": params, "tokens": tokens})


def _refuse_other_inputs(beliefs: Beliefs) -> None:
    for member in beliefs.members.values():
        law = member.fit.law
        if set(law.inputs) != {"params", "tokens"}:
            raise PlanError(
                f"a plan needs a law in params and tokens; {law.label} takes {', '.join(law.inputs)}: fit another "
                "law, such as chinchilla"
            )


# --- searches -------------------------------------------------------------------------------------------------------


def _climbed(score: Callable[[np.ndarray], np.ndarray], within: tuple[float, float]) -> float:
    """Maximise over N: a pass over log N, then closer and closer around the best.

    Where the objective is smooth, the summit of a polynomial through many close points ends the search: it is more
    exact than comparing values that differ only by rounding.
    """

    def at(x: np.ndarray) -> np.ndarray:
        return score(np.clip(np.exp(x), *within))

    low, high = math.log(within[0]), math.log(within[1])
    if high - low < FINEST:
        return within[0]
    grid = np.linspace(low, high, FIRST)
    values = at(grid)
    while True:
        best = int(np.argmax(values))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        if high - low < FINEST:
            return float(np.clip(np.exp(grid[best]), *within))
        grid = np.linspace(low, high, BLOCK)
        values = at(grid)
        if high - low < NEAR and (summit := _summit(grid, values)) is not None:
            return float(np.clip(np.exp(summit), *within))


def _summit(grid: np.ndarray, values: np.ndarray) -> float | None:
    """Return the place of the summit of a polynomial through the values, if it fits them and has one inside."""
    peak = values.max()
    curve = np.polynomial.Polynomial.fit(grid, values - peak, 4)
    if np.abs(curve(grid) - (values - peak)).max() > SMOOTH * (1 + abs(peak)):
        return None
    roots = curve.deriv().roots()
    places = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > grid[0]) & (roots.real < grid[-1])]
    places = places[curve.deriv(2)(places) < 0]
    return float(places[int(np.argmax(curve(places)))]) if len(places) else None


def _flat_region(
    beliefs: Beliefs, surface: Surface, within: tuple[float, float], share: float
) -> tuple[float, tuple[float, float]]:
    """Return the lowest expected mean loss, and the range of N around it that stays within a share of it."""

    def mean_loss(params: np.ndarray) -> np.ndarray:
        blocks = [params[start : start + BLOCK] for start in range(0, len(params), BLOCK)]
        return np.concatenate([np.exp(beliefs.log_mean(points(N, surface.tokens(N)))).mean(axis=0) for N in blocks])

    best = _climbed(lambda params: -mean_loss(params), within)
    lowest = float(mean_loss(np.array([best]))[0])
    ends = []
    for edge in within:
        inside, outside = math.log(best), math.log(edge)
        for _ in range(3):
            grid = np.linspace(inside, outside, BLOCK)
            good = mean_loss(np.clip(np.exp(grid), *within)) <= lowest * (1 + share)
            good[0] = True
            if good.all():
                inside = outside
                break
            last = int(np.argmin(good)) - 1
            inside, outside = grid[last], grid[last + 1]
        ends.append(float(np.clip(np.exp(inside), *within)))
    return lowest, (ends[0], ends[1])


def _wasted(over: np.ndarray, gaps: np.ndarray, less: np.ndarray) -> np.ndarray:
    """Return the share of FLOPs without which the best split would do as well, ``(n_draw, n_point)``.

    Parameters
    ----------
    over : (n_draw, n_point) loss over that of the best split, less 1
    gaps : (n_draw, n_less) the same for best splits of budgets exp(-less) as large; the first is the whole budget
    less : (n_less,)
    """
    gaps = np.maximum.accumulate(np.maximum(gaps[:, 1:], 1e-300), axis=1)
    log_gap, log_less = np.log(gaps), np.log(less[1:])
    wanted = np.log(np.maximum(over, 1e-300))
    out = np.empty(over.shape)
    for i in range(over.shape[1]):
        above = (log_gap < wanted[:, [i]]).sum(axis=1)
        upper = np.clip(above, 1, len(log_less) - 1)
        rows = np.arange(len(over))
        start, end = log_gap[rows, upper - 1], log_gap[rows, upper]
        slope = (log_less[upper] - log_less[upper - 1]) / np.maximum(end - start, 1e-12)
        place = log_less[upper - 1] + slope * (wanted[:, i] - start)
        # Below the first of them the gap is proportional to the budget; beyond the last nothing is told apart.
        place = np.where(above == 0, log_less[0] + wanted[:, i] - log_gap[:, 0], np.minimum(place, log_less[-1]))
        out[:, i] = -np.expm1(-np.exp(place))
    return out


def _on_surface(frontier: Frontier, surface: Surface) -> float:
    """Return the N that a published rule would train, with the training FLOPs that are left on the surface."""

    def size(log_flops: float) -> float:
        training = math.exp(log_flops)
        if frontier.params is not None:
            return float(frontier.params(training))
        return training / (FLOPS_PER_PARAM_TOKEN * float(frontier.tokens(training)))

    top = math.log(surface.flops)
    if surface.serving == 0:
        return float(np.clip(size(top), 1.0, surface.most_params))

    def gap(log_flops: float) -> float:
        return math.log(math.exp(log_flops) + SERVED_FLOPS * size(log_flops) * surface.serving) - top

    low = math.log(FLOPS_PER_PARAM_TOKEN)
    if gap(low) >= 0:
        return surface.most_params
    place = float(scipy.optimize.brentq(gap, low, top, xtol=1e-12, rtol=1e-14))
    return float(np.clip(size(place), 1.0, surface.most_params))


def _existing(candidates: Sequence[float], within: tuple[float, float], surface: Surface) -> np.ndarray:
    """Return the sizes that exist and that budget and constraints allow."""
    try:
        sizes = np.unique(np.asarray(candidates, float))
    except (TypeError, ValueError):
        sizes = np.empty(0)
    if not sizes.size or not (np.isfinite(sizes).all() and sizes[0] >= 1):
        raise PlanError(
            f"candidates are {shown(candidates)}, expected a list of parameter counts in raw units, such as [7e9, 70e9]"
        )
    allowed = sizes[(sizes >= within[0] * (1 - 1e-12)) & (sizes <= within[1] * (1 + 1e-12))]
    if not allowed.size:
        raise PlanError(
            f"no candidate from {sizes[0]:.4g} to {sizes[-1]:.4g} parameters is allowed at {surface.flops:.4g} FLOPs; "
            f"budget and constraints leave {within[0]:.4g} to {within[1]:.4g}"
        )
    return allowed


def _tail(probability: float) -> float:
    return (1 - fraction("probability", probability)) / 2

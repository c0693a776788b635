"""Decisions of a study as plain numbers: the plan, pilots, other budgets and sizes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.json_text import nulled
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.tuning import RATE
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.decide.budgets import budget_curve, smallest_budget
from bayes_scaling.decide.cautions import of_budgets
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.decision import DecisionProblem
from bayes_scaling.decide.objectives import cvar_given_draw, loss_given_draw, probability_below, quantile
from bayes_scaling.decide.plan import Plan, shape_words
from bayes_scaling.decide.space import run_columns
from bayes_scaling.errors import BayesScalingError, PlanError
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.simulate import grid
from bayes_scaling.plot.numbers import written
from bayes_scaling.predict.ensemble import Ensemble, used
from bayes_scaling.predict.forecast import Forecast, forecast
from bayes_scaling.predict.tuning import optimal_hyperparameters
from bayes_scaling.predict.valleys import RateRule
from bayes_scaling.report.study import Study
from bayes_scaling.report.tables import as_key

DRAWS, FEW_DRAWS = 2000, 1000  # used for plans, and in a draft
STEPS, FEW_STEPS = np.geomspace(1 / 8, 8, 13), np.geomspace(1 / 8, 8, 7)  # other budgets, as factors
MANY_ALONG, FEW_ALONG = 16, 8  # budgets along the fan chart
OFFERED, FEW_OFFERED = 6, 4  # values of each input of a pilot
SIZES = 41  # in the picture of sizes
REACH = 6.0  # factor by which that picture extends beyond the recommended size
QUANTILES = (0.05, 0.25, 0.75, 0.95)
WANTED = (0.5, 0.8, 0.9)  # probabilities of the target
WORST = 0.05  # share of outcomes of the CVaR
SHARE, OFFERS = 0.05, 6  # default share of the budget for pilots; offers that are listed
RULES = {"twenty_tokens": "20 tokens per parameter"}


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """A study with its comparison, from which decision problems are built.

    Attributes
    ----------
    study, comparison : the study, and the laws with their weights
    incumbent : loss to improve on
    draft, unconverged : use fewer draws; accept fits that did not converge
    """

    study: Study
    comparison: Comparison
    incumbent: float
    draft: bool
    unconverged: bool

    def ensemble(self, source: Fit | Comparison, *, as_it_is: bool = False) -> Ensemble:
        """Return the draws used for plans; fits that did not converge are refused unless accepted, or ``as_it_is``."""
        most = FEW_DRAWS if self.draft else DRAWS
        fits = [source] if isinstance(source, Fit) else [source.fits[name] for name in used(source.weights)]
        for one in fits:
            one.require_convergence(as_it_is or self.unconverged)
        if isinstance(source, Fit):
            source = source.thinned(most)
        else:
            source = dataclasses.replace(
                source, fits={n: f.thinned(most) if f in fits else f for n, f in source.fits.items()}
            )
        return Ensemble.of(source, self.study.seed, unconverged=True)

    def problem(self, ensemble: Ensemble, cost: Cost | None = None) -> DecisionProblem:
        """Return the decision problem of the study for some draws, with its own cost or another one."""
        study = self.study
        return DecisionProblem(
            ensemble,
            cost=study.budget.counted() if cost is None else cost,
            objective=study.goal.objective,
            constraints=study.limits(),
            incumbent=self.incumbent,
            target=study.goal.target,
            given=study.given,
            seed=study.seed,
        )

    def plan(self, problem: DecisionProblem, factor: float = 1.0) -> Plan:
        """Return the plan for a multiple of the study's budget."""
        return problem.allocate(factor * self.study.budget.amount, candidates=self.study.sizes)

    def inputs_of(self, plan: Plan) -> dict[str, float]:
        """Return the inputs of the laws at the recommended run."""
        names = ("params", "tokens", "batch_tokens", "steps", "peak_learning_rate")
        read = {name: getattr(plan, name) for name in names}
        return {**self.study.given, **{name: value for name, value in read.items() if value is not None}}


# --- the plan -------------------------------------------------------------------------------------------------------


def run_of(plan: Plan) -> dict[str, Any]:
    """Return the recommended run and the distribution of its outcome."""
    target = plan.goal.target
    inner, outer, cost = plan.interval(0.5), plan.interval(0.9), plan.interval(0.9, "cost")
    return {
        "params": plan.params,
        "tokens": plan.tokens,
        "batch_tokens": plan.batch_tokens,
        "steps": plan.steps,
        "peak_learning_rate": plan.peak_learning_rate,
        "best_rate": None
        if plan.best_rate is None
        else dict(zip(("low", "high"), plan.interval(0.9, "best_rate"), strict=True)),
        "epochs": plan.epochs,
        "shape": None if plan.shape is None else shape_words(plan.shape),
        "tokens_per_param": plan.tokens / plan.params,
        "training_flops": FLOPS_PER_PARAM_TOKEN * plan.params * plan.tokens,
        "budget": plan.budget,
        "cost": plan.cost,
        "cost_low": cost[0],
        "cost_high": cost[1],
        "over_budget": plan.over_budget,
        "expected_loss": plan.choice.expected_loss,
        "low": outer[0],
        "lower": inner[0],
        "upper": inner[1],
        "high": outer[1],
        "probability_beats_incumbent": plan.probability_beats_incumbent,
        "probability_reaches_target": None if math.isnan(target) else plan.probability_reaches_target,
        "cvar": plan.cvar(WORST),
        "expected_regret": plan.choice.expected_regret,
        "regret_high": plan.choice.interval(0.9)[1],
        "wasted": float(np.median(plan.choice.wasted)),
        "value": plan.value,
        "value_se": plan.value_se,
    }


def recommendation(plan: Plan) -> dict[str, Any]:
    """Return the plan and its alternatives for the same budget."""
    low, high = plan.interval(0.9, "optimum_params")
    rows = [
        {
            "name": RULES.get(name, name),
            "note": choice.note,
            "params": choice.params,
            "tokens": choice.tokens,
            "expected_loss": choice.expected_loss,
            "expected_regret": choice.expected_regret,
            "wasted": float(np.median(choice.wasted)),
            "allowed": choice.allowed,
        }
        for name, choice in {"the plan": plan.choice, **plan.alternatives}.items()
    ]
    return {
        "run": run_of(plan),
        "law": plan.label,
        "objective": _worded(plan.objective.label),
        "objective_unit": plan.objective.unit or plan.loss_unit,
        "incumbent": plan.goal.incumbent,
        "target": None if math.isnan(plan.goal.target) else plan.goal.target,
        "cost_counts": plan.cost_label,
        "cost_unit": plan.unit,
        "optimum_params": {"low": low, "high": high},
        "flat_params": {"low": plan.flat[0], "high": plan.flat[1]},
        "flat_within": plan.flat_within,
        "cautions": list(plan.cautions),
        "unranked": plan.unranked or None,
        "rules": rows,
    }


def _worded(label: str) -> str:
    """Return the name of an objective in words of the page."""
    return label.replace("the incumbent", "the best run so far")


# --- pilots ---------------------------------------------------------------------------------------------------------


def pilots(context: Context, problem: DecisionProblem) -> dict[str, Any]:
    """Return whether to buy small runs first, which ones, and which ones were offered."""
    study, runs = context.study, context.comparison.runs
    options = study.pilots

    def offered(name: str, given: tuple[float, float] | None) -> tuple[float, float]:
        values = runs.column(name)
        return given or (float(np.median(values)), float(values.max()))

    ranges = {"params": offered("params", options.params), "tokens": offered("tokens", options.tokens)}
    most = SHARE * study.budget.amount if options.budget is None else options.budget
    count = FEW_OFFERED if context.draft else OFFERED
    on_offer = grid(
        **{name: np.geomspace(*ends, count if ends[0] < ends[1] else 1).tolist() for name, ends in ranges.items()}
    )
    on_offer = completed(
        on_offer, {name for one in problem.ensemble.members.values() for name in one.fit.law.inputs}, runs, study
    )
    rule = problem.checked.limits.given.get(RATE)
    if isinstance(rule, RateRule):
        on_offer[RATE] = rule.at({str(name): on_offer[name].to_numpy() for name in on_offer})
    if not problem.checked.objective.averages:
        problem = dataclasses.replace(problem, objective="expected_loss")
    asking = {"budget": most, "ranges": {name: list(ends) for name, ends in ranges.items()}}
    try:
        found = problem.pilot(on_offer, most, budget=study.budget.amount, copies=options.copies)
    except BayesScalingError as error:
        return {**asking, "why_not": error.worded(as_key), "runs": [], "offers": [], "best": None}
    offers = found.offers.sort_values(["net", "uncertainty_left"], ascending=[False, True], kind="stable")
    first = found.runs if found.buys else offers
    return {
        **asking,
        "verdict": found.verdict,
        "buys": found.buys,
        "unranked": found.unranked or None,
        "decision": _worded(found.decision).replace(
            f"{study.budget.amount:g} ", f"{written(study.budget.amount, 'cost')} "
        ),
        "unit": found.unit,
        "value": nulled(found.value.to_dict()),
        "perfect": nulled(found.perfect),
        "runs": _rows(found.runs),
        "offers": _rows(offers.head(OFFERS)),
        "count": len(offers),
        "best": {str(name): float(value) for name, value in first[list(on_offer)].iloc[0].items()},
    }


def completed(offers: pd.DataFrame, inputs: set[str], runs: Runs, study: Study) -> pd.DataFrame:
    """Return offers with the other inputs that laws read: the usual batch size, and inputs that the study fixes."""
    if inputs & {"batch_tokens", "steps"} and "batch_tokens" in runs:
        batch = float(np.median(runs.column("batch_tokens")))
        sizes = {str(name): offers[name] for name in offers} | {"batch_tokens": batch}
        offers = offers.assign(batch_tokens=batch, steps=derive_missing(sizes)[0]["steps"])
    return offers.assign(**{name: value for name, value in study.given.items() if name in inputs})


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = nulled(frame.to_dict(orient="records"))
    return rows


# --- learning rate and batch ---------------------------------------------------------------------------------------


def tuning(context: Context, problem: DecisionProblem, plan: Plan) -> dict[str, Any] | None:
    """Return learning rate and batch size of the recommended run; None where the study does not ask."""
    asked = context.study.tuning
    if asked is None:
        return None
    run: dict[str, Any] = {"params": plan.params, "tokens": plan.tokens}
    return optimal_hyperparameters(problem.ensemble, **run, **asked.model_dump(), seed=context.study.seed).to_dict()


# --- other budgets, other sizes -------------------------------------------------------------------------------------


def budgets(context: Context, problem: DecisionProblem) -> list[dict[str, Any]]:
    """Return the plan for other budgets around that of the study."""
    rows = []
    for factor in FEW_STEPS if context.draft else STEPS:
        try:
            rows.append({"factor": float(factor), **run_of(context.plan(problem, float(factor)))})
        except PlanError:  # no plan satisfies the constraints
            continue
    return rows


def reaching(problem: DecisionProblem) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the smallest budgets that reach the target with given probabilities, and cautions; empty without one."""
    if problem.target is None:
        return [], []
    found = smallest_budget(problem.checked, WANTED)
    return _rows(found), list(of_budgets(problem.checked, found[found["why"] == ""]))


def fan(context: Context, ensemble: Ensemble, smallest: float, largest: float) -> dict[str, list[float]]:
    """Return bands of one new run at the best split of each amount of training compute.

    Parameters
    ----------
    smallest, largest : FLOPs, 6 N D
    """
    along = np.geomspace(smallest, largest, FEW_ALONG if context.draft else MANY_ALONG).tolist()
    problem = DecisionProblem(ensemble, given=context.study.given, seed=context.study.seed)
    curve = budget_curve(problem.checked, along)
    known = ("params", "tokens", "batch_tokens")
    params, tokens, batch = (curve[name].to_numpy() if name in curve else None for name in known)
    places = run_columns(params, tokens, batch, problem.checked.limits.given)
    ahead = ensemble.new_run(places)
    low, lower, upper, high = (quantile(ahead, p).tolist() for p in QUANTILES)
    columns: dict[str, list[float]] = {"flops": curve["budget"].tolist(), "params": curve["params"].tolist()}
    middle = quantile(ahead, 0.5).tolist()
    return {**columns, "low": low, "lower": lower, "median": middle, "upper": upper, "high": high}


def sizes(problem: DecisionProblem, plan: Plan) -> dict[str, list[float]]:
    """Return the outcome of every size that spends the budget: expected loss, band, CVaR, probabilities."""
    space = problem.checked.space(plan.budget)
    least, most = space.within
    span = np.geomspace(plan.params / REACH, plan.params * REACH, SIZES)
    params = np.unique(np.append(span[(span >= least) & (span <= most)], plan.params))
    batch = None if plan.batch_tokens is None else np.full(len(params), plan.batch_tokens)
    runs = space.runs_of(params, batch)
    ahead = problem.ensemble.new_run(runs)
    return {
        "params": params.tolist(),
        "tokens": np.asarray(runs["tokens"]).tolist(),
        **_outcomes(ahead, plan.goal.incumbent),
    }


def _outcomes(ahead: Any, incumbent: float) -> dict[str, list[float]]:
    low, _, _, high = (quantile(ahead, p).tolist() for p in QUANTILES)
    return {
        "expected_loss": loss_given_draw(ahead).mean(axis=0).tolist(),
        "low": low,
        "high": high,
        "cvar": cvar_given_draw(ahead, WORST).mean(axis=0).tolist(),
        "probability_beats_incumbent": probability_below(ahead, incumbent).mean(axis=0).tolist(),
    }


def law_medians(
    comparison: Comparison, places: Mapping[str, float], seed: int, unconverged: bool
) -> list[dict[str, Any]]:
    """Return the forecast of one run by each law with weight, alone."""
    ahead = comparison.forecast(seed=seed, unconverged=unconverged, **places)
    return [
        {"law": name, "weight": float(weight), **_spread(member)} for name, (weight, member) in ahead.members.items()
    ]


def dropped_laws(comparison: Comparison, places: Mapping[str, float], seed: int) -> list[dict[str, Any]]:
    """Return the laws that have no weight because they did not converge, with what their draws say of one run."""
    with_weight = used(comparison.weights)
    rows = []
    for name in comparison.weights:
        fitted = comparison.fits[name]
        if name not in with_weight and not fitted.converged:
            inputs: dict[str, Any] = dict(places)
            ahead = forecast(fitted, seed=seed, unconverged=True, **inputs)
            rows.append({"law": name, "why": "; ".join(fitted.problems), **_spread(ahead)})
    return rows


def _spread(ahead: Forecast) -> dict[str, float]:
    low, high = ahead.interval(0.9)[0]
    return {"median": float(ahead.median()[0]), "low": float(low), "high": float(high)}

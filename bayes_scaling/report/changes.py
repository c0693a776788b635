"""What would change the recommendation: other laws, priors, runs or prices, or one more pilot."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from bayes_scaling.base.progress import Progress
from bayes_scaling.base.tasks import Task, attempted
from bayes_scaling.data.runs import Runs
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.decision import DecisionProblem
from bayes_scaling.decide.objectives import loss_given_draw, quantile
from bayes_scaling.decide.plan import Plan
from bayes_scaling.errors import BayesScalingError, ForecastError
from bayes_scaling.evaluate.candidates import Candidate
from bayes_scaling.evaluate.checks import find_influential, find_outliers
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.refits import Again
from bayes_scaling.evaluate.sensitivity import FLOORS, floor_parameter
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.reweighting import under_other_priors
from bayes_scaling.inference.weights import pareto_smoothed, unreliable
from bayes_scaling.predict.ensemble import Ensemble, used
from bayes_scaling.report.decision import Context, run_of
from bayes_scaling.report.tables import as_key

PRICE_FACTOR = 1.5  # factor on prices
LOW, HIGH = 0.1, 0.9  # quantiles of the forecast of a pilot, taken as its outcomes
INFLUENTIAL = 3  # runs that are left out together
PRIORS: Mapping[str, str] = {
    "no irreducible loss": "almost no irreducible loss",
    "low": "low irreducible loss",
    "high": "high irreducible loss",
}
MOVED = (
    *("params", "tokens", "batch_tokens", "steps", "expected_loss", "low", "high"),
    *("probability_beats_incumbent", "probability_reaches_target"),
)

type Source = Callable[[], Ensemble]
type Refits = Callable[[], Sequence[Again | Fit]]


@dataclasses.dataclass(frozen=True, eq=False)
class Change:
    """One change in what the plan depends on.

    Attributes
    ----------
    kind, words : what is changed
    law : the only law that is left; empty where others are
    source : the draws after the change, where they are known
    refits : otherwise, the fits that it takes, or that are there; weights of laws stay as they are
    cost : cost after the change; None for that of the study
    """

    kind: str
    words: str
    law: str = ""
    source: Source | None = None
    refits: Refits = tuple
    cost: Cost | None = None


def changes(
    context: Context,
    problem: DecisionProblem,
    plan: Plan,
    others: Sequence[Mapping[str, Any]],
    offer: Mapping[str, float] | None,
    executor: Executor | None,
    report: Progress,
) -> list[dict[str, Any]]:
    """Return the recommendation under each change, one row per change.

    Parameters
    ----------
    problem, plan : of the study
    others : plans for other budgets
    offer : inputs of a pilot that could be bought
    executor, report : as of `carried_out`
    """
    possible = [*_of_evidence(context, problem.ensemble, offer), *_of_price(context, problem.ensemble)]
    tasks = [_tasks(change) for change in possible]
    wanted: list[Task[Fit]] = [
        one for some in tasks if not isinstance(some, BayesScalingError) for one in some if isinstance(one, Again)
    ]
    results = attempted(wanted, executor, report)
    made = iter(results)
    rows = []
    for change, some in zip(possible, tasks, strict=True):
        if isinstance(some, BayesScalingError):
            refitted: list[Fit] | BayesScalingError = some
        else:
            refitted = _first_error([next(made) if isinstance(one, Again) else one for one in some])
        rows.append(_answered(context, plan, change, refitted))
    for words, factor in (("half the budget", 0.5), ("twice the budget", 2.0)):
        there = [one for one in others if math.isclose(one["factor"], factor)]
        rows += [
            {"kind": "budget", "change": words, **{name: one[name] for name in MOVED}, "keeping": None} for one in there
        ]
    return rows


def _tasks(change: Change) -> Sequence[Again | Fit] | BayesScalingError:
    """Return the fits that a change takes, or that are there, or why there can be none."""
    try:
        return change.refits()
    except BayesScalingError as error:
        return error


def _first_error(made: list[Fit | BayesScalingError]) -> list[Fit] | BayesScalingError:
    """Return fits, or the first error among them."""
    fits = [one for one in made if not isinstance(one, BayesScalingError)]
    return fits if len(fits) == len(made) else next(one for one in made if isinstance(one, BayesScalingError))


def _of_evidence(context: Context, ensemble: Ensemble, offer: Mapping[str, float] | None) -> Iterator[Change]:
    """Yield changes of laws, priors and runs."""
    comparison, weighted = context.comparison, _weighted_candidates(context.comparison)
    if len(comparison.fits) > 1:
        for name, fitted in comparison.fits.items():
            if name in ensemble.members:
                yield Change("law", f"only {name}", name, functools.partial(ensemble.only, name))
            else:
                source = functools.partial(context.ensemble, fitted, as_it_is=True)
                yield Change("law", f"only {name}, which did not converge", name, source)
    if any(_floored(candidate) for candidate in weighted):
        for label, words in PRIORS.items():
            yield Change("prior", f"a prior of {words}", refits=functools.partial(_with_floor, context, label, words))
    for words, kept in _left_out(comparison).items():
        runs = comparison.runs.where(kept)
        yield Change("runs", words, refits=functools.partial(_refitted, context, runs, weighted, words))
    if offer is not None:
        for probability, words in ((LOW, "low"), (HIGH, "high")):
            said = f"the loss of one more pilot is {words} ({100 * probability:.0f} % quantile)"
            yield Change("pilot", said, source=functools.partial(after_pilot, ensemble, offer, probability))


def _of_price(context: Context, ensemble: Ensemble) -> Iterator[Change]:
    """Yield changes of prices."""
    budget = context.study.budget
    if budget.price_per_gpu_hour is not None:
        higher = budget.counted(price_factor=PRICE_FACTOR)
        yield Change("price", "prices 1.5 times as high", source=_held(ensemble), cost=higher)
    if budget.utilisation is not None:
        slower = budget.counted(utilisation_factor=1 / PRICE_FACTOR)
        yield Change("utilisation", "utilisation a third lower", source=_held(ensemble), cost=slower)


def _held(known: Ensemble) -> Source:
    return lambda: known


def _answered(context: Context, plan: Plan, change: Change, refitted: list[Fit] | BayesScalingError) -> dict[str, Any]:
    """Return the plan after a change and, if prices are unchanged, how much loss keeping the old plan would cost."""
    described = {"kind": change.kind, "change": change.words} | ({"law": change.law} if change.law else {})
    try:
        if isinstance(refitted, BayesScalingError):
            raise refitted
        ensemble = context.ensemble(_among(context.comparison, refitted)) if change.source is None else change.source()
        other = context.plan(context.problem(ensemble, change.cost))
    except BayesScalingError as error:
        return {**described, "why_not": error.worded(as_key)}
    keeping = None
    if change.cost is None:
        here, there = context.inputs_of(plan), context.inputs_of(other)
        places = ensemble.points(**{name: [here[name], there[name]] for name in here})
        loss = loss_given_draw(ensemble.new_run(places)).mean(axis=0)
        keeping = max(float(loss[0] - loss[1]), 0.0)
    found = run_of(other)
    return {**described, **{name: found[name] for name in MOVED}, "keeping": keeping}


# --- other evidence --------------------------------------------------------------------------------------------------


def _weighted_candidates(comparison: Comparison) -> list[Candidate]:
    weights = used(comparison.weights)
    return [one for one in comparison.candidates if one.weighted and one.label in weights]


def _floored(candidate: Candidate) -> str:
    """Return the name of a law's irreducible loss; empty if it has none."""
    try:
        return floor_parameter(candidate.law)
    except ForecastError:
        return ""


def _among(comparison: Comparison, refitted: Sequence[Fit]) -> Comparison:
    """Return the comparison with refitted laws and unchanged weights."""
    labels = [one.label for one in _weighted_candidates(comparison)]
    return dataclasses.replace(comparison, fits={**comparison.fits, **dict(zip(labels, refitted, strict=True))})


def _refitted(context: Context, runs: Runs, candidates: Sequence[Candidate], words: str) -> list[Again]:
    rows = len(context.comparison.runs)
    return [Again(one, runs, rows, context.study.seed, words) for one in candidates]


def _with_floor(context: Context, label: str, words: str) -> list[Again | Fit]:
    """Return the fits under a prior of the irreducible loss; where there is none, the law has its own."""
    comparison = context.comparison
    found: list[Again | Fit] = []
    for one in _weighted_candidates(comparison):
        name, fitted = _floored(one), comparison.fits[one.label]
        law = one.law.with_priors({name: FLOORS[label]}) if name else one.law
        known = under_other_priors(fitted, law, context.study.seed) if name else fitted
        found += [known] if known else _refitted(context, comparison.runs, [dataclasses.replace(one, law=law)], words)
    return found


def after_pilot(ensemble: Ensemble, offer: Mapping[str, float], probability: float) -> Ensemble:
    """Return the draws once a pilot has come out, chosen by how well each predicted its loss.

    No law is fitted again, so a small pilot is not lost in the noise of refits; weights of laws follow their forecasts.

    Parameters
    ----------
    offer : inputs of the pilot
    probability : which quantile of its forecast its loss turns out to be

    Raises
    ------
    ForecastError
        When too few draws predict that loss.
    """
    ahead = ensemble.new_run(ensemble.points(**offer))
    outcome = np.log(quantile(ahead, probability)[:1])
    (log_weight,), (k_hat,) = pareto_smoothed(ahead.log_density_of(outcome, 0).T)
    if unreliable(k_hat):
        raise ForecastError("too few draws agree with this outcome to say what it changes")
    # Evenly spaced along the weights, so that choosing adds next to no noise.
    places = (np.arange(len(log_weight)) + 0.5) / len(log_weight)
    chosen = np.searchsorted(np.cumsum(np.exp(log_weight)), places * np.exp(log_weight).sum())
    return ensemble.take(chosen)


def _left_out(comparison: Comparison) -> dict[str, np.ndarray]:
    """Return which rows are kept, ``(n_row,)``, by a description of the rows left out."""
    leading = comparison.fits[comparison.best]
    flagged = find_outliers(leading)
    outliers = flagged[flagged["outlier"]]
    found = {}
    count = len(comparison.runs)
    if len(outliers):
        words = f"without the {len(outliers)} outliers" if len(outliers) > 1 else "without the outlier"
        found[words] = ~np.isin(np.arange(count), outliers.index)
    influential = find_influential(leading)
    names = ", ".join(influential["run"][:INFLUENTIAL].astype(str))
    found[f"without the most influential runs ({names})"] = ~np.isin(np.arange(count), influential.index[:INFLUENTIAL])
    return found

"""What would change the recommendation: other laws, priors and runs, one more pilot, other prices."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.objectives import loss_given_draw
from bayes_scaling.decide.plan import Plan
from bayes_scaling.errors import BayesScalingError, ForecastError
from bayes_scaling.evaluate.candidates import Candidate
from bayes_scaling.evaluate.checks import find_influential, find_outliers
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.refits import fit_of
from bayes_scaling.evaluate.sensitivity import FLOORS, floor_parameter
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.choices import chosen_noise
from bayes_scaling.predict.ensemble import Ensemble, used
from bayes_scaling.report.decision import Asked, run_of

DEARER = 1.5  # prices that might be
LOW, HIGH = 0.1, 0.9  # of the forecast of a pilot, as what it might show
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

type Source = Callable[[], Fit | Comparison | Ensemble]


@dataclasses.dataclass(frozen=True, eq=False)
class Change:
    """One thing that might be otherwise.

    Attributes
    ----------
    kind, words : what is changed
    source : what would be believed then
    cost : how spending would be counted then; None for as it is
    """

    kind: str
    words: str
    source: Source
    cost: Cost | None = None


def changes(
    asked: Asked,
    beliefs: Ensemble,
    plan: Plan,
    others: Sequence[Mapping[str, Any]],
    offer: Mapping[str, float] | None,
) -> list[dict[str, Any]]:
    """Return what the recommendation would be under each change, a row each.

    Parameters
    ----------
    beliefs, plan : what is believed and recommended
    others : plans for other budgets
    offer : a pilot that might be bought, by input
    """
    possible = [*_of_belief(asked, beliefs, offer), *_of_price(asked, beliefs)]
    rows = [_answered(asked, plan, change) for change in possible]
    for words, factor in (("half the budget", 0.5), ("twice the budget", 2.0)):
        there = [one for one in others if math.isclose(one["factor"], factor)]
        rows += [
            {"kind": "budget", "change": words, **{name: one[name] for name in MOVED}, "keeping": None} for one in there
        ]
    return rows


def _of_belief(asked: Asked, beliefs: Ensemble, offer: Mapping[str, float] | None) -> Iterator[Change]:
    """Yield changes of what is believed."""
    comparison, weighted = asked.comparison, _asked(asked.comparison)
    if len(comparison.fits) > 1:
        for name, fitted in comparison.fits.items():
            source: Source = functools.partial(beliefs.only, name) if name in beliefs.members else _held(fitted)
            yield Change("law", f"only {name}", source)
    if any(_floored(candidate) for candidate in weighted):
        for label, words in PRIORS.items():
            yield Change("prior", f"a prior of {words}", functools.partial(_with_floor, asked, label))
    for words, kept in _left_out(comparison).items():
        yield Change("runs", words, functools.partial(_with_runs, asked, comparison.runs.where(kept)))
    separate = not any(chosen_noise(one.noise, comparison.runs).correlated for one in weighted)
    if offer is not None and separate:
        for probability, words in ((LOW, "well"), (HIGH, "badly")):
            source = functools.partial(_with_pilot, asked, offer, probability)
            yield Change("pilot", f"one more pilot turns out {words}", source)


def _of_price(asked: Asked, beliefs: Ensemble) -> Iterator[Change]:
    """Yield changes of what things cost."""
    budget = asked.study.budget
    if budget.counted_in == "money":
        yield Change("price", "prices 1.5 times as high", _held(beliefs), budget.cost(dearer=DEARER))
    if budget.counted_in in ("money", "gpu_hours"):
        yield Change("utilisation", "utilisation a third lower", _held(beliefs), budget.cost(busier=1 / DEARER))


def _held(known: Fit | Ensemble) -> Source:
    return lambda: known


def _answered(asked: Asked, plan: Plan, change: Change) -> dict[str, Any]:
    """Return the plan under a change and, for changes of belief, what staying with the old one would cost."""
    said = {"kind": change.kind, "change": change.words}
    try:
        source = change.source()
        beliefs = source if isinstance(source, Ensemble) else asked.believed(source)
        other = asked.plan(beliefs, cost=change.cost)
    except BayesScalingError as error:
        return {**said, "why_not": str(error)}
    keeping = None
    if change.cost is None:
        here, there = asked.inputs_of(plan), asked.inputs_of(other)
        places = beliefs.points(**{name: [here[name], there[name]] for name in here})
        loss = loss_given_draw(beliefs.new_run(places)).mean(axis=0)
        keeping = max(float(loss[0] - loss[1]), 0.0)
    found = run_of(other)
    return {**said, **{name: found[name] for name in MOVED}, "keeping": keeping}


# --- other beliefs --------------------------------------------------------------------------------------------------


def _asked(comparison: Comparison) -> list[Candidate]:
    asked = used(comparison.weights)
    return [one for one in comparison.candidates if one.weighted and one.label in asked]


def _floored(candidate: Candidate) -> str:
    """Return the name of a law's irreducible loss; nothing where it has none."""
    try:
        return floor_parameter(candidate.law)
    except ForecastError:
        return ""


def _refitted(asked: Asked, runs: Runs, of: Callable[[Candidate], Candidate]) -> Comparison:
    """Return the comparison with its laws fitted again, weights as they are."""
    rows = len(asked.comparison.runs)
    fits = {one.label: fit_of(of(one), runs, rows, asked.study.seed) for one in _asked(asked.comparison)}
    return dataclasses.replace(asked.comparison, fits={**asked.comparison.fits, **fits})


def _with_runs(asked: Asked, runs: Runs) -> Comparison:
    return _refitted(asked, runs, lambda one: one)


def _with_floor(asked: Asked, label: str) -> Comparison:
    def of(one: Candidate) -> Candidate:
        name = _floored(one)
        return dataclasses.replace(one, law=one.law.with_priors({name: FLOORS[label]})) if name else one

    return _refitted(asked, asked.comparison.runs, of)


def _with_pilot(asked: Asked, offer: Mapping[str, float], probability: float) -> Comparison:
    """Return the comparison as it would be if a pilot came in at a quantile of its forecast."""
    comparison = asked.comparison
    ahead = comparison.forecast(seed=asked.study.seed, unconverged=asked.unconverged, **offer)
    loss = float(ahead.quantile(probability)[0])
    inputs = sorted({name for one in _asked(comparison) for name in one.law.inputs})
    kept = [name for name in (*inputs, "loss", "loss_se", "flops") if name in comparison.runs]
    table = comparison.runs.table[list(dict.fromkeys(kept))]
    new: dict[str, float] = {str(name): float(table[name].median()) for name in table}
    new |= {**derive_missing(offer)[0], "loss": loss}
    frame = pd.concat([table, pd.DataFrame([new])[list(table)]], ignore_index=True)
    if "flops" not in inputs:
        frame = frame.drop(columns="flops", errors="ignore")
    runs = Runs.from_frame(
        frame, params_convention=comparison.runs.params_convention, loss_unit=comparison.runs.loss_unit
    )
    return _with_runs(asked, runs)


def _left_out(comparison: Comparison) -> dict[str, np.ndarray]:
    """Return, in words, which rows might be left out, and the rows that stay, ``(n_row,)``."""
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

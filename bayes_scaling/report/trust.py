"""Checks of whether a report can be trusted, with stated rules and the numbers behind them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from bayes_scaling.evaluate.calibration import loo_pit, predictive_check
from bayes_scaling.evaluate.checks import find_influential, find_outliers, identifiability
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.scores import coverage
from bayes_scaling.evaluate.sensitivity import DISAGREE, LITTLE_LEARNED, prior_sensitivity
from bayes_scaling.evaluate.unread import unread_columns
from bayes_scaling.inference.weights import MOST_K
from bayes_scaling.predict.ensemble import used

GREEN, AMBER, RED = "green", "amber", "red"
WORDS: Mapping[str, str] = {GREEN: "good", AMBER: "take care", RED: "do not trust"}
DOTS = 1500  # quantiles that a picture shows
LISTED = 5  # runs that are listed
NOMINAL = 0.9
COVERED, BARELY = 0.8, 0.65  # share of held-out runs inside their 90 % band
FEW = 8  # fewer distinct held-out runs are too few to judge coverage
FEW_OUTLIERS, MANY_OUTLIERS = 0.02, 0.1  # of the runs
CHEAP, EXPENSIVE = 0.001, 0.005  # share of the loss that keeping the plan may cost
QUARTER, HALF = 0.25, 0.5  # of the 90 % band
FURTHER = 10.0  # factor on the tested distance
LITTLE_WEIGHT, MUCH_WEIGHT = 0.05, 0.2  # of laws that disagree
MINOR = 0.1  # weight of laws whose sampler did not converge


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One check.

    Attributes
    ----------
    name : what was checked
    level : ``green``, ``amber`` or ``red``
    says : the finding, with placeholders for ``numbers``
    numbers : by name, a value and its format
    rule : when the check is green and when it is amber, in words
    """

    name: str
    level: str
    says: str
    numbers: Mapping[str, tuple[float, str]]
    rule: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        numbers = {name: {"value": value, "as": kind} for name, (value, kind) in self.numbers.items()}
        return {
            "name": self.name,
            "level": self.level,
            "word": WORDS[self.level],
            "says": self.says,
            "numbers": numbers,
            "rule": self.rule,
        }


def level(value: float, green: float, amber: float) -> str:
    """Return green up to one limit, amber up to another, red beyond."""
    return GREEN if value <= green else AMBER if value <= amber else RED


# --- verdicts -------------------------------------------------------------------------------------------------------


def verdicts(
    comparison: Comparison,
    recommended: Mapping[str, Any],
    changed: Sequence[Mapping[str, Any]],
    laws: Sequence[Mapping[str, Any]],
    dropped: Sequence[Mapping[str, Any]],
    extrapolation: float,
    cautions: Sequence[str],
    draft: bool,
) -> list[dict[str, Any]]:
    """Return all checks, the most important first.

    Parameters
    ----------
    comparison : laws, weights, scores
    recommended : the run of the plan
    changed : rows of what would change it
    laws : forecast of that run by each law with weight
    dropped : and by each law that has none because it did not converge
    extrapolation : training FLOPs of that run over those of the largest fitted one
    cautions : in what the plan differs from all fitted runs
    draft : whether posteriors are normal approximations
    """
    found = [
        _convergence(comparison, draft),
        _calibration(comparison),
        _predictive(comparison),
        _distance(comparison, extrapolation, cautions),
        _agreement(recommended, laws, dropped, changed),
        _prior(recommended, changed),
        _outliers(comparison),
        _influence(recommended, changed),
        _learnable(comparison),
    ]
    return [one.to_dict() for one in found]


def _convergence(comparison: Comparison, draft: bool) -> Verdict:
    weights = used(comparison.weights)
    bad = sum(weight for name, weight in weights.items() if not comparison.fits[name].converged)
    diagnostics = [comparison.fits[name].diagnostics for name in weights]
    ess = float(min(min(d.ess_bulk, d.ess_tail) for d in diagnostics))
    if draft:
        k_hat = max(math.inf if math.isnan(d.k_hat) else d.k_hat for d in diagnostics)
        return Verdict(
            "Sampler",
            AMBER if bad < MUCH_WEIGHT else RED,
            "draft: normal approximations, worst Pareto k-hat {k_hat}; laws with {bad} of the weight exceed a limit",
            {"k_hat": (k_hat, "plain"), "bad": (bad, "probability")},
            f"a draft is amber at best, and red when laws with 20 % of the weight have a k-hat above {MOST_K} or fewer "
            "than 400 effective draws",
        )
    return Verdict(
        "Sampler",
        GREEN if bad == 0 else AMBER if bad < MINOR else RED,
        "worst R-hat {rhat}, smallest effective sample {ess}, {divergences} divergences; "
        "laws with {bad} of the weight exceed a limit",
        {
            "rhat": (float(max(d.rhat for d in diagnostics)), "three"),
            "ess": (ess, "integer"),
            "divergences": (int(sum(d.divergences for d in diagnostics)), "integer"),
            "bad": (bad, "probability"),
        },
        "green when every law with weight is within R-hat 1.01, effective sample 400, 0.1 % divergences; "
        "amber when the other laws have less than 10 % of the weight",
    )


def stacked_pit(comparison: Comparison) -> pd.DataFrame:
    """Return the PIT of each held-out loss in the forecast by all laws: ``run``, ``cut``, ``pit``, one row each."""
    wide = comparison.scores.pivot(index=["cut", "row", "run"], columns="candidate", values="pit")
    names = [name for name in comparison.weights if name in wide]
    weight = np.array([comparison.weights[name] for name in names])
    pit = wide[names].to_numpy() @ weight / weight.sum()
    return pd.DataFrame({"pit": pit}, index=wide.index).reset_index()


def uniform_band(runs: int) -> float:
    """Return the distance from uniform that PIT values of calibrated forecasts stay below with probability 90 %."""
    return float(scipy.stats.kstwo.ppf(NOMINAL, runs))


def _calibration(comparison: Comparison) -> Verdict:
    held_out = stacked_pit(comparison)
    pit, runs = held_out["pit"].to_numpy(), int(held_out["run"].nunique())
    share, limit = coverage(pit, NOMINAL), uniform_band(runs)
    distance = float(scipy.stats.kstest(pit, "uniform").statistic)
    good = share >= COVERED and runs >= FEW and distance <= limit
    return Verdict(
        "Forecasts of the largest runs",
        GREEN if good else AMBER if share >= BARELY else RED,
        "{share} of {count} held-out losses ({runs} runs) fell inside their 90 % band; their quantiles are {distance} "
        "away from uniform (calibrated: up to {limit}), {side} on average",
        {
            "share": (share, "probability"),
            "count": (len(held_out), "integer"),
            "runs": (runs, "integer"),
            "distance": (distance, "ratio"),
            "limit": (limit, "ratio"),
            "side": (float(pit.mean()), "quantile"),
        },
        "green when 80 % of at least 8 runs are inside and the distance is within what 90 % of calibrated forecasts "
        "show; amber from 65 % inside",
    )


def _predictive(comparison: Comparison) -> Verdict:
    checks = predictive_check(comparison.fits[comparison.best])
    surprising = int(checks["surprising"].sum())
    smallest = checks["tail_probability"].idxmin()
    return Verdict(
        "Posterior predictive",
        level(surprising, 0, 1),
        "{surprising} of {count} statistics of the residuals are surprising; the least likely is {name}, tail "
        "probability {tail}".replace("{name}", str(smallest)),
        {
            "surprising": (surprising, "integer"),
            "count": (len(checks), "integer"),
            "tail": (float(checks["tail_probability"].min()), "plain"),
        },
        "green when scale, largest, neighbours and skewness of the residuals all look like those of replicated tables; "
        "amber when one does not",
    )


def _distance(comparison: Comparison, extrapolation: float, cautions: Sequence[str]) -> Verdict:
    tried = max(float(comparison.scores["extrapolation"].max()), 1.0)
    found = level(extrapolation, tried, FURTHER * tried)
    return Verdict(
        "Distance",
        AMBER if found == GREEN and cautions else found,
        "the plan has {distance} the compute of the largest fitted run; forecasts were tested up to {tried}"
        + _plain("".join(f"; {caution}" for caution in cautions)),
        {"distance": (extrapolation, "factor"), "tried": (tried, "factor")},
        "green up to the largest distance at which held-out runs were forecast, if the plan otherwise resembles fitted "
        "runs; amber up to 10 times that distance",
    )


def _plain(text: str) -> str:
    """Return text without placeholders."""
    return text.replace("{", "(").replace("}", ")")


def _agreement(
    recommended: Mapping[str, Any],
    laws: Sequence[Mapping[str, Any]],
    dropped: Sequence[Mapping[str, Any]],
    changed: Sequence[Mapping[str, Any]],
) -> Verdict:
    keeping = {row["law"]: row.get("keeping") or 0.0 for row in changed if row["kind"] == "law"}
    most = EXPENSIVE * recommended["expected_loss"]

    def outside(law: Mapping[str, Any]) -> bool:
        return not recommended["low"] <= law["median"] <= recommended["high"]

    def elsewhere(law: Mapping[str, Any]) -> bool:
        return bool(keeping.get(law["law"], 0.0) > most)

    gone = [law["law"] for law in dropped if outside(law) or elsewhere(law)]
    said = f"; without weight, since they did not converge: {', '.join(law['law'] for law in dropped)}"
    said += f", of which {', '.join(gone)} would disagree" if gone else ", none of which would disagree"
    lost = _plain(said) if dropped else ""
    if len(laws) < 2:
        words = f"only one law has weight, so nothing can be compared{lost}"
        return Verdict("Agreement of laws", AMBER, words, {}, "amber for one law")
    medians = [law["median"] for law in laws]
    away, other = (float(sum(law["weight"] for law in laws if apart(law))) for apart in (outside, elsewhere))
    found = level(away, LITTLE_WEIGHT, MUCH_WEIGHT)
    return Verdict(
        "Agreement of laws",
        AMBER if found == GREEN and (gone or other > LITTLE_WEIGHT) else found,
        "the laws' median losses for the plan range from {low} to {high}; laws outside its 90 % band have {outside} of "
        f"the weight, and those by which another size would save over 0.5 % of the loss {{other}}{lost}",
        {
            "low": (min(medians), "loss"),
            "high": (max(medians), "loss"),
            "outside": (away, "probability"),
            "other": (other, "probability"),
        },
        "green when either have up to 5 % of the weight, and so would those that were dropped; red when laws outside "
        "the 90 % band of the plan have over 20 %",
    )


def _prior(recommended: Mapping[str, Any], changed: Sequence[Mapping[str, Any]]) -> Verdict:
    moved = {
        row["change"]: row["expected_loss"] for row in changed if row["kind"] == "prior" and "expected_loss" in row
    }
    name, rule = (
        "Prior of the irreducible loss",
        "green when other priors move the expected loss by less than a quarter of the 90 % band, amber below half",
    )
    if not moved:
        return Verdict(name, AMBER, "no law with weight has an irreducible loss that could be varied", {}, rule)
    words, loss = max(moved.items(), key=lambda one: abs(one[1] - recommended["expected_loss"]))
    largest = abs(loss - recommended["expected_loss"])
    share = largest / (recommended["high"] - recommended["low"])
    return Verdict(
        name,
        level(share, QUARTER, HALF),
        f"{_plain(words)} moves the expected loss by {{moved}}, from {{before}} to {{after}}: {{share}} times the "
        "width of the 90 % band",
        {
            "moved": (largest, "small"),
            "before": (recommended["expected_loss"], "loss"),
            "after": (loss, "loss"),
            "share": (share, "ratio"),
        },
        rule,
    )


def _outliers(comparison: Comparison) -> Verdict:
    flagged = int(find_outliers(comparison.fits[comparison.best])["outlier"].sum())
    share = flagged / len(comparison.runs)
    return Verdict(
        "Outliers",
        level(share, FEW_OUTLIERS, MANY_OUTLIERS),
        "{flagged} of {count} rows are outliers of the noise",
        {"flagged": (flagged, "integer"), "count": (len(comparison.runs), "integer")},
        "green up to 2 % of the rows, amber up to 10 %",
    )


def _influence(recommended: Mapping[str, Any], changed: Sequence[Mapping[str, Any]]) -> Verdict:
    kept = [row["keeping"] for row in changed if row["kind"] == "runs" and row.get("keeping") is not None]
    rule = "green when keeping the plan would then cost less than 0.1 % of the loss, amber below 0.5 %"
    if not kept:
        return Verdict("Influential runs", AMBER, "all fits without them failed", {}, rule)
    share = max(kept) / recommended["expected_loss"]
    return Verdict(
        "Influential runs",
        level(share, CHEAP, EXPENSIVE),
        "without the most influential runs, keeping the plan would cost {share} of the loss",
        {"share": (share, "percent")},
        rule,
    )


def _learnable(comparison: Comparison) -> Verdict:
    best = comparison.fits[comparison.best]
    pooled = [pool.by for pool in best.pooling.values()]
    problems = (*identifiability(best.law, comparison.runs), *unread_columns([best.law], comparison.runs, pooled))
    weak = [name for name in best.law_names if best.contraction[name] < LITTLE_LEARNED]
    says = prior_sensitivity(best).set_index("parameter")["says"]
    torn = [str(name) for name in says.index if says[name] == DISAGREE]
    sentences = "".join(f"; {sentence}" for sentence in problems)
    found = level(len(problems) + len(weak), 0, 1)
    return Verdict(
        "What the runs determine",
        AMBER if found == GREEN and torn else found,
        "the prior dominates {weak} of {count} parameters of the leading law; prior and table disagree about {torn} of "
        "all {every}" + _plain((f" ({', '.join(torn)})" if torn else "") + sentences),
        {
            "weak": (len(weak), "integer"),
            "count": (len(best.law_names), "integer"),
            "torn": (len(torn), "integer"),
            "every": (len(says), "integer"),
        },
        "green when the runs determine every parameter of the leading law and no prior disagrees with them, amber for "
        "one exception or where priors disagree",
    )


# --- the numbers behind them ----------------------------------------------------------------------------------------


def details(comparison: Comparison) -> dict[str, Any]:
    """Return tables for a reviewer: parameters and priors, unusual runs, calibration."""
    best = comparison.fits[comparison.best]
    summary = best.summary(0.9)
    sensitivity = prior_sensitivity(best).set_index("parameter")
    units = {row.name: row.unit for row in best.composition.rows}
    parameters = [
        {
            "name": str(name),
            "unit": units.get(str(name), ""),
            "median": float(row["median"]),
            "low": float(row.iloc[1]),
            "high": float(row.iloc[2]),
            "learned": float(row["learned"]),
            "says": str(sensitivity["says"].get(name, "")),
        }
        for name, row in summary.iterrows()
    ]
    flagged = find_outliers(best)
    influential = find_influential(best)
    pit = stacked_pit(comparison)
    return {
        "law": comparison.best,
        "parameters": parameters,
        "outliers": [
            {"run": str(row["run"]), "loss": float(row["loss"]), "expected": float(row["expected"])}
            for _, row in flagged[flagged["outlier"]].head(LISTED).iterrows()
        ],
        "influential": [
            {
                "run": str(row["run"]),
                "shift": float(row["shift"]),
                "parameter": str(row["parameter"]),
                "k_hat": float(row["k_hat"]),
            }
            for _, row in influential.head(LISTED).iterrows()
        ],
        "pit": _seen(pit["pit"]),
        "pit_runs": int(pit["run"].nunique()),
        "pit_band": uniform_band(int(pit["run"].nunique())),
        "loo_pit": _seen(loo_pit(best)),
    }


def _seen(values: Iterable[float]) -> list[float]:
    """Return the values that are there, sorted, evenly thinned if there are very many."""
    there = np.sort([value for value in np.asarray(values, float) if not math.isnan(value)])
    return [float(value) for value in there[:: -(-len(there) // DOTS) or 1]]

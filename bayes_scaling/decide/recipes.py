"""Recipes: which one to train big, by how much compute it is better, and which pilots would settle it.

The choice is between recipes for one big run. Its payoff is the expected loss, so a recipe is promoted where that is
lower on average over everything that the posterior leaves open, however close the race is. Pilots are bought where
what they would add to the choice is worth more than the loss that their price costs the big run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.json_text import nulled
from bayes_scaling.base.messages import checked_probability, computed_percent, listed, plain, shown
from bayes_scaling.base.names import IRREDUCIBLE
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.runs import Runs
from bayes_scaling.decide.designs import Offer
from bayes_scaling.decide.payoffs import LEVELS, Payoffs
from bayes_scaling.decide.pilot import Appraiser, best_pilots, thinned
from bayes_scaling.decide.pilot_plan import PilotPlan
from bayes_scaling.errors import ConvergenceError, PlanError
from bayes_scaling.evaluate.arms import Arms, arms_laws, fitted_arms, one_scale, recipes_of
from bayes_scaling.inference.sampler import SamplerChoice
from bayes_scaling.laws.law import Law
from bayes_scaling.predict.along import Along
from bayes_scaling.predict.arms import ArmCurves, Crossing, Speedup
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.predictive import Predictive

PILOT_SHARE = 0.1  # of the budget, for pilots
OFFERED = 5  # sizes of the pilots of each recipe
COPIES = 2  # how often one pilot may be run

type IrreducibleChoice = Literal["shared", "own"]


class RecipeOptions(TypedDict, total=False):
    """Options of a comparison of recipes.

    Attributes
    ----------
    irreducible : which reading decides: ``shared``, all recipes have one irreducible loss, or ``own``, each has one
        of its own around a common value. Both are shown
    tokens_per_param : ratio along which compute grows, for a law in params and tokens; the median of the table
    given : fixed inputs of the law, such as ``{"unique_tokens": 1e11}``
    pilot_budget : largest total cost of pilots, paid out of the budget; a tenth of it by default, 0 for none
    sampler, seed, progress : as of `fit`
    unconverged : accept fits that did not converge
    """

    irreducible: IrreducibleChoice
    tokens_per_param: float | None
    given: Mapping[str, float] | None
    pilot_budget: float | None
    sampler: SamplerChoice
    seed: Seed
    progress: bool | None
    unconverged: bool


@dataclasses.dataclass(frozen=True, eq=False)
class RecipeComparison:
    """What is known of several recipes, and which one to train big.

    Attributes
    ----------
    by : column that names the recipes
    baseline : the recipe that the others are measured against
    budget : size of the big run
    target : loss that is wanted; None for none
    irreducible : the reading that decides
    readings : by reading, ``shared`` and ``own``, the fits of all recipes; one where no law has an irreducible loss
    curves : by reading, the curves of all recipes
    one_scale : the usual ranking, by the loss at one scale, as of `bayes_scaling.evaluate.arms.one_scale`
    pilots : the runs that would settle it; None where none are on offer
    """

    by: str
    baseline: str
    budget: float
    target: float | None
    irreducible: str
    readings: Mapping[str, Arms]
    curves: Mapping[str, ArmCurves]
    one_scale: pd.DataFrame
    pilots: PilotPlan | None

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes, the baseline first."""
        return (self.baseline, *(name for name in self._curves().arms if name != self.baseline))

    @property
    def unit(self) -> str:
        """Unit of sizes."""
        return self._curves().along.unit

    @property
    def pairs(self) -> int:
        """Sets of runs of several recipes that share a seed and a size."""
        return next(iter(self.readings.values())).pairs

    def _curves(self, irreducible: str | None = None) -> ArmCurves:
        wanted = self.irreducible if irreducible is None else irreducible
        if wanted not in self.curves:
            raise PlanError(f"irreducible is {shown(wanted)}; this comparison has {listed(self.curves)}")
        return self.curves[wanted]

    @validated
    def speedup(
        self,
        recipe: str,
        *,
        at: float | None = None,
        loss: float | None = None,
        over: str | None = None,
        irreducible: IrreducibleChoice | None = None,
    ) -> Speedup:
        """Return the multiplier of a recipe over another: how much more the other needs to be as good.

        Parameters
        ----------
        at : size of the recipe's run; by default the budget
        loss : in place of a size, a target loss
        over : the other recipe; by default the baseline
        irreducible : the reading; by default the one that decides
        """
        at = self.budget if at is None and loss is None else at
        return self._curves(irreducible).speedup(recipe, self.baseline if over is None else over, at=at, loss=loss)

    @validated
    def ahead(
        self,
        recipe: str,
        *,
        at: float | None = None,
        over: str | None = None,
        irreducible: IrreducibleChoice | None = None,
    ) -> float:
        """Return the probability that a recipe has a lower expected loss than another; arguments as of `speedup`."""
        size = self.budget if at is None else at
        return self._curves(irreducible).ahead(recipe, self.baseline if over is None else over, size)

    @validated
    def crossing(
        self,
        recipe: str,
        *,
        low: float | None = None,
        high: float | None = None,
        over: str | None = None,
        irreducible: IrreducibleChoice | None = None,
    ) -> Crossing:
        """Return where a recipe's curve and another's cross last, between two sizes.

        Parameters
        ----------
        low, high : the range; by default from the smallest run of the table to the budget
        over, irreducible : as of `speedup`
        """
        curves = self._curves(irreducible)
        low = self._smallest if low is None else low
        high = self.budget if high is None else high
        return curves.crossing(recipe, self.baseline if over is None else over, low, high)

    @property
    def _smallest(self) -> float:
        runs = next(iter(self.readings.values())).runs
        return float(self._curves().along.sizes(runs).min())

    @property
    def expected_losses(self) -> dict[str, float]:
        """Expected loss of each recipe at the budget, by the reading that decides."""
        return {name: float(np.exp(self._curves().at(name, self.budget)).mean()) for name in self.recipes}

    @property
    def best(self) -> str:
        """The recipe with the lowest expected loss at the budget; the baseline where another is no better."""
        losses = self.expected_losses
        return min(self.recipes, key=lambda name: losses[name])

    @property
    def decision(self) -> str:
        """``buy`` pilots first; ``promote`` another recipe than the baseline; or ``drop`` the others."""
        if self.pilots is not None and self.pilots.buys:
            return "buy"
        return "drop" if self.best == self.baseline else "promote"

    @property
    def verdict(self) -> str:
        """The answer in a few sentences."""
        best, rest = self.best, [name for name in self.recipes if name != self.baseline]
        rival = best if best != self.baseline else min(rest, key=lambda name: self.expected_losses[name])
        found = self.speedup(rival)
        low, high = found.interval()
        ahead, kept, named = computed_percent(self.ahead(rival)), plain(self.baseline), plain(best)
        size = f"{self.budget:.3g} {self.unit}"
        facts = (
            f"at {size} {plain(rival)} is worth {_times(found.median)} the {self.unit} of {kept} "
            f"(90%: {_times(low)} to {_times(high)}), and it is ahead with probability {ahead}"
        )
        first = f"Promote {named}" if best != self.baseline else f"Drop {listed(rest)}: keep {kept}"
        text = f"{first}; {facts}."
        if self.decision == "buy" and self.pilots is not None:
            text = f"{self.pilots.verdict} Without them: {first[0].lower()}{first[1:]}; {facts}."
        for other in self.curves:
            if other != self.irreducible:
                otherwise = computed_percent(self.ahead(rival, irreducible=_reading(other)))
                text += f" With {_READINGS[other]} the probability is {otherwise}."
        if self.target is not None and not self.speedup(rival, loss=self.target).defined:
            largest = self._curves().sizes[-1]
            text += f" Neither reaches a loss of {self.target:.4g} up to {largest:.3g} {self.unit}."
        return text

    @validated
    def to_frame(self, probability: float = 0.9) -> pd.DataFrame:
        """Return one row per recipe other than the baseline and reading of the irreducible loss.

        Parameters
        ----------
        probability : of the intervals

        Returns
        -------
        pandas.DataFrame
            ``recipe``, ``irreducible``, ``multiplier`` at the budget with ``low`` and ``high``, ``ahead`` (probability
            there), ``crosses`` (probability that the curves cross between the smallest run and the budget),
            ``crossing`` (median size, of the draws that cross), ``expected_loss``, ``one_scale`` (ratio of losses at
            the largest common scale, NaN without one) and, with a target, ``multiplier_to_target`` with its interval
            and ``target_defined``.
        """
        checked_probability(probability)
        ratios = {
            frozenset((row["recipe"], row["over"])): (row["recipe"], row["log_ratio"])
            for row in self.one_scale.to_dict(orient="records")
        }
        rows = []
        for name in self.recipes[1:]:
            first, ratio = ratios.get(frozenset((name, self.baseline)), (name, math.nan))
            for reading, curves in self.curves.items():
                found = curves.speedup(name, self.baseline, at=self.budget)
                crossing = curves.crossing(name, self.baseline, self._smallest, self.budget)
                low, high = found.interval(probability)
                row: dict[str, Any] = {
                    "recipe": name,
                    "irreducible": reading,
                    "multiplier": found.median,
                    "low": low,
                    "high": high,
                    "ahead": curves.ahead(name, self.baseline, self.budget),
                    "crosses": crossing.probability,
                    "crossing": crossing.median,
                    "expected_loss": float(np.exp(curves.at(name, self.budget)).mean()),
                    "one_scale": math.exp(ratio if first == name else -ratio),
                }
                if self.target is not None:
                    wanted = curves.speedup(name, self.baseline, loss=self.target)
                    low, high = wanted.interval(probability)
                    row |= {"multiplier_to_target": wanted.median, "target_low": low, "target_high": high}
                    row["target_defined"] = wanted.defined
                rows.append(row)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        return {
            "laws": list(self.readings[self.irreducible].fits),
            "by": self.by,
            "baseline": self.baseline,
            "budget": self.budget,
            "along": self._curves().along.words,
            "unit": self.unit,
            "target": self.target,
            "irreducible": self.irreducible,
            "pairs": self.pairs,
            "decision": self.decision,
            "best": self.best,
            "verdict": self.verdict,
            "probability_best": {reading: curves.best(self.budget) for reading, curves in self.curves.items()},
            "recipes": nulled(self.to_frame().to_dict(orient="records")),
            "one_scale": nulled(self.one_scale.to_dict(orient="records")),
            "pilots": None if self.pilots is None else nulled(self.pilots.to_dict()),
        }

    def __repr__(self) -> str:
        return f"<RecipeComparison: {len(self.recipes)} recipes, {self.decision}, best {self.best}>"


_READINGS = {"shared": "one irreducible loss for all", "own": "an irreducible loss of each recipe's own"}


def _reading(name: str) -> IrreducibleChoice:
    return "own" if name == "own" else "shared"


def _times(value: float) -> str:
    return "no finite multiple of" if math.isinf(value) else f"{value:.3g} x"


@validated
def compare_recipes(
    runs: Runs,
    by: str = "recipe",
    *,
    budget: float,
    baseline: str | None = None,
    target: float | None = None,
    law: Law | str | Sequence[Law | str] | None = None,
    **options: Unpack[RecipeOptions],
) -> RecipeComparison:
    """Compare recipes: by how much compute one is better, whether that lasts, which one to train big.

    Each law is fitted to all recipes at once; each recipe has its level and its exponent. All laws get equal
    weight. Runs with the same seed and inputs in several recipes share a deviation (column ``seed``), so what is common
    to them does not blur the difference.

    Parameters
    ----------
    runs : the table, with at least two sizes of each recipe
    by : column that names the recipes
    budget : size of the big run: FLOPs (6 N D) for a law in params and tokens, else in the unit of the law's input
    baseline : the recipe that the others are measured against; by default the first in the alphabet
    target : a loss at which they are compared as well
    law : one, or several that read the same inputs; by default the default laws for the columns, as far as they read
        what the first of them does. One law takes a fraction of the time
    options : `RecipeOptions`: irreducible, tokens_per_param, given, pilot_budget, sampler, seed, progress, unconverged

    Raises
    ------
    DataError
        When there are fewer than two recipes, or one has runs of a single size.
    ConvergenceError
        When no fit of the reading that decides converged. A law that did not, and the other reading if none of its
        fits did, are left out with a warning.
    PlanError
        When budget, target or baseline make no sense.
    """
    laws = arms_laws(law, runs)
    chosen = baseline_of(runs, by, baseline)
    irreducible = options.get("irreducible", "shared")
    along = Along.through(laws[0], runs, options.get("given") or {}, options.get("tokens_per_param"))
    sizes = along.sizes(runs)
    if not (math.isfinite(budget) and budget > sizes.min()):
        raise PlanError(
            f"the budget is {budget:g} {along.unit}, expected more than the smallest run has, {sizes.min():.3g}"
        )
    big = along.inputs(np.array([float(budget)]))
    if along.of == "flops" and (least := min(big[name][0] for name in ("params", "tokens"))) < 1:
        raise PlanError(
            f"tokens_per_param is {along.tokens_per_param:g}, at which a run of {budget:g} FLOPs has {least:.1g} "
            f"{'params' if big['params'][0] < 1 else 'tokens'}; expected a ratio as of the runs"
        )
    if target is not None and not (math.isfinite(target) and target > 0):
        raise PlanError(f"the target loss is {target:g}, expected a positive number")
    if irreducible not in IRREDUCIBLE:
        raise PlanError(f"irreducible is {shown(irreducible)}, expected {' or '.join(IRREDUCIBLE)}")
    pilots = options.get("pilot_budget")
    if pilots is not None and not 0 <= pilots < budget:
        raise PlanError(
            f"the pilot budget is {pilots:g} {along.unit}, expected 0 or more and less than the budget of {budget:g}"
        )
    irreducible = irreducible if irreducible in _possible(laws) else "shared"
    readings = _readings(laws, runs, by, irreducible, options)
    curves = {
        reading: ArmCurves.of(arms.arms, along, float(sizes.min()), max(budget, float(sizes.max())))
        for reading, arms in readings.items()
    }
    return RecipeComparison(
        by=by,
        baseline=chosen,
        budget=float(budget),
        target=target,
        irreducible=irreducible,
        readings=readings,
        curves=curves,
        one_scale=one_scale(runs, by, laws[0], sizes),
        pilots=_pilots(curves[irreducible], readings[irreducible], budget, options),
    )


def baseline_of(runs: Runs, by: str, baseline: str | None) -> str:
    """Return the recipe that the others are measured against; refuse a table or a name that cannot be compared."""
    names = sorted(set(recipes_of(runs, by)))
    chosen = names[0] if baseline is None else baseline
    if chosen not in names:
        raise PlanError(f"the baseline is {shown(chosen)}; the recipes of {runs.source} are {listed(names)}")
    return chosen


def _readings(laws: Sequence[Law], runs: Runs, by: str, decides: str, options: RecipeOptions) -> dict[str, Arms]:
    """Return the fits of each reading; one that does not decide is left out where none of its fits converges."""
    readings: dict[str, Arms] = {}
    for reading in sorted(_possible(laws), key=lambda one: one != decides):
        try:
            readings[reading] = fitted_arms(
                laws,
                runs,
                by,
                reading,
                known=readings.get(decides),
                sampler=options.get("sampler", "auto"),
                seed=options.get("seed", 0),
                progress=options.get("progress"),
                unconverged=options.get("unconverged", False),
            )
        except ConvergenceError as error:
            if reading == decides:
                raise
            warn_caller(f"with {_READINGS[reading]}, which is left out, {error}")
    return {reading: readings[reading] for reading in _possible(laws) if reading in readings}


def _possible(laws: Sequence[Law]) -> tuple[str, ...]:
    """Return the readings of the irreducible loss of laws; one where none of them has it."""
    return tuple(IRREDUCIBLE) if any(law.irreducible for law in laws) else ("shared",)


def _pilots(curves: ArmCurves, arms: Arms, budget: float, options: RecipeOptions) -> PilotPlan | None:
    """Return the pilots that would settle the choice, or that none is worth its price; None without an offer."""
    asked = options.get("pilot_budget")
    most = PILOT_SHARE * budget if asked is None else asked
    if not most:
        return None
    few = {name: thinned(arm) for name, arm in curves.arms.items()}
    largest = float(curves.along.sizes(arms.runs).max())
    sizes = np.geomspace(min(largest, most) / 10, most, OFFERED)
    frames, signals = [], []
    for name, arm in few.items():
        inputs = curves.along.inputs(sizes)
        signals.append(arm.new_run(arm.points(**inputs)))
        frames.append(pd.DataFrame({arms.by: name, **inputs, "cost": sizes}))
    frame = pd.concat(frames, ignore_index=True)
    offer = Offer(frame["cost"].to_numpy(float), np.full(len(frame), COPIES), most)
    payoffs = _payoffs(few, curves.along, arms.by, budget, most)
    appraise = Appraiser(_side_by_side(signals), payoffs, offer, 0.0, options.get("seed", 0))
    return best_pilots(appraise, frame, arms.label, curves.along.unit)


def _payoffs(arms: Mapping[str, Ensemble], along: Along, by: str, budget: float, most: float) -> Payoffs:
    """Return the payoffs of choosing a recipe for a big run, of which pilots leave less."""
    levels = np.linspace(0.0, most, LEVELS)
    losses = [arm.log_mean(arm.points(**along.inputs(budget - levels))) for arm in arms.values()]
    worth = -np.exp(np.stack(losses, axis=2)).transpose(1, 0, 2)
    one = along.inputs(np.full(len(arms), float(budget)))
    big = pd.DataFrame({by: list(arms), **one})
    unit = next(iter(arms.values())).loss_unit
    return Payoffs(
        f"which recipe to train with {budget:.3g} {along.unit}",
        unit,
        big,
        np.stack([loss[:, 0] for loss in losses], axis=1),
        big,
        levels,
        worth,
        np.eye(len(arms)),
    )


def _side_by_side(parts: list[Predictive]) -> Predictive:
    """Join the predictive distributions of recipes, whose draws are the same ones, point by point."""
    first = parts[0]
    return dataclasses.replace(
        first,
        location=np.concatenate([part.location for part in parts], axis=1),
        scale=np.concatenate([part.scale for part in parts], axis=1),
        deviation=np.concatenate([part.deviation for part in parts], axis=1),
    )

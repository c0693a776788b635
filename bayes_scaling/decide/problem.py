"""The checked decision problem: what every answer about a budget is computed from."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict

import numpy as np

from bayes_scaling.base.arguments import Seed
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.columns import Points
from bayes_scaling.data.tuning import RATE
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import Cost, Spending
from bayes_scaling.decide.objectives import Goal, Objective
from bayes_scaling.decide.search import Score, optimise
from bayes_scaling.decide.space import Given, Space
from bayes_scaling.decide.spelling import cost_of, objective_of
from bayes_scaling.errors import REMEDY, PlanError, Remedy
from bayes_scaling.predict.cautions import trusted_ratios
from bayes_scaling.predict.ensemble import Ensemble, Source, draws_of
from bayes_scaling.predict.members import POINTS_AT_ONCE
from bayes_scaling.predict.predictive import Predictive
from bayes_scaling.predict.valleys import RateRule, has_valley

ROUGHLY = 512  # draws used in a first pass
CHOSEN = ("params", "tokens", "flops", "steps")  # inputs that the plan chooses; the batch may be fixed


class GoalOptions(TypedDict, total=False):
    """Options of every decision.

    Attributes
    ----------
    cost : how the budget is spent: a cost, or the name of one; training FLOPs by default
    objective : what to optimise: an objective, or the name of one; the expected improvement by default
    incumbent : loss to improve on; the best one in the table by default
    target : loss that is wanted, for its probability
    unconverged : accept fits that did not converge
    seed : as of `Ensemble.of`, and of uncertain costs; the same seed gives the same answer
    """

    cost: Cost | str
    objective: Objective | str
    incumbent: float | None
    target: float | None
    unconverged: bool
    seed: Seed


class ProblemOptions(GoalOptions, total=False):
    """Options of decisions that spend a budget, on top of `GoalOptions`.

    Attributes
    ----------
    constraints : what a plan must keep to; nothing by default
    given : inputs of the law that are fixed, such as ``{"weight_bits": 8}``; ``unique_tokens`` are those that are
        available: D beyond them means further epochs
    group : which group of a pooled fit, ``{"dataset": "c4"}``
    """

    constraints: Constraints | None
    given: Mapping[str, float] | None
    group: Mapping[str, str] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Limits:
    """Which runs a plan may choose from.

    Attributes
    ----------
    constraints : as given, with the range of batches filled in
    given : inputs of the laws that are fixed, without the batch; and the best learning rate by size and batch, where
        a law reads it and none is fixed
    batched : whether a law reads the batch
    """

    constraints: Constraints
    given: Mapping[str, Given]
    batched: bool


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedDecision:
    """A decision problem, checked, with its draws.

    Attributes
    ----------
    ensemble : draws of what any run would reach
    cost : how the budget is spent
    spending : its prices, as draws
    objective, goal : what is optimised, and against what
    constraints, given : as of `DecisionProblem`
    seed : of everything that is drawn
    """

    ensemble: Ensemble
    cost: Cost
    spending: Spending
    objective: Objective
    goal: Goal
    constraints: Constraints
    given: Mapping[str, float]
    seed: int

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        cost: Cost | str,
        objective: Objective | str,
        constraints: Constraints | None,
        incumbent: float | None,
        target: float | None,
        given: Mapping[str, float] | None,
        seed: int,
    ) -> CheckedDecision:
        """Check a problem; arguments as of `DecisionProblem`."""
        chosen, counted = objective_of(objective), cost_of(cost)
        ensemble = _that_plan(draws_of(source, seed))
        goal = checked_goal(chosen, ensemble.best_loss if incumbent is None else incumbent, target)
        limits = Constraints() if constraints is None else constraints
        return cls(ensemble, counted, counted.spending(seed), chosen, goal, limits, given or {}, seed)

    @functools.cached_property
    def limits(self) -> Limits:
        """The runs that a plan may choose from; not needed where a run is given, as for a forecast.

        Raises
        ------
        PlanError
            When the laws say nothing of the split of a budget, or constraints and fixed inputs make no sense.
        """
        given = {**_tuned(self.ensemble), **_checked_given(self.ensemble, self.given)}
        _refuse_laws(self.ensemble, given)
        return _with_batch(self.ensemble, self.constraints, given)

    def space(self, budget: float) -> Space:
        """Return the runs that a budget can buy."""
        limits = self.limits
        return Space(self.spending.surface(budget), limits.constraints, limits.given, limits.batched, self.trusted)

    @functools.cached_property
    def trusted(self) -> tuple[float, float]:
        """Least and most tokens per parameter between which a best split is sought."""
        return trusted_ratios([member.fit.runs for member in self.ensemble.members.values()])

    def space_of_flops(self, amount: float) -> Space:
        """Return the runs that the price of so many training FLOPs can buy."""
        return self.space(amount * self.spending.price)

    def best_place(self, ensemble: Ensemble, space: Space) -> np.ndarray:
        """Return the best place of a space."""
        return optimise(
            self.score(ensemble, space.runs, max(len(ensemble) // ROUGHLY, 1)),
            self.score(ensemble, space.runs),
            *space.box,
        )

    def score(self, ensemble: Ensemble, runs: Callable[[np.ndarray], Points], every: int = 1) -> Score:
        """Return the function of places that an optimiser maximises.

        Parameters
        ----------
        runs : from places to runs
        every : use only every so many draws
        """

        def scores(places: np.ndarray) -> np.ndarray:
            return np.concatenate(
                [self.objective.score(p.every(every), self.goal) for p in predictives(ensemble, runs, places)]
            )

        return scores


def predictives(ensemble: Ensemble, runs: Callable[[np.ndarray], Points], places: np.ndarray) -> Iterator[Predictive]:
    """Yield the distributions of new runs at places, a block at a time: those of thousands would fill the memory."""
    for i in range(0, len(places), POINTS_AT_ONCE):
        yield ensemble.new_run(runs(places[i : i + POINTS_AT_ONCE]))


def checked_goal(objective: Objective, incumbent: float, target: float | None) -> Goal:
    """Return a goal, or refuse losses that cannot be and a target that is missing."""
    for name, loss in (("incumbent", incumbent), ("target", target)):
        if loss is not None and not (math.isfinite(loss) and loss > 0):
            raise PlanError(f"{name} is {loss:g}, expected a positive loss")
    if objective.needs_target and target is None:
        raise PlanError(
            f"the objective is the {objective.label}, but there is no target: give {REMEDY}",
            Remedy("target", value="loss"),
        )
    return Goal(float(incumbent), math.nan if target is None else float(target))


def _checked_given(ensemble: Ensemble, given: Mapping[str, float]) -> dict[str, float]:
    """Return fixed inputs as numbers."""
    out: dict[str, float] = {}
    laws = [member.fit.law for member in ensemble.members.values()]
    may_be_zero = {name for law in laws for name in law.may_be_zero}
    for name, value in given.items():
        if name in CHOSEN:
            raise PlanError(
                f"given fixes {name}, which the plan chooses; limit it with {REMEDY}",
                Remedy("constraints", name, ("least", "most")),
            )
        if not any(name in law.inputs for law in laws) and not (name == "batch_tokens" and _reads(ensemble, "steps")):
            labels = dict.fromkeys(law.label for law in laws)
            raise PlanError(f"given fixes {name}, which no law reads: {', '.join(labels)}")
        try:
            out[name] = float(value)
        except (TypeError, ValueError):
            raise PlanError(f"given fixes {name} at {shown(value)}, expected a number") from None
        if not (math.isfinite(out[name]) and (out[name] > 0 or (out[name] == 0 and name in may_be_zero))):
            raise PlanError(f"given fixes {name} at {out[name]:g}, expected a positive number")
    return out


def _tuned(ensemble: Ensemble) -> dict[str, Given]:
    """Return the rule for the learning rate, where a law says which is best."""
    return {RATE: RateRule.of(ensemble)} if any(has_valley(m.fit.law) for m in ensemble.members.values()) else {}


def _that_plan(ensemble: Ensemble) -> Ensemble:
    """Leave out laws of whole schedules, which say nothing of a split, beside others that do."""
    left_out = [name for name, member in ensemble.members.items() if member.fit.law.features]
    if not left_out or len(left_out) == len(ensemble.members):
        return ensemble
    laws = list(dict.fromkeys(ensemble.members[name].fit.law.label for name in left_out))
    said = f"{listed(laws)} reads the history of a run, which a plan does not choose: left out of the plan"
    warn_caller(said)
    return ensemble.without(left_out)


def _refuse_laws(ensemble: Ensemble, given: Mapping[str, Given]) -> None:
    """Refuse laws that say nothing of the split of a budget, or that read more than the plan knows."""
    for law in (member.fit.law for member in ensemble.members.values()):
        if "params" not in law.inputs or not {"tokens", "steps", "flops"} & set(law.inputs) or law.features:
            raise PlanError(
                f"a plan needs a law in params and tokens (or steps); {law.label} takes {', '.join(law.inputs)}: fit "
                "another law, such as chinchilla"
            )
        missing = [name for name in law.inputs if name not in (*CHOSEN, "batch_tokens", *given)]
        if missing:
            words = " that are available" if missing[0] == "unique_tokens" else ""
            raise PlanError(
                f"law {law.label} reads {listed(missing)}: say what to plan with{words}, {REMEDY}",
                Remedy("given", missing[0]),
            )


def _reads(ensemble: Ensemble, name: str) -> bool:
    return any(name in member.fit.law.inputs for member in ensemble.members.values())


def _with_batch(ensemble: Ensemble, constraints: Constraints, given: Mapping[str, Given]) -> Limits:
    """Return limits with the range of batches filled in; a fixed batch becomes a constraint.

    Raises
    ------
    PlanError
        When the fixed batch is outside the constraints, or there is a limit on steps or time, and nothing says how
        large a batch may be.
    """
    batched = any(member.reads_batch for member in ensemble.members.values())
    changes: dict[str, Any] = {}
    if "batch_tokens" in given:
        (least, most), batch = constraints.batch_tokens, given["batch_tokens"]
        if isinstance(batch, float) and not least <= batch <= most:
            raise PlanError(
                f"given fixes batch_tokens at {batch:g}, but constraints leave {least:g} to {most:g}: "
                "change one of the two"
            )
        changes["batch_tokens"] = (given["batch_tokens"],) * 2  # a number: only rates follow from others
    elif batched and constraints.batch_tokens[0] <= 1:
        if not _reads(ensemble, "batch_tokens"):
            raise PlanError(
                f"{ensemble.label} reads steps but not the batch, so any batch is as good as another: fix it, {REMEDY}",
                Remedy("given", "batch_tokens"),
            )
        runs = [member.fit.runs for member in ensemble.members.values()]
        least = min(float(table.column("batch_tokens").min()) for table in runs if "batch_tokens" in table)
        changes["batch_tokens"] = (min(least, constraints.batch_tokens[1]), constraints.batch_tokens[1])
    if not batched and math.isinf(constraints.batch_tokens[1]) and constraints.most_steps[0] < math.inf:
        raise PlanError(
            f"{ensemble.label} does not read the batch, so {constraints.most_steps[1]} limits nothing: say how large a "
            f"batch may be, {REMEDY}",
            Remedy("constraints", "batch_tokens", ("least", "most")),
        )
    fixed = {name: value for name, value in given.items() if name != "batch_tokens"}
    return Limits(dataclasses.replace(constraints, **changes), fixed, batched)

"""Questions: what is asked of beliefs about a budget, checked, and what every answer is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayes_scaling.base.messages import listed, shown
from bayes_scaling.data.columns import Points
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import Cost, Spending, flops
from bayes_scaling.decide.objectives import Goal, Objective, expected_improvement
from bayes_scaling.decide.search import Score, climb
from bayes_scaling.decide.space import Space
from bayes_scaling.errors import PlanError
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.ensemble import BLOCK, Ensemble
from bayes_scaling.predict.predictive import Predictive

ROUGHLY = 512  # draws that a first pass looks at
CHOSEN = ("params", "tokens", "flops", "steps")  # inputs that follow from a place; the batch may be fixed

type Source = Fit | Comparison | Ensemble


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """Everything that a search over runs needs, checked.

    Attributes
    ----------
    beliefs, cost, objective, goal, constraints : as given, or their defaults
    spending : the cost with its draws
    given : inputs of the laws that are fixed, without the batch
    batched : whether a law reads the batch
    """

    beliefs: Ensemble
    cost: Cost
    spending: Spending
    objective: Objective
    goal: Goal
    constraints: Constraints
    given: Mapping[str, float]
    batched: bool

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        cost: Cost | None = None,
        objective: Objective | None = None,
        incumbent: float | None = None,
        target: float | None = None,
        constraints: Constraints | None = None,
        given: Mapping[str, float] | None = None,
        group: Mapping[str, str] | None = None,
        unconverged: bool = False,
        seed: int = 0,
    ) -> Question:
        """Check a question; arguments as of `allocate`."""
        for name, loss in (("incumbent", incumbent), ("target", target)):
            if loss is not None and not (math.isfinite(loss) and loss > 0):
                raise PlanError(f"{name} is {loss:g}, expected a positive loss")
        objective = expected_improvement() if objective is None else objective
        if objective.needs_target and target is None:
            raise PlanError(f"the objective is the {objective.label}, but no target was given: pass target=...")
        cost = flops() if cost is None else cost
        if isinstance(source, Ensemble) and group is not None:
            raise PlanError("beliefs are those of one group already: choose it in Ensemble.of(fit, group=...)")
        beliefs = (
            source if isinstance(source, Ensemble) else Ensemble.of(source, seed, group=group, unconverged=unconverged)
        )
        fixed = _checked_given(beliefs, given or {})
        constraints, batched = _with_batch(beliefs, Constraints() if constraints is None else constraints, fixed)
        goal = Goal(
            beliefs.best_loss if incumbent is None else float(incumbent), math.nan if target is None else float(target)
        )
        return cls(beliefs, cost, cost.spending(seed), objective, goal, constraints, fixed, batched)

    def space(self, budget: float) -> Space:
        """Return the runs that a budget can buy."""
        return Space(self.spending.surface(budget), self.constraints, self.given, self.batched)

    def space_of_flops(self, amount: float) -> Space:
        """Return the runs that the budget which buys so many FLOPs can buy."""
        return self.space(amount * self.spending.price)

    def summit(self, beliefs: Ensemble, space: Space) -> np.ndarray:
        """Return the best place of a space."""
        return climb(
            self.score(beliefs, space.runs, max(len(beliefs) // ROUGHLY, 1)),
            self.score(beliefs, space.runs),
            *space.box,
        )

    def score(self, beliefs: Ensemble, runs: Callable[[np.ndarray], Points], every: int = 1) -> Score:
        """Return what an optimiser climbs, of places, a block of them at a time.

        Parameters
        ----------
        runs : from places to runs
        every : only every so many draws are looked at
        """

        def scores(places: np.ndarray) -> np.ndarray:
            return np.concatenate(
                [self.objective.score(p.every(every), self.goal) for p in predictives(beliefs, runs, places)]
            )

        return scores


def predictives(beliefs: Ensemble, runs: Callable[[np.ndarray], Points], places: np.ndarray) -> list[Predictive]:
    """Return the distributions of new runs at places, a block at a time."""
    return [beliefs.new_run(runs(places[i : i + BLOCK])) for i in range(0, len(places), BLOCK)]


def _checked_given(beliefs: Ensemble, given: Mapping[str, float]) -> dict[str, float]:
    """Return fixed inputs as numbers, and refuse laws that need others."""
    out: dict[str, float] = {}
    laws = [member.fit.law for member in beliefs.members.values()]
    may_be_zero = {name for law in laws for name in law.may_be_zero}
    for name, value in given.items():
        if name in CHOSEN:
            raise PlanError(f"given fixes {name}, which the budget is spent on: use Constraints({name}=(least, most))")
        if not any(name in law.inputs for law in laws) and not (name == "batch_tokens" and _reads(beliefs, "steps")):
            raise PlanError(f"given fixes {name}, which no law reads: {', '.join(law.label for law in laws)}")
        try:
            out[name] = float(value)
        except (TypeError, ValueError):
            raise PlanError(f"given fixes {name} at {shown(value)}, expected a number") from None
        if not (math.isfinite(out[name]) and (out[name] > 0 or (out[name] == 0 and name in may_be_zero))):
            raise PlanError(f"given fixes {name} at {out[name]:g}, expected a positive number")
    for law in laws:
        if "params" not in law.inputs or not {"tokens", "steps", "flops"} & set(law.inputs) or law.features:
            raise PlanError(
                f"a plan needs a law in params and tokens (or steps); {law.label} takes {', '.join(law.inputs)}: fit "
                "another law, such as chinchilla"
            )
        missing = [name for name in law.inputs if name not in (*CHOSEN, "batch_tokens", *out)]
        if missing:
            words = " that are available" if missing[0] == "unique_tokens" else ""
            raise PlanError(
                f"law {law.label} reads {listed(missing)}: say what to plan with{words}, given={{{missing[0]!r}: ...}}"
            )
    return out


def _reads(beliefs: Ensemble, name: str) -> bool:
    return any(name in member.fit.law.inputs for member in beliefs.members.values())


def _with_batch(beliefs: Ensemble, constraints: Constraints, fixed: dict[str, float]) -> tuple[Constraints, bool]:
    """Return constraints with the range of batches filled in, and whether a law reads them; ``fixed`` loses its batch.

    Raises
    ------
    PlanError
        When there is a limit on steps or time and nothing says how large a batch may be.
    """
    batched = any(member.reads_batch for member in beliefs.members.values())
    changes: dict[str, Any] = {}
    if "batch_tokens" in fixed:
        batch = fixed.pop("batch_tokens")
        changes["batch_tokens"] = (batch, batch)
    elif batched and constraints.batch_tokens[0] <= 1:
        if not _reads(beliefs, "batch_tokens"):
            raise PlanError(
                f"{beliefs.label} reads steps, but not the batch, so that any batch is as good: fix it, "
                "given={'batch_tokens': ...}"
            )
        runs = [member.fit.runs for member in beliefs.members.values()]
        least = min(float(table.column("batch_tokens").min()) for table in runs if "batch_tokens" in table)
        changes["batch_tokens"] = (min(least, constraints.batch_tokens[1]), constraints.batch_tokens[1])
    if not batched and math.isinf(constraints.batch_tokens[1]) and constraints.most_steps[0] < math.inf:
        raise PlanError(
            f"{beliefs.label} does not read the batch, so that {constraints.most_steps[1]} limits nothing: say how "
            "large a batch may be, Constraints(batch_tokens=(least, most))"
        )
    return dataclasses.replace(constraints, **changes), batched

"""Ladders: small runs first, the big one then, and something kept in reserve."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import Points
from bayes_scaling.decide.allocate import allocate
from bayes_scaling.decide.costs import fraction
from bayes_scaling.decide.information import Joint, shifts_of
from bayes_scaling.decide.objectives import expected_loss, loss_given_draw, quantile
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.question import Question, Source
from bayes_scaling.decide.space import joined
from bayes_scaling.errors import PlanError

MOST_RUNGS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Ladder:
    """Smaller runs of growing cost, the final run, and a reserve, which add up to a budget.

    Attributes
    ----------
    rungs : one row per smaller run, the cheapest first: ``params``, ``tokens`` (``batch_tokens``), ``cost``,
        ``expected_loss``, and the 90 % interval of its loss, ``low`` and ``high``: a rung that falls outside says that
        the beliefs are wrong before the final run is paid
    final : the plan of the final run
    reserve : what is kept, in the unit of the budget
    spread_left : half-width of the final run's expected log loss once the rungs are known, over that of now, as if
        everything were jointly normal
    """

    rungs: pd.DataFrame
    final: Plan
    reserve: float
    spread_left: float

    @property
    def total(self) -> float:
        """Rungs, final run and reserve together: the budget, within rounding."""
        return float(self.rungs["cost"].sum()) + self.final.cost + self.reserve

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run and one for the reserve, with its ``role`` and share of the total."""
        low, high = self.final.interval(0.9)
        final = {
            "params": self.final.params,
            "tokens": self.final.tokens,
            **({} if self.final.batch_tokens is None else {"batch_tokens": self.final.batch_tokens}),
            "cost": self.final.cost,
            "expected_loss": self.final.choice.expected_loss,
            "low": low,
            "high": high,
        }
        rows = [{"role": f"rung {i + 1}", **row} for i, row in enumerate(self.rungs.to_dict(orient="records"))]
        frame = pd.DataFrame([*rows, {"role": "final", **final}, {"role": "reserve", "cost": self.reserve}])
        return frame.assign(share=frame["cost"] / self.total)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        return {
            "total": self.total,
            "unit": self.final.unit,
            "rungs": self.rungs.to_dict(orient="records"),
            "final": self.final.to_dict(),
            "reserve": self.reserve,
            "spread_left": self.spread_left,
        }

    def __repr__(self) -> str:
        runs = f"{len(self.rungs)} rungs, then {self.final.params:.3g} params"
        return f"<Ladder: {runs}, for {self.total:g} {self.final.unit}>"


def ladder(
    source: Source,
    budget: float,
    *,
    share: float = 0.05,
    rungs: int = 4,
    ratio: float = 3.0,
    reserve: float = 0.05,
    **asked: Any,
) -> Ladder:
    """Split a budget into a ladder of smaller runs, a final run, and a reserve.

    Each rung costs ``ratio`` times the one before and is the run of lowest expected loss at its cost.

    Parameters
    ----------
    source, budget : as of `allocate`
    share : of the budget, for all rungs together
    rungs : how many, 1 to 32
    ratio : of the cost of a rung to that of the one before, at least 1
    reserve : share of the budget that is not planned; 0 for none
    asked : everything else that `allocate` takes, for the final run; cost, constraints and fixed inputs hold for rungs
        too, but these are not served

    Raises
    ------
    PlanError
        When shares leave nothing for the final run, or no run fits a rung.
    """
    fraction("share", share)
    if reserve:
        fraction("reserve", reserve)
    if share + reserve >= 1:
        raise PlanError(f"a ladder of {share:.0%} and a reserve of {reserve:.0%} leave nothing for the final run")
    if not (isinstance(rungs, int) and 1 <= rungs <= MOST_RUNGS):
        raise PlanError(f"rungs is {rungs!r}, expected a whole number from 1 to {MOST_RUNGS}")
    if not (math.isfinite(ratio) and ratio >= 1):
        raise PlanError(f"ratio is {ratio:g}, expected how many times dearer each rung is, at least 1")
    question = Question.of(source, **{k: v for k, v in asked.items() if k in _QUESTION})
    whole = {k: v for k, v in asked.items() if k not in ("group", "unconverged")}
    final = allocate(question.beliefs, budget * (1 - share - reserve), **whole)
    training = dataclasses.replace(
        question,
        objective=expected_loss(),
        spending=dataclasses.replace(question.spending, serving=np.zeros_like(question.spending.serving)),
    )
    weight = ratio ** np.arange(rungs)
    runs = _best_runs(training, budget * share * weight / weight.sum())
    frame = pd.DataFrame({name: runs[name] for name in ("params", "tokens", "batch_tokens") if name in runs})
    frame["cost"] = [training.spending.cost(N, D) for N, D in zip(runs["params"], runs["tokens"], strict=True)]
    predictive = question.beliefs.new_run(runs)
    frame["expected_loss"] = loss_given_draw(predictive).mean(axis=0)
    frame["low"], frame["high"] = quantile(predictive, 0.05), quantile(predictive, 0.95)
    big = {"params": final.params, "tokens": final.tokens, **question.given}
    if final.batch_tokens is not None:
        big["batch_tokens"] = final.batch_tokens
    stakes = question.beliefs.log_mean(question.beliefs.points(**big))
    told, _ = shifts_of(Joint.of(question.beliefs.new_run(runs), stakes), range(rungs))
    left = 1 - float((told**2).sum()) / max(float(stakes.var()), 1e-300)
    return Ladder(frame, final, budget * reserve, math.sqrt(max(left, 0.0)))


_QUESTION = ("cost", "objective", "incumbent", "target", "constraints", "given", "group", "unconverged", "seed")


def _best_runs(question: Question, costs: np.ndarray) -> Points:
    """Return the run of lowest expected loss of each cost."""
    spaces = [question.space(float(cost)) for cost in costs]
    return joined([space.runs(question.summit(question.beliefs, space)[None]) for space in spaces])

"""Ladders: small runs first, then the big one, and something in reserve."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.numbers import amount, number
from bayes_scaling.data.columns import Points
from bayes_scaling.data.tuning import BATCH, RATE
from bayes_scaling.data.units import Shape
from bayes_scaling.decide.allocation import best_run
from bayes_scaling.decide.costs import fraction
from bayes_scaling.decide.information import Joint, shifts_of
from bayes_scaling.decide.objectives import expected_loss, loss_given_draw, quantile
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.space import joined
from bayes_scaling.errors import PlanError

MOST_RUNGS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Ladder:
    """Smaller runs of growing cost, the final run, and a reserve, which together spend a budget.

    Attributes
    ----------
    rungs : one row per smaller run, the cheapest first: ``params``, ``tokens`` (``batch_tokens``), ``cost``,
        ``expected_loss``, and the 90 % interval of its loss, ``low`` and ``high``: a rung outside its interval is a
        warning, before the final run is paid for, that the forecast is wrong
    final : the plan of the final run
    reserve : what is kept, in the unit of the budget
    uncertainty_left : standard deviation of the final run's expected log loss once the rungs are known, over that of
        now, in a normal approximation
    """

    rungs: pd.DataFrame
    final: Plan
    reserve: float
    uncertainty_left: float

    @property
    def total(self) -> float:
        """Rungs, final run and reserve together: the budget, but for rounding."""
        return float(self.rungs["cost"].sum()) + self.final.cost + self.reserve

    @property
    def verdict(self) -> str:
        """The ladder in two sentences; or why no final run is recommended."""
        if self.final.unranked:
            return self.final.verdict
        return (
            f"Train {len(self.rungs)} smaller runs for {amount(self.rungs['cost'].sum(), self.final.unit)}, then "
            f"{number(self.final.params, 3)} parameters for {amount(self.final.cost, self.final.unit)}, and "
            f"keep {amount(self.reserve, self.final.unit)}. The smaller runs leave {self.uncertainty_left:.0%} of "
            "today's uncertainty of the final run's expected loss."
        )

    def interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of the loss of the final run."""
        return self.final.interval(probability)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run and one for the reserve, with its ``role`` and its share of the total."""
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
            "uncertainty_left": self.uncertainty_left,
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        runs = f"{len(self.rungs)} rungs, then {self.final.params:.3g} params"
        return f"<Ladder: {runs}, for {self.total:g} {self.final.unit}>"


def best_ladder(
    problem: CheckedDecision,
    budget: float,
    share: float,
    rungs: int,
    ratio: float,
    reserve: float,
    candidates: Sequence[float | Shape] | Shape | None,
) -> Ladder:
    """Split a budget into smaller runs, a final run and a reserve; see `DecisionProblem.ladder`."""
    fraction("share", share)
    if reserve:
        fraction("reserve", reserve)
    if share + reserve >= 1:
        raise PlanError(f"a ladder of {share:.0%} and a reserve of {reserve:.0%} leave nothing for the final run")
    if not (isinstance(rungs, int) and 1 <= rungs <= MOST_RUNGS):
        raise PlanError(f"rungs is {rungs!r}, expected a whole number from 1 to {MOST_RUNGS}")
    if not (math.isfinite(ratio) and ratio >= 1):
        raise PlanError(f"ratio is {ratio:g}, expected the cost of a rung over that of the one before, at least 1")
    final = best_run(problem, budget * (1 - share - reserve), candidates)
    training = dataclasses.replace(problem, objective=expected_loss(), spending=problem.spending.without_serving)
    weight = float(ratio) ** np.arange(rungs)
    runs = _best_runs(training, budget * share * weight / weight.sum())
    frame = pd.DataFrame({name: runs[name] for name in ("params", "tokens", "batch_tokens") if name in runs})
    frame["cost"] = [training.spending.cost(N, D) for N, D in zip(runs["params"], runs["tokens"], strict=True)]
    predictive = problem.ensemble.new_run(runs)
    frame["expected_loss"] = loss_given_draw(predictive).mean(axis=0)
    frame["low"], frame["high"] = quantile(predictive, 0.05), quantile(predictive, 0.95)
    big: dict[str, Any] = {"params": final.params, "tokens": final.tokens, **problem.limits.given}
    for name in (BATCH, RATE):
        if getattr(final, name) is not None:
            big[name] = getattr(final, name)
    wanted = problem.ensemble.log_mean(problem.ensemble.points(**big))
    shifts, _ = shifts_of(Joint.of(problem.ensemble.new_run(runs), wanted), range(rungs))
    left = 1 - float((shifts**2).sum()) / max(float(wanted.var()), 1e-300)
    return Ladder(frame, final, budget * reserve, math.sqrt(max(left, 0.0)))


def _best_runs(problem: CheckedDecision, costs: np.ndarray) -> Points:
    """Return the run of lowest expected loss at each cost."""
    spaces = [problem.space(float(cost)) for cost in costs]
    return joined([space.runs(problem.best_place(problem.ensemble, space)[None]) for space in spaces])

"""Portfolios: several runs from one budget, of which the best one counts.

The runs share the law and the discrepancy of a draw; their own scatter is independent. Outcomes are drawn with the same
random numbers for every set of runs, so differences between sets are not noise.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.streams import PORTFOLIO, stream
from bayes_scaling.data.columns import Points
from bayes_scaling.decide.cautions import refuse_tiny
from bayes_scaling.decide.objectives import Goal, Objective, loss_given_draw, standard_error
from bayes_scaling.decide.optima import optima_of
from bayes_scaling.decide.plan import interval_of
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.ranking import unranked_sizes, why_unranked
from bayes_scaling.decide.space import joined
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import POINTS_AT_ONCE
from bayes_scaling.predict.predictive import Predictive, Residuals

MOST_RUNS = 8
SEARCHED = 1000  # draws that the search uses
LINE = 15  # sets that are compared along one coordinate
CYCLES, SHRINK = 6, 0.4  # over all coordinates, and the factor on the length of the lines after each
REACH = (2.0, 1.0, 0.5)  # of the first lines: log weight in the budget, log N, share of the batch range
LEAST_SHARE = 0.01  # of the budget, for any run
NARROW = 0.05  # scale of the normal around each drawn log loss, over their standard deviation: quantiles need a density


@dataclasses.dataclass(frozen=True, eq=False)
class Portfolio:
    """Several runs that spend one budget, valued by the best of them.

    Attributes
    ----------
    label, loss_unit, budget, unit, objective, goal : as of a `Plan`
    runs : one row per run, the most expensive first: ``params``, ``tokens`` (``batch_tokens``), ``share`` of the
        budget, ``cost``, ``expected_loss``, ``best`` (probability that it is the best of them)
    losses : (n_draw, n_part) drawn losses of the best run
    value, value_se : of the objective for the best run, and its Monte-Carlo standard error
    single : the objective for one run with the whole budget
    gain, gain_se : how much better several runs are than one, and the standard error of that difference
    unranked : why the objective ranks nothing, as of a `Plan`
    """

    label: str
    loss_unit: str
    budget: float
    unit: str
    objective: Objective
    goal: Goal
    runs: pd.DataFrame
    losses: np.ndarray
    value: float
    value_se: float
    single: float
    gain: float
    gain_se: float
    unranked: str = ""

    @property
    def verdict(self) -> str:
        """Whether to split the budget, in one sentence."""
        if self.unranked:
            return f"No recommendation: {self.unranked}."
        count, size = len(self.runs), f"{abs(self.gain):.2g} +- {self.gain_se:.1g}"
        what = f"{self.objective.label} by {size}"
        if self.gain > 2 * self.gain_se:
            return f"{count} runs are better than one with the whole budget: {what}."
        if self.gain < -2 * self.gain_se:
            return f"One run with the whole budget is better than {count}: {what}."
        return f"One run with the whole budget is as good as {count}: {what}."

    def interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of the loss of the best run."""
        return interval_of(self.losses, probability)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run."""
        return self.runs.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        return {
            "law": self.label,
            "loss_unit": self.loss_unit,
            "budget": self.budget,
            "unit": self.unit,
            "objective": self.objective.label,
            "incumbent": self.goal.incumbent,
            "runs": self.runs.to_dict(orient="records"),
            "value": self.value,
            "value_se": self.value_se,
            "single": self.single,
            "gain": self.gain,
            "gain_se": self.gain_se,
            "unranked": self.unranked or None,
            "interval_90": list(self.interval(0.9)),
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        return f"<Portfolio: {len(self.runs)} runs for {self.budget:g} {self.unit}, {self.label}>"


def best_portfolio(problem: CheckedDecision, budget: float, runs: int) -> Portfolio:
    """Split a budget over several runs, of which the best one counts; see `DecisionProblem.portfolio`."""
    if not (isinstance(runs, int) and 2 <= runs <= MOST_RUNS):
        raise PlanError(f"runs is {runs!r}, expected a whole number from 2 to {MOST_RUNS}; for one run use allocate")
    if np.any(problem.spending.serving > 0):
        raise PlanError("only one of several runs would be served: leave serving out of the cost")
    split = _Split(problem, float(budget), runs)
    whole = problem.space(budget)
    single = whole.runs(problem.best_place(problem.ensemble, whole)[None])
    refuse_tiny(problem, budget, single)
    best = max((split.improved(start) for start in split.starts()), key=lambda found: split.score([found])[0])
    best = best[np.argsort(-best[:, 0], kind="stable")]
    columns = split.runs_of([best])
    outcomes = split.outcomes(problem.ensemble, columns)[:, :, 0]
    alone = split.outcomes(problem.ensemble, {k: np.repeat(v, runs) for k, v in single.items()})[:, :, 0, 0]
    parts, parts_alone = (split.contributions(x) for x in (outcomes.min(axis=-1), alone))
    gained = problem.objective.sign * (parts - parts_alone)
    expected = loss_given_draw(problem.ensemble.new_run(columns)).mean(axis=0)
    rank = outcomes.argmin(axis=-1)
    values = np.array([parts.mean(), parts_alone.mean()])
    unranked = why_unranked(problem.objective, problem.goal, values, "one run and for several")
    if unranked:
        unranked = unranked_sizes(problem, whole, np.exp(optima_of(split.few, whole).log_params), single)
    frame = pd.DataFrame({name: columns[name] for name in ("params", "tokens", "batch_tokens") if name in columns})
    frame["share"] = _shares(best)
    frame["cost"] = [problem.spending.cost(N, D) for N, D in zip(frame["params"], frame["tokens"], strict=True)]
    frame["expected_loss"] = expected
    frame["best"] = [float((rank == i).mean()) for i in range(runs)]
    return Portfolio(
        label=problem.ensemble.label,
        loss_unit=problem.ensemble.loss_unit,
        budget=float(budget),
        unit=problem.spending.unit,
        objective=problem.objective,
        goal=problem.goal,
        runs=frame,
        losses=np.exp(outcomes.min(axis=-1)),
        value=float(parts.mean()),
        value_se=float(standard_error(parts)),
        single=float(parts_alone.mean()),
        gain=float(gained.mean()),
        gain_se=float(standard_error(gained)),
        unranked=unranked,
    )


def _shares(split: np.ndarray) -> np.ndarray:
    """Return each run's share of the budget from its log weight, never below a least share."""
    weight = np.exp(split[:, 0] - split[:, 0].max())
    share = weight / weight.sum()
    return np.asarray(LEAST_SHARE + (1 - LEAST_SHARE * len(share)) * share)


@dataclasses.dataclass(frozen=True, eq=False)
class _Split:
    """Sets of k runs that spend a budget; rows are (log weight in the budget, log N, batch from 0 to 1)."""

    problem: CheckedDecision
    budget: float
    count: int

    @functools.cached_property
    def few(self) -> Ensemble:
        """The draws that the search uses."""
        draws = len(self.problem.ensemble)
        return self.problem.ensemble.take(np.arange(0, draws, max(draws // SEARCHED, 1)))

    def starts(self) -> list[np.ndarray]:
        """Return two starts, equal shares and one dominant run, with sizes over the range of the draws' own optima."""
        space = self.problem.space(self.budget / self.count)
        place = self.problem.best_place(self.few, space)
        sizes = np.quantile(optima_of(self.few, space).log_params, (np.arange(self.count) + 0.5) / self.count)
        log_params = place[0] + sizes - sizes.mean()
        batch = np.full(self.count, place[1] if space.batched else 0.0)
        out = []
        for lead in (0.0, math.log(5.0)):
            weight = np.where(np.arange(self.count) == 0, lead, 0.0)
            share = _shares(np.stack([weight, log_params, batch], axis=1))
            out.append(np.stack([weight, log_params + 0.5 * np.log(share * self.count), batch], axis=1))
        return out

    def runs_of(self, sets: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the runs of several sets, one set after the other."""
        columns: list[Points] = []
        for split in sets:
            for share, (_, log_params, batch) in zip(_shares(split), split, strict=True):
                space = self.problem.space(self.budget * float(share))
                place = np.clip(np.array([log_params, batch])[: len(space.box[0])], *space.box)
                columns.append(space.runs(place[None]))
        return joined(columns)

    def outcomes(self, ensemble: Ensemble, columns: Points) -> np.ndarray:
        """Draw log losses, ``(n_draw, n_part, n_set, k)``, with the same random numbers for every set."""
        count = len(columns["params"])
        blocks = [
            ensemble.new_run({name: values[i : i + POINTS_AT_ONCE] for name, values in columns.items()})
            for i in range(0, count, POINTS_AT_ONCE)
        ]
        width = np.concatenate([block.width for block in blocks], axis=2)
        centre = np.broadcast_to(np.concatenate([block.centre for block in blocks], axis=2), width.shape)
        rng = stream(self.problem.seed, PORTFOLIO)
        draws, parts, _ = width.shape
        shape = (draws, parts, -1, self.count)
        noise = rng.standard_normal((draws, parts, 1, self.count))
        # The parts of a draw represent the scatter of runs; each run falls into one of them independently.
        order = rng.permuted(np.broadcast_to(np.arange(parts)[:, None], (draws, self.count, parts, 1)), axis=2)
        order = order.transpose(0, 2, 3, 1)
        centre, width = (np.take_along_axis(part.reshape(shape), order, axis=1) for part in (centre, width))
        return np.asarray(centre + width * noise)

    def contributions(self, log_losses: np.ndarray) -> np.ndarray:
        """Return what each draw contributes to the objective, ``(n_draw,)``, from log losses ``(n_draw, n_part)``."""
        parts = self.problem.objective.contributions(_as_narrow_normals(log_losses.reshape(-1, 1)), self.problem.goal)
        return np.asarray(parts.reshape(log_losses.shape).mean(axis=1))

    def score(self, sets: Sequence[np.ndarray]) -> np.ndarray:
        """Return what the search maximises, for each set."""
        best = self.outcomes(self.few, self.runs_of(sets)).min(axis=-1)
        return self.problem.objective.score(_as_narrow_normals(best.reshape(-1, len(sets))), self.problem.goal)

    def improved(self, start: np.ndarray) -> np.ndarray:
        """Improve a set coordinate by coordinate, along shorter and shorter lines."""
        best, axes = (
            start,
            [(run, axis) for run in range(self.count) for axis in range(3 if self.problem.limits.batched else 2)],
        )
        for cycle in range(CYCLES):
            for run, axis in axes:
                if axis == 0 and run == 0:
                    continue  # only ratios of weights matter
                reach = REACH[axis] * SHRINK**cycle
                line = [self._moved(best, run, axis, float(x)) for x in np.linspace(-reach, reach, LINE)]
                best = line[int(np.argmax(self.score(line)))]
        return best

    def _moved(self, split: np.ndarray, run: int, axis: int, by: float) -> np.ndarray:
        """Return a set with one coordinate moved; where shares change, sizes change with their square root."""
        out = split.copy()
        out[run, axis] += by
        if axis == 0:
            out[:, 1] += 0.5 * np.log(_shares(out) / _shares(split))
        out[:, 2] = np.clip(out[:, 2], 0.0, 1.0)
        return out


def _as_narrow_normals(log_losses: np.ndarray) -> Predictive:
    """Return drawn log losses, ``(n, n_set)``, as narrow normals, which any objective can read."""
    width = np.maximum(NARROW * log_losses.std(axis=0), 1e-12)
    return Predictive.of(log_losses, np.broadcast_to(width, log_losses.shape), Residuals.normal(len(log_losses)))

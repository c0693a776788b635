"""Regret: what a run loses against the best run of the same cost, draw by draw, and which runs lose almost nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bayes_scaling.data.columns import Points
from bayes_scaling.data.tuning import RATE
from bayes_scaling.data.units import Shape
from bayes_scaling.decide.objectives import loss_given_draw
from bayes_scaling.decide.optima import LESS, Optima, optima_of, optima_with_less
from bayes_scaling.decide.plan import Choice
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.search import optimise
from bayes_scaling.decide.space import Space
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import POINTS_AT_ONCE
from bayes_scaling.predict.predictive import Predictive

SAVED = np.concatenate([[0.0], np.geomspace(1e-4, LESS, POINTS_AT_ONCE - 1)])  # budgets exp(-this) for wasted FLOPs


@dataclasses.dataclass(frozen=True, eq=False)
class RegretOfRuns:
    """Regret of runs of one cost, by every draw.

    Attributes
    ----------
    problem : what is to be decided
    space : all runs of that cost
    optima : every draw's own best run among them
    """

    problem: CheckedDecision
    space: Space
    optima: Optima

    @classmethod
    def of(cls, problem: CheckedDecision, space: Space) -> RegretOfRuns:
        """Find every draw's own best run."""
        return cls(problem, space, optima_of(problem.ensemble, space))

    def choices(
        self,
        runs: Points,
        notes: Sequence[str],
        sizes: np.ndarray | None = None,
        shapes: Sequence[Shape | None] | None = None,
    ) -> tuple[list[Choice], Predictive]:
        """Return how good runs are, and their predictive.

        Parameters
        ----------
        runs : that spend the budget
        notes : where each comes from
        sizes : (n_run,) half the forward FLOPs per token of each; N by default
        shapes : of each
        """
        problem, floor = self.problem, self.optima.log_loss[:, None]
        predictive = problem.ensemble.new_run(runs)
        value, error = problem.objective.value(predictive, problem.goal)
        loss = loss_given_draw(predictive).mean(axis=0)
        over = np.maximum(np.expm1(problem.ensemble.log_law(runs) - floor), 0.0)
        regret = over * np.exp(floor + problem.ensemble.discrepancy(runs))
        smaller = optima_with_less(problem.ensemble, self.space, self.optima, SAVED)
        wasted = _wasted(over, np.expm1(smaller - floor), SAVED)
        params, tokens = runs["params"], runs["tokens"]
        sizes = params if sizes is None else sizes
        repeats = "unique_tokens" in self.space.given
        choices = [
            Choice(
                params=float(params[i]),
                tokens=float(tokens[i]),
                cost=problem.spending.cost(float(sizes[i]), float(tokens[i])),
                value=float(value[i]),
                value_se=float(error[i]),
                expected_loss=float(loss[i]),
                regret=regret[:, i],
                wasted=wasted[:, i],
                allowed=self.space.constraints.allows(float(params[i]), float(tokens[i])),
                note=note,
                batch_tokens=float(runs["batch_tokens"][i]) if self.space.batched else None,
                peak_learning_rate=float(runs[RATE][i]) if RATE in runs else None,
                epochs=float(tokens[i] / runs["unique_tokens"][i]) if repeats else None,
                shape=None if shapes is None else shapes[i],
            )
            for i, note in enumerate(notes)
        ]
        return choices, predictive


def _wasted(over: np.ndarray, gaps: np.ndarray, less: np.ndarray) -> np.ndarray:
    """Return the share of FLOPs that the best split would save at the same loss, ``(n_draw, n_point)``.

    Parameters
    ----------
    over : (n_draw, n_point) loss over that of the best split, less 1
    gaps : (n_draw, n_less) the same for the best splits of budgets smaller by exp(-less); the first is the whole budget
    less : (n_less,)
    """
    gaps = np.maximum.accumulate(np.maximum(gaps[:, 1:], 1e-300), axis=1)
    log_gap, log_less = np.log(gaps), np.log(less[1:])
    wanted = np.log(np.maximum(over, 1e-300))
    out = np.empty(over.shape)
    for i in range(over.shape[1]):
        above = (log_gap < wanted[:, [i]]).sum(axis=1)
        upper = np.clip(above, 1, len(log_less) - 1)
        rows = np.arange(len(over))
        start, end = log_gap[rows, upper - 1], log_gap[rows, upper]
        slope = (log_less[upper] - log_less[upper - 1]) / np.maximum(end - start, 1e-12)
        place = log_less[upper - 1] + slope * (wanted[:, i] - start)
        # Below the first gap the saving is proportional to the gap; beyond the last the table ends.
        place = np.where(above == 0, log_less[0] + wanted[:, i] - log_gap[:, 0], np.minimum(place, log_less[-1]))
        out[:, i] = -np.expm1(-np.exp(place))
    return out


def flat_region(ensemble: Ensemble, space: Space, share: float) -> tuple[float, tuple[float, float]]:
    """Return the lowest expected mean loss, and the range of N around it whose loss is within a share of it.

    The batch is that of the lowest loss, or the nearest that is allowed.
    """

    def mean_loss(runs: Points) -> np.ndarray:
        return np.asarray(np.exp(ensemble.log_mean(runs)).mean(axis=0))

    def height(places: np.ndarray) -> np.ndarray:
        blocks = [places[i : i + POINTS_AT_ONCE] for i in range(0, len(places), POINTS_AT_ONCE)]
        return np.concatenate([-mean_loss(space.runs(block)) for block in blocks])

    place = optimise(height, height, *space.box)[None]
    best = space.runs(place)
    lowest, batch = float(mean_loss(best)[0]), best.get("batch_tokens")
    ends = []
    for edge in space.within:
        inside, outside = float(place[0, 0]), float(np.log(edge))
        for _ in range(3):
            grid = np.linspace(inside, outside, POINTS_AT_ONCE)
            params = np.clip(np.exp(grid), *space.within)
            runs = space.runs_of(params, None if batch is None else np.repeat(batch, POINTS_AT_ONCE))
            good = mean_loss(runs) <= lowest * (1 + share)
            good[0] = True
            if good.all():
                inside = outside
                break
            last = int(np.argmin(good)) - 1
            inside, outside = grid[last], grid[last + 1]
        ends.append(float(np.clip(np.exp(inside), *space.within)))
    return lowest, (ends[0], ends[1])

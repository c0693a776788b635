"""Plans: the result of an allocation."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import computed_percent, equal_tails, shown
from bayes_scaling.base.numbers import amount, number, span
from bayes_scaling.data.units import Shape
from bayes_scaling.decide.objectives import Goal, Objective, cvar_given_draw, probability_below, quantile
from bayes_scaling.decide.provenance import LEVELS, contained
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.predictive import Predictive

ROUNDING = 1e-3  # share of the budget that a cost may be off for sizes being whole


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """One run, and how good it is.

    Attributes
    ----------
    params, tokens : N and D
    batch_tokens : B, where a law reads it
    peak_learning_rate : the best one for this size and batch on average over draws, where a law reads it
    epochs : D over the distinct tokens that are available, where the law reads these
    shape : layers, width and so on, where shapes were given
    cost : in the unit of the budget, at the quantile that has to meet it
    value, value_se : of the objective, and its Monte-Carlo standard error
    expected_loss : of one new run
    regret : (n_draw,) how much more loss the mean curve has here than at the draw's own optimum of the same cost, by
        the draw's own trade-off between N and D
    wasted : (n_draw,) share of the FLOPs that the draw's own optimum would save at the same loss
    allowed : whether it keeps to the constraints
    note : where it comes from
    """

    params: float
    tokens: float
    cost: float
    value: float
    value_se: float
    expected_loss: float
    regret: np.ndarray
    wasted: np.ndarray
    allowed: bool
    note: str
    batch_tokens: float | None = None
    peak_learning_rate: float | None = None
    epochs: float | None = None
    shape: Shape | None = None

    @property
    def steps(self) -> float | None:
        """S = D / B, where a law reads the batch."""
        return None if self.batch_tokens is None else self.tokens / self.batch_tokens

    @property
    def expected_regret(self) -> float:
        """Mean of the regret over draws."""
        return float(self.regret.mean())

    @property
    def median_wasted(self) -> float:
        """Median over draws of the share of FLOPs wasted."""
        return float(np.median(self.wasted))

    @validated
    def interval(self, probability: float = 0.9, of: str = "regret") -> tuple[float, float]:
        """Return the equal-tailed interval over draws of the ``regret``, or of the share of FLOPs ``wasted``."""
        return interval_of(_draws_named({"regret": self.regret, "wasted": self.wasted}, of), probability)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "tokens_per_param": self.tokens / self.params,
            "batch_tokens": self.batch_tokens,
            "steps": self.steps,
            "peak_learning_rate": self.peak_learning_rate,
            "epochs": self.epochs,
            "shape": None if self.shape is None else shape_words(self.shape),
            "cost": self.cost,
            "value": self.value,
            "value_se": self.value_se,
            "expected_loss": self.expected_loss,
            "expected_regret": self.expected_regret,
            "regret_90": list(self.interval(0.9)),
            "wasted_flops": self.median_wasted,
            "wasted_flops_90": list(self.interval(0.9, "wasted")),
            "allowed": self.allowed,
            "note": self.note,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A recommended run, how it may turn out, and what else the budget could have bought.

    Attributes
    ----------
    label : laws that it rests on
    loss_unit : of every loss
    budget, unit, cost_label : what is spent, and how it is counted
    objective : what was optimised
    goal : incumbent, and target where there is one
    given : inputs of the laws that were fixed; ``unique_tokens`` are those that are available
    group : the group of a pooled fit that it is for
    choice : the recommended run
    predictive : distribution of the loss of one new run there
    costs : (n_cost,) draws of its cost
    optimum_params, optimum_tokens : (n_draw,) every draw's own best split of the budget, without constraints on N and
        D: as sure as the laws are of how they trade N for D, if one of them is right
    optimum_batch : (n_draw,) its batch, within constraints; NaN for draws of laws that do not read it, None where none
        does
    best_rate : (n_draw,) best peak learning rate of the recommended run at its batch, as `optimal_hyperparameters` has
        it: how far the best rate of one size lies from the law's is in it; None where no law has a best one
    best_batch : (n_draw,) best batch of the recommended N and D, likewise
    unsnapped : the best run if any size existed; the same as ``choice`` without candidates
    flat : range of N whose expected loss is within ``flat_within`` of the lowest
    flat_within : in the unit of the loss
    alternatives : by name, published rules, and runs to compare with
    picks : by law of a comparison, the run that it would choose by itself, evaluated by all laws
    weights : of those laws
    rests_on : laws, data and versions, as of `provenance`
    cautions : in sentences, where the plan asks a law for what no fitted run shows
    unranked : why the objective ranks nothing, so that no run is recommended; empty where it does
    """

    label: str
    loss_unit: str
    budget: float
    unit: str
    cost_label: str
    objective: Objective
    goal: Goal
    given: Mapping[str, float]
    group: Mapping[str, str]
    choice: Choice
    predictive: Predictive
    costs: np.ndarray
    optimum_params: np.ndarray
    optimum_tokens: np.ndarray
    optimum_batch: np.ndarray | None
    best_rate: np.ndarray | None
    best_batch: np.ndarray | None
    unsnapped: Choice
    flat: tuple[float, float]
    flat_within: float
    alternatives: Mapping[str, Choice]
    picks: Mapping[str, Choice]
    weights: Mapping[str, float]
    rests_on: Mapping[str, Any]
    cautions: tuple[str, ...]
    unranked: str = ""

    EXPECTED: ClassVar[str] = "a Plan, as from allocate(fit, budget)"

    @property
    def params(self) -> float:
        """N of the recommended run."""
        return self.choice.params

    @property
    def tokens(self) -> float:
        """D of the recommended run."""
        return self.choice.tokens

    @property
    def batch_tokens(self) -> float | None:
        """B of the recommended run, tokens per step; None where no law reads the batch."""
        return self.choice.batch_tokens

    @property
    def steps(self) -> float | None:
        """S of the recommended run; None where no law reads the batch."""
        return self.choice.steps

    @property
    def peak_learning_rate(self) -> float | None:
        """Learning rate of the recommended run; None where no law reads it."""
        return self.choice.peak_learning_rate

    @property
    def epochs(self) -> float | None:
        """How often the plan repeats the available tokens; None where no law reads them."""
        return self.choice.epochs

    @property
    def shape(self) -> Shape | None:
        """Layers and width of the recommended run, where shapes were given."""
        return self.choice.shape

    @property
    def cost(self) -> float:
        """Cost of the recommended run; equal to the budget, but for rounding."""
        return self.choice.cost

    @functools.cached_property
    def over_budget(self) -> float:
        """Share of the draws of its cost that are above the budget: half of them, where the median has to meet it."""
        return float(np.mean(self.costs > self.budget * (1 + ROUNDING)))

    @property
    def value(self) -> float:
        """The objective there."""
        return self.choice.value

    @property
    def value_se(self) -> float:
        """Monte-Carlo standard error of the objective."""
        return self.choice.value_se

    @property
    def regret(self) -> np.ndarray:
        """Regret of every draw, ``(n_draw,)``, in the unit of the loss."""
        return self.choice.regret

    @property
    def snapping_regret(self) -> float:
        """What the objective loses because only some sizes exist; at least 0."""
        return max(self.objective.sign * (self.unsnapped.value - self.choice.value), 0.0)

    @functools.cached_property
    def probability_beats_incumbent(self) -> float:
        """P(loss of one new run <= incumbent)."""
        return float(probability_below(self.predictive, self.goal.incumbent).mean())

    @functools.cached_property
    def probability_reaches_target(self) -> float:
        """P(loss of one new run <= target); NaN without a target."""
        if math.isnan(self.goal.target):
            return math.nan
        return float(probability_below(self.predictive, self.goal.target).mean())

    @property
    def verdict(self) -> str:
        """The recommended run, its loss and whether its cost may exceed the budget; or why no run is recommended."""
        if self.unranked:
            return f"No recommendation: {self.unranked}."
        low, high = self.interval(0.9)
        target = ""
        if not math.isnan(self.goal.target):
            target = f" and reaches the target with probability {computed_percent(self.probability_reaches_target)}"
        tuned = ""
        if self.batch_tokens is not None and self.peak_learning_rate is not None:
            batch, rate = number(self.batch_tokens, 3), f"{self.peak_learning_rate:.3g}"
            tuned = f" in batches of {batch} with a peak learning rate of {rate}"
        if tuned and self.best_rate is not None:
            least, most = self.interval(0.9, "best_rate")
            tuned += f" (best: {least:.3g} to {most:.3g} with probability 90%)"
        dearer = ""
        if self.over_budget:
            dearer = (
                f" In {computed_percent(self.over_budget)} of draws it costs more than the budget; plan at a higher "
                "quantile of the cost to make that rarer."
            )
        size = f"{number(self.params, 3)} parameters on {number(self.tokens, 3)} tokens"
        return (
            f"Train {size}{tuned} for {amount(self.cost, self.unit)}. The loss will be {span(low, high)} "
            f"{self.loss_unit} with probability 90%; it beats the incumbent with probability "
            f"{computed_percent(self.probability_beats_incumbent)}{target}.{dearer}"
        )

    @validated
    def interval(self, probability: float = 0.9, of: str = "loss") -> tuple[float, float]:
        """Return an equal-tailed interval.

        Parameters
        ----------
        probability : that it holds; at least this for the cost, which may have few possible values
        of : ``loss`` of one new run, ``cost`` of the run, or the ``optimum_params``, ``optimum_tokens``,
            ``optimum_batch_tokens`` or ``optimum_steps`` over draws, the last two over those of laws that read the
            batch; where one has a best learning rate, the ``best_rate`` of the recommended run, or the
            ``best_batch_tokens`` of its size
        """
        if of == "loss":
            low, high = (float(quantile(self.predictive, tail)[0]) for tail in equal_tails(probability, PlanError))
            return low, high
        if of == "cost":
            return whole_interval_of(self.costs, probability)
        draws = {"optimum_params": self.optimum_params, "optimum_tokens": self.optimum_tokens}
        if self.optimum_batch is not None:
            reads = ~np.isnan(self.optimum_batch)
            draws["optimum_batch_tokens"] = self.optimum_batch[reads]
            draws["optimum_steps"] = self.optimum_tokens[reads] / self.optimum_batch[reads]
        if self.best_rate is not None and self.best_batch is not None:
            draws |= {"best_rate": self.best_rate, "best_batch_tokens": self.best_batch}
        return interval_of(_draws_named(draws, of, "loss", "cost"), probability)

    @validated
    def cvar(self, worst: float = 0.05) -> float:
        """Return the mean loss of the worst share of outcomes of one new run."""
        return float(cvar_given_draw(self.predictive, worst).mean())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        return {
            "law": self.label,
            "loss_unit": self.loss_unit,
            "budget": self.budget,
            "unit": self.unit,
            "cost_counts": self.cost_label,
            "cost_90": list(self.interval(0.9, "cost")),
            "objective": self.objective.label,
            "direction": self.objective.direction,
            "incumbent": self.goal.incumbent,
            "target": None if math.isnan(self.goal.target) else self.goal.target,
            "given": dict(self.given),
            "group": dict(self.group),
            "verdict": self.verdict,
            "contains": self.contains,
            "plan": self.choice.to_dict(),
            "interval_50": list(self.interval(0.5)),
            "interval_90": list(self.interval(0.9)),
            "loss_quantiles": {f"{p:g}": float(quantile(self.predictive, p)[0]) for p in LEVELS},
            "probability_beats_incumbent": self.probability_beats_incumbent,
            "probability_reaches_target": None if math.isnan(self.goal.target) else self.probability_reaches_target,
            "cvar_5": self.cvar(0.05),
            "optimum_params_90": list(self.interval(0.9, "optimum_params")),
            "optimum_tokens_90": list(self.interval(0.9, "optimum_tokens")),
            **self._batched,
            "params_before_snapping": self.unsnapped.params,
            "snapping_regret": self.snapping_regret,
            "cautions": list(self.cautions),
            "unranked": self.unranked or None,
            "flat_params": list(self.flat),
            "flat_within": self.flat_within,
            "alternatives": {name: choice.to_dict() for name, choice in self.alternatives.items()},
            "picks": {name: {"weight": self.weights[name], **pick.to_dict()} for name, pick in self.picks.items()},
            "rests_on": dict(self.rests_on),
        }

    @property
    def contains(self) -> str:
        """What the intervals of the loss contain."""
        return contained(self.rests_on)

    @property
    def _batched(self) -> dict[str, list[float]]:
        """Intervals of what laws say of batch and learning rate, where one reads them."""
        said: tuple[str, ...]
        said = () if self.optimum_batch is None else ("optimum_batch_tokens",)
        said += () if self.best_rate is None else ("best_rate", "best_batch_tokens")
        return {f"{of}_90": list(self.interval(0.9, of)) for of in said}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: the plan, each law's own pick, published rules."""
        rows = [{"choice": "plan", **self.choice.to_dict()}]
        rows += [{"choice": f"{name} by itself", **pick.to_dict()} for name, pick in self.picks.items()]
        rows += [{"choice": name, **rule.to_dict()} for name, rule in self.alternatives.items()]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        batch = "" if self.batch_tokens is None else f" in batches of {self.batch_tokens:.3g}"
        run = f"{self.params:.3g} params, {self.tokens:.3g} tokens{batch}"
        return f"<Plan: {run} for {self.budget:g} {self.unit}, {self.label}>"


def _draws_named(known: Mapping[str, np.ndarray], of: str, *others: str) -> np.ndarray:
    """Return one of several quantities by name."""
    if of not in known:
        raise PlanError(f"of is {shown(of)}, expected one of {', '.join((*others, *known))}")
    return known[of]


def interval_of(draws: np.ndarray, probability: float) -> tuple[float, float]:
    """Return the equal-tailed interval of draws."""
    low, high = np.quantile(draws, equal_tails(probability, PlanError))
    return float(low), float(high)


def whole_interval_of(draws: np.ndarray, probability: float) -> tuple[float, float]:
    """Return the interval between two of the draws beyond which lies at most half of what is left on either side."""
    low, high = np.quantile(draws, equal_tails(probability, PlanError), method="inverted_cdf")
    return float(low), float(high)


def shape_words(shape: Shape) -> str:
    """Name a shape on one line."""
    parts = (shape.layers, shape.width, shape.attention_width, shape.feedforward_width)
    layers, width, attention, feedforward = (float(np.asarray(part, float)) for part in parts)
    words = f"{layers:g} layers, width {width:g}"
    words += "" if attention == width else f", attention {attention:g}"
    return words if feedforward == 4 * width else f"{words}, feed-forward {feedforward:g}"

"""What the terminal prints about plans: choices side by side, what they lose, and how the plan may turn out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling._show import number, table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.decide.ladder import Ladder
    from bayes_scaling.decide.plan import Choice, Plan
    from bayes_scaling.decide.portfolio import Portfolio

LEGEND = (
    "regret: mean loss over that of the best split of the same cost, mean and 90% interval over draws; wasted: FLOPs "
    "that the best split would save at the same loss, median and 90% interval; (*) breaks a constraint"
)


def plan_table(plan: Plan) -> RenderableType:
    """Return a plan beside published rules, and in words how it may turn out."""
    choices = {"plan": plan.choice}
    choices |= {f"{name} alone ({plan.weights[name]:.0%})": pick for name, pick in plan.picks.items()}
    choices |= dict(plan.alternatives)
    batched = plan.batch_tokens is not None
    headers = ["choice", "params", "tokens", "tokens / param"]
    headers += ["batch [tokens]", "steps"] if batched else []
    headers += ["epochs"] if plan.epochs is not None else []
    headers += [f"cost [{plan.unit}]", "expected loss", f"regret [{plan.loss_unit}]", "wasted FLOPs"]
    rows = [[_named(name, choice), *_row(choice)] for name, choice in choices.items()]
    title = (
        f"{number(plan.budget)} {plan.unit} by {plan.label}: {plan.objective.direction} {plan.objective.label} "
        f"({plan.cost_label})"
    )
    sentences = [Text(line) for line in (*_outcome(plan), *_freedom(plan))]
    notes = [Text(f"{name}: {choice.note}", style="dim") for name, choice in plan.alternatives.items()]
    return Group(table(headers, rows, title=title), *sentences, Text(LEGEND, style="dim"), *notes)


def _named(name: str, choice: Choice) -> str:
    return name if choice.allowed else f"{name} (*)"


def _row(choice: Choice) -> list[Any]:
    low, high = choice.regret_interval(0.9)
    less, more = choice.wasted_interval(0.9)
    middle = sorted(choice.wasted)[len(choice.wasted) // 2]
    return [
        choice.params,
        choice.tokens,
        choice.tokens / choice.params,
        *([] if choice.batch_tokens is None else [choice.batch_tokens, choice.steps]),
        *([] if choice.epochs is None else [choice.epochs]),
        choice.cost,
        choice.expected_loss,
        f"{choice.expected_regret:.4f} ({low:.4f} - {high:.4f})",
        f"{middle:.1%} ({less:.1%} - {more:.1%})",
    ]


def _outcome(plan: Plan) -> list[str]:
    """Say how the run may turn out."""
    low, high = plan.interval(0.9)
    lines = [
        f"{plan.objective.label}: {number(plan.value)} +- {plan.value_se:.1g} (Monte-Carlo error); incumbent "
        f"{number(plan.goal.incumbent)}, beaten with probability {plan.probability_beats_incumbent:.1%}",
        f"loss of one new run: 90% {low:.4g} - {high:.4g} {plan.loss_unit} (parameters, the law's own error, run "
        f"noise), mean of the worst 5% {plan.cvar(0.05):.4g}",
    ]
    if not math.isnan(plan.goal.target):
        lines.append(f"P(loss <= {plan.goal.target:g}) = {plan.probability_reaches_target:.1%}")
    cheap, dear = plan.cost_interval(0.9)
    if dear > cheap * (1 + 1e-9):
        lines.append(f"cost: 90% {number(cheap)} - {number(dear)} {plan.unit}")
    return lines


def _freedom(plan: Plan) -> list[str]:
    """Say how sure the choice is, and what else would do."""
    wanted = ["params", "tokens", *(["batch_tokens"] if plan.batch_tokens is not None else [])]
    intervals = [(name, *plan.optimum_interval(name, 0.9)) for name in wanted]
    words = ", ".join(f"{name} {number(low)} - {number(high)}" for name, low, high in intervals)
    lines = [
        f"best split of the budget over draws, 90%: {words}",
        f"sizes from {number(plan.flat[0])} to {number(plan.flat[1])} params lose no more than {plan.flat_within:.2g} "
        f"{plan.loss_unit} on average",
    ]
    if plan.choice.note != "recommended":
        lines.append(plan.choice.note)
    if plan.snapping_regret > 0:
        lines.append(
            f"any size: {number(plan.unsnapped.params)} params; existing sizes lose {plan.snapping_regret:.2g} of the "
            "objective"
        )
    return lines


def curve_table(curve: pd.DataFrame, unit: str) -> RenderableType:
    """Return what each of several budgets buys."""
    names = [str(name) for name in curve]
    rows = [[float(value) for value in row] for row in curve.to_numpy()]
    headers = [f"{name} [{unit}]" if name == "budget" else name.replace("_", " ") for name in names]
    return table(headers, rows, title="What each budget buys, and what one more unit is worth")


def odds_table(smallest: pd.DataFrame, target: float, unit: str) -> RenderableType:
    """Return the smallest budgets that reach a loss with some probability."""
    rows = [
        [f"{row['probability']:.0%}", float(row["budget"]), float(row["params"]), float(row["tokens"]), str(row["why"])]
        for row in smallest.to_dict(orient="records")
    ]
    headers = ("probability", f"budget [{unit}]", "params", "tokens", "")
    return table(headers, rows, title=f"Smallest budget for a loss of {target:g}")


def portfolio_table(portfolio: Portfolio) -> RenderableType:
    """Return several runs that share a budget."""
    headers = [str(name).replace("_", " ") for name in portfolio.runs]
    rows = [[float(value) for value in row] for row in portfolio.runs.to_numpy()]
    low, high = portfolio.interval(0.9)
    words = (
        f"best of them: {portfolio.objective.label} {number(portfolio.value)} +- {portfolio.value_se:.1g}, 90% "
        f"{low:.4g} - {high:.4g} {portfolio.loss_unit}; best: probability to be it"
    )
    title = f"{len(rows)} runs for {number(portfolio.budget)} {portfolio.unit} by {portfolio.label}"
    return Group(table(headers, rows, title=title), Text(portfolio.verdict, style="bold"), Text(words))


def ladder_table(ladder: Ladder) -> RenderableType:
    """Return rungs, final run and reserve."""
    frame = ladder.to_frame()
    numbers = [str(name) for name in frame if name not in ("role", "share")]
    rows = [
        [row["role"], f"{row['share']:.1%}", *("" if math.isnan(row[name]) else number(row[name]) for name in numbers)]
        for row in frame.to_dict(orient="records")
    ]
    headers = [
        "run",
        "share",
        *(f"cost [{ladder.final.unit}]" if n == "cost" else n.replace("_", " ") for n in numbers),
    ]
    words = (
        "low - high: 90% of one new run; a rung outside it says that the forecast is wrong before the final run is "
        f"paid. Knowing the rungs leaves {ladder.spread_left:.0%} of the spread of the final run's expected loss."
    )
    return Group(table(headers, rows, title=f"A ladder for {number(ladder.total)} {ladder.final.unit}"), Text(words))

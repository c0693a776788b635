"""Tables that the terminal prints about plans: runs side by side, their regret, and how the plan may turn out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.messages import computed_percent, percent
from bayes_scaling.base.numbers import amount, number, span, spans
from bayes_scaling.cli.printing.layout import headed, table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.decide.ladder import Ladder
    from bayes_scaling.decide.midrun import MidRun
    from bayes_scaling.decide.pilot_plan import PilotPlan
    from bayes_scaling.decide.plan import Choice, Plan
    from bayes_scaling.decide.portfolio import Portfolio
    from bayes_scaling.decide.track_record import TrackRecord

BEST = 8  # runs on offer that are shown
MORE = 0.1  # of a budget, by which one asks what more of it is worth
LEGEND = (
    "regret: loss above that of the best split of the same cost, mean and 90% interval over draws; wasted: FLOPs that "
    "the best split would save at the same loss, median and 90% interval; both by the laws' own trade-off of N for D; "
    "(*) breaks a constraint"
)


def plan_table(plan: Plan) -> RenderableType:
    """Return a plan beside published rules, and how it may turn out."""
    choices = {"plan": plan.choice}
    choices |= {f"{name} by itself ({plan.weights[name]:.0%})": pick for name, pick in plan.picks.items()}
    choices |= dict(plan.alternatives)
    batched = plan.batch_tokens is not None
    headers = ["choice", "params", "tokens", "tokens / param"]
    headers += ["batch [tokens]", "steps"] if batched else []
    headers += ["rate"] if plan.peak_learning_rate is not None else []
    headers += ["epochs"] if plan.epochs is not None else []
    headers += [f"cost [{plan.unit}]", "expected loss", f"regret [{plan.loss_unit}]", "wasted FLOPs"]
    rows = [[_named(name, choice), *_row(choice)] for name, choice in choices.items()]
    title = (
        f"{amount(plan.budget, plan.unit, 4)} by {plan.label}: {plan.objective.direction} {plan.objective.label} "
        f"({plan.cost_label})"
    )
    sentences = [Text(line) for line in (*_outcome(plan), *_freedom(plan))]
    notes = [Text(f"{name}: {choice.note}", style="dim") for name, choice in plan.alternatives.items()]
    warnings = [Text(f"caution: {line}", style="yellow") for line in plan.cautions]
    said = Text(plan.verdict, style="bold")
    return Group(said, *warnings, *sentences, table(headers, rows, title=title), Text(LEGEND, style="dim"), *notes)


def _named(name: str, choice: Choice) -> str:
    return name if choice.allowed else f"{name} (*)"


def _row(choice: Choice) -> list[Any]:
    low, high = choice.interval(0.9)
    less, more = choice.interval(0.9, "wasted")
    return [
        choice.params,
        choice.tokens,
        choice.tokens / choice.params,
        *([] if choice.batch_tokens is None else [choice.batch_tokens, choice.steps]),
        *([] if choice.peak_learning_rate is None else [choice.peak_learning_rate]),
        *([] if choice.epochs is None else [choice.epochs]),
        choice.cost,
        choice.expected_loss,
        f"{choice.expected_regret:.4f} ({low:.4f} to {high:.4f})",
        f"{choice.median_wasted:.1%} ({less:.1%} to {more:.1%})",
    ]


def _outcome(plan: Plan) -> list[str]:
    """Say how the run may turn out."""
    low, high = plan.interval(0.9)
    lines = [
        f"{plan.objective.label}: {number(plan.value)} ± {plan.value_se:.1g} (Monte-Carlo error); incumbent "
        f"{number(plan.goal.incumbent)}, beaten with probability "
        f"{computed_percent(plan.probability_beats_incumbent, 1)}",
        f"loss of {plan.contains}: 90% {span(low, high)} {plan.loss_unit}; mean of the worst 5% "
        f"{number(plan.cvar(0.05))}",
    ]
    if not math.isnan(plan.goal.target):
        lines.append(f"P(loss <= {plan.goal.target:g}) = {computed_percent(plan.probability_reaches_target, 1)}")
    cheap, dear = plan.interval(0.9, "cost")
    if dear > cheap * (1 + 1e-9):
        safer = "; --cost-quantile 0.9 plans a run that costs more than the budget with probability 10% at most"
        lines.append(f"cost: 90% {span(cheap, dear)} {plan.unit}{safer if plan.over_budget > 0.1 else ''}")
    return lines


def _freedom(plan: Plan) -> list[str]:
    """Say how certain the choice is, and what else would do as well."""
    wanted = ["params", "tokens", *(["batch_tokens"] if plan.batch_tokens is not None else [])]
    intervals = [(name, *plan.interval(0.9, f"optimum_{name}")) for name in wanted]
    words = ", ".join(f"{name} {span(low, high)}" for name, low, high in intervals)
    lines = [
        f"best split of the budget over draws, 90%, if the laws trade N for D rightly: {words}",
        f"sizes from {span(*plan.flat)} params lose no more than {plan.flat_within:.2g} {plan.loss_unit} on average",
    ]
    if plan.best_rate is not None:
        words = ", ".join(
            f"{what} {span(low, high)}"
            for what, of in (("rate at this batch", "best_rate"), ("batch_tokens", "best_batch_tokens"))
            for low, high in [plan.interval(0.9, of)]
        )
        lines.append(f"best for this size over draws, and how far sizes lie off the law, 90%: {words}")
    if plan.shape is not None:
        lines.append(plan.choice.note)
    if plan.snapping_regret > 0:
        lines.append(
            f"if any size existed: {number(plan.unsnapped.params)} params; candidates lose "
            f"{plan.snapping_regret:.2g} of the objective"
        )
    return lines


def curve_table(curve: pd.DataFrame, unit: str) -> RenderableType:
    """Return what each of several budgets buys."""
    more = [name for name in ("value_per_unit", "loss_per_unit") if name in curve]
    shown = curve.assign(**{name: curve[name] * curve["budget"] * MORE for name in more})
    headers = [headed("budget", unit) if name == "budget" else str(name).replace("_", " ") for name in shown]
    headers = [name.replace("per unit", f"per {MORE:.0%} more") for name in headers]
    rows = [[float(value) for value in row] for row in shown.to_numpy()]
    return table(headers, rows, title=f"What each budget buys, and what {MORE:.0%} more of it would change")


def smallest_table(smallest: pd.DataFrame, target: float, unit: str) -> RenderableType:
    """Return the smallest budgets that reach a loss with some probability."""
    rows = [
        [percent(row["probability"]), float(row["budget"]), float(row["params"]), float(row["tokens"]), str(row["why"])]
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
        f"best of them: {portfolio.objective.label} {number(portfolio.value)} ± {portfolio.value_se:.1g}, 90% "
        f"{span(low, high)} {portfolio.loss_unit}; column best: the probability of being the best"
    )
    title = f"{len(rows)} runs for {amount(portfolio.budget, portfolio.unit, 4)} by {portfolio.label}"
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
        "low, high: 90% interval of one new run; a rung outside it warns that the forecast is wrong before the final "
        "run is paid for."
    )
    title = f"A ladder for {amount(ladder.total, ladder.final.unit, 4)}"
    return Group(Text(ladder.verdict, style="bold"), table(headers, rows, title=title), Text(words, style="dim"))


def pilot_table(plan: PilotPlan) -> RenderableType:
    """Return the verdict, the pilots to buy, and the best candidates on offer."""
    inputs = [name for name in plan.runs if name not in ("copies", "cost")]
    parts: list[RenderableType] = [Text(plan.verdict, style="bold")]
    if plan.buys:
        headers = [*map(str, inputs), "copies", f"cost [{plan.budget_unit}]"]
        parts.append(table(headers, plan.runs[[*inputs, "copies", "cost"]].to_numpy().tolist(), title="to buy"))
    choice = not math.isnan(plan.now)
    offers = plan.offers.sort_values(["net", "uncertainty_left"], ascending=[False, True]).head(BEST)
    headers = [*map(str, inputs), f"cost [{plan.budget_unit}]", "uncertainty left"]
    headers += [f"gain [{plan.unit}]", f"price [{plan.unit}]"] if choice else []
    rows = [
        [*(row[name] for name in inputs), row["cost"], f"{row['uncertainty_left']:.0%}"]
        + ([f"{row['gain']:.2g} ± {row['gain_se']:.1g}", f"{row['price']:.2g}"] if choice else [])
        for row in offers.to_dict(orient="records")
    ]
    parts.append(table(headers, rows, title=f"one run alone, the best {len(rows)} of {len(plan.offers)} on offer"))
    # Of several recipes, the big run is one of each: what they differ in is no number.
    counted = [name for name in inputs if name in plan.big and plan.big[name].dtype.kind in "iuf"]
    big = ", ".join(f"{name} {number(plan.big[name].iloc[0])}" for name in counted)
    legend = f"uncertainty: half-width of the central 68% of the expected log loss of the big run ({big}), "
    parts.append(Text(f"{legend}{plan.half_width[0]:.2%} now", style="dim"))
    if plan.value.method == "regression":
        words = "the gain is a lower bound: too few posterior draws carry weight after these runs"
        parts.append(Text(words, style="dim"))
    return Group(*parts)


def midrun_table(found: MidRun) -> RenderableType:
    """Return the verdict, and what each option would bring."""
    along = str(found.options.columns[1])
    target = not found.options["reaches_target"].isna().all()
    headers = ["option", along, f"cost [{found.unit}]", f"median [{found.loss_unit}]", "90% band", "value"]
    headers += ["net"] if found.price else []
    headers += ["P(beats incumbent)"] + (["P(target)"] if target else [])
    bands = ["measured", *spans(found.options["low"].iloc[1:], found.options["high"].iloc[1:])]
    rows = [
        [
            row["option"],
            row[along],
            row["cost"],
            row["median"],
            band,
            f"{row['value']:.4g}" + ("" if band == "measured" else f" ± {row['value_se']:.1g}"),
            *([row["net"]] if found.price else []),
            computed_percent(row["beats_incumbent"], 1),
            *([computed_percent(row["reaches_target"], 1)] if target else []),
        ]
        for row, band in zip(found.options.to_dict(orient="records"), bands, strict=True)
    ]
    title = f"{found.label}: {found.objective}"
    contents = Text(f"band: {found.forecast.contains['new_run']}", style="dim")
    return Group(Text(found.verdict, style="bold"), table(headers, rows, title=title), contents)


def record_table(scores: pd.DataFrame, record: TrackRecord) -> RenderableType:
    """Return how a registered forecast did, and the track record so far."""
    headers = ["run", "loss", "median", "error", "P(lower)", "log score", "in the 90% band"]
    rows = [
        [
            _run_name(row, several=len(scores) > 1),
            row["loss"],
            row["median"],
            f"{math.expm1(row['error']):+.2%}",
            f"{row['pit']:.2f}",
            f"{row['log_score']:.2f}",
            "yes" if row["inside_90"] else "no",
        ]
        for row in scores.to_dict(orient="records")
    ]
    title = f"forecast {scores['digest'].iloc[0]}, registered {scores['registered'].iloc[0]}"
    return Group(table(headers, rows, title=title), Text(record.verdict, style="bold"))


def _run_name(row: Mapping[Any, Any], several: bool) -> str:
    """Return the name of a forecast that was scored, and of several runs the place of this one."""
    place = int(row["run"]) + 1
    if not row["name"]:
        return f"run {place}"
    return f"{row['name']}, run {place}" if several else str(row["name"])

"""Commands that spend a budget."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling._errors import PlanError
from bayes_scaling.cli._options import (
    AsJson,
    At,
    Columns,
    Convention,
    LossUnit,
    Seed,
    Unconverged,
    named,
    number,
    numbers,
    print_json,
    read_runs,
)

OBJECTIVES = "improvement, loss, target, quantile:0.9, cvar:0.05, mean-cvar:WEIGHT,0.05"


def allocate(
    source: Annotated[Path, typer.Argument(help="A fit (.nc), or runs to fit first.", show_default=False)],
    budget: Annotated[float, typer.Option(help="In the unit of --unit.", show_default=False)],
    unit: Annotated[str, typer.Option(help="flops, gpu-hours or money.")] = "flops",
    peak_flops: Annotated[float | None, typer.Option(help="FLOPs per second of one device, like 989e12.")] = None,
    utilisation: Annotated[
        str, typer.Option(help="Share of the peak that training reaches; several with commas are equally likely.")
    ] = "",
    price: Annotated[str, typer.Option(help="Of one device for one hour; several as above.")] = "",
    currency: Annotated[str, typer.Option(help="Unit of money.")] = "USD",
    serving_tokens: Annotated[str, typer.Option(help="Tokens served over the model's life; several as above.")] = "",
    serving_utilisation: Annotated[str, typer.Option(help="While serving; that of training by default.")] = "",
    serving_price: Annotated[str, typer.Option(help="While serving; that of training by default.")] = "",
    cost_quantile: Annotated[float, typer.Option(help="Of an uncertain cost, at which it meets the budget.")] = 0.5,
    objective: Annotated[str, typer.Option(help=f"What to optimise: {OBJECTIVES}.")] = "improvement",
    incumbent: Annotated[float | None, typer.Option(help="Loss to improve on; the best run's by default.")] = None,
    target: Annotated[float | None, typer.Option(help="Loss that is wanted, for its odds.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="Constraint: params=LEAST:MOST (also tokens, tokens_per_param, batch_tokens, steps; an end may be "
            "left out, one number fixes it), tokens_available=, deadline_hours=, step_seconds=, memory_bytes=, "
            "bytes_per_param=. Repeatable."
        ),
    ] = None,
    candidates: Annotated[str, typer.Option(help="Parameter counts that really exist, with commas.")] = "",
    shapes: Annotated[str, typer.Option(help="Shapes that really exist: 32x4096,40x5120 (layers x width).")] = "",
    vocabulary: Annotated[int, typer.Option(help="Of the shapes, so that the head is paid for.")] = 0,
    context: Annotated[int, typer.Option(help="Of the shapes, so that attention is paid for.")] = 0,
    compare_with: Annotated[
        list[str] | None, typer.Option(help="Somebody's run to judge beside: Gopher=280e9:300e9. Repeatable.")
    ] = None,
    at: At = None,
    budgets: Annotated[str, typer.Option(help="Other budgets to look at, with commas.")] = "",
    odds: Annotated[str, typer.Option(help="Smallest budgets that reach --target with these probabilities.")] = "",
    runs: Annotated[int, typer.Option(help="Split the budget over so many runs, of which the best counts.")] = 1,
    ladder: Annotated[float | None, typer.Option(help="Share of the budget for a ladder of small runs first.")] = None,
    reserve: Annotated[float, typer.Option(help="Share that is kept, with --ladder.")] = 0.0,
    law: Annotated[str, typer.Option(help="Fitted where runs are given.")] = "chinchilla",
    columns: Columns = "",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Choose the run that a budget should buy, and say how sure that is and what being wrong costs.

    Example: bayes-scaling allocate fit.nc --budget 5.76e23 --target 1.95
    """
    from bayes_scaling import _show_plans as words
    from bayes_scaling._fit import fit
    from bayes_scaling._show import show
    from bayes_scaling._store import load_fit
    from bayes_scaling.decide import allocate as one
    from bayes_scaling.decide import budgets as many
    from bayes_scaling.decide import ladder as ladders
    from bayes_scaling.decide import portfolio
    from bayes_scaling.decide.beliefs import Beliefs

    serving = {"tokens": serving_tokens, "utilisation": serving_utilisation, "price": serving_price}
    cost = _cost(unit, peak_flops, utilisation, price, currency, serving, cost_quantile)
    chosen, constraints = _objective(objective), _constraints(limit)
    exist = _candidates(candidates, shapes, vocabulary, context)
    others = dict(_compared(item) for item in compare_with or [])
    if odds and target is None:
        raise PlanError("--odds asks for the smallest budgets that reach a loss: say which, --target LOSS")
    if reserve and ladder is None:
        raise PlanError("--reserve is kept beside a ladder: add --ladder SHARE")
    if source.suffix == ".nc":
        fitted = load_fit(source)
    else:
        fitted = fit(law, read_runs(source, columns, loss_unit, params_convention), seed=seed)
    given, group = _fixed(at, fitted.groups.columns)
    beliefs = Beliefs.of(fitted, seed, group=group, unconverged=unconverged)
    shared: dict[str, Any] = {"cost": cost, "constraints": constraints, "given": given, "seed": seed}
    asked = {**shared, "objective": chosen, "incumbent": incumbent, "target": target}
    plan = one.allocate(beliefs, budget, candidates=exist, compare_with=others, **asked)
    content: dict[str, Any] = {"plan": plan.to_dict()}
    parts = [words.plan_table(plan)]
    if budgets:
        curve = many.budget_curve(beliefs, numbers(budgets, "--budgets"), **asked)
        content["budgets"] = curve.to_dict(orient="records")
        parts.append(words.curve_table(curve, plan.unit))
    if odds and target is not None:
        smallest = many.smallest_budget(beliefs, target, numbers(odds, "--odds"), **shared)
        content["odds"] = [
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
            for row in smallest.to_dict(orient="records")
        ]
        parts.append(words.odds_table(smallest, target, plan.unit))
    if runs != 1:
        split = portfolio.allocate_runs(beliefs, budget, runs, **asked)
        content["runs"] = split.to_dict()
        parts.append(words.portfolio_table(split))
    if ladder is not None:
        rungs = ladders.ladder(beliefs, budget, share=ladder, reserve=reserve, candidates=exist, **asked)
        content["ladder"] = rungs.to_dict()
        parts.append(words.ladder_table(rungs))
    if as_json:
        print_json(content)
    else:
        show(*parts)


# --- reading options --------------------------------------------------------------------------------------------------


def _cost(
    unit: str,
    peak_flops: float | None,
    utilisation: str,
    price: str,
    currency: str,
    serving: dict[str, str],
    quantile: float,
) -> Any:
    from bayes_scaling.decide import costs

    drawn = {f"serving_{name}": numbers(text, f"--serving-{name}") for name, text in serving.items() if text}
    by_hour = {"--peak-flops": peak_flops, "--utilisation": utilisation, "--price": price}
    if unit == "flops":
        stray = [name for name, value in by_hour.items() if value] + [
            f"--{name.replace('_', '-')}" for name in drawn if name != "serving_tokens"
        ]
        if stray:
            raise PlanError(f"{stray[0]} has no part in a budget of FLOPs: add --unit gpu-hours or --unit money")
        return costs.lifetime(drawn["serving_tokens"], quantile=quantile) if drawn else costs.flops()
    if unit not in ("gpu-hours", "money"):
        raise PlanError(f"--unit is {unit!r}, expected flops, gpu-hours or money")
    needed = [name for name, value in by_hour.items() if not value and (unit == "money" or name != "--price")]
    if needed:
        raise PlanError(f"a budget in {unit} needs {', '.join(needed)}")
    reached = numbers(utilisation, "--utilisation")
    if unit == "money":
        paid = numbers(price, "--price")
        return costs.money(peak_flops or 0.0, reached, paid, currency=currency, quantile=quantile, **drawn)
    if price or "serving_price" in drawn:
        raise PlanError("a price has no part in a budget of GPU-hours: add --unit money")
    return costs.gpu_hours(peak_flops or 0.0, reached, quantile=quantile, **drawn)


def _objective(text: str) -> Any:
    from bayes_scaling.decide import objectives

    name, _, rest = text.partition(":")
    makers: dict[str, tuple[Any, int]] = {
        "improvement": (objectives.expected_improvement, 0),
        "loss": (objectives.expected_loss, 0),
        "target": (objectives.probability_of_target, 0),
        "quantile": (objectives.loss_quantile, 1),
        "cvar": (objectives.cvar, 1),
        "mean-cvar": (objectives.mean_and_cvar, 2),
    }
    values = numbers(rest, "--objective") if rest else []
    if name not in makers or len(values) > makers[name][1] or (name in ("quantile", "mean-cvar") and not values):
        raise PlanError(f"--objective is {text!r}, expected one of {OBJECTIVES}")
    return makers[name][0](*values)


def _constraints(limits: list[str] | None) -> Any:
    from bayes_scaling.decide.constraints import Constraints

    default = Constraints()
    known = {field.name: getattr(default, field.name) for field in dataclasses.fields(Constraints)}
    given: dict[str, Any] = {}
    for item in limits or []:
        name, _, text = (part.strip() for part in item.partition("="))
        if name not in known or not text:
            raise PlanError(
                f"cannot read --limit {item!r}; expected NAME=VALUE or NAME=LEAST:MOST of {', '.join(known)}"
            )
        if not isinstance(known[name], tuple):
            given[name] = number(text, "--limit")
            continue
        least, colon, most = text.partition(":")
        low = number(least, "--limit") if least else known[name][0]
        given[name] = (low, number(most, "--limit") if most else math.inf if colon else low)
    return Constraints(**given)


def _candidates(sizes: str, shapes: str, vocabulary: int, context: int) -> Any:
    from bayes_scaling._counting import Shape

    if sizes and shapes:
        raise PlanError("give --candidates or --shapes, not both")
    if sizes:
        return numbers(sizes, "--candidates")
    if not shapes:
        return None
    pairs = [item.partition("x") for item in shapes.split(",")]
    return [
        Shape(number(layers, "--shapes"), number(width, "--shapes"), vocabulary=vocabulary, context=context)
        for layers, _, width in pairs
    ]


def _compared(item: str) -> tuple[str, tuple[float, float]]:
    name, _, run = item.partition("=")
    params, colon, tokens = run.partition(":")
    if not (name.strip() and colon):
        raise PlanError(f"cannot read --compare-with {item!r}; expected NAME=PARAMS:TOKENS, like Gopher=280e9:300e9")
    return name.strip(), (number(params, "--compare-with"), number(tokens, "--compare-with"))


def _fixed(at: list[str] | None, groups: tuple[str, ...]) -> tuple[dict[str, float], dict[str, str] | None]:
    """Split ``--at`` into fixed inputs and the group of a pooled fit."""
    given, group = {}, {}
    for name, value in named(at).items():
        if name in groups:
            group[name] = value if isinstance(value, str) else ",".join(f"{x:g}" for x in value)
        elif isinstance(value, str) or len(value) != 1:
            raise PlanError(f"--at {name} fixes an input of the run, expected one number")
        else:
            given[name] = value[0]
    return given, group or None

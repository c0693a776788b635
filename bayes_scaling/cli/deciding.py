"""Commands that spend a budget."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling.cli._options import (
    AsJson,
    At,
    Columns,
    Convention,
    LossUnit,
    Seed,
    Unconverged,
    numbers,
    print_json,
    read_runs,
)
from bayes_scaling.cli._plan_options import (
    OBJECTIVES,
    candidates_of,
    compared,
    constraints_of,
    cost_of,
    fixed,
    objective_of,
)
from bayes_scaling.errors import PlanError


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
    from bayes_scaling.cli import show_plans as words
    from bayes_scaling.cli.show import show
    from bayes_scaling.decide import allocate as one
    from bayes_scaling.decide import budgets as many
    from bayes_scaling.decide import ladder as ladders
    from bayes_scaling.decide import portfolio
    from bayes_scaling.inference.fit import fit
    from bayes_scaling.inference.loading import load_fit
    from bayes_scaling.predict.ensemble import Ensemble

    serving = {"tokens": serving_tokens, "utilisation": serving_utilisation, "price": serving_price}
    cost = cost_of(unit, peak_flops, utilisation, price, currency, serving, cost_quantile)
    chosen, constraints = objective_of(objective), constraints_of(limit)
    exist = candidates_of(candidates, shapes, vocabulary, context)
    others = dict(compared(item) for item in compare_with or [])
    if odds and target is None:
        raise PlanError("--odds asks for the smallest budgets that reach a loss: say which, --target LOSS")
    if reserve and ladder is None:
        raise PlanError("--reserve is kept beside a ladder: add --ladder SHARE")
    if source.suffix == ".nc":
        fitted = load_fit(source)
    else:
        fitted = fit(law, read_runs(source, columns, loss_unit, params_convention), seed=seed)
    given, group = fixed(at, fitted.groups.columns)
    beliefs = Ensemble.of(fitted, seed, group=group, unconverged=unconverged)
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

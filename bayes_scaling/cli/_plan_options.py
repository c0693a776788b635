"""How commands that spend a budget read costs, objectives, constraints and runs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from bayes_scaling.cli._options import named, number, numbers
from bayes_scaling.errors import PlanError

OBJECTIVES = "improvement, loss, target, quantile:0.9, cvar:0.05, mean-cvar:WEIGHT,0.05"


def cost_of(
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


def objective_of(text: str) -> Any:
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


def constraints_of(limits: list[str] | None) -> Any:
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


def candidates_of(sizes: str, shapes: str, vocabulary: int, context: int) -> Any:
    from bayes_scaling.data.units import Shape

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


def compared(item: str) -> tuple[str, tuple[float, float]]:
    name, _, run = item.partition("=")
    params, colon, tokens = run.partition(":")
    if not (name.strip() and colon):
        raise PlanError(f"cannot read --compare-with {item!r}; expected NAME=PARAMS:TOKENS, like Gopher=280e9:300e9")
    return name.strip(), (number(params, "--compare-with"), number(tokens, "--compare-with"))


def fixed(at: list[str] | None, groups: tuple[str, ...]) -> tuple[dict[str, float], dict[str, str] | None]:
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

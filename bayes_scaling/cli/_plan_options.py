"""Options of the commands that spend a budget, and how costs, constraints and runs are read from them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_scaling.base.messages import shown
from bayes_scaling.cli._options import group_name, named, number, numbers
from bayes_scaling.cli._panels import COST, RUN
from bayes_scaling.decide.names import COSTS, cost_names, objective_names
from bayes_scaling.errors import PlanError

if TYPE_CHECKING:
    from bayes_scaling.decide.costs import Cost

CostName = Annotated[
    str, typer.Option("--cost", help=f"How the budget is counted: {cost_names()}.", rich_help_panel=COST)
]
TRAINING_COSTS = tuple(name for name in COSTS if name != "lifetime")
TrainingCostName = Annotated[
    str, typer.Option("--cost", help=f"How cost is counted: {', '.join(TRAINING_COSTS)}.", rich_help_panel=COST)
]
PeakFlops = Annotated[
    float | None, typer.Option(help="Peak FLOPs per second of one device: 989e12.", rich_help_panel=COST)
]
Utilisation = Annotated[str, typer.Option(help="Fraction of the peak that training reaches.*", rich_help_panel=COST)]
PricePerGpuHour = Annotated[str, typer.Option(help="Price of one device for one hour.*", rich_help_panel=COST)]
ServingTokens = Annotated[str, typer.Option(help="Tokens served over the model's lifetime.*", rich_help_panel=COST)]
ServingUtilisation = Annotated[
    str, typer.Option(help="Utilisation while serving; as in training by default.*", rich_help_panel=COST)
]
ServingPrice = Annotated[
    str, typer.Option(help="Price while serving; as in training by default.*", rich_help_panel=COST)
]
Currency = Annotated[str | None, typer.Option(help="Currency of the price; USD by default.", rich_help_panel=COST)]
CostQuantile = Annotated[
    float | None,
    typer.Option(help="Quantile of an uncertain cost that must fit the budget; 0.5 by default.", rich_help_panel=COST),
]
ObjectiveName = Annotated[str, typer.Option("--objective", help=f"What to optimise: {objective_names()}.")]
Incumbent = Annotated[float | None, typer.Option(help="Loss to beat; the lowest loss in the table by default.")]
IncumbentOfRun = Annotated[
    float | None, typer.Option("--incumbent", help="Loss to beat; the lowest loss of all other runs by default.")
]
Target = Annotated[float | None, typer.Option(help="Loss to reach; prints the probability.")]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="Constraint. A range params=LEAST:MOST (or tokens, tokens_per_param, batch_tokens, steps): leave out an "
        "end for no limit, give one number to fix it. Or one number for tokens_available, deadline_hours, "
        "step_seconds, memory_bytes or bytes_per_param. Repeatable.",
        rich_help_panel=RUN,
    ),
]
NUMBERS = ("utilisation", "price_per_gpu_hour", "serving_tokens", "serving_utilisation", "serving_price")


def cost_from(name: str, **options: Any) -> Cost:
    """Return the cost that options describe; those that were not given are left out."""
    from bayes_scaling.decide.spelling import cost_of

    given = {argument: value for argument, value in options.items() if value not in ("", None)}
    for argument in NUMBERS:
        if argument in given:
            given[argument] = numbers(given[argument], f"--{argument.replace('_', '-')}")
    return cost_of(name, **given)


def training_cost_from(name: str, **options: Any) -> Cost:
    """Return the same of a cost that counts training alone; refuse one of serving."""
    if name not in TRAINING_COSTS:
        raise PlanError(
            f"the cost is {shown(name)}, expected one of {', '.join(TRAINING_COSTS)}: what is still to pay of a run is "
            "its training"
        )
    return cost_from(name, **options)


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
    if not all(layers and width for layers, _, width in pairs):
        raise PlanError(f"cannot read --shapes {shapes!r}; expected LAYERSxWIDTH, like 32x4096,40x5120")
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
            group[name] = group_name(value)
        elif isinstance(value, str) or len(value) != 1:
            raise PlanError(f"--at {name} fixes an input of the run, expected one number")
        else:
            given[name] = value[0]
    return given, group or None

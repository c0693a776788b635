"""Commands that forecast from a fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bayes_scaling.base.names import PICTURES
from bayes_scaling.cli._options import (
    AsJson,
    At,
    FitFile,
    Flops,
    LawOfFit,
    Params,
    Points,
    Seed,
    Tokens,
    Unconverged,
    inputs_of,
    named,
    number,
    planned_forecast,
    print_json,
    saved_fit,
)
from bayes_scaling.cli._outputs import Output, check_outputs


def forecast(
    fit_file: FitFile,
    law: LawOfFit = "",
    params: Params = "",
    tokens: Tokens = "",
    flops: Flops = "",
    at: At = None,
    table: Points = None,
    target: Annotated[
        float | None, typer.Option(help="Loss to reach; prints its probability and the compute it takes.")
    ] = None,
    prob: Annotated[str, typer.Option(help="Probabilities of the bands, comma-separated fractions.")] = "0.5,0.9",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Forecast the loss of planned runs, with credible bands.

    Example: bayes-scaling forecast fit.nc --params 70e9 --tokens 1.4e12 --target 1.95 --prob 0.5,0.9
    """
    from bayes_scaling.base.messages import checked_probability
    from bayes_scaling.cli.printing.forecasts import forecast_table, requirement_line
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.predict import frontier as _frontier

    probabilities = [checked_probability(number(p, "--prob"), "--prob") for p in prob.split(",")]
    loaded = saved_fit(fit_file, law)
    given = {**inputs_of({"params": params, "tokens": tokens, "flops": flops}), **named(at)}
    result = planned_forecast(loaded, given, table, seed, unconverged)
    requirement = None
    if (
        target is not None
        and not loaded.pooling
        and (set(loaded.law.inputs) == {"params", "tokens"} or len(loaded.law.inputs) == 1)
    ):
        requirement = _frontier.required(loaded, target, unconverged=unconverged)
    widest = max(probabilities)
    if as_json:
        content = json.loads(result.to_json(probabilities, target))
        if requirement is not None:
            low, high = requirement.interval(widest)
            content["required"] = {
                "of": requirement.of,
                "along": requirement.along,
                "probability_reachable": requirement.reachable,
                "probability": widest,
                **{
                    k: v if v < float("inf") else None
                    for k, v in (("median", requirement.quantile(0.5)), ("low", low), ("high", high))
                },
            }
        print_json(content)
        return
    parts = [forecast_table(result, probabilities, target)]
    if requirement is not None:
        parts.append(requirement_line(requirement, widest, result.loss_unit))
    show(*parts)


def quantity(
    fit_file: FitFile,
    name: Annotated[
        str, typer.Argument(help="Quantity of the law; 'bayes-scaling laws show LAW' lists them.", show_default=False)
    ],
    law: LawOfFit = "",
    at: At = None,
    prob: Annotated[float, typer.Option(help="Probability of the interval, a fraction.")] = 0.9,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Compute a quantity of a law with its uncertainty, such as the critical batch size or the optimal size.

    Example: bayes-scaling quantity fit.nc critical_batch --at loss=3.0,2.5
    """
    from bayes_scaling.cli.printing.forecasts import quantity_table
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.predict import quantities as _quantities

    loaded = saved_fit(fit_file, law)
    given = named(at)
    group = {column: str(given.pop(column)) for column in loaded.groups.columns if column in given}
    found = _quantities.quantity(loaded, name, group=group, unconverged=unconverged, **given)
    if as_json:
        points = json.loads(found.to_frame(prob).to_json(orient="records"))
        print_json({"quantity": name, "unit": found.unit, "meaning": found.meaning, "prob": prob, "points": points})
    else:
        show(quantity_table(found, prob))


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the fit and the pictures.")] = Path("bayes-scaling-demo"),
    seed: Seed = 0,
) -> None:
    """Fit the small runs of a bundled table, forecast the largest and check against what was measured.

    Example: bayes-scaling demo
    """
    check_outputs([Output("--out", out, holds=("fit.nc", *(f"{name}.png" for name in PICTURES)))], {})
    from bayes_scaling.cli import demo as _demo
    from bayes_scaling.cli.printing.demo import demo_story
    from bayes_scaling.cli.printing.layout import show

    show(demo_story(_demo.demo(out, seed)))

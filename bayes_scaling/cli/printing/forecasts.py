"""What the terminal prints about forecasts and quantities of a law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.messages import computed_percent, percent
from bayes_scaling.base.numbers import number, span, spans
from bayes_scaling.cli.printing.layout import headed, table, unit_of

if TYPE_CHECKING:
    from bayes_scaling.predict.forecast import Forecast
    from bayes_scaling.predict.frontier import Requirement
    from bayes_scaling.predict.quantities import QuantityDraws


def forecast_table(forecast: Forecast, probabilities: Sequence[float], target: float | None) -> RenderableType:
    """Return the answer in a sentence, the forecast at each point with both bands, and what they contain."""
    frame = forecast.to_frame(probabilities, target)
    shown = [str(name) for name in forecast.points]
    headers = [*shown, "x largest run", f"median [{forecast.loss_unit}]"]
    columns: list[list[Any]] = [list(frame[name]) for name in shown] + [
        list(frame["extrapolation"]),
        list(frame["mean_median"]),
    ]
    for of, word in (("mean", "mean curve"), ("new_run", "one new run")):
        for p in probabilities:
            headers.append(f"{percent(p)} {word}")
            low, high = frame[f"{of}_{p:g}_low"], frame[f"{of}_{p:g}_high"]
            columns.append(spans(low, high))
    if target is not None:
        headers.append(f"P(loss <= {target:g})")
        columns.append([computed_percent(p, 1) for p in frame["probability_below_target"]])
    note = f"Bands: {forecast.contains['mean']}; {forecast.contains['new_run']}. Equal-tailed intervals."
    cautions = [Text(f"caution: {line}", style="yellow") for line in forecast.cautions]
    title = f"Forecast by {forecast.label}"
    rows = table(headers, zip(*columns, strict=True), title=title, keys=len(shown))
    said = Text(forecast_sentence(forecast, max(probabilities), target), style="bold")
    return Group(said, *cautions, rows, Text(note))


def forecast_sentence(forecast: Forecast, probability: float, target: float | None) -> str:
    """Say the loss of a run, its band and its chance of a target; of several runs, those of the largest one."""
    several = len(forecast.points) > 1
    point = int(np.argmax(np.nan_to_num(forecast.extrapolation))) if several else 0
    low, high = forecast.interval(probability)[point]
    band = f"{span(low, high)} with probability {percent(probability)}"
    said = f"Loss {number(float(forecast.median()[point]))} {forecast.loss_unit}; {band}"
    if target is not None:
        reached = float(forecast.probability_below(target)[point])
        said += f"; reaches {target:g} with probability {computed_percent(reached)}"
    return f"{f'The largest of {len(forecast.points)} runs: l{said[1:]}' if several else said}."


def requirement_line(requirement: Requirement, probability: float, unit: str) -> RenderableType:
    """Return in one sentence what a target loss takes, and where that lies far outside the fitted runs."""
    low, high = requirement.interval(probability)
    what = {"flops": "FLOPs"}.get(requirement.of, requirement.of)
    target, middle = f"loss {requirement.target:g} {unit} on the mean curve", requirement.quantile(0.5)
    if math.isinf(middle):
        can = f"the probability that it can be reached at all is {computed_percent(requirement.reachable, 1)}"
        return Text(f"{target} is out of reach along {requirement.along}: {can}")
    powers = requirement.of == "flops"
    least, most = ("out of reach" if math.isinf(end) else number(end, 3, powers) for end in (low, high))
    sentence = f"{target} takes {number(middle, 3, powers)} {what} ({percent(probability)}: {least} to {most}) along "
    sentence += requirement.along
    if requirement.reachable < 1:
        sentence += (
            f"; with probability {computed_percent(1 - requirement.reachable, 1)} it is out of reach at any size"
        )
    return Group(Text(sentence), *(Text(f"caution: {line}", style="yellow") for line in requirement.cautions))


def requirement_content(requirement: Requirement, probability: float) -> dict[str, Any]:
    """Return what a target loss takes as plain values; None for what is out of reach."""
    low, high = requirement.interval(probability)
    return {
        "of": requirement.of,
        "along": requirement.along,
        "probability_reachable": requirement.reachable,
        "probability": probability,
        "cautions": list(requirement.cautions),
        **{
            name: value if value < float("inf") else None
            for name, value in (("median", requirement.quantile(0.5)), ("low", low), ("high", high))
        },
    }


def quantity_table(quantity: QuantityDraws, probability: float, loss_unit: str) -> RenderableType:
    """Return a quantity at each point with its interval."""
    frame = quantity.to_frame(probability)
    inputs = [str(name) for name in quantity.points]
    median = headed("median", unit_of(quantity.unit, loss_unit))
    headers = [*inputs, median, f"{percent(probability)} interval", "defined"]
    ranges = spans(frame["low"], frame["high"])
    rows = [
        [*(float(row[name]) for name in inputs), float(row["median"]), ranges[i], computed_percent(row["defined"])]
        for i, row in enumerate(frame.to_dict(orient="records"))
    ]
    note = "Equal-tailed credible interval of the law's parameters, over the draws that give an answer (defined)."
    laws = [Text(f"Of the laws that define it: {_defining(quantity)}.")] if quantity.laws else []
    title = f"{quantity.name}: {quantity.meaning}"
    return Group(table(headers, rows, title=title, keys=len(inputs)), *laws, Text(note))


def _defining(quantity: QuantityDraws) -> str:
    named = ", ".join(f"{name} {weight:.0%}" for name, weight in quantity.laws.items())
    return f"{named} (with {sum(quantity.laws.values()):.0%} of the weight)"

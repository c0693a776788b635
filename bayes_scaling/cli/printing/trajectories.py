"""What the terminal prints about the loss curve of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from bayes_scaling.base.messages import computed_percent, percent
from bayes_scaling.base.numbers import number, span, spans
from bayes_scaling.base.spacing import evenly
from bayes_scaling.cli.printing.layout import table, unit_of

if TYPE_CHECKING:
    from bayes_scaling.predict.trajectory import Trajectory

SHOWN = 9  # rows of a curve that are printed


def trajectory_tables(
    found: Trajectory, probabilities: Sequence[float], targets: Sequence[float]
) -> list[RenderableType]:
    """Return the loss at the end, where the curve reaches losses, some of its rows, and related quantities."""
    cautions = [Text(f"caution: {line}", style="yellow") for line in found.forecast.cautions]
    contains = found.contains
    note = (
        f"Bands: {contains['curve']}; {contains['new_run']}. Equal-tailed intervals of each row alone; the whole curve "
        f"lies in its band at all {len(found.points)} rows with that probability."
    )
    widest = max(probabilities)
    said = [Text(_sentence(found, widest), style="bold")]
    said += [Text(reached_line(found, loss, widest), style="bold") for loss in targets]
    return [*said, *cautions, _curve(found, probabilities), Text(note), *_beside(found, widest)]


def _sentence(found: Trajectory, probability: float) -> str:
    """Say the loss at the end of the run, and its band."""
    low, high = found.interval(probability)[-1]
    return (
        f"At {number(float(found.positions[-1]))} {found.along}: loss {number(float(found.median()[-1]))} "
        f"{found.forecast.loss_unit}; {span(low, high)} with probability {percent(probability)}."
    )


def _curve(found: Trajectory, probabilities: Sequence[float]) -> RenderableType:
    frame = found.to_frame(probabilities)
    frame = frame.iloc[evenly(len(frame), SHOWN)]
    growing = [name for name in ("steps", "tokens") if name in frame and frame[name].nunique() > 1]
    headers = [*growing, f"median [{found.forecast.loss_unit}]"]
    columns: list[list[Any]] = [*(list(frame[name].astype(float)) for name in growing), list(frame["curve_median"])]
    for of, word in (("curve", "curve"), ("new_run", "one evaluation")):
        for p in probabilities:
            headers.append(f"{percent(p)} {word}")
            columns.append(spans(frame[f"{of}_{p:g}_low"], frame[f"{of}_{p:g}_high"]))
    widest = max(probabilities)
    headers.append(f"{percent(widest)} whole curve")
    columns.append(spans(frame[f"curve_whole_{widest:g}_low"], frame[f"curve_whole_{widest:g}_high"]))
    title = f"Loss curve of {found.name}, by {found.forecast.label}"
    return table(headers, zip(*columns, strict=True), title=title, keys=len(growing))


def reached_line(found: Trajectory, loss: float, probability: float) -> str:
    """Return in one sentence where a loss is reached, and with which probability."""
    unit, reached = found.forecast.loss_unit, found.reached(loss, probability)
    end = f"{number(float(found.positions[-1]))} {found.along}"
    if reached["probability_reached"] == 0:
        return f"loss {loss:g} {unit} is not reached within {end} in any of {len(found.draws())} draws"
    if reached["probability_reached"] == 1:
        said = f"loss {loss:g} {unit} is reached within {end} in all of {len(found.draws())} draws"
    else:
        share = computed_percent(reached["probability_reached"], 1)
        said = f"loss {loss:g} {unit} is reached within {end} with probability {share}"
    counted_in = [of for of in ("steps", "tokens") if of in reached]
    first = reached[found.along]
    if found.run and first["low"] is not None and first["low"] == first["high"]:
        return f"loss {loss:g} {unit} is already reached at {found.along[:-1]} {number(first['median'])} (measured)"
    if reached[counted_in[0]]["median"] is None:
        return f"{said}; in most draws it is not reached by then"
    places = []
    for of in counted_in:
        middle, low, high = (reached[of][name] for name in ("median", "low", "high"))
        ends = span(low, high) if high is not None else f"{number(low)} to beyond the end"
        places.append(f"{number(middle)} {of} ({percent(probability)}: {ends})")
    return f"{said}: at {', '.join(places)}"


def _beside(found: Trajectory, probability: float) -> list[RenderableType]:
    """Return the laws' quantities at the end of the run; nothing where they have none."""
    frame = found.beside_frame(probability)
    last = frame[frame[found.along] == found.positions[-1]]
    if not len(last):
        return []
    loss_unit = found.forecast.loss_unit
    rows = [
        [
            row["quantity"],
            row["meaning"],
            *(
                (f"{number(row['median'])} {unit_of(row['unit'], loss_unit)}".strip(), span(row["low"], row["high"]))
                if row["defined"] > 0
                else ("no answer at this loss", "")
            ),
        ]
        for _, row in last.iterrows()
    ]
    title = f"Related quantities at the end of the run (loss {last['loss'].iloc[0]:.4g} {loss_unit})"
    headers = ["quantity", "meaning", "median", f"{percent(probability)} interval"]
    return [table(headers, rows, title=title)]

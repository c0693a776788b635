"""What the demo prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.cli.printing.ensembles import ensemble_content, ensemble_summary
from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.cli.demo import Demo
    from bayes_scaling.predict.forecast import Forecast

MANY = 4  # largest runs on one side of their forecasts that are worth a line: chance does it once in eight


def demo_story(demo: Demo) -> RenderableType:
    """Return what the demo did, in the order in which a planner would ask."""
    below, above, ahead = demo.below, demo.above, demo.forecast
    largest = above.column("flops").max() / below.column("flops").max()
    by = demo_content(demo)["held_out"]
    rows = [(one["law"], f"{one['weight']:.0%}", *_words(one)) for one in by[1:]]
    return Group(
        Text(
            f"Fitted {len(below)} small measured runs, held out the {len(above)} largest "
            f"(up to {largest:.0f}x the compute).",
            style="bold",
        ),
        Text(_held(by[0]), style="bold"),
        *(Text(line, style="bold") for line in _one_sided(ahead, above.loss)),
        Text(),
        ensemble_summary(demo.ensemble),
        Text(),
        measured_table(ahead, above.loss, above.labels, above.table),
        table(
            ("law", "weight", "inside 90%", "inside 50%", "error"),
            [*rows, ("all of them together", "100%", *_words(by[0]))],
            title="Each law by itself on the held-out runs",
        ),
        Text(
            "The bands contain parameters, disagreement between laws, the laws' own error along the size "
            "of runs, and run noise.",
            style="italic",
        ),
        Text("Written: " + ", ".join(str(path) for path in demo.files)),
    )


def demo_content(demo: Demo) -> dict[str, Any]:
    """Return as plain values how forecasts of all laws together, and of each alone, did; and each held-out run."""
    alone = sorted(demo.forecast.members.items(), key=lambda one: -one[1][0])
    rows = [("all of them together", 1.0, demo.forecast), *((name, weight, one) for name, (weight, one) in alone)]
    held_out = []
    for name, weight, forecast in rows:
        held_out.append(
            {
                "law": name,
                "weight": float(weight),
                "runs": len(demo.above),
                "inside_90": _inside(forecast, demo.above.loss, 0.9),
                "inside_50": _inside(forecast, demo.above.loss, 0.5),
                "mean_error": float(np.mean(np.abs(np.log(demo.above.loss / forecast.median())))),
            }
        )
    ahead = demo.forecast
    bands = {f"{of:.0%}": ahead.interval(of).tolist() for of in (0.5, 0.9)}
    columns = zip(demo.above.labels, ahead.extrapolation, ahead.median(), *bands.values(), demo.above.loss, strict=True)
    names = ("run", "extrapolation", "forecast", *(f"new_run_{of}" for of in bands), "measured")
    runs = [dict(zip(names, row, strict=True)) for row in columns]
    content = {
        "fitted_runs": len(demo.below),
        "held_out": held_out,
        "runs": runs,
        "files": [str(path) for path in demo.files],
    }
    return {**content, "ensemble": ensemble_content(demo.ensemble)}


def _inside(forecast: Forecast, measured: np.ndarray, probability: float) -> int:
    """Count the losses inside the band of one new run."""
    low, high = forecast.interval(probability).T
    return int(((low <= measured) & (measured <= high)).sum())


def _words(found: dict[str, Any]) -> tuple[str, str, str]:
    """Say how many losses were inside the 90 % band and the 50 % band, and the mean error."""
    runs = found["runs"]
    return f"{found['inside_90']} of {runs}", f"{found['inside_50']} of {runs}", f"{found['mean_error']:.1%}"


def _held(found: dict[str, Any]) -> str:
    inside_90, inside_50, error = _words(found)
    return (
        f"{inside_90} held-out losses are inside the 90% band of one new run, {inside_50} inside the 50% band; the "
        f"mean error is {error}."
    )


def _one_sided(forecast: Forecast, measured: np.ndarray) -> list[str]:
    """Say where the largest runs all lie on one side of their forecasts; nothing where they do not."""
    order = np.argsort(-forecast.extrapolation)
    off = (measured / forecast.median() - 1)[order]
    above = bool(off[0] > 0)
    same = int(np.argmax(np.append((off > 0) != above, True)))
    if same < MANY:
        return []
    least, most = sorted((float(off[:same].min()), float(off[:same].max())), key=abs)
    inner = forecast.interval(0.5)[order[:same]]
    outside = int(((measured[order[:same]] < inner[:, 0]) | (measured[order[:same]] > inner[:, 1])).sum())
    how_many = "all" if outside == same else str(outside)
    side, optimistic = ("above", "too low") if above else ("below", "too high")
    return [
        f"The {same} largest runs all lie {side} their forecasts, by {least:+.1%} to {most:+.1%}, {how_many} of them "
        f"outside the 50% band: at the far end this forecast was {optimistic}."
    ]


def measured_table(
    forecast: Forecast, measured: np.ndarray, labels: Sequence[str], frame: pd.DataFrame
) -> RenderableType:
    """Return forecast bands beside what was measured, hit or miss."""
    inner, outer = forecast.interval(0.5), forecast.interval(0.9)
    middle = forecast.median()
    rows = [
        (
            labels[i],
            float(forecast.extrapolation[i]),
            f"{middle[i]:.4f}",
            f"{inner[i, 0]:.4f} to {inner[i, 1]:.4f}",
            f"{outer[i, 0]:.4f} to {outer[i, 1]:.4f}",
            f"{measured[i]:.4f}",
            f"{measured[i] / middle[i] - 1:+.2%}",
            "inside" if outer[i, 0] <= measured[i] <= outer[i, 1] else "OUTSIDE",
        )
        for i in np.argsort(frame["flops"].to_numpy())
    ]
    headers = (
        "held-out run",
        "x largest fitted",
        "forecast",
        "50% one new run",
        "90% one new run",
        "measured",
        "error",
        "90% band",
    )
    return table(headers, rows, title=f"Forecast of one new run, loss in {forecast.loss_unit}")

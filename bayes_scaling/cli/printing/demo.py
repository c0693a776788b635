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


def demo_story(demo: Demo) -> RenderableType:
    """Return what the demo did, in the order in which a planner would ask."""
    below, above, ahead = demo.below, demo.above, demo.forecast
    largest = above.column("flops").max() / below.column("flops").max()
    by = demo_content(demo)["held_out"]
    rows = [(one["law"], f"{one['weight']:.0%}", *_words(one)) for one in by[1:]]
    inside, error = _words(by[0])
    return Group(
        Text(
            f"Fitted {len(below)} small measured runs, held out the {len(above)} largest "
            f"(up to {largest:.0f}x the compute).",
            style="bold",
        ),
        Text(),
        ensemble_summary(demo.ensemble),
        Text(),
        measured_table(ahead, above.loss, above.labels, above.table),
        Text(f"{inside} held-out losses are inside the 90% band of one new run; the error is {error}.\n"),
        table(
            ("law", "weight", "inside 90%", "error"),
            [*rows, ("all of them together", "100%", inside, error)],
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
        low, high = forecast.interval(0.9).T
        inside = (low <= demo.above.loss) & (demo.above.loss <= high)
        held_out.append(
            {
                "law": name,
                "weight": float(weight),
                "runs": len(demo.above),
                "inside_90": int(inside.sum()),
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


def _words(found: dict[str, Any]) -> tuple[str, str]:
    """Say how many losses were inside the 90 % band, and the mean error."""
    return f"{found['inside_90']} of {found['runs']}", f"{found['mean_error']:.1%}"


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
            f"{inner[i, 0]:.4f} - {inner[i, 1]:.4f}",
            f"{outer[i, 0]:.4f} - {outer[i, 1]:.4f}",
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

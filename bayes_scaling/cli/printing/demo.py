"""What the demo prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.cli.printing.fits import fit_summary
from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.cli.demo import Demo
    from bayes_scaling.predict.forecast import Forecast


def demo_story(demo: Demo) -> RenderableType:
    """Return what the demo did, in the order in which a planner would ask."""
    below, above = demo.below, demo.above
    largest = above.column("flops").max() / below.column("flops").max()
    totals = {law: float(score.sum()) for law, score in demo.scores.items()}
    other = min(totals, key=lambda law: totals[law])
    difference = demo.scores[demo.chosen] - demo.scores[other]
    error = float(np.sqrt(len(difference) * difference.var()))
    parts: list[RenderableType] = [
        Text(
            f"Fitted {len(below)} small measured runs, held out the {len(above)} largest "
            f"(up to {largest:.0f}x the compute).",
            style="bold",
        ),
        Text(
            f"On the fitted runs alone {demo.chosen} predicts left-out runs better than {other}: "
            f"PSIS-LOO log score {totals[demo.chosen]:.1f} against {totals[other]:.1f} "
            f"(difference {difference.sum():.1f}, standard error {error:.1f})."
        ),
        Text(),
        fit_summary(demo.fits[demo.chosen]),
        Text(),
    ]
    for law in sorted(totals, key=lambda name: -totals[name]):
        forecast = demo.forecasts[law]
        parts.append(measured_table(forecast, above.loss, above.labels, above.table))
        interval = forecast.interval(0.9)
        hits = int(np.sum((interval[:, 0] <= above.loss) & (above.loss <= interval[:, 1])))
        parts.append(Text(f"{law}: {hits} of {len(above)} held-out losses are inside the 90% band of one new run.\n"))
    parts.append(
        Text(
            "The bands hold uncertainty of the parameters, the law's own error along the size of runs, and run noise.",
            style="italic",
        )
    )
    parts.append(Text("Written: " + ", ".join(str(path) for path in demo.files)))
    return Group(*parts)


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
    return table(headers, rows, title=f"{forecast.label}, loss in {forecast.loss_unit}")

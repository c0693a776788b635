"""What the terminal prints about several laws together: their weights and why, and what each says alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.json_text import nulled
from bayes_scaling.base.messages import percent
from bayes_scaling.base.numbers import MISSING, number, spans
from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    from bayes_scaling.predict.ensemble import Ensemble
    from bayes_scaling.predict.forecast import Forecast


def ensemble_summary(ensemble: Ensemble) -> RenderableType:
    """Return the laws with their weights, how each would have forecast the largest runs, and why they weigh that."""
    frame = ensemble.to_frame()
    tested = bool(frame["log_score"].notna().any())
    headers = ["law", "weight", *(["log score", "error", "in 90%"] if tested else []), "why"]
    rows = []
    for _, row in frame.iterrows():
        scores = (
            _plain(row["log_score"], "{:.2f}"),
            _plain(row["error"], "{:.1%}"),
            _plain(row["inside_90"], "{:.0%}"),
        )
        rows.append((row["member"], f"{row['weight']:.0%}", *(scores if tested else ()), row["why"]))
    runs = ensemble.runs
    return Group(
        Text(f"{_laws(ensemble)} fitted together to {runs.counted} of {runs.source}", style="bold"),
        table(headers, rows),
        *_reasons(ensemble),
    )


def each_law_table(forecast: Forecast, ensemble: Ensemble, probability: float) -> RenderableType:
    """Return the forecast of each law alone at the largest run, with its weight and why."""
    each = each_law(forecast, ensemble, probability)
    bands = spans([row["low"] for row in each], [row["high"] for row in each])
    rows = [
        (row["law"], f"{row['weight']:.0%}", row["median"], band, row["why"])
        for row, band in zip(each, bands, strict=True)
    ]
    where = ", ".join(
        f"{name} {_number(str(name), value)}" for name, value in forecast.points.iloc[_largest(forecast)].items()
    )
    headers = ("law", "weight", "median", f"{percent(probability)} one new run", "why")
    several = len(forecast.points)
    run = "" if several == 1 else f"the largest of {several} runs, "
    return Group(table(headers, rows, title=f"What each law says by itself of {run}{where}"), *_reasons(ensemble))


def each_law(forecast: Forecast, ensemble: Ensemble, probability: float) -> list[dict[str, Any]]:
    """Return the forecast of each law alone at the largest run as plain values, the heaviest law first."""
    point = _largest(forecast)
    why = dict(zip(*(ensemble.to_frame()[name] for name in ("member", "why")), strict=True))
    rows = []
    for name, (weight, alone) in sorted(forecast.members.items(), key=lambda one: -one[1][0]):
        low, high = alone.interval(probability)[point]
        rows.append(
            {
                "law": name,
                "weight": float(weight),
                "median": float(alone.median()[point]),
                "low": float(low),
                "high": float(high),
                "why": why[name],
            }
        )
    return rows


def ensemble_content(ensemble: Ensemble) -> dict[str, Any]:
    """Return the laws with their weights and why as plain values."""
    return {
        "laws": nulled(ensemble.to_frame().to_dict(orient="records")),
        "why": None if ensemble.evidence is None else ensemble.evidence.why,
    }


def _largest(forecast: Forecast) -> int:
    return int(np.argmax(np.nan_to_num(forecast.extrapolation)))


def _reasons(ensemble: Ensemble) -> list[Text]:
    return [] if ensemble.evidence is None else [Text(f"Weights: {ensemble.evidence.why}.")]


def _laws(ensemble: Ensemble) -> str:
    count = len({fit.law.label for fit in ensemble.fits.values()})
    return "1 law" if count == 1 else f"{count} laws"


def _plain(value: float, form: str) -> str:
    return MISSING if np.isnan(value) else form.format(value)


def _number(name: str, value: Any) -> str:
    return value if isinstance(value, str) else number(float(value), powers=name == "flops")

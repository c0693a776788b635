"""A figure of several laws: what each says of one run, with its weight.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bayes_scaling.base.arguments import validated
from bayes_scaling.errors import ForecastError
from bayes_scaling.plot.style import (
    BLUE,
    INTERVALS,
    MEDIAN,
    PURPLE,
    VERMILLION,
    axis_label,
    band_name,
    checked_measured,
    checked_target,
    contents,
    described,
    escaped_text,
    legend_below,
    log_axis,
    new_figure,
    styled,
)
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast

SHOWN = 0.01  # weight from which a law is drawn


@styled
@validated
def plot_laws(
    ensemble: Ensemble,
    forecast: Forecast,
    target: float | None = None,
    measured: np.ndarray | Sequence[float] | None = None,
) -> Figure:
    """Show what each law says alone of the largest run of a forecast, beside its weight; all of them together on top.

    Parameters
    ----------
    ensemble : several laws
    forecast : by them
    target : loss to mark with a line
    measured : (n_point,) losses of the forecast runs; NaN if unknown

    Raises
    ------
    ForecastError
        When the forecast is by one law, ``target`` is no loss, or ``measured`` has another length than the forecast.
    """
    if not forecast.members:
        raise ForecastError("this forecast is by one law; of several, give what forecast(ensemble, ...) returns")
    target = checked_target(target, forecast.loss_unit)
    known = checked_measured(measured, len(forecast.points))
    point = int(np.argmax(np.nan_to_num(forecast.extrapolation)))
    members = sorted((one for one in forecast.members.items() if one[1][0] >= SHOWN), key=lambda one: one[1][0])
    rows = [*((name, weight, alone) for name, (weight, alone) in members), ("all together", 1.0, forecast)]
    what = f"What each law says of {described(ensemble.leading, forecast.points, point)}"
    figure = new_figure(ensemble, what, 9.0, 1.8 + 0.4 * len(rows), weights=False)
    ax, bars = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    at = np.arange(len(rows))
    for probability, of, width, colour in INTERVALS:
        ends = np.array([one.interval(probability, of)[point] for _, _, one in rows])
        ax.hlines(at, *ends.T, color=colour, linewidth=width, label=band_name(probability, of))
    ax.scatter([float(one.median()[point]) for _, _, one in rows], at, zorder=5, **MEDIAN)
    unit = escaped_text(forecast.loss_unit)
    if target is not None:
        ax.axvline(target, color=PURPLE, linewidth=1.5, linestyle="--", label=f"target {target:g} {unit}")
    if np.isfinite(known[point]):
        ax.axvline(known[point], color=VERMILLION, linewidth=1.5, label=f"measured {known[point]:.4g} {unit}")
    log_axis(ax, ax.xaxis, "loss", axis_label(ensemble.leading, "loss"))
    ax.set_yticks(at, [escaped_text(name) for name, _, _ in rows])
    bars.barh(at[:-1], [100 * weight for _, weight, _ in rows[:-1]], color=BLUE, height=0.6)
    bars.set_xlabel("weight [%]")
    bars.set_xlim(right=118 * max(weight for _, weight, _ in rows[:-1]))
    for place, (_, weight, _) in enumerate(rows[:-1]):
        style: Any = {"textcoords": "offset points", "va": "center", "fontsize": 8}
        bars.annotate(f"{weight:.0%}", (100 * weight, place), (4, 0), **style)
    legend_below(figure, ax.get_legend_handles_labels()[0], contents(ensemble, curves=True))
    return figure

"""A figure of several laws: what each says of one run, with its weight.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import percent
from bayes_scaling.errors import ForecastError
from bayes_scaling.plot.style import (
    BLUE,
    INTERVALS,
    MEDIAN,
    PURPLE,
    axis_label,
    checked_target,
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
def plot_laws(ensemble: Ensemble, forecast: Forecast, target: float | None = None) -> Figure:
    """Show what each law says alone of the largest run of a forecast, beside its weight; all of them together on top.

    Parameters
    ----------
    ensemble : several laws
    forecast : by them
    target : loss to mark with a line

    Raises
    ------
    ForecastError
        When the forecast is by one law, or ``target`` is no loss.
    """
    if not forecast.members:
        raise ForecastError("this forecast is by one law; of several, give what forecast(ensemble, ...) returns")
    target = checked_target(target, forecast.loss_unit)
    point = int(np.argmax(np.nan_to_num(forecast.extrapolation)))
    members = sorted((one for one in forecast.members.items() if one[1][0] >= SHOWN), key=lambda one: one[1][0])
    rows = [*((name, weight, alone) for name, (weight, alone) in members), ("all together", 1.0, forecast)]
    figure = new_figure(ensemble, "What each law says", 9.0, 1.8 + 0.4 * len(rows))
    ax, bars = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    at = np.arange(len(rows))
    for probability, of, width, colour in INTERVALS:
        ends = np.array([one.interval(probability, of)[point] for _, _, one in rows])
        label = f"{percent(probability)} of {'one new run' if of == 'new_run' else 'the mean curve'}"
        ax.hlines(at, *ends.T, color=colour, linewidth=width, label=label)
    ax.scatter([float(one.median()[point]) for _, _, one in rows], at, zorder=5, **MEDIAN)
    if target is not None:
        ax.axvline(target, color=PURPLE, linewidth=1.5, linestyle="--", label=f"target {target:g}")
    log_axis(ax, ax.xaxis, "loss", axis_label(ensemble.leading, "loss"))
    ax.set_yticks(at, [escaped_text(name) for name, _, _ in rows])
    bars.barh(at[:-1], [100 * weight for _, weight, _ in rows[:-1]], color=BLUE, height=0.6)
    bars.set_xlabel("weight [%]")
    legend_below(figure, ax.get_legend_handles_labels()[0])
    return figure

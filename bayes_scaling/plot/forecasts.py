"""Figures of a forecast: the curve along size with its bands, and planned runs.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_scaling.base.arguments import validated
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.observations import SIZE_MEASURES
from bayes_scaling.plot.fits import forecast_shown, shown_group
from bayes_scaling.plot.style import (
    AXES,
    CURVE,
    GREEN,
    GREY,
    INTERVALS,
    LISTED,
    MEASURED,
    MEDIAN,
    PURPLE,
    axis_label,
    band_name,
    checked_bands,
    checked_target,
    draw_dots,
    draw_fan,
    escaped_text,
    leading_of,
    legend_below,
    log_axis,
    new_figure,
    number_writer,
    styled,
)
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.frontier import compute_optimal


@styled
@validated
def plot_forecast(
    fit: Fit | Ensemble,
    forecast: Forecast,
    measured: np.ndarray | Sequence[float] | None = None,
    target: float | None = None,
) -> Figure:
    """Show fitted runs and forecast runs with intervals against the size of a run, and mark the largest fitted size.

    Size is training compute for laws of several inputs, else the law's only input. For a law of params and tokens
    the figure also shows the lowest loss at each amount of compute, for a law of one input the bands along it. Of
    several laws it is the loss by all of them at the split that is best by the one with most weight.

    Parameters
    ----------
    fit : a fit or an ensemble; what did not converge is drawn and marked
    forecast : its forecast of future runs
    measured : (n_point,) losses of those runs in the forecast's unit; NaN if unknown
    target : loss to mark with a line

    Raises
    ------
    ForecastError
        When ``measured`` has another length than the forecast, or ``target`` is not positive.
    """
    points = len(forecast.points)
    known = np.full(points, np.nan) if measured is None else np.asarray(measured, float)
    if known.shape != (points,):
        raise ForecastError(f"measured has shape {known.shape}, expected one loss for each of {points} forecast points")
    target = checked_target(target, forecast.loss_unit)
    source, fit = fit, leading_of(fit)
    figure = new_figure(source, "Forecast", 12.0, 5.8)
    ax, listing = figure.subplots(1, 2, width_ratios=(3, 2))
    name = _size_shown(fit, forecast)
    x = forecast.points[name].to_numpy(float)
    _draw_sizes(source, ax, name, x)
    order = np.argsort(x, kind="stable")[-LISTED:]
    _draw_points(source, ax, forecast, known, np.arange(points), x, upright=True)
    _draw_points(source, listing, forecast, known, order, np.arange(len(order)), upright=False)
    if target is not None:
        line: dict[str, Any] = {"color": PURPLE, "linewidth": 1.5, "linestyle": "--"}
        ax.axhline(target, label=f"target {target:g} {escaped_text(forecast.loss_unit)}", **line)
        listing.axvline(target, **line)
    log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
    log_axis(listing, listing.xaxis, "loss", axis_label(fit, "loss"))
    listing.set_yticks(
        range(len(order)), [_described(fit, forecast, i) for i in order], fontsize=min(9, 240 / len(order))
    )
    listing.set_ylim(-0.7, len(order) - 0.3)
    listing.set_title("forecast points, largest on top" + f" ({LISTED} largest of {points})" * (points > LISTED))
    legend_below(figure, ax.get_legend_handles_labels()[0])
    return figure


def _draw_sizes(source: Fit | Ensemble, ax: Axes, name: str, x: np.ndarray) -> None:
    """Draw fitted runs, the law along the size of runs, and the end of the fitted sizes."""
    fit = leading_of(source)
    fitted = fit.runs.column(name)
    left, right = min(fitted.min(), x.min()) / 1.3, 1.5 * max(fitted.max(), x.max())
    bands = checked_bands((0.5, 0.9))
    if set(fit.law.inputs) == {"params", "tokens"}:
        span = np.geomspace(left, right, 25)
        draw_fan(source, ax, span, bands, GREEN, _lowest(source, span))
    elif len(fit.law.inputs) == 1:
        span = np.geomspace(left, right, CURVE)
        along = forecast_shown(source, pd.DataFrame({name: span}))
        draw_fan(source, ax, span, bands, GREEN, along.mean, along.new_run)
    ax.axvspan(fitted.max(), right, color=GREY, alpha=0.1, linewidth=0, zorder=0, label="beyond the largest fitted run")
    draw_dots(ax, fitted, fit.runs.loss, color=GREY, label="fitted runs")
    log_axis(ax, ax.xaxis, name, axis_label(fit, name))
    ax.set_xlim(left, right)


def _lowest(source: Fit | Ensemble, flops: np.ndarray) -> np.ndarray:
    """Return draws of the lowest loss at each amount of compute, ``(n_draw, n_amount)``."""
    fit = leading_of(source)
    splits = [compute_optimal(fit, float(amount), group=shown_group(fit), unconverged=True) for amount in flops]
    if isinstance(source, Fit):
        return np.stack([split.loss for split in splits], axis=1)
    params = np.array([np.median(split.params) for split in splits])
    return forecast_shown(source, pd.DataFrame({"params": params, "flops": flops})).mean


def _draw_points(
    source: Fit | Ensemble,
    ax: Axes,
    forecast: Forecast,
    known: np.ndarray,
    shown: np.ndarray,
    at: np.ndarray,
    upright: bool,
) -> None:
    """Draw intervals, medians and measured losses of some forecast points, with the loss on either axis."""
    for probability, of, width, colour in INTERVALS:
        low, high = forecast.interval(probability, of)[shown].T
        lines = ax.vlines if upright else ax.hlines
        lines(at, low, high, color=colour, linewidth=width, zorder=4, label=band_name(source, probability, of))
    for values, style in ((forecast.median()[shown], MEDIAN), (known[shown], MEASURED)):
        seen = np.isfinite(values)
        if seen.any():
            pair = (at[seen], values[seen])
            ax.scatter(*(pair if upright else pair[::-1]), zorder=5, **style)


def _size_shown(fit: Fit, forecast: Forecast) -> str:
    """Return the column that fitted and forecast runs are drawn against."""
    columns = fit.law.inputs if len(fit.law.inputs) == 1 else (*SIZE_MEASURES, *fit.law.inputs)
    return next(name for name in columns if name in fit.runs and name in forecast.points)


def _described(fit: Fit, forecast: Forecast, point: int) -> str:
    """Return the inputs of a forecast point: N 7B, D 1.4T."""
    symbols = {
        name: AXES[name].split(" [")[0].split()[-1] if name in AXES else escaped_text(name) for name in fit.law.inputs
    }
    return ", ".join(
        f"{symbol} {number_writer(name)(forecast.points[name].iloc[point])}" for name, symbol in symbols.items()
    )

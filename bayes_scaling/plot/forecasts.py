"""Figures of a forecast: the curve along size with its bands, and planned runs.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation
from scipy.interpolate import PchipInterpolator

from bayes_scaling.base.arguments import validated
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.observations import SIZE_MEASURES
from bayes_scaling.plot.fits import forecast_shown, group_of, in_group, of_group
from bayes_scaling.plot.style import (
    BLUE,
    CURVE,
    GREEN,
    GREY,
    INTERVALS,
    LISTED,
    MEASURED,
    MEDIAN,
    PALE,
    PURPLE,
    axis_label,
    band_name,
    checked_bands,
    checked_measured,
    checked_target,
    contents,
    described,
    dot_size,
    draw_dots,
    draw_fan,
    escaped_text,
    four_digits,
    leading_of,
    legend_below,
    log_axis,
    new_figure,
    styled,
)
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.frontier import compute_optimal

FEW = 4  # up to this many forecast points, the legend stands below their list
SPLITS = 25  # amounts of compute that are split, from which those between follow


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
    several laws it is the loss by all of them at the split that is best by the one with most weight. Of a pooled
    fit, it is for the group of the largest forecast run; other groups are pale.

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
    known = checked_measured(measured, points)
    target = checked_target(target, forecast.loss_unit)
    source, fit = fit, leading_of(fit)
    name = _size_shown(fit, forecast)
    x = forecast.points[name].to_numpy(float)
    group = group_of(fit, forecast.points, int(np.argmax(x)))
    figure = new_figure(source, f"Forecast{of_group(group)}", 12.0, 5.8)
    ax, listing = _panels(figure, points)
    _draw_sizes(source, ax, name, x, group)
    order = np.argsort(x, kind="stable")[-LISTED:]
    _draw_points(ax, forecast, known, np.arange(points), x, upright=True)
    _draw_points(listing, forecast, known, order, np.arange(len(order)), upright=False)
    if target is not None:
        line: dict[str, Any] = {"color": PURPLE, "linewidth": 1.5, "linestyle": "--"}
        ax.axhline(target, label=f"target {target:g} {escaped_text(forecast.loss_unit)}", **line)
        listing.axvline(target, **line)
    log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
    log_axis(listing, listing.xaxis, "loss", axis_label(fit, "loss"))
    named = [described(fit, forecast.points, i) for i in order]
    listing.set_yticks(range(len(order)), named, fontsize=min(9, 240 / len(order)))
    listing.set_ylim(-0.7, len(order) - 0.3)
    largest = f" ({LISTED} largest of {points})" if points > LISTED else ""
    listing.set_title(f"forecast points, largest on top{largest}" if points > 1 else "the forecast point")
    handles, held = ax.get_legend_handles_labels()[0], contents(source, curves=True)
    if points > FEW:
        legend_below(figure, handles, held)
        return figure
    for place, i in enumerate(order):
        (low, high), median = forecast.interval(0.9)[i], forecast.median()[i]
        words = f"{four_digits(median)} (90%: {four_digits(low)} to {four_digits(high)})"
        halo = [withStroke(linewidth=3, foreground="white")]
        style: Any = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "path_effects": halo, "zorder": 6}
        listing.annotate(words, (np.sqrt(low * high), place), (0, 7), **style)
    # The empty corner below a short list holds the legend, and the panel of sizes has the whole height.
    corner = listing.transAxes + ScaledTranslation(-0.5, -0.6, figure.dpi_scale_trans)
    alone = {str(handle.get_label()): handle for handle in handles}
    told = escaped_text(textwrap.fill(held, 58))
    box: dict[str, Any] = {"bbox_to_anchor": (0, 0), "bbox_transform": corner, "loc": "upper left"}
    key = figure.legend(handles=list(alone.values()), title=told, fontsize=8, title_fontsize=8, alignment="left", **box)
    key.set_in_layout(False)
    return figure


def _panels(figure: Figure, points: int) -> tuple[Axes, Axes]:
    """Return a panel for sizes, and one for a list of points that is as high as they need."""
    if points > FEW:
        both = figure.subplots(1, 2, width_ratios=(3, 2))
        return both[0], both[1]
    needed = 0.13 + 0.08 * points
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2), height_ratios=(needed, 1 - needed))
    return figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])


def _draw_sizes(source: Fit | Ensemble, ax: Axes, name: str, x: np.ndarray, group: Mapping[str, str]) -> None:
    """Draw fitted runs, the law along the size of runs, and the end of the fitted sizes."""
    fit = leading_of(source)
    fitted = fit.runs.column(name)
    left, right = min(fitted.min(), x.min()) / 1.3, 1.5 * max(fitted.max(), x.max())
    bands, span = checked_bands((0.5, 0.9)), np.geomspace(left, right, CURVE)
    if set(fit.law.inputs) == {"params", "tokens"}:
        lowest = _lowest(source, span, group)
        draw_fan(ax, span, bands, GREEN, lowest)
        at = CURVE // 4
        style: Any = {"textcoords": "offset points", "ha": "right", "va": "top", "color": GREEN, "fontsize": 8}
        ax.annotate(
            "best split of\neach compute", (span[at], float(np.median(lowest[:, at]))), (-4, -10), **style, zorder=6
        )
    elif len(fit.law.inputs) == 1:
        along = forecast_shown(source, pd.DataFrame({name: span}), group)
        draw_fan(ax, span, bands, BLUE, along.mean, along.new_run)
    ax.axvspan(fitted.max(), right, color=GREY, alpha=0.1, linewidth=0, zorder=0, label="beyond the largest fitted run")
    own, size = in_group(fit, group), dot_size(len(fitted))
    if not own.all():
        draw_dots(
            ax, fitted[~own], fit.runs.loss[~own], color=PALE, zorder=1.2, s=size, label="fitted runs of other groups"
        )
    if own.any():
        of = f" of {escaped_text(', '.join(group.values()))}" if group else ""
        draw_dots(ax, fitted[own], fit.runs.loss[own], color=GREY, s=size, label=f"fitted runs{of}")
    log_axis(ax, ax.xaxis, name, axis_label(fit, name))
    ax.set_xlim(left, right)


def _lowest(source: Fit | Ensemble, flops: np.ndarray, group: Mapping[str, str]) -> np.ndarray:
    """Return draws of the lowest loss at each amount of compute, ``(n_draw, n_amount)``."""
    fit = leading_of(source)
    some = np.geomspace(flops[0], flops[-1], SPLITS)
    splits = [compute_optimal(fit, float(amount), group=group, unconverged=True) for amount in some]

    def between(values: np.ndarray) -> np.ndarray:
        """Smooth in the logarithms, as losses and best splits are."""
        return np.asarray(np.exp(PchipInterpolator(np.log(some), np.log(values), axis=-1)(np.log(flops))))

    if isinstance(source, Fit):
        return between(np.stack([split.loss for split in splits], axis=1))
    params = between(np.array([np.median(split.params) for split in splits]))
    return forecast_shown(source, pd.DataFrame({"params": params, "flops": flops}), group).mean


def _draw_points(
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
        lines(at, low, high, color=colour, linewidth=width, zorder=4, label=band_name(probability, of))
    for values, style in ((forecast.median()[shown], MEDIAN), (known[shown], MEASURED)):
        seen = np.isfinite(values)
        if seen.any():
            pair = (at[seen], values[seen])
            ax.scatter(*(pair if upright else pair[::-1]), zorder=5, **style)


def _size_shown(fit: Fit, forecast: Forecast) -> str:
    """Return the column that fitted and forecast runs are drawn against."""
    columns = fit.law.inputs if len(fit.law.inputs) == 1 else (*SIZE_MEASURES, *fit.law.inputs)
    return next(name for name in columns if name in fit.runs and name in forecast.points)

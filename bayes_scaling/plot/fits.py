"""Figures of a fit and its runs: every band is labelled with its probability and contents, every axis with its unit.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_scaling.base.arguments import validated
from bayes_scaling.data.columns import GROWING
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.observations import size_of
from bayes_scaling.model.pooling import group_names
from bayes_scaling.plot.style import (
    BLUE,
    CURVE,
    GREY,
    MARKED,
    SEQUENTIAL,
    Bands,
    LogTicks,
    axis_label,
    band_name,
    checked_bands,
    draw_dots,
    draw_fan,
    escaped_text,
    leading_of,
    legend_below,
    log_axis,
    new_figure,
    styled,
    tick_formatter,
)
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.forecast import forecast as forecast_at


@styled
@validated
def plot_fit(fit: Fit | Ensemble, probabilities: Sequence[float] = (0.5, 0.9)) -> Figure:
    """Show runs and fitted curves against each input of the law, on log-log axes.

    One panel per input. If the law has a second input, runs are coloured by it, and a curve with bands is drawn for
    a few of its values (marked at the colour bar), over the range of the runs near that value. Along a curve, further
    inputs are fixed at their geometric mean. A law that reads whole runs gets one panel with the fitted curve of each
    run instead. Bands of several laws are those of all of them, along the inputs of the one with most weight.

    Parameters
    ----------
    fit : a fit or an ensemble; what did not converge is drawn and marked
    probabilities : probabilities of the equal-tailed bands for one new run

    Raises
    ------
    ForecastError
        When a probability is not a fraction between 0 and 1.
    """
    source, fit = fit, leading_of(fit)
    bands, inputs = checked_bands(probabilities), fit.law.inputs
    if fit.law.features is not None:
        return _fitted_runs(fit, bands)
    figure = new_figure(source, "Fit", max(7.0, 5.6 * len(inputs)), 5.2)
    panels = figure.subplots(1, len(inputs), squeeze=False, sharey=True)[0]
    others = [next((other for other in inputs if other != name), None) for name in inputs]
    curves = [_curves(fit, name, other) for name, other in zip(inputs, others, strict=True)]
    points = pd.concat([curve for panel in curves for curve in panel], ignore_index=True)
    along = forecast_shown(source, points)  # a single call compiles only once
    draws = (np.split(kind, len(points) // CURVE, axis=1) for kind in (along.mean, along.new_run))
    drawn = zip(*draws, strict=True)
    for ax, name, other, panel in zip(panels, inputs, others, curves, strict=True):
        values = [float(curve[other].iloc[0]) if other else 0.0 for curve in panel]
        colour_of = _coloured_runs(fit, figure, ax, name, other, values)
        for value, curve in zip(values, panel, strict=True):
            draw_fan(source, ax, curve[name].to_numpy(), bands, colour_of(value), *next(drawn))
        if name in fit.law.may_be_zero:
            ax.set_xlabel(axis_label(fit, name))
        else:
            log_axis(ax, ax.xaxis, name, axis_label(fit, name))
        log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
        ax.tick_params(labelleft=True)
    held = "; other inputs at their geometric mean" if len(inputs) > 2 else ""
    held += "".join(f"; {escaped_text(f'{column} = {name}')}" for column, name in shown_group(fit).items())
    dot = Line2D([], [], color=GREY, marker="o", linestyle="", markersize=4, label="fitted runs")
    line = Line2D([], [], color=GREY, label=f"mean curve (posterior median{held})")
    patches = [Patch(facecolor=GREY, alpha=shade, label=band_name(source, p, "new_run")) for p, shade in bands]
    legend_below(figure, [dot, line, *patches])
    return figure


def _fitted_runs(fit: Fit, bands: Bands) -> Figure:
    """Show the losses of every run during training, and the law's curve at the same rows."""
    along = next((name for name in GROWING if name in fit.runs), None)
    if along is None or "run" not in fit.runs:
        raise ForecastError(f"{fit.runs.source} has no run ids, or no steps, tokens or flops, to draw curves along")
    figure = new_figure(fit, "Fit", 9.0, 5.6)
    ax = figure.subplots()
    labels, x = np.array(fit.runs.labels), fit.runs.column(along)
    mean, new_run = np.exp(fit.log_mean), fit.replicated.reshape(fit.log_mean.shape)
    names = list(dict.fromkeys(labels))
    shown = names[:: -(-len(names) // len(MARKED))]
    for (colour, marker), name in zip(MARKED, shown, strict=False):
        rows = np.flatnonzero(labels == name)
        rows = rows[np.argsort(x[rows])]
        draw_fan(fit, ax, x[rows], bands, colour, mean[:, rows], new_run[:, rows])
        some = rows[:: -(-len(rows) // CURVE)]
        draw_dots(ax, x[some], fit.runs.loss[some], color=colour, marker=marker, label=f"run {escaped_text(name)}")
    log_axis(ax, ax.xaxis, along, axis_label(fit, along))
    log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
    dots = ax.get_legend_handles_labels()[0]
    line = Line2D([], [], color=GREY, label="mean curve (posterior median)")
    patches = [Patch(facecolor=GREY, alpha=shade, label=band_name(fit, p, "new_run")) for p, shade in bands]
    handles = [handle for handle in dots if str(handle.get_label()).startswith("run ")]
    legend_below(figure, [*handles, line, *patches])
    return figure


def _curves(fit: Fit, name: str, other: str | None) -> list[pd.DataFrame]:
    """Return the curves of a panel: points along one input at a few values of the other."""
    # Distances are differences along an axis that may be zero, ratios along others.
    plain = set(fit.law.may_be_zero)
    scaled = {c: fit.runs.column(c) if c in plain else np.log(fit.runs.column(c)) for c in fit.law.inputs}
    z = scaled[other] if other else np.zeros(len(fit.runs))
    targets = np.linspace(np.quantile(z, 0.03), np.quantile(z, 0.97), 5)
    levels = np.unique(z[np.argmin(np.abs(z[:, None] - targets), axis=0)])  # of existing runs
    nearest = np.argmin(np.abs(z[:, None] - levels), axis=1)
    curves = []
    for i, level in enumerate(levels):
        # A curve is drawn only near runs with its value; elsewhere it would look like a fit to runs with other values.
        own = scaled[name][nearest == i]
        margin = 0.0 if name in plain else 0.1
        points = {column: np.full(CURVE, level if column == other else x.mean()) for column, x in scaled.items()}
        points[name] = np.linspace(own.min() - margin, own.max() + margin, CURVE)
        curves.append(pd.DataFrame({c: values if c in plain else np.exp(values) for c, values in points.items()}))
    return curves


def _coloured_runs(
    fit: Fit, figure: Figure, ax: Axes, name: str, other: str | None, values: Sequence[float]
) -> Callable[[float], Any]:
    """Scatter the runs, coloured by the other input; return the colour of a value of it."""
    x, loss = fit.runs.column(name), fit.runs.loss
    if other is None:
        draw_dots(ax, x, loss, color=GREY)
        return lambda _: BLUE
    z = fit.runs.column(other)
    even = other in fit.law.may_be_zero
    colours = ScalarMappable(Normalize(z.min(), z.max()) if even else LogNorm(z.min() / 1.1, z.max() * 1.1), SEQUENTIAL)
    draw_dots(ax, x, loss, color=colours.to_rgba(z), edgecolors="white")
    ticks: dict[str, Any] = {} if even else {"ticks": LogTicks(other), "format": tick_formatter(other)}
    bar = figure.colorbar(colours, ax=ax, pad=0.02, aspect=35, **ticks)
    bar.minorticks_off()
    bar.set_label(f"{axis_label(fit, other)}  (white: values of the curves)")
    bar.ax.hlines(values, 0, 1, color="white", linewidth=1.6)
    return lambda value: colours.to_rgba(np.array([value]))[0]


def shown_group(fit: Fit) -> dict[str, str]:
    """Return the group for which the curves of a pooled fit are drawn: the one with most rows."""
    if not fit.pooling:
        return {}
    return {
        column: Counter(group_names(fit.runs.table, column, "")).most_common(1)[0][0] for column in fit.groups.columns
    }


def forecast_shown(source: Fit | Ensemble, table: pd.DataFrame) -> Forecast:
    """Forecast along a curve; the fit may not have converged, because its figure is marked."""
    fit = leading_of(source)
    table = table.assign(**shown_group(fit))
    size = size_of(fit.runs)[0]
    if "noise.relative_size" in fit.noise.columns and size not in table and not {"params", "tokens"} <= set(table):
        # The noise needs the size of a run; one input does not determine it, so it follows the trend of fitted runs.
        names = list(fit.law.inputs)
        fitted, wanted = (np.log(frame[names].to_numpy(float)) for frame in (fit.runs.table, table))
        trend, *_ = np.linalg.lstsq(np.insert(fitted, 0, 1.0, axis=1), np.log(fit.runs.column(size)))
        table = table.assign(**{size: np.exp(np.insert(wanted, 0, 1.0, axis=1) @ trend)})
    with np.errstate(over="ignore"):  # a draw from a very heavy tail may be infinite, but no band reaches that far
        return forecast_at(source, table, unconverged=True)

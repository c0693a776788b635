"""Figures of a fit and its runs: every band is labelled with its probability and contents, every axis with its unit.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

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
    PALE,
    SEQUENTIAL,
    Bands,
    LogTicks,
    TickNumbers,
    axis_label,
    band_name,
    checked_bands,
    contents,
    dot_size,
    draw_dots,
    draw_fan,
    escaped_text,
    leading_of,
    legend_below,
    log_axis,
    new_figure,
    number_writer,
    styled,
    symbol_in,
)
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.forecast import forecast as forecast_at

NEAR = 3.0  # within this factor of an input that is held, a row is drawn as one that the curves are about
STUB = 0.25  # of the range of an axis; shorter curves are drawn over all of it
LINE, WORD = 0.045, 0.15  # height of a line of text and width of a word, of those of the axes


@styled
@validated
def plot_fit(fit: Fit | Ensemble, probabilities: Sequence[float] = (0.5, 0.9)) -> Figure:
    """Show runs and fitted curves against each input of the law, on log-log axes.

    One panel per input. If the law has a second input, runs are coloured by it, and a curve with bands is drawn for
    a few of its values (marked at the colour bar), over the range of the runs near that value. Along a curve, further
    inputs are fixed at their geometric mean, and runs far from it are pale, as are other groups than the one with most
    runs, which a pooled fit is drawn for. A law that reads whole runs gets one panel with the fitted curve of each
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
    group = largest_group(fit)
    figure = new_figure(source, f"Fit{of_group(group)}", max(7.0, 5.6 * len(inputs)), 5.2)
    panels = figure.subplots(1, len(inputs), squeeze=False, sharey=True)[0]
    others = [next((other for other in inputs if other != name), None) for name in inputs]
    curves = [_curves(fit, name, other, group) for name, other in zip(inputs, others, strict=True)]
    points = pd.concat([curve for panel in curves for curve in panel], ignore_index=True)
    along = forecast_shown(source, points, group)  # a single call compiles only once
    draws = (np.split(kind, len(points) // CURVE, axis=1) for kind in (along.mean, along.new_run))
    drawn = zip(*draws, strict=True)
    said: dict[str, None] = {}
    for ax, name, other, panel in zip(panels, inputs, others, curves, strict=True):
        values = [float(curve[other].iloc[0]) if other else 0.0 for curve in panel]
        shown, words = _rows_shown(fit, name, other, group)
        said |= dict.fromkeys(words)
        colour_of = _coloured_runs(fit, figure, ax, name, other, values, shown)
        ends = []
        for value, curve in zip(values, panel, strict=True):
            mean, new_run = next(drawn)
            draw_fan(ax, curve[name].to_numpy(), bands, colour_of(value), mean, new_run)
            ends.append((float(curve[name].iloc[-1]), float(np.median(mean[:, -1])), value))
        if name in fit.law.may_be_zero:
            ax.set_xlabel(axis_label(fit, name))
        else:
            log_axis(ax, ax.xaxis, name, axis_label(fit, name))
        log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
        ax.tick_params(labelleft=True)
        if other:
            _label_ends(ax, other, ends, colour_of)
    held = "; other inputs at their geometric mean" if len(inputs) > 2 else ""
    dots = [_mark(GREY, f"fitted runs{', ' + '; '.join(said) if said else ''}")]
    if said:
        dots.append(_mark(PALE, "all others"))
    line = Line2D([], [], color=GREY, label=f"mean curve (posterior median{held})")
    patches = [Patch(facecolor=GREY, alpha=shade, label=band_name(p, "new_run")) for p, shade in bands]
    legend_below(figure, [*dots, line, *patches], contents(source))
    return figure


def _mark(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker="o", linestyle="", markersize=4, label=label)


def _rows_shown(fit: Fit, name: str, other: str | None, group: Mapping[str, str]) -> tuple[np.ndarray, list[str]]:
    """Return which rows a panel's curves are about, ``(n_row,)``, and how they differ from the others."""
    own, words = in_group(fit, group), [escaped_text(f"{column} {value}") for column, value in group.items()]
    held = [one for one in fit.law.inputs if one not in (name, other, *fit.law.may_be_zero)]
    if not held:
        return own, words
    logs = np.array([np.log(fit.runs.column(one)) for one in held])
    away = np.abs(logs - logs.mean(axis=1, keepdims=True)).max(axis=0)
    near = max(np.log(NEAR), float(np.quantile(away, 0.15)))
    if away.max() <= near:
        return own, words
    return own & (away <= near), [*words, f"held inputs within a factor of {np.exp(near):.2g}"]


def _label_ends(
    ax: Axes, name: str, ends: Sequence[tuple[float, float, float]], colour_of: Callable[[float], Any]
) -> None:
    """Write the value of each curve at its right end, where there is room."""
    log = ax.get_xscale() == "log"
    if log:
        left, right = ax.get_xlim()
        ax.set_xlim(left, right * (right / left) ** 0.1)
    frame = [np.log(ax.get_xlim()) if log else np.array(ax.get_xlim()), np.log(ax.get_ylim())]
    taken: list[tuple[float, float]] = []
    for x, y, value in sorted(ends, key=lambda end: end[0], reverse=True):
        across, up = (
            (at - low) / (high - low)
            for at, (low, high) in zip((np.log(x) if log else x, np.log(y)), frame, strict=True)
        )
        if any(abs(up - other) < LINE and abs(across - there) < WORD for there, other in taken):
            continue
        taken.append((across, up))
        text = f"{symbol_in(name)} {number_writer(name)(value)}"
        dark = 0.75 * np.asarray(colour_of(value))[:3]
        halo = [withStroke(linewidth=2.5, foreground="white")]
        ax.annotate(
            *(text, (x, y), (5, 0)),
            textcoords="offset points", va="center", color=dark, fontsize=8, zorder=6, path_effects=halo,
        )  # fmt: skip


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
        draw_fan(ax, x[rows], bands, colour, mean[:, rows], new_run[:, rows])
        some = rows[:: -(-len(rows) // CURVE)]
        draw_dots(ax, x[some], fit.runs.loss[some], color=colour, marker=marker, label=f"run {escaped_text(name)}")
    log_axis(ax, ax.xaxis, along, axis_label(fit, along))
    log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
    dots = ax.get_legend_handles_labels()[0]
    line = Line2D([], [], color=GREY, label="mean curve (posterior median)")
    patches = [Patch(facecolor=GREY, alpha=shade, label=band_name(p, "new_run")) for p, shade in bands]
    handles = [handle for handle in dots if str(handle.get_label()).startswith("run ")]
    legend_below(figure, [*handles, line, *patches], contents(fit))
    return figure


def _curves(fit: Fit, name: str, other: str | None, group: Mapping[str, str] | None = None) -> list[pd.DataFrame]:
    """Return the curves of a panel: points along one input at a few values of the other."""
    # Distances are differences along an axis that may be zero, ratios along others.
    plain, rows = set(fit.law.may_be_zero), in_group(fit, group or {})
    of_rows = {c: fit.runs.column(c)[rows] for c in fit.law.inputs}
    scaled = {c: values if c in plain else np.log(values) for c, values in of_rows.items()}
    z = scaled[other] if other else np.zeros(int(rows.sum()))
    targets = np.linspace(np.quantile(z, 0.03), np.quantile(z, 0.97), 5)
    levels = np.unique(z[np.argmin(np.abs(z[:, None] - targets), axis=0)])  # of existing runs
    nearest = np.argmin(np.abs(z[:, None] - levels), axis=1)
    curves = []
    for i, level in enumerate(levels):
        # A curve is drawn only near runs with its value; elsewhere it would look like a fit to runs with other values.
        own = scaled[name][nearest == i]
        if np.ptp(own) < STUB * np.ptp(scaled[name]):
            own = scaled[name]  # but not so short that nobody sees a curve
        margin = 0.0 if name in plain else 0.1
        points = {column: np.full(CURVE, level if column == other else x.mean()) for column, x in scaled.items()}
        points[name] = np.linspace(own.min() - margin, own.max() + margin, CURVE)
        curves.append(pd.DataFrame({c: values if c in plain else np.exp(values) for c, values in points.items()}))
    return curves


def _coloured_runs(
    fit: Fit, figure: Figure, ax: Axes, name: str, other: str | None, values: Sequence[float], shown: np.ndarray
) -> Callable[[float], Any]:
    """Scatter the runs, those shown coloured by the other input; return the colour of a value of it."""
    x, loss, size = fit.runs.column(name), fit.runs.loss, dot_size(len(fit.runs))
    if not shown.all():
        draw_dots(ax, x[~shown], loss[~shown], color=PALE, zorder=1.2, s=size)
    if other is None:
        draw_dots(ax, x[shown], loss[shown], color=GREY, s=size)
        return lambda _: BLUE
    z = fit.runs.column(other)
    even = other in fit.law.may_be_zero
    colours = ScalarMappable(Normalize(z.min(), z.max()) if even else LogNorm(z.min() / 1.1, z.max() * 1.1), SEQUENTIAL)
    draw_dots(ax, x[shown], loss[shown], color=colours.to_rgba(z[shown]), edgecolors="white", s=size)
    ticks: dict[str, Any] = {} if even else {"ticks": LogTicks(other), "format": TickNumbers(other)}
    bar = figure.colorbar(colours, ax=ax, pad=0.02, aspect=35, **ticks)
    bar.minorticks_off()
    bar.set_label(f"{axis_label(fit, other)}  (white: values of the curves)")
    bar.ax.hlines(values, 0, 1, color="white", linewidth=1.6)
    return lambda value: colours.to_rgba(np.array([value]))[0]


def largest_group(fit: Fit) -> dict[str, str]:
    """Return the group of a pooled fit that has most rows."""
    if not fit.pooling:
        return {}
    return {
        column: Counter(group_names(fit.runs.table, column, "")).most_common(1)[0][0] for column in fit.groups.columns
    }


def group_of(fit: Fit, points: pd.DataFrame, point: int) -> dict[str, str]:
    """Return the group of a forecast point; of a column that it lacks, the group with most rows."""
    given = {column: group_names(points, column, "")[point] for column in fit.groups.columns if column in points}
    return {**largest_group(fit), **given}


def in_group(fit: Fit, group: Mapping[str, str]) -> np.ndarray:
    """Return which fitted rows are of a group, ``(n_row,)``; without a group, all of them."""
    rows = np.ones(len(fit.runs), bool)
    for column, name in group.items():
        rows &= np.array(group_names(fit.runs.table, column, "")) == name
    return rows


def of_group(group: Mapping[str, str]) -> str:
    """Return what a title says of a group."""
    return "".join(f", {column} = {name}" for column, name in group.items())


def forecast_shown(source: Fit | Ensemble, table: pd.DataFrame, group: Mapping[str, str] | None = None) -> Forecast:
    """Forecast along a curve; the fit may not have converged, because its figure is marked."""
    fit = leading_of(source)
    table = table.assign(**(largest_group(fit) if group is None else group))
    size = size_of(fit.runs)[0]
    if "noise.relative_size" in fit.noise.columns and size not in table and not {"params", "tokens"} <= set(table):
        # The noise needs the size of a run; one input does not determine it, so it follows the trend of fitted runs.
        names = list(fit.law.inputs)
        fitted, wanted = (np.log(frame[names].to_numpy(float)) for frame in (fit.runs.table, table))
        trend, *_ = np.linalg.lstsq(np.insert(fitted, 0, 1.0, axis=1), np.log(fit.runs.column(size)))
        table = table.assign(**{size: np.exp(np.insert(wanted, 0, 1.0, axis=1) @ trend)})
    with np.errstate(over="ignore"):  # a draw from a very heavy tail may be infinite, but no band reaches that far
        return forecast_at(source, table, unconverged=True)

"""Pictures of a fit and of its forecasts: every band says its probability and what it contains, every axis its unit.

Each function returns a `matplotlib.figure.Figure` of its own, outside pyplot; nothing global is changed.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from scipy.stats import gaussian_kde

from bayes_scaling.base.files import write_whole
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.errors import BayesScalingError, ForecastError, LawError
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.pooling import group_names
from bayes_scaling.model.program import ALONG, SIZES, size_of
from bayes_scaling.plot.style import (
    AXES,
    BLACK,
    BLUE,
    CURVE,
    DRAWN,
    GREEN,
    GREY,
    INTERVALS,
    LISTED,
    MARKED,
    MEASURED,
    MEDIAN,
    PURPLE,
    SEQUENTIAL,
    Bands,
    LogTicks,
    axis_label,
    band_name,
    checked_bands,
    draw_dots,
    draw_fan,
    escaped_text,
    legend_below,
    log_axis,
    new_figure,
    number_writer,
    plain_number,
    styled,
    symbol_of,
    tick_formatter,
)
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.forecast import forecast as forecast_at
from bayes_scaling.predict.frontier import compute_optimal

DENSITIES = 24  # panels of one picture that can still be read

# --- fit --------------------------------------------------------------------------------------------------------


@styled
def plot_fit(fit: Fit, probabilities: Sequence[float] = (0.5, 0.9)) -> Figure:
    """Show runs and fitted curves against each input of the law, on log-log axes.

    One panel per input. Where the law has another input, runs are coloured by it, and a curve with bands is drawn for
    a few of its values (marked at the colour bar), over the range where runs near that value lie. Inputs beyond two
    are held at their geometric mean along a curve. A law that reads whole runs gets one panel with the fitted curve of
    each run instead.

    Parameters
    ----------
    fit : posterior; one that did not converge is drawn, and marked
    probabilities : contents of the equal-tailed bands for one new run

    Raises
    ------
    ForecastError
        When a probability is not a fraction between 0 and 1.
    """
    bands, inputs = checked_bands(probabilities), fit.law.inputs
    if fit.law.features is not None:
        return _fitted_runs(fit, bands)
    figure = new_figure(fit, "Fit", max(7.0, 5.6 * len(inputs)), 5.2)
    panels = figure.subplots(1, len(inputs), squeeze=False, sharey=True)[0]
    others = [next((other for other in inputs if other != name), None) for name in inputs]
    curves = [_curves(fit, name, other) for name, other in zip(inputs, others, strict=True)]
    points = pd.concat([curve for panel in curves for curve in panel], ignore_index=True)
    along = _forecast(fit, points)  # one call, so that it compiles once
    draws = (np.split(kind, len(points) // CURVE, axis=1) for kind in (along.mean, along.new_run))
    drawn = zip(*draws, strict=True)
    for ax, name, other, panel in zip(panels, inputs, others, curves, strict=True):
        values = [float(curve[other].iloc[0]) if other else 0.0 for curve in panel]
        colour_of = _coloured_runs(fit, figure, ax, name, other, values)
        for value, curve in zip(values, panel, strict=True):
            draw_fan(fit, ax, curve[name].to_numpy(), bands, colour_of(value), *next(drawn))
        if name in fit.law.may_be_zero:
            ax.set_xlabel(axis_label(fit, name))
        else:
            log_axis(ax, ax.xaxis, name, axis_label(fit, name))
        log_axis(ax, ax.yaxis, "loss", axis_label(fit, "loss"))
        ax.tick_params(labelleft=True)
    held = "; further inputs at their geometric mean" if len(inputs) > 2 else ""
    held += "".join(f"; {escaped_text(f'{column} = {name}')}" for column, name in _shown_group(fit).items())
    dot = Line2D([], [], color=GREY, marker="o", linestyle="", markersize=4, label="fitted runs")
    line = Line2D([], [], color=GREY, label=f"mean curve (posterior median{held})")
    patches = [Patch(facecolor=GREY, alpha=shade, label=band_name(fit, p, "new_run")) for p, shade in bands]
    legend_below(figure, [dot, line, *patches])
    return figure


def _fitted_runs(fit: Fit, bands: Bands) -> Figure:
    """Show every run's losses along its training and the law's curve at the same rows."""
    along = next((name for name in ALONG if name in fit.runs), None)
    if along is None or "run" not in fit.runs:
        raise ForecastError(f"{fit.runs.source} has no run ids and steps, tokens or flops to draw runs along")
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
    """Return the curves of a panel: points along its input at a few values of the other input."""
    # Along an axis that may be zero, distances are differences; along the others, ratios.
    plain = set(fit.law.may_be_zero)
    scaled = {c: fit.runs.column(c) if c in plain else np.log(fit.runs.column(c)) for c in fit.law.inputs}
    z = scaled[other] if other else np.zeros(len(fit.runs))
    targets = np.linspace(np.quantile(z, 0.03), np.quantile(z, 0.97), 5)
    levels = np.unique(z[np.argmin(np.abs(z[:, None] - targets), axis=0)])  # of runs that exist
    nearest = np.argmin(np.abs(z[:, None] - levels), axis=1)
    curves = []
    for i, level in enumerate(levels):
        # A curve stays where runs near its value lie; elsewhere it would pass for a fit to runs of other values.
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


def _shown_group(fit: Fit) -> dict[str, str]:
    """Return the group that curves of a pooled fit are drawn for: the one with most rows."""
    if not fit.pooling:
        return {}
    return {
        column: Counter(group_names(fit.runs.table, column, "")).most_common(1)[0][0] for column in fit.groups.columns
    }


def _forecast(fit: Fit, table: pd.DataFrame) -> Forecast:
    """Forecast along a curve, of a fit that may not have converged: its picture is marked."""
    table = table.assign(**_shown_group(fit))
    size = size_of(fit.runs)[0]
    if "relative_size" in fit.noise.columns and size not in table and not {"params", "tokens"} <= set(table):
        # The noise reads the size of a run, which one input does not give: it follows the trend of the fitted runs.
        names = list(fit.law.inputs)
        fitted, wanted = (np.log(frame[names].to_numpy(float)) for frame in (fit.runs.table, table))
        trend, *_ = np.linalg.lstsq(np.insert(fitted, 0, 1.0, axis=1), np.log(fit.runs.column(size)))
        table = table.assign(**{size: np.exp(np.insert(wanted, 0, 1.0, axis=1) @ trend)})
    with np.errstate(over="ignore"):  # a draw from a very heavy tail may be infinite; no band reaches it
        return forecast_at(fit, table, unconverged=True)


# --- forecast ---------------------------------------------------------------------------------------------------


@styled
def plot_forecast(
    fit: Fit,
    forecast: Forecast,
    measured: np.ndarray | Sequence[float] | None = None,
    target: float | None = None,
) -> Figure:
    """Show fitted runs, forecast runs with their intervals, and where the data end, against the size of a run.

    Size is training compute for laws of several inputs, else the law's only input. A law of params and tokens also
    gets the lowest loss that each amount of compute can buy, a law of one input the bands along it.

    Parameters
    ----------
    fit : posterior; one that did not converge is drawn, and marked
    forecast : what it forecasts at future runs
    measured : (n_point,) losses of those runs in the forecast's unit; NaN where not known
    target : loss to draw as a line

    Raises
    ------
    ForecastError
        When ``measured`` has another length than the forecast, or ``target`` is not positive.
    """
    points = len(forecast.points)
    known = np.full(points, np.nan) if measured is None else np.asarray(measured, float)
    if known.shape != (points,):
        raise ForecastError(f"measured has shape {known.shape}, expected one loss for each of {points} forecast points")
    if target is not None and not target > 0:
        raise ForecastError(f"target loss is {target:g}, expected a positive number in {forecast.loss_unit}")
    figure = new_figure(fit, "Forecast", 12.0, 5.8)
    ax, listing = figure.subplots(1, 2, width_ratios=(3, 2))
    name = _size_shown(fit, forecast)
    x = forecast.points[name].to_numpy(float)
    _draw_sizes(fit, ax, name, x)
    order = np.argsort(x, kind="stable")[-LISTED:]
    _draw_points(fit, ax, forecast, known, np.arange(points), x, upright=True)
    _draw_points(fit, listing, forecast, known, order, np.arange(len(order)), upright=False)
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


def _draw_sizes(fit: Fit, ax: Axes, name: str, x: np.ndarray) -> None:
    """Draw fitted runs, what the law says along the sizes of runs, and where the fitted sizes end."""
    fitted = fit.runs.column(name)
    left, right = min(fitted.min(), x.min()) / 1.3, 1.5 * max(fitted.max(), x.max())
    bands = checked_bands((0.5, 0.9))
    if set(fit.law.inputs) == {"params", "tokens"}:
        span = np.geomspace(left, right, 25)
        losses = [compute_optimal(fit, flops, group=_shown_group(fit), unconverged=True).loss for flops in span]
        draw_fan(fit, ax, span, bands, GREEN, np.stack(losses, axis=1))
    elif len(fit.law.inputs) == 1:
        span = np.geomspace(left, right, CURVE)
        along = _forecast(fit, pd.DataFrame({name: span}))
        draw_fan(fit, ax, span, bands, GREEN, along.mean, along.new_run)
    ax.axvspan(fitted.max(), right, color=GREY, alpha=0.1, linewidth=0, zorder=0, label="beyond the largest fitted run")
    draw_dots(ax, fitted, fit.runs.loss, color=GREY, label="fitted runs")
    log_axis(ax, ax.xaxis, name, axis_label(fit, name))
    ax.set_xlim(left, right)


def _draw_points(
    fit: Fit, ax: Axes, forecast: Forecast, known: np.ndarray, shown: np.ndarray, at: np.ndarray, upright: bool
) -> None:
    """Draw intervals, medians and measured losses of some forecast points, loss on the vertical axis or the other."""
    for probability, of, width, colour in INTERVALS:
        low, high = forecast.interval(probability, of)[shown].T
        lines = ax.vlines if upright else ax.hlines
        lines(at, low, high, color=colour, linewidth=width, zorder=4, label=band_name(fit, probability, of))
    for values, style in ((forecast.median()[shown], MEDIAN), (known[shown], MEASURED)):
        seen = np.isfinite(values)
        if seen.any():
            pair = (at[seen], values[seen])
            ax.scatter(*(pair if upright else pair[::-1]), zorder=5, **style)


def _size_shown(fit: Fit, forecast: Forecast) -> str:
    """Return the column that fitted and forecast runs are drawn against."""
    columns = fit.law.inputs if len(fit.law.inputs) == 1 else (*SIZES, *fit.law.inputs)
    return next(name for name in columns if name in fit.runs and name in forecast.points)


def _described(fit: Fit, forecast: Forecast, point: int) -> str:
    """Return the inputs of a forecast point: N 7B, D 1.4T."""
    symbols = {
        name: AXES[name].split(" [")[0].split()[-1] if name in AXES else escaped_text(name) for name in fit.law.inputs
    }
    return ", ".join(
        f"{symbol} {number_writer(name)(forecast.points[name].iloc[point])}" for name, symbol in symbols.items()
    )


# --- parameters -------------------------------------------------------------------------------------------------


@styled
def plot_prior_posterior(fit: Fit) -> Figure:
    """Show the prior and the posterior density of every parameter of law and noise, and how much the data taught.

    Densities are scaled to the same height. The axis is logarithmic where a skewed prior of a positive
    parameter spans more than 1.5 decades; ``learned`` is 1 minus posterior over prior variance.

    Parameters
    ----------
    fit : posterior; one that did not converge is drawn, and marked. Of a pooled fit the first 24 parameters are shown
    """
    known = {row.name: row for row in fit.composition.rows}
    of_groups = [name for name in fit.draws if name.split("[")[0] in known]
    rows = [(name, known[name.split("[")[0]]) for name in of_groups[:DENSITIES]]
    columns = min(4, -(-len(rows) // 2))
    lines = -(-len(rows) // columns)
    figure = new_figure(fit, "Prior and posterior", 3.2 * columns, 2.4 * lines + 0.8)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    posterior = fit.flat()
    for ax, (name, row) in zip(panels, rows, strict=False):
        before, after = np.asarray(fit.prior[name]), posterior[name]
        low, middle, high = np.quantile(before, [0.01, 0.5, 0.99])
        skewed = high - middle > 2 * (middle - low)  # a prior with a wide but even spread reads better as it is
        log = bool(min(before.min(), after.min()) > 0 and high > 10**1.5 * low and skewed)
        _density(ax, before, GREY, log, label="prior (peak scaled to 1)")
        _density(ax, after, BLUE, log, label="posterior (peak scaled to 1)")
        unit = fit.runs.loss_unit if row.unit == "loss" else row.unit
        label = escaped_text(f"{textwrap.fill(row.meaning, 36)}\n[{unit}]")
        if log:
            log_axis(ax, ax.xaxis, "constant", label)
        ax.set_xlabel(label, fontsize=8)
        ax.set_xlim(min(low, after.min()), max(high, after.max()))
        learned = fit.contraction[name]
        median, *ends = (plain_number(float(f"{v:.3g}")) for v in np.quantile(after, [0.5, 0.05, 0.95]))
        taught = ">99%" if learned >= 0.995 else f"{learned:.0%}"
        group = escaped_text(name[len(row.name) :])
        ax.set_title(f"{symbol_of(row.name)}{group}: learned {taught}\n{median} (90%: {' to '.join(ends)})")
    for ax in panels[len(rows) :]:
        ax.set_axis_off()
    legend_below(figure, panels[0].get_lines())
    return figure


def _density(ax: Axes, draws: np.ndarray, colour: str, log: bool = False, label: str = "") -> None:
    """Draw the density of draws, (n_draw,), over their range, its peak at 1; per log unit with ``log``."""
    z = np.log(draws) if log else draws
    low, high = z.min(), z.max()
    grid = np.linspace(low, high, 200)
    kde = gaussian_kde(z[:: -(-len(z) // DRAWN)])
    # Mirrored at the extreme draws, so that a density that ends at a bound does not sag there.
    y = kde(grid) + kde(2 * low - grid) + kde(2 * high - grid)
    x = np.exp(grid) if log else grid
    ax.fill_between(x, y / y.max(), color=colour, alpha=0.3, linewidth=0)
    ax.plot(x, y / y.max(), color=colour, linewidth=1.2, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set(yticks=[], ylim=(0, 1.08))
    ax.spines["left"].set_visible(False)


@styled
def plot_exponents(fit: Fit, names: Sequence[str] | None = None) -> Figure:
    """Show parameters in pairs: highest-density regions of the posterior, marginals, constants of papers.

    Parameters
    ----------
    fit : posterior; one that did not converge is drawn, and marked
    names : parameters; by default the exponents, which are the law's parameters of unit 1

    Raises
    ------
    LawError
        When a name is no parameter of the fit, or the law has no exponents and none are named.
    """
    shown = _exponents(fit) if names is None else tuple(names)
    unknown = [name for name in shown if name not in fit.draws]
    if unknown or not shown:
        what = f"no parameter {unknown[0]!r}" if unknown else "no parameter of unit 1; name some"
        raise LawError(f"law {fit.law.label} has {what}; it was fitted with {', '.join(fit.draws)}")
    count, draws, bands = len(shown), fit.flat(), checked_bands((0.5, 0.9))
    what = "Posterior and published constants" if fit.law.published else "Posterior"
    figure = new_figure(fit, what, max(6.4, 2.4 * count + 2.2), 2.4 * count + 1.4)
    grid = figure.subplots(count, count, squeeze=False, sharex="col")
    papers = list(zip(fit.law.published, MARKED * len(fit.law.published), strict=False))
    for i, j in np.ndindex(count, count):
        across, below = shown[j], shown[i]
        ax: Any = grid[i, j]
        if j > i:
            ax.set_axis_off()
        elif i == j:
            _density(ax, draws[across], BLUE)
        else:
            _regions(ax, draws[across], draws[below], bands)
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        for paper, (colour, marker) in papers:
            if i == j and across in paper.values:
                ax.axvline(paper.values[across], color=colour, linewidth=1.2)
            elif j < i and {across, below} <= set(paper.values):
                ax.plot(paper.values[across], paper.values[below], marker, color=colour, markeredgecolor="white")
        if i == count - 1:
            ax.set_xlabel(symbol_of(across))
        if j == 0 < i:
            ax.set_ylabel(symbol_of(below))
    patches = [
        Patch(facecolor=BLUE, alpha=shade, label=band_name(fit, p, "density")) for p, shade in bands if count > 1
    ]
    marks = [Line2D([], [], color=c, marker=m, label=escaped_text(paper.name)) for paper, (c, m) in papers]
    if patches or marks:
        legend_below(figure, [*patches, *marks])
    return figure


def _exponents(fit: Fit) -> tuple[str, ...]:
    return tuple(row.name for row in fit.law.parameters if row.unit == "1" and row.name in fit.draws)


def _regions(ax: Axes, x: np.ndarray, y: np.ndarray, bands: Bands) -> None:
    """Fill the highest-density regions of pairs of draws, (n_draw,) each."""
    both = np.stack([x, y])[:, :: -(-len(x) // DRAWN)]
    axes = [np.linspace(v.min() - 0.1 * np.ptp(v), v.max() + 0.1 * np.ptp(v), 60) for v in both]
    mesh = np.stack(np.meshgrid(*axes))
    density = gaussian_kde(both)(mesh.reshape(2, -1)).reshape(60, 60)
    highest = np.sort(density.ravel())[::-1]
    content = np.cumsum(highest) / highest.sum()
    for probability, shade in bands:
        level = highest[np.searchsorted(content, probability)]
        ax.contourf(*axes, density, levels=[level, np.inf], colors=[BLUE], alpha=shade)
        ax.contour(*axes, density, levels=[level], colors=[BLUE], linewidths=0.8)


# --- checks -----------------------------------------------------------------------------------------------------


@styled
def plot_residuals(fit: Fit) -> Figure:
    """Show how far each run lies from the law, in percent of its loss, against each input and the fitted loss.

    The residual is 100 (log loss - posterior median of the log mean). The five largest are named.

    Parameters
    ----------
    fit : posterior; one that did not converge is drawn, and marked
    """
    middle = np.median(fit.log_mean, axis=0)
    residual = 100 * (np.log(fit.runs.loss) - middle)
    extreme, rest = np.split(np.argsort(-np.abs(residual)), [len(MARKED)])
    sigma = 100 * float(np.median(fit.draws.get("sigma", fit.width)))
    panels = {name: (fit.runs.column(name), axis_label(fit, name)) for name in fit.law.inputs}
    panels["loss"] = (np.exp(middle), "fitted " + axis_label(fit, "loss"))
    figure = new_figure(fit, "Residuals", 3.9 * len(panels), 4.6)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (name, (x, label)) in zip(grid, panels.items(), strict=True):
        scale = "" if fit.noise.scale == "constant" else f", {fit.noise.scale} scale"
        band = f"±1 scale of the run noise (posterior median sigma {sigma:.2g}%{scale})"
        ax.axhspan(-sigma, sigma, color=BLUE, alpha=0.2, linewidth=0, label=band)
        ax.axhline(0, color=BLACK, linewidth=0.8)
        draw_dots(ax, x[rest], residual[rest], color=GREY)
        for i, (colour, marker) in zip(extreme, MARKED, strict=False):
            named = f"run {escaped_text(fit.runs.labels[i])} ({residual[i]:+.2g}%)"
            style: Any = {"marker": marker, "color": colour, "edgecolors": "white", "linewidths": 0.5}
            ax.scatter(x[i], residual[i], s=36, zorder=4, label=named, **style)
        log_axis(ax, ax.xaxis, name, label)
    grid[0].set_ylabel(f"residual of log loss [%]{_outlier_scale(grid[0], residual, sigma)}")
    legend_below(figure, grid[0].get_legend_handles_labels()[0])
    return figure


def _outlier_scale(ax: Axes, residual: np.ndarray, sigma: float) -> str:
    """Where outliers would flatten all other runs, compress what is far from zero; say so for the axis label."""
    low, high = min(residual.min(), -sigma), max(residual.max(), sigma)
    if max(-low, high) < 15 * sigma:
        return ""
    ladder = np.outer(10.0 ** np.arange(-6, 4), [1, 2, 5]).ravel()
    linear = ladder[ladder >= 3 * sigma][0]
    ax.set_yscale("symlog", linthresh=linear, linscale=1.5)
    shown = ladder[ladder >= sigma]
    ticks = [tick for tick in (*-shown[::-1], 0.0, *shown) if 1.3 * low <= tick <= 1.3 * high]
    ax.set_yticks(ticks, [f"{tick:+g}" if tick else "0" for tick in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(1.3 * low, 1.3 * high)
    return f"\n(logarithmic beyond ±{linear:g}%)"


@styled
def plot_traces(fit: Fit) -> Figure:
    """Show the chains of every parameter: their ranks, which should stay flat, and their draws in order.

    Parameters
    ----------
    fit : posterior; one that did not converge is drawn, and marked
    """
    import arviz_base  # three seconds, and no other picture needs it
    import arviz_plots
    import xarray as xr

    plots: Any = arviz_plots  # has no types
    names = list(fit.draws)
    figure = new_figure(fit, "Chains", 9.0, 1.25 * len(names) + 1.4)
    grid = figure.subplots(len(names), 2, squeeze=False, sharex="col", width_ratios=(1, 2))
    diverging = {"diverging": np.asarray(fit.stats["diverging"], bool)}
    data = arviz_base.from_dict({"posterior": dict(fit.draws), "sample_stats": diverging})
    for column, draw in enumerate((plots.plot_rank, plots.plot_trace)):
        panels = xr.Dataset({name: ((), ax) for name, ax in zip(names, grid[:, column], strict=True)})
        on = xr.DataTree.from_dict({"/": xr.Dataset({"figure": ((), figure)}), "plot": panels})
        # Handing ArviZ our own axes keeps it from opening a pyplot figure.
        collection = plots.PlotCollection(
            data["posterior"].to_dataset(), on, aes={"color": ["chain"], "overlay": ["chain"]}, backend="matplotlib"
        )
        draw(data, plot_collection=collection, visuals={"title": False, "xlabel": False})
    for ax, name in zip(grid[:, 0], names, strict=True):
        ax.set_ylabel(symbol_of(name), rotation=0, ha="right", va="center", fontsize=11)
    for ax in grid[:-1].ravel():
        ax.tick_params(labelbottom=False)
    for line in (line for ax in grid[:, 1] for line in ax.get_lines()):
        line.set(linewidth=0.4, rasterized=True)  # as vectors, thousands of draws make a huge file
    # The p-value is of draws without autocorrelation; R-hat and effective sample size judge those there are.
    grid[-1, 0].set_xlabel("rank among all chains, as a fraction\n(flat: chains agree; p takes draws as independent)")
    grid[-1, 1].set_xlabel("draw")
    return figure


# --- files ------------------------------------------------------------------------------------------------------


def save_pictures(
    fit: Fit,
    folder: str | Path,
    forecast: Forecast | None = None,
    measured: np.ndarray | Sequence[float] | None = None,
    target: float | None = None,
    file_format: str = "png",
    progress: bool | None = None,
) -> list[Path]:
    """Draw every picture of a fit into a folder, which is made where it is missing.

    Each file is written under a temporary name and renamed, so that a picture that is there is whole.

    Parameters
    ----------
    fit : posterior
    folder : existing pictures of the same name are replaced
    forecast, measured, target : for `plot_forecast`, which is left out without a forecast
    file_format : ``png``, ``pdf``, ``svg`` or another that Matplotlib writes
    progress : show a bar; by default on a terminal

    Returns
    -------
    list of Path
        ``fit``, ``prior_posterior``, ``residuals``, ``traces``, ``exponents`` (of laws that have some), ``forecast``.

    Raises
    ------
    BayesScalingError
        When the format is not known or the folder cannot be written.
    ForecastError
        When measured losses or a target are given without a forecast.
    """
    formats = FigureCanvasBase.get_supported_filetypes()
    if file_format not in formats:
        raise BayesScalingError(
            f"no picture can be written as {file_format!r}; choose one of {', '.join(sorted(formats))}"
        )
    if forecast is None and (measured is not None or target is not None):
        raise ForecastError("measured losses and a target belong to a forecast; pass forecast=... too")
    pictures: dict[str, Callable[[], Figure]] = {
        "fit": lambda: plot_fit(fit),
        "prior_posterior": lambda: plot_prior_posterior(fit),
        "residuals": lambda: plot_residuals(fit),
        "traces": lambda: plot_traces(fit),
    }
    if _exponents(fit):
        pictures["exponents"] = lambda: plot_exponents(fit)
    if forecast is not None:
        pictures["forecast"] = lambda: plot_forecast(fit, forecast, measured, target)
    paths: list[Path] = []
    with progress_bar("pictures", progress) as report:
        for name, draw in pictures.items():
            report(name, len(paths) / len(pictures))
            paths.append(saved(draw(), Path(folder) / f"{name}.{file_format}"))
    return paths


def saved(figure: Figure, path: Path) -> Path:
    """Write a figure whole; return the path."""
    return write_whole(path, lambda partial: figure.savefig(partial, format=path.suffix[1:]))

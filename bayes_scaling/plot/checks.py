"""Figures that check a fit: residuals and traces.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bayes_scaling.base.arguments import validated
from bayes_scaling.inference.result import Fit
from bayes_scaling.plot.style import (
    BLACK,
    BLUE,
    GREY,
    MARKED,
    axis_label,
    draw_dots,
    escaped_text,
    legend_below,
    log_axis,
    new_figure,
    styled,
    symbol_of,
)


@styled
@validated
def plot_residuals(fit: Fit) -> Figure:
    """Show the residual of each run, in percent of its loss, against each input and the fitted loss.

    The residual is 100 (log loss - posterior median of the log mean). The five largest are labelled.

    Parameters
    ----------
    fit : a fit; one that did not converge is drawn and marked
    """
    middle = np.median(fit.log_mean, axis=0)
    residual = 100 * (np.log(fit.runs.loss) - middle)
    extreme, rest = np.split(np.argsort(-np.abs(residual)), [len(MARKED)])
    sigma = 100 * float(np.median(fit.draws.get("sigma", fit.row_scale)))
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
    """Compress large residuals if outliers would flatten all others; return what to add to the axis label."""
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
@validated
def plot_traces(fit: Fit) -> Figure:
    """Show the chains of every parameter: their ranks, which should be uniform, and their draws in order.

    Parameters
    ----------
    fit : a fit; one that did not converge is drawn and marked
    """
    import arviz_base  # takes three seconds to import, and no other figure needs it
    import arviz_plots
    import xarray as xr

    plots: Any = arviz_plots  # is untyped
    names = list(fit.draws)
    figure = new_figure(fit, "Chains", 9.0, 1.25 * len(names) + 1.4)
    grid = figure.subplots(len(names), 2, squeeze=False, sharex="col", width_ratios=(1, 2))
    diverging = {"diverging": np.asarray(fit.stats["diverging"], bool)}
    safe = {name: name.replace("/", "\u2215") for name in names}  # a group may have a slash, which ends a name there
    draws = {safe[name]: values for name, values in fit.draws.items()}
    data = arviz_base.from_dict({"posterior": draws, "sample_stats": diverging})
    for column, draw in enumerate((plots.plot_rank, plots.plot_trace)):
        panels = xr.Dataset({safe[name]: ((), ax) for name, ax in zip(names, grid[:, column], strict=True)})
        on = xr.DataTree.from_dict({"/": xr.Dataset({"figure": ((), figure)}), "plot": panels})
        # Given our own axes, ArviZ does not open a pyplot figure.
        collection = plots.PlotCollection(
            data["posterior"].to_dataset(), on, aes={"color": ["chain"], "overlay": ["chain"]}, backend="matplotlib"
        )
        draw(data, plot_collection=collection, visuals={"title": False, "xlabel": False})
    for ax, name in zip(grid[:, 0], names, strict=True):
        ax.set_ylabel(symbol_of(name), rotation=0, ha="right", va="center", fontsize=11)
    for ax in grid[:-1].ravel():
        ax.tick_params(labelbottom=False)
    for line in (line for ax in grid[:, 1] for line in ax.get_lines()):
        line.set(linewidth=0.4, rasterized=True)  # thousands of draws as vectors make a huge file
    # The p-value assumes draws without autocorrelation; R-hat and effective sample size do not.
    told = "rank among all chains, as a fraction\n(flat: chains agree;\np assumes independent draws)"
    grid[-1, 0].set_xlabel(told)
    grid[-1, 1].set_xlabel("draw")
    return figure

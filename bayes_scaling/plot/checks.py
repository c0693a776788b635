"""Figures that check a fit: residuals and traces.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import equal_tails, percent
from bayes_scaling.data.columns import GROWING
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.pooling import shared_first
from bayes_scaling.plot.parameters import DENSITIES, some_of
from bayes_scaling.plot.style import (
    BLACK,
    BLUE,
    GREY,
    MARKED,
    STYLE,
    axis_label,
    draw_dots,
    escaped_text,
    legend_below,
    log_axis,
    new_figure,
    number_writer,
    plain_number,
    styled,
    symbol_in,
    symbol_of,
)

OUTLIER = 15.0  # scales, from which a residual would flatten all others
DECADES = 30.0  # times the median, from which draws need a logarithmic axis
LAPLACE = "Laplace"
ENVELOPE = 0.99  # of ranks, where chains agree


@styled
@validated
def plot_residuals(fit: Fit) -> Figure:
    """Show the residual of each row over the scale of one new run there, against each input and the fitted loss.

    The residual is log loss minus the posterior median of the log mean. The scale is half of the width that holds the
    central 68 % of new runs at that row, by its own noise: where small runs scatter more, or whole curves depart from
    the law, they are allowed to. The runs with the five largest are named, with the residual in percent of the loss.

    Parameters
    ----------
    fit : a fit; one that did not converge is drawn and marked
    """
    middle = np.median(fit.log_mean, axis=0)
    residual, scale = np.log(fit.runs.loss) - middle, _scale_of_new_runs(fit)
    score = residual / scale
    extreme = _largest_of_each_run(fit, np.abs(score))[: len(MARKED)]
    rest = np.setdiff1d(np.arange(len(score)), extreme)
    panels = {name: (fit.runs.column(name), axis_label(fit, name)) for name in fit.law.inputs}
    panels["loss"] = (np.exp(middle), "fitted " + axis_label(fit, "loss"))
    figure = new_figure(fit, "Residuals", 3.9 * len(panels), 4.6)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    whole = ", the deviation of its curve included" if fit.noise.correlated else ""
    low, high = (plain_number(float(f"{100 * end:.2g}")) for end in (scale.min(), scale.max()))
    band = f"±1 scale of a new run{whole}: {low}%" + (f" to {high}% of the loss" if low != high else " of the loss")
    for ax, (name, (x, label)) in zip(grid, panels.items(), strict=True):
        ax.axhspan(-1, 1, color=BLUE, alpha=0.2, linewidth=0, label=band)
        ax.axhline(0, color=BLACK, linewidth=0.8)
        draw_dots(ax, x[rest], score[rest], color=GREY)
        for i, (colour, marker) in zip(extreme, MARKED, strict=False):
            named = f"{_named(fit, i)}: {score[i]:+.2g} ({100 * residual[i]:+.2g}%)"
            style: Any = {"marker": marker, "color": colour, "edgecolors": "white", "linewidths": 0.5}
            ax.scatter(x[i], score[i], s=36, zorder=4, label=named, **style)
        log_axis(ax, ax.xaxis, name, label)
    grid[0].set_ylabel(f"residual / scale of a new run{_outlier_scale(grid[0], score)}")
    legend_below(figure, grid[0].get_legend_handles_labels()[0])
    return figure


def _scale_of_new_runs(fit: Fit) -> np.ndarray:
    """Return half the width that holds the central 68 % of log losses of new runs at each row, ``(n_row,)``."""
    with np.errstate(over="ignore"):  # a draw from a very heavy tail may be infinite, but no band reaches that far
        drawn = np.log(fit.replicated.reshape(fit.log_mean.shape)) - fit.log_mean
    low, high = np.quantile(drawn, equal_tails(0.68), axis=0)
    return np.asarray((high - low) / 2)


def _largest_of_each_run(fit: Fit, score: np.ndarray) -> np.ndarray:
    """Return the row of each run with the largest score, the largest first."""
    order = np.argsort(-score, kind="stable")
    _, first = np.unique(np.array(fit.runs.labels)[order], return_index=True)
    return np.asarray(order[np.sort(first)])


def _named(fit: Fit, row: int) -> str:
    """Return the name of a row: its run, and where along it if that has several."""
    name, labels = fit.runs.labels[row], fit.runs.labels
    text = escaped_text(name if name.startswith("run") else f"run {name}")
    along = next((column for column in GROWING if column in fit.runs), None)
    if along is None or labels.count(name) < 2:
        return text
    return f"{text}, {symbol_in(along)} {number_writer(along)(float(fit.runs.column(along)[row]))}"


def _outlier_scale(ax: Axes, score: np.ndarray) -> str:
    """Compress large residuals if outliers would flatten all others; return what to add to the axis label."""
    low, high = min(score.min(), -1.0), max(score.max(), 1.0)
    if max(-low, high) < OUTLIER:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
        return ""
    ladder = np.outer(10.0 ** np.arange(0, 12), [1, 2, 5]).ravel()
    linear = 5.0
    ax.set_yscale("symlog", linthresh=linear, linscale=1.5)
    # Within the linear part few ticks have room, beyond it a decade has one where there are many.
    shown = ladder if max(-low, high) < 200 else ladder[(ladder < linear) | (np.log10(ladder) % 1 == 0)]
    ticks = [tick for tick in (*-shown[::-1], 0.0, *shown) if 1.3 * low <= tick <= 1.3 * high]
    ax.set_yticks(ticks, [f"{tick:+g}" if tick else "0" for tick in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(1.3 * low, 1.3 * high)
    return f"\n(logarithmic beyond ±{linear:g})"


@styled
@validated
def plot_traces(fit: Fit) -> Figure:
    """Show the chains of each parameter: their ranks, which should be uniform, and their draws in order.

    The draws of a Laplace approximation are independent and have no chains, so that they are shown alone.

    Parameters
    ----------
    fit : a fit; one that did not converge is drawn and marked. Of many parameters 24 are shown,
        those that all groups share first
    """
    import arviz_base  # takes three seconds to import, and no other figure needs it
    import arviz_plots
    import xarray as xr

    plots: Any = arviz_plots  # is untyped
    names, independent = shared_first(fit.draws)[:DENSITIES], fit.sampler_used == LAPLACE
    what = "Independent draws of a Laplace approximation" if independent else "Chains"
    figure = new_figure(fit, what + some_of(len(names), len(fit.draws)), 9.0, 0.8 * len(names) + 1.6)
    drawn = (plots.plot_trace,) if independent else (plots.plot_rank, plots.plot_trace)
    ratios = (1, 2)[-len(drawn) :]
    grid = figure.subplots(len(names), len(drawn), squeeze=False, sharex="col", width_ratios=ratios)
    diverging = {"diverging": np.asarray(fit.stats["diverging"], bool)}
    safe = {name: name.replace("/", "\u2215") for name in names}  # a group may have a slash, which ends a name there
    draws = {safe[name]: fit.draws[name] for name in names}
    data = arviz_base.from_dict({"posterior": draws, "sample_stats": diverging})
    # Draws are thinned to nearly independent ones, for which the envelope of ranks holds.
    ranked = {"method": "envelope", "envelope_prob": ENVELOPE}
    for column, draw in enumerate(drawn):
        panels = xr.Dataset({safe[name]: ((), ax) for name, ax in zip(names, grid[:, column], strict=True)})
        on = xr.DataTree.from_dict({"/": xr.Dataset({"figure": ((), figure)}), "plot": panels})
        # Given our own axes, ArviZ does not open a pyplot figure.
        collection = plots.PlotCollection(
            data["posterior"].to_dataset(), on, aes={"color": ["chain"], "overlay": ["chain"]}, backend="matplotlib"
        )
        more = ranked if draw is plots.plot_rank else {}
        draw(data, plot_collection=collection, visuals={"title": False, "xlabel": False}, **more)
    for ax, name in zip(grid[:, 0], names, strict=True):
        ax.set_ylabel(symbol_of(name), rotation=0, ha="right", va="center", fontsize=11)
    for ax in grid[:-1].ravel():
        ax.tick_params(labelbottom=False)
    for ax, name in zip(grid[:, -1], names, strict=True):
        for line in ax.get_lines():
            line.set(linewidth=0.4, rasterized=True)  # thousands of draws as vectors make a huge file
        values = fit.draws[name]
        if values.min() > 0 and values.max() > DECADES * np.median(values):
            log_axis(ax, ax.yaxis, "constant", "")
            ax.set_ylabel(symbol_of(name) if independent else "", rotation=0, ha="right", va="center", fontsize=11)
    grid[-1, -1].set_xlabel("draw")
    if not independent:
        grid[-1, 0].set_xlabel("rank among all chains, as a fraction")
        colours = STYLE["axes.prop_cycle"].by_key()["color"]
        chains = [Line2D([], [], color=colours[i % len(colours)], label=f"chain {i + 1}") for i in range(len(values))]
        band = Patch(color=GREY, alpha=0.3, linewidth=0, label=f"{percent(ENVELOPE)} of ranks where chains agree")
        legend_below(figure, [*chains, band])
    return figure

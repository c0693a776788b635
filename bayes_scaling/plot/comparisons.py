"""Figures of a comparison: held-out forecasts of each law with measured losses, scores and weights, calibration.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.names import COMPARED
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.plot.style import (
    BLACK,
    BLUE,
    GREY,
    MARKED,
    VERMILLION,
    escaped_text,
    legend_below,
    log_axis,
    saved,
    shortened,
    styled,
    wrapped,
)

PANELS = 8  # candidates that are drawn one by one
SE_OF_90 = 1.645  # standard errors on either side that hold 90 %
SHOWN_ERROR = 0.5  # of the loss; a forecast further off is drawn at the edge


def _figure(comparison: Comparison, what: str, width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    title = f"{what}: {comparison.runs.counted} of {shortened(comparison.runs.source)}"
    figure.suptitle(escaped_text(wrapped(title, int(11 * width))), fontsize=10, fontweight="bold")
    return figure


@styled
@validated
def plot_held_out(comparison: Comparison) -> Figure:
    """Draw the forecasts of each candidate beyond the lowest cut and the measured losses, relative to its median."""
    names = comparison.posteriors[:PANELS]
    lowest = min(comparison.cuts, key=lambda cut: cut.at)
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = _figure(
        comparison,
        f"Forecasts of runs with {lowest.column} above {lowest.at:.4g}, held out",
        3.2 * columns + 0.6,
        3.1 * rows + 0.9,
    )
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    everything = comparison.scores[comparison.scores["cut"] == lowest.label]
    for ax, name in zip(panels.flat, names, strict=False):
        held_out = everything[everything["candidate"] == name].sort_values("extrapolation")
        _draw_held_out(ax, held_out)
        inside = int((np.abs(held_out["pit"] - 0.5) <= 0.45).sum())
        words = textwrap.fill(f"{name}: {inside} of {len(held_out)} inside 90%", 36)
        ax.set_title(escaped_text(words))
    for ax in panels.flat[len(names) :]:
        ax.remove()
    low, high = everything["extrapolation"].min(), everything["extrapolation"].max()
    for ax in panels.flat[: len(names)]:
        log_axis(ax, ax.xaxis, "factor", "size / largest fitted run")
        ax.set_xlim(low / 1.2, high * 1.2)
        ax.tick_params(labelbottom=True)
    for row in panels:
        row[0].set_ylabel("loss / median forecast - 1")
        row[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    seen = {str(h.get_label()): h for ax in panels.flat for h in ax.get_legend_handles_labels()[0]}
    figure.legend(handles=list(seen.values()), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _draw_held_out(ax: Axes, held_out: pd.DataFrame) -> None:
    x, median = held_out["extrapolation"].to_numpy(), held_out["median"].to_numpy()

    def relative(column: str) -> np.ndarray:
        return np.asarray(np.clip(held_out[column].to_numpy() / median - 1, -SHOWN_ERROR, SHOWN_ERROR))

    ax.axhline(0, color=BLACK, linewidth=0.8)
    ax.vlines(x, relative("low"), relative("high"), color=BLUE, linewidth=1.0, label="90% of one new run, equal-tailed")
    ax.vlines(x, relative("lower"), relative("upper"), color=BLUE, linewidth=3.0, alpha=0.6, label="50% of one new run")
    inside = np.abs(held_out["pit"].to_numpy() - 0.5) <= 0.45
    error = relative("loss")
    style: Any = {"edgecolors": "white", "linewidths": 0.4, "zorder": 5}
    ax.scatter(x[inside], error[inside], s=18, marker="o", color=BLACK, label="measured", **style)
    if (~inside).any():
        ax.scatter(x[~inside], error[~inside], s=24, marker="X", color=VERMILLION, label="measured, outside", **style)


@styled
@validated
def plot_ranking(comparison: Comparison) -> Figure:
    """Draw scores relative to the best law, with 90 % bars of their standard errors, and the weights of the laws."""
    ranked = comparison.to_frame()
    figure = _figure(comparison, "Leave-largest-out", 10.0, 0.36 * len(ranked) + 1.9)
    scores, weights = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    at = np.arange(len(ranked))[::-1]
    floor = max(-10.0, float(ranked["difference"].min()))
    ends: list[float] = []
    cut = False
    ours = ranked["weight"].notna().to_numpy()
    mixed = ranked["candidate"].isin(comparison.posteriors).to_numpy() & ~ours
    for chosen, colour, marker, name in (
        (ours, BLUE, "o", "posterior"),
        (mixed, VERMILLION, "D", "laws together"),
        (~ours & ~mixed, GREY, "s", "baseline"),
    ):
        if not chosen.any():
            continue
        gap = np.maximum(ranked.loc[chosen, "difference"].to_numpy(), floor)
        error = SE_OF_90 * ranked.loc[chosen, "difference_se"].fillna(0.0).to_numpy()
        beyond = ranked.loc[chosen, "difference"].to_numpy() < floor
        error[beyond] = 0.0  # the arrow stands for a score further left
        cut |= bool(beyond.any())
        ends.append((gap - error).min())
        scores.plot(gap[beyond], at[chosen][beyond], "<", color=colour, markersize=9)
        scores.errorbar(gap, at[chosen], xerr=error, fmt=marker, color=colour, markersize=5, capsize=2, label=name)
    scores.axvline(0, color=BLACK, linewidth=0.8)
    edge = max(min(1.15 * floor - 0.2, 1.05 * min(ends)), 2 * floor - 1)
    scores.set_xlim(edge, 0.5 - 0.1 * floor)
    scores.set_yticks(at, [escaped_text(textwrap.shorten(str(name), 44)) for name in ranked["candidate"]])
    told = "bars: 90%, 1.64 standard errors" + ("; arrows: further left" if cut else "")
    scores.set_xlabel(f"log score per held-out run, relative to the best law [nats]\n({told})")
    weights.barh(at + 0.18, ranked["weight"].fillna(0.0), 0.34, color=BLUE, label="leave-largest-out")
    weights.barh(at - 0.18, ranked["loo_weight"].fillna(0.0), 0.34, color=GREY, label="leave-one-out")
    weights.set(xlim=(0, 1), xlabel="weight among the laws")
    handles = [handle for ax in (scores, weights) for handle in ax.get_legend_handles_labels()[0]]
    legend_below(figure, handles)
    return figure


@styled
@validated
def plot_pit(comparison: Comparison) -> Figure:
    """Draw how often losses were below each quantile of their forecast, over all cuts."""
    names = comparison.posteriors[: len(MARKED)]
    figure = _figure(comparison, "Calibration of held-out forecasts", 6.4, 5.6)
    ax = figure.subplots()
    grid = np.linspace(0, 1, 101)
    runs = comparison.scores["run"].nunique()
    low, high = (np.asarray(scipy.stats.binom.ppf(q, runs, grid)) / runs for q in (0.05, 0.95))
    ax.fill_between(
        grid, low, high, color=GREY, alpha=0.2, linewidth=0, label=f"90% of calibrated forecasts of {runs} runs"
    )
    ax.plot(grid, grid, color=BLACK, linewidth=0.8)
    for name, (colour, _) in zip(names, MARKED, strict=False):
        pit = np.sort(comparison.scores.loc[comparison.scores["candidate"] == name, "pit"].to_numpy())
        share = np.arange(1, len(pit) + 1) / len(pit)
        steps = np.pad(np.stack([pit, share]), ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
        ax.step(steps[0], steps[1], where="post", color=colour, label=escaped_text(name))
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="forecast probability of a lower loss (PIT)")
    ax.set_ylabel("share of held-out rows at or below")
    legend_below(figure, ax.get_legend_handles_labels()[0])
    return figure


def save_comparison_pictures(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``held_out``, ``ranking`` and ``pit`` as PNG files into a folder, each atomically."""
    pictures = zip(COMPARED, (plot_held_out, plot_ranking, plot_pit), strict=True)
    return [saved(draw(comparison), folder / f"{name}.png") for name, draw in pictures]

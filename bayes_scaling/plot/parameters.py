"""Figures of what a fit learned: prior and posterior, exponents in pairs.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.stats import gaussian_kde

from bayes_scaling.base.arguments import validated
from bayes_scaling.errors import LawError
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.pooling import sd_name, shared_first
from bayes_scaling.plot.style import (
    BLUE,
    DRAWN,
    GREY,
    MARKED,
    Bands,
    band_name,
    checked_bands,
    escaped_text,
    legend_below,
    log_axis,
    new_figure,
    plain_number,
    styled,
    symbol_of,
)

DENSITIES = 24  # more panels in one figure would be too small to read


@styled
@validated
def plot_prior_posterior(fit: Fit) -> Figure:
    """Show the prior and posterior densities of every parameter of law and noise, and how much was learned.

    Densities are scaled to the same height. The axis is logarithmic where a skewed prior of a positive
    parameter spans more than 1.5 decades; ``learned`` is 1 minus posterior over prior variance.

    Parameters
    ----------
    fit : a fit; one that did not converge is drawn and marked. For a pooled fit, 24 parameters are shown,
        those that all groups share first
    """
    known = {row.name: (row.unit, row.meaning) for row in fit.composition.rows} | _between_groups(fit)
    of_groups = [name for name in shared_first(fit.draws) if name.split("[")[0] in known]
    rows = [(name, *known[name.split("[")[0]]) for name in of_groups[:DENSITIES]]
    columns = min(4, -(-len(rows) // 2))
    lines = -(-len(rows) // columns)
    figure = new_figure(
        fit, f"Prior and posterior{some_of(len(rows), len(of_groups))}", 3.2 * columns, 2.4 * lines + 0.8
    )
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    posterior = fit.flat()
    for ax, (name, of, meaning) in zip(panels, rows, strict=False):
        before, after = np.asarray(fit.prior[name]), posterior[name]
        low, middle, high = np.quantile(before, [0.01, 0.5, 0.99])
        skewed = high - middle > 2 * (middle - low)  # a wide but symmetric prior is easier to read on a linear axis
        log = bool(min(before.min(), after.min()) > 0 and high > 10**1.5 * low and skewed)
        _density(ax, before, GREY, log, label="prior (peak scaled to 1)")
        _density(ax, after, BLUE, log, label="posterior (peak scaled to 1)")
        unit = fit.runs.loss_unit if of == "loss" else of
        label = escaped_text(f"{textwrap.fill(meaning, 36)}\n[{unit}]")
        if log:
            log_axis(ax, ax.xaxis, "constant", label)
        ax.set_xlabel(label, fontsize=8)
        ax.set_xlim(min(low, after.min()), max(high, after.max()))
        learned = fit.contraction[name]
        median, *ends = (plain_number(float(f"{v:.3g}")) for v in np.quantile(after, [0.5, 0.05, 0.95]))
        percent = ">99%" if learned >= 0.995 else f"{learned:.0%}"
        base = name.split("[")[0]
        group = escaped_text(name[len(base) :])
        ax.set_title(f"{symbol_of(base)}{group}: learned {percent}\n{median} (90%: {' to '.join(ends)})")
    for ax in panels[len(rows) :]:
        ax.set_axis_off()
    legend_below(figure, panels[0].get_lines())
    return figure


def _between_groups(fit: Fit) -> dict[str, tuple[str, str]]:
    """Return unit and meaning of the spreads of partially pooled parameters, by name."""
    partial = [name for name, pool in fit.pooling.items() if pool.mode == "partial"]
    return {sd_name(name): ("sampled scale", f"spread of {name} between groups") for name in partial}


def some_of(shown: int, all_of_them: int) -> str:
    """Say in a title that not all parameters are drawn."""
    return f" ({shown} of {all_of_them} parameters)" if shown < all_of_them else ""


def _density(ax: Axes, draws: np.ndarray, colour: str, log: bool = False, label: str = "") -> None:
    """Draw the density of draws, (n_draw,), over their range, its peak at 1; per log unit with ``log``."""
    z = np.log(draws) if log else draws
    low, high = z.min(), z.max()
    grid = np.linspace(low, high, 200)
    kde = gaussian_kde(z[:: -(-len(z) // DRAWN)])
    # Mirrored at the extreme draws, so that a density that ends at a bound does not drop there.
    y = kde(grid) + kde(2 * low - grid) + kde(2 * high - grid)
    x = np.exp(grid) if log else grid
    ax.fill_between(x, y / y.max(), color=colour, alpha=0.3, linewidth=0)
    ax.plot(x, y / y.max(), color=colour, linewidth=1.2, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set(yticks=[], ylim=(0, 1.08))
    ax.spines["left"].set_visible(False)


@styled
@validated
def plot_exponents(fit: Fit, names: Sequence[str] | None = None) -> Figure:
    """Show pairs of parameters: highest-density regions of the posterior, marginals, published constants.

    Parameters
    ----------
    fit : a fit; one that did not converge is drawn and marked
    names : parameters; by default the exponents of the law

    Raises
    ------
    LawError
        When a name is not a parameter of the fit, or the law has no exponents and none are named.
    """
    shown = exponents_of(fit) if names is None else tuple(names)
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
        for rank, (paper, (colour, marker)) in enumerate(papers):
            if i == j and across in paper.values:
                ax.axvline(paper.values[across], color=colour, linewidth=1.2)
            elif j < i and {across, below} <= set(paper.values):
                # Constants of papers may be nearly the same: later ones are smaller, so that none is hidden.
                size = max(9.0 - 2 * rank, 4.0)
                at = (paper.values[across], paper.values[below])
                ax.plot(*at, marker, color=colour, markeredgecolor="white", markersize=size, clip_on=False, zorder=4)
        ax.use_sticky_edges = False  # published values keep their distance from the frame
        ax.margins(x=0.08, y=0.08 if j < i else 0.05)
        if i == count - 1:
            ax.set_xlabel(symbol_of(across))
        if j == 0 < i:
            ax.set_ylabel(symbol_of(below))
    patches = [Patch(facecolor=BLUE, alpha=shade, label=band_name(p, "density")) for p, shade in bands if count > 1]
    marks = [Line2D([], [], color=c, marker=m, label=escaped_text(paper.name)) for paper, (c, m) in papers]
    if patches or marks:
        legend_below(figure, [*patches, *marks])
    return figure


def exponents_of(fit: Fit) -> tuple[str, ...]:
    """Return the names of the exponents of a fitted law."""
    return tuple(name for name in fit.law.exponents if name in fit.draws)


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

"""Draw the pictures of "Why one law is not enough", and print the numbers behind them.

uv run python docs/generate/several_laws.py docs/background
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import scipy.special
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter

import bayes_scaling as bs
from bayes_scaling.cli.demo import CUT
from bayes_scaling.evaluate.weights import WITNESSES
from bayes_scaling.plot.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SEQUENTIAL, STYLE, TickNumbers, log_axis

LAWS: Mapping[str, tuple[str, str, str]] = {
    "chinchilla": (BLUE, "o", "-"),
    "kaplan_joint": (ORANGE, "s", "--"),
    "nesting": (GREEN, "^", "-."),
    "farseer": (PURPLE, "D", ":"),
}
"""Colour, mark and line of each law."""

RATIO = 25.0  # tokens per parameter of the line that is drawn
NEAR = 2.0  # runs whose ratio is within this factor of it are drawn beside it
FURTHEST = 1e17  # FLOPs to which laws are drawn
LOSSES = np.linspace(0.85, 1.25, 700)  # at which densities are drawn

RUNS = dict(color=BLACK, marker="o", s=16, zorder=5, linewidths=0)
HELD_OUT = dict(color=BLACK, marker="o", s=22, zorder=5, facecolors="white", linewidths=1.0)


def median_and_band(fit: bs.Fit, params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median of the loss along the line, and its 90 % band without the scatter of a run."""
    ahead = bs.forecast(fit, params=params, tokens=RATIO * params, unconverged=True)
    return ahead.median(of="mean"), ahead.interval(0.9, of="mean")


def draw_line(axes: Axes, fits: Mapping[str, bs.Fit], below: bs.Runs, above: bs.Runs) -> None:
    """Draw every law beyond the runs that it was fitted to."""
    flops = np.geomspace(below.column("flops").min() * 3, FURTHEST, 60)
    params = np.sqrt(flops / 6 / RATIO)
    for name, fit in fits.items():
        colour, _, line = LAWS[name]
        median, band = median_and_band(fit, params)
        axes.fill_between(flops, *band.T, color=colour, alpha=0.18, linewidth=0)
        axes.plot(flops, median, color=colour, linestyle=line, linewidth=1.8, label=name)
    for runs, style in ((below, RUNS), (above, HELD_OUT)):
        ratio = runs.column("tokens") / runs.column("params")
        close = np.abs(np.log(ratio / RATIO)) < np.log(NEAR)
        axes.scatter(runs.column("flops")[close], runs.loss[close], **style)
    axes.axvline(CUT, color=GREY, linewidth=0.8)
    axes.set_ylim(0.7, 2.5)
    log_axis(axes, axes.xaxis, "flops", "training compute C [FLOP]")
    axes.set(yscale="log", ylabel="loss [nats/byte]")
    axes.set_yticks([0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5], labels=["0.7", "0.8", "1", "1.2", "1.5", "2", "2.5"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(f"Forecasts at {RATIO:g} bytes per parameter")


def errors(fit: bs.Fit, runs: bs.Runs) -> np.ndarray:
    """Return the log of measured over forecast loss, ``(n_row,)``."""
    ahead = bs.forecast(fit, params=runs.column("params"), tokens=runs.column("tokens"), unconverged=True)
    return np.log(runs.loss / ahead.median(of="mean"))


def draw_errors(axes: Axes, fits: Mapping[str, bs.Fit], runs: bs.Runs, size: float) -> None:
    """Draw how far each run is from each law."""
    for place, (name, fit) in enumerate(fits.items()):
        colour, mark, _ = LAWS[name]
        aside = 1.07 ** (place - (len(fits) - 1) / 2)  # so that marks of several laws do not cover each other
        axes.plot(
            runs.column("flops") * aside,
            np.expm1(errors(fit, runs)),
            color=colour,
            marker=mark,
            markersize=size,
            linestyle="none",
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
    label_errors(axes)


def label_errors(axes: Axes) -> None:
    """Make the axes those of errors over compute."""
    axes.axhline(0, color=BLACK, linewidth=0.8)
    log_axis(axes, axes.xaxis, "flops", "training compute C [FLOP]")
    axes.yaxis.set_major_locator(MultipleLocator(0.05))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("measured loss / forecast - 1")


def independent(error: np.ndarray, runs: bs.Runs) -> float:
    """Return how many independent runs would say as much as these.

    The share of the squared error that a plane in ln N and ln D explains is common to all of them: n runs with a common
    share r count as n / (1 + (n - 1) r).
    """
    logs = [np.log(runs.column(name)) for name in ("params", "tokens")]
    plane = np.column_stack([np.ones(len(error)), *logs])
    left = error - plane @ np.linalg.lstsq(plane, error)[0]
    share = max(0.0, 1 - (left**2).sum() / (len(error) - 3) / (error**2).mean())
    return float(len(error) / (1 + (len(error) - 1) * share))


def legend(figure: Figure) -> None:
    """Name laws and runs once, below all panels."""
    laws = [
        Line2D([], [], color=colour, marker=mark, linestyle=line, label=name, markeredgecolor="white")
        for name, (colour, mark, line) in LAWS.items()
    ]
    runs = [
        Line2D([], [], color=BLACK, marker="o", linestyle="none", markersize=4, label="fitted run"),
        Line2D(
            [], [], color=BLACK, marker="o", linestyle="none", markersize=5, markerfacecolor="white", label="larger run"
        ),
    ]
    figure.legend(handles=[*laws, *runs], loc="outside lower center", ncols=6, fontsize=8)


def disagreement(fits: Mapping[str, bs.Fit], below: bs.Runs, above: bs.Runs) -> Figure:
    """Put side by side how well laws fit, and what they say further out."""
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    fitted, ahead = figure.subplots(1, 2, width_ratios=[1, 1.25])
    draw_errors(fitted, fits, below, 4.0)
    fitted.set_ylim(-0.1, 0.1)
    fitted.set_title(f"The {len(below)} fitted runs")
    draw_line(ahead, fits, below, above)
    ahead.annotate("fitted", (CUT, 2.32), (-6, 0), textcoords="offset points", ha="right", color=GREY, fontsize=8)
    ahead.annotate("forecast", (CUT, 2.32), (6, 0), textcoords="offset points", ha="left", color=GREY, fontsize=8)
    legend(figure)
    return figure


def few_observations(fits: Mapping[str, bs.Fit], above: bs.Runs) -> Figure:
    """Draw what the larger runs say of each law, a panel each."""
    figure = Figure(figsize=(9.5, 3.1), layout="constrained")
    panels = figure.subplots(1, len(fits), sharey=True)
    params = above.column("params")
    colours = ScalarMappable(LogNorm(params.min(), params.max()), SEQUENTIAL)
    for axes, (name, fit) in zip(panels, fits.items(), strict=True):
        error = np.expm1(errors(fit, above))
        axes.scatter(above.column("flops"), error, s=40, c=colours.to_rgba(params), edgecolors="white", linewidths=0.6)
        label_errors(axes)
        count = independent(errors(fit, above), above)
        axes.set_title(f"{name}: {len(above)} runs,\nworth {count:.1f} independent ones")
        axes.set_xlim(2.5e12, 4e14)
        axes.set_xticks([1e13, 1e14])
        axes.set_ylabel("measured loss / forecast - 1" if axes is panels[0] else "")
    sizes = np.unique(params)[::2]
    bar = figure.colorbar(colours, ax=panels, pad=0.02, aspect=30, ticks=sizes, format=TickNumbers("params"))
    bar.minorticks_off()
    bar.set_label("parameters N")
    return figure


def by_rows(scores: pd.DataFrame) -> dict[str, float]:
    """Return weights that take every held-out run for an independent observation: stacking, row by row."""
    wide = scores.pivot(index=["cut", "row"], columns="candidate", values="log_score")
    return bs.evaluate.stacking_weights({name: wide[name].to_numpy() for name in LAWS})


def draw_mixture(axes: Axes, weights: Mapping[str, float], density: Mapping[str, np.ndarray], measured: float) -> None:
    """Draw what each law says of a run, and all of them with weights."""
    for name, weight in weights.items():
        colour, _, line = LAWS[name]
        axes.plot(LOSSES, density[name], color=colour, linestyle=line, linewidth=1.5, label=f"{name}, {weight:.0%}")
    together = sum(weight * density[name] for name, weight in weights.items())
    axes.fill_between(LOSSES, together, color=GREY, alpha=0.4, linewidth=0, label="all together")
    axes.axvline(measured, color=BLACK, linewidth=1.4, label="measured")
    axes.set(xlabel="loss of the largest run [nats/byte]", xlim=(LOSSES[0], LOSSES[-1]))
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, loc="upper left")


def together(comparison: bs.Comparison, above: bs.Runs) -> Figure:
    """Draw what the laws say of the largest run, mixed by either kind of weights."""
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    largest = int(np.argmax(above.column("flops")))
    at = {name: above.column(name)[[largest]] for name in ("params", "tokens")}
    density = {}
    for name in LAWS:
        predictive = bs.forecast(comparison.fits[name], **at, unconverged=True).predictive
        given = predictive.log_density_of(np.log(LOSSES), 0)
        density[name] = np.exp(scipy.special.logsumexp(given, axis=0) - np.log(len(given))) / LOSSES
    measured = float(above.loss[largest])
    draw_mixture(left, by_rows(comparison.scores), density, measured)
    left.set(title="Every held-out run counts by itself", ylabel="probability density")
    draw_mixture(right, comparison.weights, density, measured)
    right.set_title(f"All of them count as {WITNESSES:g} independent observations")
    return figure


def main() -> None:
    """Write the three pictures into a folder."""
    if len(sys.argv) != 2:
        sys.exit("usage: several_laws.py FOLDER")
    folder = Path(sys.argv[1])
    below, above = bs.datasets.load("stdlib_sweep").cut("flops", CUT)
    exact = {name: bs.fit(name, below, discrepancy="none", seed=0, progress=False) for name in LAWS}
    candidates = [bs.evaluate.Candidate(name, bs.load_law(name)) for name in LAWS]
    comparison = bs.compare(candidates, below, loo=False, seed=0, progress=False)
    with mpl.rc_context(STYLE):
        pictures = {
            "laws-disagree": disagreement(exact, below, above),
            "laws-witnesses": few_observations(exact, above),
            "laws-together": together(comparison, above),
        }
        for name, figure in pictures.items():
            figure.savefig(folder / f"{name}.png", dpi=150)
    print(f"{len(below)} runs fitted, {len(above)} larger ones held out; laws without a discrepancy")
    rows, few = by_rows(comparison.scores), comparison.weights
    far = np.sqrt(FURTHEST / 6 / RATIO)
    for name, fit in exact.items():
        error = errors(fit, above)
        within, count = np.sqrt((errors(fit, below) ** 2).mean()), independent(error, above)
        median, band = median_and_band(fit, np.array([far]))
        print(
            f"{name}: fitted runs {within:.1%} off, larger ones {np.sqrt((error**2).mean()):.1%}, worth {count:.1f} "
            f"independent ones; at {FURTHEST:.0e} FLOP loss {median[0]:.2f}, 90 % {band[0, 0]:.2f} to "
            f"{band[0, 1]:.2f}; weight by rows {rows[name]:.0%}, by a few observations {few[name]:.0%}"
        )


if __name__ == "__main__":
    main()

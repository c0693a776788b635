"""Style of all figures: colours, axis labels with units, labelled bands, figures outside pyplot."""

from __future__ import annotations

import functools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.rcsetup import cycler
from matplotlib.ticker import Formatter, Locator, MaxNLocator, NullLocator

from bayes_scaling.base.files import write_whole
from bayes_scaling.base.messages import checked_loss, checked_probability, equal_tails, percent, printing
from bayes_scaling.base.numbers import LETTERS
from bayes_scaling.data.validation import LARGEST
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.ensemble import Ensemble

# Okabe-Ito colours, which are distinguishable with any common colour vision.
BLACK, ORANGE, GREEN, BLUE, VERMILLION, PURPLE = "#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#7F7F7F"
LIGHT, PALE = "#8FC1E3", "#C9C9C9"  # of the blue and of the grey
MARKED = tuple(zip((VERMILLION, BLACK, GREEN, ORANGE, PURPLE), "Ds^vP", strict=True))  # differ in colour and in shape
SEQUENTIAL = ListedColormap(
    matplotlib.colormaps["viridis"](np.linspace(0, 0.9, 256))
)  # its light end is too pale on white
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, VERMILLION, PURPLE, BLACK]),
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.usetex": False,
}
AXES: Mapping[str, str] = {
    "params": "parameters N",
    "tokens": "training tokens D",
    "unique_tokens": "distinct training tokens U",
    "flops": "training compute C [FLOP]",
    "steps": "optimiser steps S",
    "batch_tokens": "batch size B [tokens/step]",
}
CONTENTS: Mapping[str, str] = {
    "new_run": "new runs",
    "mean": "mean curves",
    "optimum": "mean losses at the best split of compute",
    "density": "the posterior (highest-density region)",
}
GREEK: Mapping[str, str] = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "kappa": "κ", "lambda": "λ"},
    **{"mu": "μ", "nu": "ν", "rho": "ρ", "sigma": "σ", "tau": "τ", "omega": "ω"},
}
INTERVALS = ((0.9, "new_run", 5.5, LIGHT), (0.5, "new_run", 5.5, BLUE), (0.9, "mean", 1.0, BLACK))
MEDIAN: Any = {"s": 7, "color": "white", "edgecolors": BLACK, "linewidths": 0.5, "label": "median of new runs"}
MEASURED: Any = {
    "s": 20,
    "marker": "D",
    "color": VERMILLION,
    "edgecolors": "white",
    "linewidths": 0.5,
    "label": "measured",
}
LADDERS: Sequence[Sequence[float]] = (
    *((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6), (1, 1.5, 2, 3, 5, 7)),
    *((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)),
)  # parts of a decade that are marked on a log axis
FEWER = 0.02  # of an axis that another tick has to fill
TOLD = "#505050"  # colour of sentences
NAME = 40  # letters of the name of a table
MANY = 300  # points, from which they lie behind lines
CURVE = 60  # points of a curve
DRAWN = 4000  # posterior draws that a density estimate uses; more make no visible difference
LISTED = 30  # up to this many forecast points are listed one by one


type Bands = Sequence[tuple[float, float]]
"""Probabilities of nested bands, widest first, with their opacities."""


# --- text -------------------------------------------------------------------------------------------------------


def escaped_text(text: object) -> str:
    """Return text from data, escaped so that Matplotlib prints it unchanged, without what cannot be seen."""
    return printing(str(text)).replace("$", r"\$")


def shortened(name: str) -> str:
    """Return the name of a table; of a very long one its beginning and its end."""
    return name if len(name) <= NAME else f"{name[: NAME // 2 - 1]}…{name[-NAME // 2 :]}"


def wrapped(text: str, width: int) -> str:
    """Return text in lines that break between words alone."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def symbol_of(name: str) -> str:
    """Return the symbol of a parameter as in papers: ``alpha`` as α, ``N_c`` with a subscript."""
    letter, bar, subscript = name.partition("_")
    letter = escaped_text(GREEK.get(letter, letter))
    plain = re.fullmatch(r"[A-Za-z0-9]+", subscript)
    return rf"{letter}$_\mathrm{{{subscript}}}$" if plain else letter + bar + escaped_text(subscript)


def short_number(value: float) -> str:
    """Return a count with one letter for its size: 70M, 1.4T."""
    for scale, letter in LETTERS:
        if value >= 0.9995 * scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def power_of_ten(value: float, digits: int = 3) -> str:
    """Write a number as a power of ten, in mathtext."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    if value < 0:
        return f"-{power_of_ten(-value, digits)}"
    exponent = int(np.floor(np.log10(value * 1.0001)))
    mantissa = f"{value / 10.0**exponent:.{digits}g}"
    return rf"$10^{{{exponent}}}$" if mantissa == "1" else rf"${mantissa}\times10^{{{exponent}}}$"


def plain_number(value: float) -> str:
    """Return a value of a parameter: in plain form if that is short, else with a power of ten."""
    return f"{value:g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else power_of_ten(value)


def four_digits(value: float) -> str:
    """Return a loss with four digits, zeros included: 1.800; with a power of ten if it is tiny or huge."""
    return f"{value:#.4g}".rstrip(".") if 1e-3 <= value < 1e4 else power_of_ten(value, 4)


def number_writer(name: str) -> Callable[[float], str]:
    """Return the function that writes values of a column, or of a parameter (``constant``)."""
    writers: Mapping[str, Callable[[float], str]] = {
        "factor": "{:g}x".format,
        "flops": power_of_ten,
        "loss": "{:g}".format,
        "constant": plain_number,
    }
    return writers.get(name, short_number)


def band_name(probability: float, of: str) -> str:
    """Return the legend label of a band."""
    return f"{percent(probability)} of {CONTENTS[of]}"


def contents(source: Fit | Ensemble, curves: bool = False) -> str:
    """Return the sentence that says what bands contain; it stands once, below the legend."""
    fits = [source] if isinstance(source, Fit) else list(source.fits.values())
    error = " + disagreement between laws" if len(fits) > 1 else ""
    error += " + law's error" if any(fit.discrepancy_grid.size for fit in fits) else ""
    told = f"bands of {CONTENTS['new_run']} contain parameters{error} + run noise"
    return f"{told}; those of {CONTENTS['mean']} the same without run noise" if curves else told


def axis_label(fit: Fit, name: str) -> str:
    """Return the axis label of a column: meaning, symbol, unit."""
    if name == "loss":
        return f"loss [{escaped_text(fit.runs.loss_unit)}]"
    convention = fit.runs.params_convention.replace("_", "-")
    counted = f" ({convention})" if name == "params" and convention != "unstated" else ""
    return AXES.get(name, escaped_text(fit.law.columns[name].meaning if name in fit.law.columns else name)) + counted


def described(fit: Fit, points: pd.DataFrame, point: int) -> str:
    """Return the inputs of a forecast point, and its groups: N 7B, D 1.4T."""
    given = points.iloc[point]
    sizes = (f"{symbol_in(name)} {number_writer(name)(float(given[name]))}" for name in fit.law.inputs)
    groups = (escaped_text(given[name]) for name in fit.groups.columns if name in points)
    return ", ".join((*sizes, *groups))


def symbol_in(name: str) -> str:
    """Return the symbol of an input, or the name of one that has none."""
    return AXES[name].split(" [")[0].split()[-1] if name in AXES else escaped_text(name)


# --- figures and axes -------------------------------------------------------------------------------------------


def styled[**P](draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style whatever the user's rcParams are, without changing them."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def leading_of(source: Fit | Ensemble) -> Fit:
    """Return the fit that says what is drawn, of several the one with most weight."""
    return source if isinstance(source, Fit) else source.leading


def new_figure(source: Fit | Ensemble, what: str, width: float, height: float, weights: bool = True) -> Figure:
    """Return an empty figure whose title names the law or the laws, and warns if a fit did not converge."""
    pads = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=150, layout=pads)
    label, fits = (source.law.label, [source]) if isinstance(source, Fit) else (source.label, source.fits.values())
    title = f"{what}: {label + ', ' if weights else ''}{source.runs.counted} of {shortened(source.runs.source)}"
    problems = list(dict.fromkeys(problem for fit in fits for problem in fit.problems))
    lines = [title, f"NOT CONVERGED: {'; '.join(problems)}"] if problems else [title]
    text = "\n".join(wrapped(line, int(11 * width)) for line in lines)
    figure.suptitle(escaped_text(text), fontsize=10, fontweight="bold", color=VERMILLION if problems else BLACK)
    return figure


class LogTicks(Locator):
    """Ticks of a log axis that are readable over any range: those that leave the least of it without a number."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> list[float]:
        """Return the tick positions."""
        assert self.axis is not None  # Matplotlib calls a locator only after it was attached to an axis
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the ticks between two limits."""
        low, high = sorted((vmin, vmax))
        room = 9 if self.axis is None else min(9, self.axis.get_tick_space())
        across = getattr(self.axis, "axis_name", "") == "x"
        best, cost = [float(low), float(high)], np.inf
        for candidate in _rounded(low, high):
            ticks = candidate[(candidate >= low * (1 - 1e-9)) & (candidate <= high * (1 + 1e-9))]
            places = np.log(ticks / low) / np.log(high / low)
            # A label with a power of ten is twice as wide.
            powers_written = self.name == "flops" or (self.name == "loss" and beyond_decimals(low, high))
            wide = powers_written and across and not np.isclose(np.log10(ticks) % 1, 0).all()
            least = 1 / max(4.0, 0.6 * room if wide else room)  # of the axis, between two ticks
            if len(ticks) < 2 or np.diff(places).min() < least:
                continue
            empty = np.diff([0.0, *places, 1.0]).max() + FEWER * len(ticks)
            if empty < cost - 1e-9:
                best, cost = [float(tick) for tick in ticks], empty
        return best


def _rounded(low: float, high: float) -> Iterator[np.ndarray]:
    """Yield sets of round numbers around a range, the simplest first: powers of ten, parts of them, even steps."""
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for every in (1, 2, 3, 5, 10, 20, 50, 100):
        yield 10.0 ** powers[powers % every == 0]
    for parts in LADDERS:
        yield np.outer(10.0**powers, parts).ravel()
    if high < 10 * low:
        for bins in range(3, 11):
            even = np.asarray(MaxNLocator(nbins=bins, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
            yield even[even > 0]


def beyond_decimals(low: float, high: float) -> bool:
    """Say whether losses between two limits are so tiny or so huge that they are written with a power of ten."""
    return low < 1e-3 or high >= 1e5


class TickNumbers(Formatter):
    """Write the ticks of a quantity; tiny and huge losses all with a power of ten, if one of them needs it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick."""
        if self.name == "loss" and self.axis is not None:
            low, high = sorted(self.axis.get_view_interval())
            digits = 2 + int(np.ceil(np.log10(high / (high - low)))) if high > low else 3
            if beyond_decimals(low, high):
                return power_of_ten(x, max(3, digits))
            return f"{x:.{max(6, digits)}g}"
        return number_writer(self.name)(x)


def log_axis(ax: Axes, axis: Axis, name: str, label: str) -> None:
    """Make an axis logarithmic, with readable ticks and a label."""
    ax.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    axis.set_major_locator(LogTicks(name))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(TickNumbers(name))
    axis.set_label_text(label)


def checked_bands(probabilities: Sequence[float]) -> Bands:
    """Return probabilities from the widest band to the narrowest, with opacities."""
    wide_first = sorted({checked_probability(p) for p in probabilities}, reverse=True)
    return list(zip(wide_first, np.linspace(0.2, 0.4, len(wide_first)), strict=True))


def checked_target(target: float | None, unit: str) -> float | None:
    """Return the loss to mark, or refuse one that no table of runs could have."""
    if target is not None and not 1 / LARGEST <= checked_loss(target, unit) <= LARGEST:
        raise ForecastError(f"target loss is {target:g}, expected a positive number in {unit}, as losses of runs are")
    return target


def checked_measured(measured: np.ndarray | Sequence[float] | None, points: int) -> np.ndarray:
    """Return the measured loss of each forecast point, NaN where it is not known."""
    known = np.full(points, np.nan) if measured is None else np.asarray(measured, float)
    if known.shape != (points,):
        raise ForecastError(f"measured has shape {known.shape}, expected one loss for each of {points} forecast points")
    return known


def draw_fan(
    ax: Axes,
    x: np.ndarray,
    bands: Bands,
    colour: Any,
    mean: np.ndarray,
    new: np.ndarray | None = None,
) -> None:
    """Draw equal-tailed bands and the median of draws, (n_draw, n_x), of new runs or of the mean curve."""
    for probability, shade in bands:
        tails = equal_tails(probability)
        edges = np.quantile(mean, tails, axis=0)
        if new is not None:
            edges = smoothed(np.quantile(new, tails, axis=0), edges)
        label = band_name(probability, "optimum" if new is None else "new_run")
        ax.fill_between(x, *edges, color=colour, alpha=shade, linewidth=0, label=label)
    ax.plot(x, np.median(mean, axis=0), color=colour, linewidth=1.2)


def smoothed(edges: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Smooth the edges of a band with noise, ``(2, n_x)``, around those without it.

    Quantiles of simulated noise jitter from point to point, but what noise adds varies smoothly.
    """
    powers = np.vander(np.linspace(-1, 1, edges.shape[1]), 6)
    return np.asarray(inner * np.exp(powers @ np.linalg.lstsq(powers, np.log(edges / inner).T)[0]).T)


def draw_dots(ax: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """Plot runs as points: many are smaller and behind lines, and an image if vectors would make a huge file."""
    behind = 3 if len(x) <= MANY else 1.5
    ax.scatter(
        x, y, **{"s": dot_size(len(x)), "linewidths": 0.3, "rasterized": len(x) > 2000, "zorder": behind, **style}
    )


def dot_size(points: int) -> float:
    """Return the area of each of many points."""
    return float(np.clip(3000 / max(points, 1), 4, 22))


def legend_below(figure: Figure, handles: Sequence[Any], told: str = "") -> None:
    """Place one legend below all axes of a figure, with as many columns as fit, under a sentence."""
    alone = {str(handle.get_label()): handle for handle in handles}
    longest = max((len(label) for label in alone), default=0)
    columns = max(
        1, int(figure.get_figwidth() // (0.6 + 0.061 * longest))
    )  # widths of a marker and of a letter, in inches
    title = escaped_text(textwrap.fill(told, int(15 * figure.get_figwidth()))) if told else None
    shown = figure.legend(
        *(list(alone.values()), list(alone)), loc="outside lower center", ncols=columns, fontsize=8, title=title
    )
    shown.get_title().set(fontsize=8, color=TOLD)


def saved(figure: Figure, path: Path) -> Path:
    """Write a figure atomically; return the path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # such a character of a name is drawn as a box
        return write_whole(path, lambda partial: figure.savefig(partial, format=path.suffix[1:]))

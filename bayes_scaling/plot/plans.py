"""Figures of a report, drawn from its content only, as SVG that takes fonts and colours from the page.

Colours are written as CSS variables, so that one figure serves light and dark pages; text remains text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from bayes_scaling.base.spacing import evenly
from bayes_scaling.plot.numbers import written
from bayes_scaling.plot.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    STYLE,
    VERMILLION,
    LogTicks,
    draw_dots,
    escaped_text,
)

type Content = Mapping[str, Any]

VARIABLES: Mapping[str, str] = {
    BLACK: "ink",
    BLUE: "blue",
    GREEN: "green",
    VERMILLION: "vermillion",
    ORANGE: "orange",
    PURPLE: "purple",
    GREY: "grey",
    STYLE["grid.color"]: "grid",
    "#ffffff": "paper",
}
"""CSS variables of the page, by the colour used in drawing."""

OURS: Any = {**STYLE, "svg.fonttype": "none", "svg.hashsalt": "bayes-scaling", "font.size": 10, "axes.titlesize": 10}
PLAN: Any = {
    "marker": "D",
    "color": VERMILLION,
    "markeredgecolor": "white",
    "markersize": 8,
    "linestyle": "",
    "zorder": 6,
}
SHOWN_ERROR = 0.5  # of the loss; a forecast further off is drawn at the edge
LEAST_ERROR = 0.01  # that its axis reaches
NAMED = 4  # sizes that are labelled along the frontier


def pictures(content: Content) -> dict[str, str]:
    """Return every figure of a report by name, as inline SVG."""
    drawn: Sequence[Callable[[Content], Figure]] = (fan, sizes, frontier, budgets, calibration)
    laws = content["laws"]["held_out"].values()
    asked = (trajectory,) if content["trajectory"] is not None else ()
    with matplotlib.rc_context(OURS):
        figures = {draw.__name__: draw(content) for draw in (*drawn, *asked)}
        widest = max((_furthest(rows) for rows in laws), default=SHOWN_ERROR)
        figures |= {f"held_out_{i}": held_out(rows, widest) for i, rows in enumerate(laws)}
        return {name: inline(figure, name) for name, figure in figures.items()}


# --- the figures ----------------------------------------------------------------------------------------------------


def fan(content: Content) -> Figure:
    """Draw the runs, the band at the best split of each amount of compute, and the plan."""
    outlook, unit = content["outlook"], content["loss_unit"]
    figure, ax = _figure(5.8, 4.6)
    along, run = outlook["fan"], content["recommendation"]["run"]
    x = np.array(along["flops"])
    for low, high, shade, name in (("low", "high", 0.18, "90 %"), ("lower", "upper", 0.32, "50 %")):
        label = f"{name} of one new run, best split of N and D"
        ax.fill_between(x, along[low], along[high], color=BLUE, alpha=shade, linewidth=0, label=label)
    ax.plot(x, along["median"], color=BLUE, linewidth=1.4, label="median")
    draw_dots(
        ax, np.array(outlook["runs"]["flops"]), np.array(outlook["runs"]["loss"]), color=GREY, label="fitted runs"
    )
    ax.axvspan(outlook["largest_fitted"], x[-1], color=GREY, alpha=0.12, linewidth=0, label="beyond the largest run")
    at = run["training_flops"]
    ax.vlines(at, run["low"], run["high"], color=VERMILLION, linewidth=1.6, zorder=5)
    ax.vlines(at, run["lower"], run["upper"], color=VERMILLION, linewidth=4.5, zorder=5)
    ax.plot([at], [run["expected_loss"]], label="the plan, 50 and 90 % bands", **PLAN)
    _goals(ax, content["recommendation"])
    _log(ax, ax.xaxis, "flops", "training compute 6 N D [FLOP]")
    _log(ax, ax.yaxis, "loss", f"loss [{escaped_text(unit)}]")
    ax.set_xlim(x[0] / 1.3, x[-1])
    return _with_legend(figure, ax)


def sizes(content: Content) -> Figure:
    """Draw the loss of every size that spends the budget, and mark the sizes that lose almost nothing."""
    at, plan = content["outlook"]["sizes"], content["recommendation"]
    figure, ax = _figure(5.2, 4.0)
    params = np.array(at["params"])
    ax.fill_between(params, at["low"], at["high"], color=BLUE, alpha=0.18, linewidth=0, label="90 % of one new run")
    ax.plot(params, at["expected_loss"], color=BLUE, linewidth=1.6, label="expected loss")
    ax.plot(params, at["cvar"], color=PURPLE, linewidth=1.4, linestyle="--", label="mean of the worst 5 %")
    flat = plan["flat_params"]
    ax.axvspan(flat["low"], flat["high"], color=GREEN, alpha=0.16, linewidth=0, label="loses almost nothing")
    rules = [(row["params"], row["expected_loss"]) for row in plan["rules"][1:]]
    seen = [(x, y) for x, y in rules if params[0] <= x <= params[-1]]
    if seen:
        ax.plot(*zip(*seen, strict=True), "o", color=ORANGE, markersize=5, zorder=4, label="published rules")
    ax.plot([plan["run"]["params"]], [plan["run"]["expected_loss"]], label="the plan", **PLAN)
    _log(ax, ax.xaxis, "params", "parameters N; D spends the rest")
    _log(ax, ax.yaxis, "loss", f"loss [{escaped_text(content['loss_unit'])}]")
    return _with_legend(figure, ax)


def frontier(content: Content) -> Figure:
    """Draw risk against return over sizes: the expected loss, and the mean of the worst outcomes."""
    at, run = content["outlook"]["sizes"], content["recommendation"]["run"]
    figure, ax = _figure(5.2, 4.0)
    expected, worst, params = (np.array(at[name]) for name in ("expected_loss", "cvar", "params"))
    near = expected <= expected.min() * 1.05 if len(expected) > 4 else np.ones(len(expected), bool)
    ax.plot(expected[near], worst[near], color=BLUE, linewidth=1.4, label="sizes that spend the budget")
    efficient = _efficient(expected, worst)
    if len(efficient) > 1:
        words = "no other size is better in both"
        ax.plot(expected[efficient], worst[efficient], color=GREEN, linewidth=4, alpha=0.7, label=words)
    places = np.flatnonzero(near)
    for i in places[evenly(len(places), NAMED)]:
        ax.plot(expected[i], worst[i], "o", color=BLUE, markersize=4)
        ax.annotate(
            written(params[i], "count"), (expected[i], worst[i]), (6, -3), textcoords="offset points", fontsize=9
        )
    ax.plot([run["expected_loss"]], [run["cvar"]], label=f"the plan, N = {written(run['params'], 'count')}", **PLAN)
    ax.margins(x=0.14)
    unit = escaped_text(content["loss_unit"])
    ax.set(xlabel=f"expected loss [{unit}]", ylabel=f"mean of the worst 5 % [{unit}]")
    return _with_legend(figure, ax)


def budgets(content: Content) -> Figure:
    """Draw the objective at other budgets."""
    rows, plan = content["outlook"]["budgets"], content["recommendation"]
    figure, ax = _figure(5.2, 4.0)
    x, value, error = (np.array([row[name] for row in rows]) for name in ("budget", "value", "value_se"))
    ax.fill_between(
        x, value - 2 * error, value + 2 * error, color=BLUE, alpha=0.2, linewidth=0, label="2 standard errors"
    )
    ax.plot(x, value, color=BLUE, linewidth=1.6, marker="o", markersize=3.5, label="best plan of each budget")
    ax.plot([plan["run"]["budget"]], [plan["run"]["value"]], label="this budget", **PLAN)
    _log(ax, ax.xaxis, "budget", f"budget [{escaped_text(content['budget_unit'])}]")
    words, unit = plan["objective"], escaped_text(plan["objective_unit"])
    ax.set_ylabel(f"{escaped_text(words)}\n[{unit}]")
    return _with_legend(figure, ax)


def _furthest(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return how far a measured loss or an end of a band lies from the median of its forecast, as a share of it."""
    return max(abs(float(row[name] / row["median"]) - 1) for row in rows for name in ("low", "high", "loss"))


def held_out(rows: Sequence[Mapping[str, Any]], furthest: float = SHOWN_ERROR) -> Figure:
    """Draw the held-out forecast of the largest runs by one law, with measured losses, relative to its median.

    Parameters
    ----------
    furthest : what the axis reaches to either side, the same for all laws that are compared
    """
    figure, ax = _figure(4.2, 3.5)
    columns = {name: np.array([row[name] for row in rows], float) for name in rows[0] if name != "run"}

    def relative(name: str) -> np.ndarray:
        return np.asarray(np.clip(columns[name] / columns["median"] - 1, -SHOWN_ERROR, SHOWN_ERROR))

    x, inside = columns["extrapolation"], np.abs(columns["pit"] - 0.5) <= 0.45
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.vlines(x, relative("low"), relative("high"), color=BLUE, linewidth=1.2, label="90 % of one new run")
    ax.vlines(x, relative("lower"), relative("upper"), color=BLUE, linewidth=3.4, alpha=0.6, label="50 %")
    ax.plot(x[inside], relative("loss")[inside], "o", color=BLACK, markersize=4, label="measured")
    if (~inside).any():
        ax.plot(x[~inside], relative("loss")[~inside], "X", color=VERMILLION, markersize=6, label="measured, outside")
    _log(ax, ax.xaxis, "factor", "size / largest fitted run")
    reach = 1.08 * min(max(furthest, LEAST_ERROR), SHOWN_ERROR)
    ax.set_ylim(-reach, reach)
    ax.set_ylabel("loss / median forecast - 1")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    return _with_legend(figure, ax)


def calibration(content: Content) -> Figure:
    """Draw how often losses were below each quantile of their forecast."""
    trust = content["trust"]
    figure, ax = _figure(5.2, 4.0)
    grid = np.linspace(0, 1, 101)
    label = f"90 % of calibrated forecasts of {trust['pit_runs']} runs stay inside"
    low, high = np.clip(grid - trust["pit_band"], 0, 1), np.clip(grid + trust["pit_band"], 0, 1)
    ax.fill_between(grid, low, high, color=GREY, alpha=0.2, linewidth=0, label=label)
    ax.plot(grid, grid, color=GREY, linewidth=0.8)
    for name, colour, words in (("pit", BLUE, "largest runs, held out"), ("loo_pit", ORANGE, "each run, left out")):
        pit = np.array(trust[name])
        share = np.arange(1, len(pit) + 1) / len(pit)
        steps = np.pad(np.stack([pit, share]), ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
        ax.step(steps[0], steps[1], where="post", color=colour, linewidth=1.5, label=words)
    ax.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="forecast probability of a lower loss", ylabel="share of losses at or below"
    )
    return _with_legend(figure, ax)


def trajectory(content: Content) -> Figure:
    """Draw the loss curve of a run with its bands, its rows so far, and the losses to reach."""
    curve = content["trajectory"]
    figure, ax = _figure(5.8, 4.6)
    x = np.array(curve["positions"])
    for low, high, shade, name in (("low", "high", 0.18, "90 %"), ("lower", "upper", 0.32, "50 %")):
        label = f"{name} of one evaluation, each row alone"
        ax.fill_between(x, curve[low], curve[high], color=BLUE, alpha=shade, linewidth=0, label=label)
    for edge in ("whole_low", "whole_high"):
        ax.plot(x, curve[edge], color=BLUE, linewidth=1.0, linestyle="--", label="90 % of whole curves")
    ax.plot(x, curve["median"], color=BLUE, linewidth=1.4, label="median of the curve")
    if curve["so_far"]:
        draw_dots(ax, *(np.array(values) for values in curve["so_far"].values()), color=BLACK, label="rows so far")
    for one in curve["reached"]:
        ax.axhline(one["loss"], color=PURPLE, linewidth=1.3, linestyle=":", label="losses to reach")
    _log(ax, ax.xaxis, curve["along"], {"steps": "optimiser steps S", "tokens": "training tokens D"}[curve["along"]])
    _log(ax, ax.yaxis, "loss", f"loss [{escaped_text(content['loss_unit'])}]")
    return _with_legend(figure, ax)


# --- parts ----------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05))
    figure.patch.set_alpha(0.0)
    ax = figure.subplots()
    ax.patch.set_alpha(0.0)
    return figure, ax


def _with_legend(figure: Figure, ax: Axes) -> Figure:
    seen = {str(handle.get_label()): handle for handle in ax.get_legend_handles_labels()[0]}
    figure.legend(handles=list(seen.values()), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _goals(ax: Axes, plan: Mapping[str, Any]) -> None:
    goals = (("incumbent", "best run so far", ":", BLACK), ("target", "target", "--", PURPLE))
    for name, words, style, colour in goals:
        if plan[name] is not None:
            label = f"{words} {written(plan[name], 'loss')}"
            ax.axhline(plan[name], linestyle=style, linewidth=1.3, color=colour, label=label)


def _log(ax: Axes, axis: Axis, name: str, label: str) -> None:
    """Make an axis logarithmic, with tick labels that need no mathtext."""
    kind = {"flops": "flops", "budget": "cost", "factor": "factor"}.get(name, "count")
    ax.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    axis.set_major_locator(LogTicks("flops" if name == "budget" else name))
    axis.set_minor_locator(NullLocator())
    write: Callable[[float], str] = "{:g}".format if name == "loss" else lambda value: written(value, kind)
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_label_text(label)


def _efficient(expected: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """Return the indices of the points that no other point beats in both coordinates, in order along the curve."""
    beaten = [bool(np.any((expected < e) & (worst < w))) for e, w in zip(expected, worst, strict=True)]
    return np.flatnonzero(~np.array(beaten))


# --- SVG ------------------------------------------------------------------------------------------------------------


def inline(figure: Figure, name: str) -> str:
    """Return a figure as SVG for a page: colours as CSS variables, unique ids, and no date."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = re.sub(rf"(fill|stroke): {colour}\b", rf"\1: var(--{variable}, {colour})", svg, flags=re.IGNORECASE)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg)
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda part: re.sub(r"(\d+\.\d{2})\d+", r"\1", part[0]), svg)
    return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)

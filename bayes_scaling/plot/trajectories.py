"""Figure of a trajectory: the fan of a run's loss curve, what was measured of it, and the law's quantities beside it.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import listed, percent
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.plot.numbers import probability
from bayes_scaling.plot.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MEASURED,
    ORANGE,
    PURPLE,
    VERMILLION,
    axis_label,
    checked_bands,
    checked_target,
    draw_dots,
    escaped_text,
    leading_of,
    legend_below,
    log_axis,
    new_figure,
    number_writer,
    short_number,
    smoothed,
    styled,
)
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.trajectory import Trajectory

WIDE = 0.9  # probability of the outer bands
BANDS = (0.5, WIDE)
TITLE = 100  # letters of a line above the curve
SHARES = (("run_minimum_steps", "S$_\\mathrm{min}$ / S", BLUE), ("run_compute_share", "C$_\\mathrm{min}$ / C", ORANGE))


@styled
@validated
def plot_trajectory(
    fit: Fit | Ensemble,
    trajectory: Trajectory,
    measured: pd.DataFrame | None = None,
    plan: Trajectory | None = None,
    target: float | None = None,
) -> Figure:
    """Show the loss curve of a run: bands of it, the rows so far, what was measured later, and the plan before it.

    Bands are of single evaluations. Those that are filled hold the loss at each row alone, dashed lines hold the whole
    curve. Beside it, where the laws have them, are the critical batch at the losses of the run, and how near the run is
    to the fewest steps and the least compute.

    Parameters
    ----------
    fit : that the trajectory is of; what did not converge is marked
    trajectory : of a planned run, or of one under way
    measured : rows of the same run, in the columns that order it and ``loss``
    plan : trajectory of the run from before it began, drawn behind it
    target : loss to mark, with the steps at which it is reached

    Raises
    ------
    ForecastError
        When ``measured`` lacks a column, ``plan`` is along another one, or ``target`` is not positive.
    """
    along = trajectory.along
    if measured is not None and (missing := [name for name in (along, "loss") if name not in measured]):
        raise ForecastError(f"measured rows of a run need columns {along} and loss; {missing[0]} is missing")
    if plan is not None and plan.along != along:
        raise ForecastError(f"the plan is along {plan.along}, the trajectory along {along}")
    target = checked_target(target, trajectory.forecast.loss_unit)
    beside = [draw for names, draw in SIDES.items() if set(names) <= set(trajectory.beside)]
    figure = new_figure(fit, f"Trajectory of {_titled(trajectory)}", 12.0 if beside else 8.0, 5.8)
    grid = figure.add_gridspec(max(len(beside), 1), 2 if beside else 1, width_ratios=(2, 1) if beside else None)
    ax = figure.add_subplot(grid[:, 0])
    if plan is not None:
        _draw_plan(ax, plan)
    _draw_curve(ax, trajectory)
    if len(trajectory.so_far):
        rows = trajectory.so_far
        draw_dots(ax, rows[along].to_numpy(float), rows["loss"].to_numpy(float), color=BLACK, label="rows so far")
    if measured is not None:
        ax.scatter(measured[along], measured["loss"], zorder=5, **{**MEASURED, "s": 12})
    if target is not None:
        _draw_target(ax, trajectory, target)
    one = leading_of(fit)
    log_axis(ax, ax.xaxis, along, axis_label(one, along))
    log_axis(ax, ax.yaxis, "loss", axis_label(one, "loss"))
    _start_near(ax, trajectory, plan, measured, target)
    handles = ax.get_legend_handles_labels()[0]
    for row, draw in enumerate(beside):
        side = figure.add_subplot(grid[row, 1], sharex=ax)
        draw(side, trajectory)
        side.set_xlabel(axis_label(one, along))
        side.legend(fontsize=7)
    legend_below(figure, handles)
    return figure


def _titled(trajectory: Trajectory) -> str:
    """Return the name of a run as titles have it, numbers in short."""
    if not trajectory.name.startswith("a run of "):
        return trajectory.name
    points = trajectory.points
    constant = {str(name): points[name].iloc[0] for name in points if points[name].nunique() == 1}
    said = (
        f"{name} {number_writer(name)(float(value)) if isinstance(value, int | float | np.number) else value}"
        for name, value in constant.items()
    )
    return f"a run of {listed(said)}"


def _start_near(
    ax: Axes, trajectory: Trajectory, plan: Trajectory | None, measured: pd.DataFrame | None, target: float | None
) -> None:
    """Let the axes begin near the first row that is forecast, where what came before would squeeze the forecast."""
    along, x = trajectory.along, trajectory.positions
    before = trajectory.so_far[along].to_numpy(float) if len(trajectory.so_far) else x
    left = x[0] / max(2.0, np.sqrt(x[-1] / x[0])) ** 1.5
    if before.min() > left / 2:
        return
    whole = trajectory.simultaneous(WIDE, "new_run")
    shown = [whole, trajectory.so_far["loss"].to_numpy(float)[before >= left]]
    if plan is not None:
        shown.append(plan.interval(WIDE, "new_run")[plan.positions >= left])
    if measured is not None:
        shown.append(measured["loss"].to_numpy(float)[measured[along].to_numpy(float) >= left])
    losses = np.concatenate([np.ravel(values) for values in shown])
    losses = np.append(losses, [] if target is None else target)
    low, high = losses.min(), losses.max()
    room = (high / low) ** 0.06
    ax.set(xlim=(left, x[-1] * (x[-1] / left) ** 0.03), ylim=(low / room, high * room))
    step = f"from {short_number(before.min())} on" if along == "steps" else "earlier ones further left"
    for handle in ax.collections:
        if handle.get_label() == "rows so far":
            handle.set_label(f"rows so far ({step})")


def _draw_curve(ax: Axes, trajectory: Trajectory) -> None:
    """Draw pointwise and simultaneous bands of single evaluations, and the median."""
    x = trajectory.positions
    for share, shade in checked_bands(BANDS):
        edges = smoothed(trajectory.interval(share, "new_run").T, trajectory.interval(share).T)
        label = f"{percent(share)} at each row alone"
        ax.fill_between(x, *edges, color=BLUE, alpha=shade, linewidth=0, label=label)
    whole = smoothed(trajectory.simultaneous(WIDE, "new_run").T, trajectory.simultaneous(WIDE).T)
    both = np.append(x, np.append(np.nan, x)), np.append(whole[0], np.append(np.nan, whole[1]))
    ax.plot(
        *both,
        color=BLUE,
        linewidth=1.0,
        linestyle="--",
        label=f"{percent(WIDE)} of whole curves at these {len(x)} rows",
    )
    ax.plot(x, trajectory.median(), color=BLUE, linewidth=1.4, label="median")
    ax.set_title(escaped_text(textwrap.fill(f"bands: {trajectory.contains['new_run']}", TITLE)))


def _draw_plan(ax: Axes, plan: Trajectory) -> None:
    """Draw what was forecast of the run before it began."""
    edges = smoothed(plan.interval(WIDE, "new_run").T, plan.interval(WIDE).T)
    label = f"{percent(WIDE)} at each row alone, before the run"
    ax.fill_between(plan.positions, *edges, color=GREY, alpha=0.25, linewidth=0, label=label)
    ax.plot(plan.positions, plan.median(), color=GREY, linewidth=1.2, label="median, before the run")


def _draw_target(ax: Axes, trajectory: Trajectory, target: float) -> None:
    """Draw a loss, and where it is reached."""
    needed = trajectory.required(target)
    odds = f"reached by its end with probability {probability(needed.reachable)}"
    unit = escaped_text(trajectory.forecast.loss_unit)
    line: dict[str, Any] = {"color": PURPLE, "linewidth": 1.3, "linestyle": ":"}
    ax.axhline(target, label=f"target {target:g} {unit}, {odds}", **line)
    low, high = np.minimum(needed.interval(WIDE), trajectory.positions[-1])
    if needed.reachable > 0 and low < high:
        label = f"where it is reached, {percent(WIDE)} (cut at the end of the run)"
        ax.hlines(target, low, high, color=PURPLE, linewidth=4, zorder=4, label=label)


def _draw_critical(ax: Axes, trajectory: Trajectory) -> None:
    """Draw the critical batch at the losses of the run, and the batch of the run."""
    found = trajectory.beside["critical_batch"]
    x, (low, high) = trajectory.positions, found.interval(WIDE).T
    ax.fill_between(x, low, high, color=GREEN, alpha=0.25, linewidth=0, label=f"{percent(WIDE)} of the critical batch")
    ax.plot(x, found.median(), color=GREEN, linewidth=1.4)
    ax.plot(x, trajectory.points["batch_tokens"], color=VERMILLION, linewidth=1.4, label="batch of this run")
    log_axis(ax, ax.yaxis, "batch_tokens", "batch size B [tokens/step]")
    ax.set_title("critical batch at the losses of the run")


def _draw_shares(ax: Axes, trajectory: Trajectory) -> None:
    """Draw how near the run is to the fewest steps and to the least compute for its losses."""
    x = trajectory.positions
    for name, label, colour in SHARES:
        found = trajectory.beside[name]
        whole = _steps(trajectory) if name == "run_minimum_steps" else np.ones(len(x))
        low, high = found.interval(WIDE).T / whole
        ax.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, label=f"{percent(WIDE)} of {label}")
        ax.plot(x, found.median() / whole, color=colour, linewidth=1.4)
    ax.set(ylim=(0, 1), ylabel="share of the run's\nsteps, compute")
    ax.set_title("fewest steps and least compute for its losses")


def _steps(trajectory: Trajectory) -> np.ndarray:
    """Return the steps at the points of a curve, ``(n_point,)``, also of one that is ordered by tokens."""
    numbers = trajectory.points.select_dtypes("number")
    return np.asarray(derive_missing({str(name): numbers[name].to_numpy(float) for name in numbers})[0]["steps"])


SIDES = {
    ("critical_batch",): _draw_critical,
    ("run_minimum_steps", "run_compute_share"): _draw_shares,
}
"""Pictures beside the curve, by the quantities that they need."""

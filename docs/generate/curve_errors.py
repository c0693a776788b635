"""Draw how curves of larger models err, forecast and with themselves in the fit, and print what one seed scatters.

uv run python docs/generate/curve_errors.py docs

Every third row of ``stdlib_curves`` by `kaplan_trajectory` with default settings: the curves of models up to 113k
parameters are fitted and those of larger ones forecast; then all of them are fitted, and the larger ones forecast once
more as new runs of the same kind. What remains then is the misfit of the law and the luck of each run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import bayes_scaling as bs
from bayes_scaling.plot.style import BLUE, GREY, STYLE, VERMILLION

LARGEST = 2e5  # parameters of models that are fitted in the first row
EVERY = 3
LATE = 100  # steps
SEED = 0.01  # what one seed scatters, about
WAYS = ("forecast", "in the fit, too")


def errors(fitted: pd.DataFrame, ahead: pd.DataFrame) -> pd.DataFrame:
    """Fit some rows, and return others with the log of median over measured loss."""
    fit = bs.fit("kaplan_trajectory", bs.Runs.from_frame(fitted, loss_unit="nats/byte"), seed=0)
    new = bs.Runs.from_frame(ahead.assign(run=ahead["run"] + " again"), loss_unit="nats/byte")
    median = np.median(bs.forecast(fit, new).new_run, axis=0)
    return ahead.assign(error=np.log(median / ahead["loss"].to_numpy()))


def scatter_of_seeds(table: pd.DataFrame) -> str:
    """Say how runs that differ in their seed alone scatter, root mean square around their mean."""
    length = table.groupby("run")["steps"].transform("max")
    alike = table.assign(length=length, end=table["steps"] == length, log_loss=np.log(table["loss"]))
    variance = alike[alike["steps"] > LATE].groupby(["params", "batch_tokens", "length", "steps", "end"])["log_loss"]
    found = variance.agg(["var", "count"]).query("count > 1")["var"].reset_index()
    cells = len(found.drop_duplicates(["params", "batch_tokens", "length"]))
    late, last = (np.sqrt(rows["var"].mean()) for rows in (found, found[found["end"]]))
    return f"seeds of {cells} cells: {late:.2%} after step {LATE}, {last:.2%} at the end"


def drawn(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw the errors of some curves over their steps."""
    ax.axhspan(-SEED, SEED, color=GREY, alpha=0.25, linewidth=0, label="±1 %, the scatter of a seed")
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    for colour, (params, of_size) in zip((BLUE, VERMILLION), rows.groupby("params"), strict=False):
        for number, (_, curve) in enumerate(of_size.groupby("run")):
            name = f"{params / 1e3:.0f}k parameters" if number == 0 else None
            ax.plot(curve["steps"], curve["error"], color=colour, linewidth=1.1, label=name)
    ax.set_xscale("log")


def picture(found: dict[str, pd.DataFrame]) -> Figure:
    """Draw a row of panels for each way, and one panel for each batch."""
    batches = sorted(next(iter(found.values()))["batch_tokens"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        axes = figure.subplots(len(found), len(batches), sharex="col", sharey=True)
        for row, (way, rows) in zip(axes, found.items(), strict=True):
            for ax, batch in zip(row, batches, strict=True):
                drawn(ax, rows[rows["batch_tokens"] == batch])
                if ax in axes[0]:
                    ax.set_title(f"batch of {batch:,.0f} bytes")
            row[0].set_ylabel(way)
            row[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        figure.supxlabel("optimiser steps S", fontsize=9)
        figure.supylabel("median over measured loss - 1", fontsize=9)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def main(folder: Path) -> None:
    """Fit both, draw the picture and print the numbers."""
    table = bs.datasets.load("stdlib_curves").table
    print(scatter_of_seeds(table))
    rows = table.iloc[::EVERY]
    small = rows["params"] <= LARGEST
    found = dict(zip(WAYS, (errors(rows[small], rows[~small]), errors(rows, rows[~small])), strict=True))
    for way, each in found.items():
        late = each[each["steps"] > LATE]
        last = each[each["steps"] == each.groupby("run")["steps"].transform("max")]
        size = [np.sqrt(np.mean(part["error"] ** 2)) for part in (each, late, last)]
        print(f"{way}: all rows {size[0]:.2%}, after step {LATE} {size[1]:.2%}, last rows {size[2]:.2%}")
    picture(found).savefig(folder / "curve-errors.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

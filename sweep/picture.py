"""Draw what was measured: the grid of final losses, and curves over size and over batch.

uv run python sweep/picture.py docs/stdlib.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from bayes_scaling.cli.demo import CUT
from bayes_scaling.data import datasets
from bayes_scaling.plot.style import AXES, SEQUENTIAL, STYLE, VERMILLION

DARKER = ListedColormap(SEQUENTIAL(np.linspace(0, 0.86, 256)))  # lines and white digits need contrast
BATCH = 2048  # bytes per step of the curves over size


def draw_grid(axes: Axes) -> None:
    """Draw final losses over size and data, and mark the runs that the demo holds out."""
    frame = datasets.load("stdlib_sweep").table
    cells = frame.groupby(["params", "tokens"], as_index=False).agg(
        loss=("loss", "mean"), seeds=("seed", "nunique"), flops=("flops", "first")
    )
    marks = axes.scatter(
        cells["params"], cells["tokens"], c=cells["loss"], s=70, cmap=DARKER.reversed(), norm=LogNorm(), zorder=3
    )
    for cell in cells.itertuples():
        if cell.seeds > 1:
            label = {"xy": (cell.params, cell.tokens), "ha": "center", "va": "center", "fontsize": 6.5, "zorder": 4}
            axes.annotate(f"{cell.seeds}", color="white", **label)
    out = cells[cells["flops"] > CUT]
    axes.scatter(
        out["params"], out["tokens"], s=120, facecolors="none", edgecolors=VERMILLION, label="held out in the demo"
    )
    axes.set(xscale="log", yscale="log", xlabel=f"{AXES['params']}, non-embedding", ylabel="training bytes D")
    axes.set_title("Final losses (number: seeds)")
    axes.legend(loc="upper left", fontsize=7)
    bar = axes.figure.colorbar(marks, ax=axes, ticks=[1.2, 1.5, 2, 2.5], format="{x:.1f}")
    bar.minorticks_off()
    bar.set_label("loss [nats/byte]")


def draw_curves(axes: Axes, frame: pd.DataFrame, by: str, letter: str) -> None:
    """Draw the longest curve for each value of a column."""
    values = sorted(frame[by].unique())
    for value, rows in frame.groupby(by):
        colour = DARKER(1 - values.index(value) / (len(values) - 1))
        longest = rows[rows["run"] == rows.loc[rows["steps"].idxmax(), "run"]]
        axes.plot(longest["steps"], longest["loss"], color=colour, label=f"{letter} = {value:,.0f}")
    axes.set(xscale="log", yscale="log", xlabel=AXES["steps"], ylabel="loss [nats/byte]")
    axes.set_yticks([1.2, 1.5, 2, 3, 4, 5], labels=["1.2", "1.5", "2", "3", "4", "5"])
    axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.legend(fontsize=7)


def draw() -> Figure:
    """Put the three panels side by side."""
    curves = datasets.load("stdlib_curves").table
    complete = curves.groupby("params")["batch_tokens"].transform("nunique") == curves["batch_tokens"].nunique()
    largest = curves.loc[complete, "params"].max()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.8), layout="constrained")
        grid, sizes, batches = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
        draw_grid(grid)
        draw_curves(sizes, curves[curves["batch_tokens"] == BATCH], "params", "N")
        sizes.set_title(f"Curves over size, batch {BATCH:,} bytes")
        draw_curves(batches, curves[curves["params"] == largest], "batch_tokens", "B")
        batches.set_title(f"Curves over batch, N = {largest:,.0f}")
    return figure


def main() -> None:
    """Save the picture under the name given."""
    if len(sys.argv) != 2:
        sys.exit("usage: picture.py FILE.png")
    draw().savefig(Path(sys.argv[1]), dpi=150)


if __name__ == "__main__":
    main()

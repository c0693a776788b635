"""Print, as tables for the cards, how far apart seeds of one cell are: final losses, and curves at equal steps.

uv run python sweep/noise.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_scaling.data import datasets

CONSTANT_WARMUP = 50  # steps; that of training.py, which needs more packages than this script


def spread(frame: pd.DataFrame, cell: list[str]) -> tuple[float, int]:
    """Return the standard deviation of one run's log loss over seeds, pooled over cells, and its degrees of freedom."""
    log_loss = np.log(frame["loss"])
    keys = [frame[name] for name in cell]
    deviations = log_loss - log_loss.groupby(keys).transform("mean")
    freedom = len(frame) - frame.groupby(cell).ngroups
    return float(np.sqrt((deviations**2).sum() / freedom)) if freedom else float("nan"), freedom


def print_final_losses() -> None:
    """Print the noise of the sweep by size."""
    frame = datasets.load("stdlib_sweep").table
    seeds = frame.groupby(["params", "tokens"])["seed"].transform("nunique")
    frame = frame[seeds > 1]
    print("| N | cells | runs | standard deviation of one run's log loss | widest gap |\n|---|---|---|---|---|")
    for name, rows in [*((f"{params:,.0f}", rows) for params, rows in frame.groupby("params")), ("all", frame)]:
        losses = rows.groupby(["params", "tokens"])["loss"]
        gap = (losses.max() / losses.min() - 1).max()
        print(f"| {name} | {losses.ngroups} | {len(rows)} | {spread(rows, ['params', 'tokens'])[0]:.2%} | {gap:.2%} |")


def print_curves() -> None:
    """Print, by size and batch, the noise between seeds and between neighbouring points of a curve."""
    frame = datasets.load("stdlib_curves").after_warmup(steps=2 * CONSTANT_WARMUP).table
    print("| N | batch | runs | between seeds, at equal steps | between points of a curve |\n|---|---|---|---|---|")
    for (params, batch), rows in frame.groupby(["params", "batch_tokens"]):
        # The second difference of a smooth curve is small, and that of white noise has six times its variance.
        bends = np.concatenate([np.diff(np.log(curve), 2) for _, curve in rows.groupby("run")["loss"]])
        between, freedom = spread(rows, ["steps"])
        within = np.sqrt((bends**2).mean() / 6)
        shown = f"{between:.2%}" if freedom else ""
        print(f"| {params:,.0f} | {batch:,.0f} | {rows['run'].nunique()} | {shown} | {within:.2%} |")


def main() -> None:
    """Print the noise of final losses and of curves."""
    print_final_losses()
    print()
    print_curves()


if __name__ == "__main__":
    main()

"""Print how far seeds of one cell lie apart: in the bundled sweep, or in the table of curves given as a CSV.

uv run python sweep/noise.py
uv run python sweep/noise.py bayes_scaling/datasets/stdlib_curves.csv
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from bayes_scaling import datasets

CONSTANT_WARMUP = 50  # steps; that of training.py, which needs more packages than this script


def print_pairs(frame: pd.DataFrame) -> None:
    """Print one line per pair and the pooled standard deviation of one run's log loss."""
    pairs = frame.pivot_table(index=["params", "tokens"], columns="seed", values="loss").dropna()
    gap = np.log(pairs[0] / pairs[1])
    for (params, tokens), difference in gap.items():
        print(f"N {params:>8.0f}  D {tokens:>9.0f}  {difference:+.2%}")
    print(f"{len(gap)} pairs, median difference {gap.abs().median():.2%}, largest {gap.abs().max():.2%}")
    print(f"standard deviation of one run's log loss: {np.sqrt((gap**2).mean() / 2):.2%}")


def print_curves(frame: pd.DataFrame) -> None:
    """Print, per size and batch, the spread of log loss between seeds and between neighbours on a curve."""
    after = frame[frame["steps"] > 2 * CONSTANT_WARMUP].assign(log_loss=lambda table: np.log(table["loss"]))
    for (params, batch), cell in after.groupby(["params", "batch_tokens"]):
        spread = cell.groupby("steps")["log_loss"].var().dropna()
        between = f"{np.sqrt(spread.mean()):.2%}" if len(spread) else "-"
        # The second difference of a smooth curve is small, and that of white noise has six times its variance.
        bends = np.concatenate([np.diff(curve, 2) for _, curve in cell.groupby("run")["log_loss"]])
        within = np.sqrt((bends**2).mean() / 6)
        runs = cell["run"].nunique()
        print(f"N {params:>8.0f}  B {batch:>6.0f}  {runs} runs: seeds {between:>6s}, points of a curve {within:.2%}")


def main() -> None:
    """Print the noise of the bundled sweep, or of the curves in a file."""
    if len(sys.argv) == 1:
        print_pairs(datasets.load().table)
    else:
        print_curves(pd.read_csv(sys.argv[1]))


if __name__ == "__main__":
    main()

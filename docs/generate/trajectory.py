"""Draw the picture of "Forecast a whole loss curve": one run from its plan to its end, and print the numbers.

uv run python docs/generate/trajectory.py docs/how-to
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_scaling as bs

LARGEST = 2e5  # parameters of runs that are fitted
RUN = "L4W72-B512-S6912-s1"  # that is followed
BIG = {"params": 248_832.0, "batch_tokens": 512.0}
SEEN = 2000  # steps after which it is forecast again
EARLY = 100  # steps, in which the loss halves
TARGET = 1.42  # nats per byte


def tables() -> tuple[bs.Runs, pd.DataFrame]:
    """Return the small runs of seed 0, and the rows of the run that is followed."""
    curves = bs.datasets.load("stdlib_curves")
    small = curves.where((curves.column("seed") == 0) & (curves.column("params") < LARGEST))
    return small, curves.table[curves.table["run"] == RUN]


def inside(found: bs.Trajectory, rows: pd.DataFrame) -> str:
    """Say how many rows lie inside the 90 % bands."""
    loss = rows["loss"].to_numpy()
    pointwise, whole = found.interval(0.9, "new_run").T, found.simultaneous(0.9, "new_run").T
    held = [(band[0] <= loss) & (loss <= band[1]) for band in (pointwise, whole)]
    error = np.sqrt(np.mean(np.log(found.median() / loss) ** 2))
    return f"{held[0].mean():.0%} of {len(loss)} rows inside, all in the whole band: {held[1].all()}; error {error:.1%}"


def main(folder: Path) -> None:
    """Fit the small runs, then those with the first rows of the big one."""
    small, big = tables()
    rows = big["steps"].tolist()
    late = big[big["steps"] > EARLY]
    before = bs.fit("kaplan_trajectory", small, seed=0)
    print(before)
    plan = bs.trajectory(before, **BIG, steps=rows[-1])
    print("plan:", inside(bs.trajectory(before, **BIG, steps=rows), big), plan.reached(TARGET))
    later = bs.trajectory(before, **BIG, steps=late["steps"].tolist())
    print(f"plan, after step {EARLY}:", inside(later, late))
    seen = big[big["steps"] <= SEEN]
    both = pd.concat([small.table, seen], ignore_index=True)
    now = bs.fit("kaplan_trajectory", bs.Runs.from_frame(both, loss_unit="nats/byte"), seed=0)
    print(now)
    rest = big[big["steps"] > SEEN]
    ahead = bs.trajectory(now, run=RUN, steps=rows[-1])
    exact = bs.trajectory(now, run=RUN, steps=rest["steps"].tolist())
    print("under way:", inside(exact, rest), ahead.reached(TARGET))
    figure = bs.plot.trajectory(now, ahead, measured=rest, plan=plan, target=TARGET)
    figure.savefig(folder / "trajectory.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

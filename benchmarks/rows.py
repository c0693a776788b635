"""Seconds and peak memory over the number of rows: reading and checking a table, a fit, and what is said of its rows.

    uv run python benchmarks/rows.py --rows 1000,10000,100000,1000000 --steps check
    uv run python benchmarks/rows.py --rows 1000,10000,100000

Simulates runs by Chinchilla's law and fits it without a discrepancy, by the normal approximation. Every size has a
process of its own, whose peak memory is printed after each step. ``check`` reads the CSV and says what it cannot teach,
as the command does; ``outliers`` and ``influence`` are `find_outliers` and `find_influential`. The last line has the
slope of seconds between the two largest sizes on log scales: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device import runs

import bayes_scaling as bs

STEPS = ("check", "fit", "outliers", "influence", "save")


def measured(rows: int, steps: list[str]) -> dict[str, list[float]]:
    """Return seconds and peak memory in GB of each step, for one size of table."""
    out: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        runs(rows).table[["params", "tokens", "loss"]].to_csv(path, index=False)

        def step(name: str, work: Callable[[], Any]) -> Any:
            if name not in steps:
                return None
            started = time.perf_counter()
            found = work()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
            out[name] = [time.perf_counter() - started, peak]
            return found

        step("check", lambda: bs.evaluate.identifiability(bs.load_law("chinchilla"), bs.Runs.from_csv(path)))
        table = bs.Runs.from_csv(path)
        fit = step("fit", lambda: bs.fit("chinchilla", table, discrepancy="none", sampler="laplace", progress=False))
        step("outliers", lambda: bs.evaluate.find_outliers(fit))
        step("influence", lambda: bs.evaluate.find_influential(fit))
        step("save", lambda: fit.save(path.with_suffix(".nc")))
    return out


def main() -> None:
    """Print a row per size of table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000,10000,100000")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--one", type=int, help="print the numbers of one size as JSON")
    options = parser.parse_args()
    steps = [name for name in STEPS if name in options.steps.split(",")]
    if options.one:
        print(json.dumps(measured(options.one, steps)))
        return
    print("| rows | " + " | ".join(f"{name}, s | peak, GB" for name in steps) + " |")
    print("|--:|" + "--:|" * 2 * len(steps))
    last: list[tuple[int, dict[str, list[float]]]] = []
    for rows in (int(part) for part in options.rows.split(",")):
        command = [sys.executable, __file__, "--steps", options.steps, "--one", str(rows)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        cells = " | ".join(f"{found[name][0]:.2f} | {found[name][1]:.2f}" for name in steps)
        print(f"| {rows:,} | {cells} |", flush=True)
        last = [*last[-1:], (rows, found)]
    if len(last) == 2:
        (few, before), (many, after) = last
        slopes = (math.log(after[name][0] / before[name][0]) / math.log(many / few) for name in steps)
        print("| slope | " + " | ".join(f"{slope:.2f} | " for slope in slopes) + "|")


if __name__ == "__main__":
    main()

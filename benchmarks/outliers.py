"""What a few bad runs do to the compute-optimal size: noise models and point fits side by side.

    uv run python benchmarks/outliers.py                        # 245 simulated runs, five of them bad
    uv run python benchmarks/outliers.py --runs my_runs.csv     # any table with params, tokens, loss

The simulated table is a twin of the public Chinchilla points: published constants of Besiroglu et al. 2024, the same
range of sizes, 0.4 % of scatter, and five runs with few tokens per parameter whose losses are 6 to 31 % too high.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_scaling as bs

BUDGET = 5.76e23  # FLOPs, Chinchilla's own


def twin(seed: int = 0) -> bs.Runs:
    """Simulate the twin of the public table."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(6e7), np.log(1.6e10), 245))
    flops = np.exp(rng.uniform(np.log(1.4e18), np.log(1.3e22), 245))
    tokens = np.clip(flops / (6 * params), 2.5e8, 3.2e11)
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values) | {"sigma": 0.004, "nu": 5.0}
    table = bs.simulate("chinchilla", pd.DataFrame({"params": params, "tokens": tokens}), truth, seed=seed).table
    loss = table["loss"].to_numpy().copy()
    loss[np.argsort(tokens / params)[:5]] *= [1.27, 1.31, 1.14, 1.12, 1.06]
    return bs.Runs.from_frame(table.assign(loss=loss), source="simulated twin")


def main() -> None:
    """Print one line per method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="table of runs; simulated by default")
    arguments = parser.parse_args()
    runs = bs.Runs.read(arguments.runs) if arguments.runs else twin()
    print(f"compute-optimal parameters at {BUDGET:g} FLOP, from {len(runs)} runs of {runs.source}\n")
    for family, words in (("student_t", "Student-t, tails learned (default)"), ("normal", "normal noise")):
        fit = bs.fit("chinchilla", runs, noise=bs.Noise(family), seed=0)
        best = bs.compute_optimal(fit, BUDGET)
        low, high = best.interval("params", 0.9) / 1e9
        print(f"{words:36s} {np.median(best.params) / 1e9:6.0f}B  90% {low:.0f}B to {high:.0f}B")
        if family == "student_t":
            flagged = bs.evaluate.find_outliers(fit).query("outlier")
    for loss, words in (("huber", "Huber point fit, bootstrap"), ("squares", "least squares, bootstrap")):
        point = bs.evaluate.point_fit(bs.load_law("chinchilla"), runs, loss=loss)
        best = float(point.law.quantity("params_opt", point.theta, flops=BUDGET)) / 1e9
        low, high = np.quantile(point.law.quantity("params_opt", point.bootstrap, flops=BUDGET), [0.05, 0.95]) / 1e9
        print(f"{words:36s} {best:6.0f}B  90% {low:.0f}B to {high:.0f}B")
    print(f"{'20 tokens per parameter':36s} {np.sqrt(BUDGET / 120) / 1e9:6.0f}B  no interval")
    if not arguments.runs:
        print(f"{'truth of the simulation':36s} {72.25:6.0f}B")
    print(f"\nflagged as outliers by the default: {', '.join(flagged['run'])}")


if __name__ == "__main__":
    main()

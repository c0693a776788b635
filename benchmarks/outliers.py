"""What a few bad runs do to the compute-optimal size: noise models and point fits side by side.

    uv run python benchmarks/outliers.py                        # 245 simulated runs, five of them bad
    uv run python benchmarks/outliers.py --runs my_runs.csv     # any table with params, tokens, loss

The simulated table is a twin of the public Chinchilla points: published constants of Besiroglu et al. 2024, the same
range of sizes, 0.4 % of scatter, and five runs with few tokens per parameter whose losses are 6 to 31 % too high.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.optimize

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


def huber_point_fit(runs: bs.Runs) -> float:
    """Return N* of the usual point fit: Huber loss (1e-3) on log loss, L-BFGS from a grid of starts."""
    log_n, log_d, log_loss = (np.log(runs.column(name)) for name in ("params", "tokens", "loss"))

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, e, alpha, beta = x
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
        fitted = np.logaddexp.reduce(terms)
        share = np.exp(terms - fitted)
        residual = fitted - log_loss
        slope = np.clip(residual, -1e-3, 1e-3)
        value = np.where(np.abs(residual) <= 1e-3, residual**2 / 2, 1e-3 * (np.abs(residual) - 5e-4)).sum()
        pieces = (share[0], share[1], share[2], -share[0] * log_n, -share[1] * log_d)
        return float(value) * 1e3, 1e3 * np.array([(slope * piece).sum() for piece in pieces])

    options = {"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-12}
    starts = itertools.product((0, 5, 10, 20), (0, 5, 10, 20), (-0.5, 0.5), (0.2, 0.5, 1), (0.2, 0.5, 1))
    fits = (scipy.optimize.minimize(objective, s, jac=True, method="L-BFGS-B", options=options) for s in starts)
    a, b, _, alpha, beta = min(fits, key=lambda fit: float(fit.fun)).x
    scale = np.exp((np.log(alpha / beta) + a - b) / (alpha + beta))
    return float(scale * (BUDGET / 6) ** (beta / (alpha + beta)))


def main() -> None:
    """Print one line per method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="table of runs; simulated by default")
    arguments = parser.parse_args()
    runs = bs.Runs.read(arguments.runs) if arguments.runs else twin()
    print(f"compute-optimal parameters at {BUDGET:g} FLOP, from {len(runs)} runs of {runs.source}\n")
    for family, words in (("student_t", "Student-t, tails learned (default)"), ("normal", "normal noise")):
        fit = bs.fit("chinchilla", runs, noise=bs.Noise(family), discrepancy=bs.Discrepancy("none"), seed=0)
        best = bs.compute_optimal(fit, BUDGET)
        low, high = best.interval("params", 0.9) / 1e9
        print(f"{words:36s} {np.median(best.params) / 1e9:6.0f}B  90% {low:.0f}B to {high:.0f}B")
        if family == "student_t":
            flagged = bs.find_outliers(fit).query("outlier")
    print(f"{'Huber point fit':36s} {huber_point_fit(runs) / 1e9:6.0f}B  no interval")
    print(f"{'20 tokens per parameter':36s} {np.sqrt(BUDGET / 120) / 1e9:6.0f}B  no interval")
    if not arguments.runs:
        print(f"{'truth of the simulation':36s} {72.25:6.0f}B")
    print(f"\nflagged as outliers by the default: {', '.join(flagged['run'])}")


if __name__ == "__main__":
    main()

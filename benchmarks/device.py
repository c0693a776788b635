"""Seconds of one fit on a CPU and on an accelerator, over the number of rows, and whether the two agree.

    uv run python benchmarks/device.py --rows 240,10000,100000,1000000

Fits Chinchilla's law without a discrepancy to simulated runs: 4 chains of 1,000 draws; each fit twice, so that the
second one compiles nothing. Prints the seconds of both and the largest difference of a posterior median, in posterior
standard deviations.
"""

from __future__ import annotations

import argparse
import time

import jax
import numpy as np
import pandas as pd

import bayes_scaling as bs


def runs(rows: int, seed: int = 0) -> bs.Runs:
    """Return simulated runs over two decades of parameters and of tokens per parameter."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(6e7), np.log(6e9), rows))
    design = pd.DataFrame({"params": params, "tokens": params * np.exp(rng.uniform(np.log(3), np.log(300), rows))})
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values) | {"sigma": 0.005, "nu": 20.0}
    return bs.simulate("chinchilla", design, truth, seed=seed + 1)


def timed(table: bs.Runs, device: str) -> tuple[bs.Fit, list[float]]:
    """Fit twice on a device; return the fit and the seconds of each."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        fit = bs.fit("chinchilla", table, discrepancy="none", sampler=bs.Sampler(device=device), seed=0, progress=False)
        seconds.append(time.perf_counter() - started)
    return fit, seconds


def main() -> None:
    """Print a row per size of table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="240,10000,100000")
    parser.add_argument("--devices", default="cpu,gpu")
    options = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()}", flush=True)
    print("| rows | device | seconds, first | seconds, again | sampler | converged | difference of medians |")
    print("|---|---|---|---|---|---|---|")
    for rows in (int(part) for part in options.rows.split(",")):
        table, reference = runs(rows), None
        for device in options.devices.split(","):
            fit, (first, again) = timed(table, device)
            apart = "" if reference is None else f"{difference(fit, reference):.3f}"
            reference = reference or fit
            converged = "yes" if fit.converged else "; ".join(fit.problems)
            print(
                f"| {rows} | {device} | {first:.1f} | {again:.2f} | {fit.sampler_used} | {converged} | {apart} |",
                flush=True,
            )


def difference(one: bs.Fit, other: bs.Fit) -> float:
    """Return the largest difference of a posterior median, in posterior standard deviations."""
    a, b = one.flat(), other.flat()
    return max(abs(float(np.median(a[name]) - np.median(b[name]))) / float(b[name].std()) for name in a)


if __name__ == "__main__":
    main()

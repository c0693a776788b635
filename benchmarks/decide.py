"""How long a plan takes over 4,000 draws, and how much memory.

    uv run python benchmarks/decide.py

Ensembles are made once. Every problem is solved once to compile its programs (or read them from the cache) and then
five times, each with another budget. Memory is the peak of arrays in NumPy: runs are evaluated in blocks of 32, so that
the largest array holds 32 runs by draws by the 4 parts of a Student-t, whatever the law and however fine the search.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs

BUDGET, REPEATS = 1e22, 5


def runs_of(law: bs.laws.Law, constants: Any, n: int = 64) -> bs.Runs:
    """Simulate runs scattered over sizes, tokens, batches and repeated data."""
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(6e7), np.log(6e9), n))
    table = pd.DataFrame({"params": params, "tokens": params * np.exp(rng.uniform(np.log(3), np.log(300), n))})
    table["batch_tokens"] = np.exp(rng.uniform(np.log(5e4), np.log(5e6), n))
    table["steps"] = table["tokens"] / table["batch_tokens"]
    table["unique_tokens"] = table["tokens"] / np.exp(rng.uniform(0, np.log(20), n))
    return bs.simulate(law, table, {**constants, "sigma": 0.005, "nu": 20.0}, seed=1)


def published(name: str, constants: str) -> dict[str, float]:
    """Return the constants of a paper."""
    return dict(bs.load_law(name).at(constants).constants.values)


LAWS: dict[str, dict[str, float]] = {
    "chinchilla": published("chinchilla", "besiroglu2024"),
    "repeated_data": published("repeated_data", "muennighoff2023"),
    "three_term": {"E": 1.7, "A": 300.0, "K": 30.0, "J": 5e4, "alpha": 0.33, "beta": 0.4, "gamma": 0.75},
    "kaplan_trajectory": published("kaplan_trajectory", "kaplan2020"),
}


def timed(ask: Callable[[float], Any]) -> tuple[float, float, float, float]:
    """Return seconds of the first call, median seconds and CPU seconds of the others, and the peak of memory in MB."""
    started = time.perf_counter()
    ask(BUDGET)
    first = time.perf_counter() - started
    later, busy = [], []
    for i in range(REPEATS):
        started, used = time.perf_counter(), time.process_time()
        ask(BUDGET * (1.1 + 0.1 * i))
        later.append(time.perf_counter() - started)
        busy.append(time.process_time() - used)
    tracemalloc.start()
    ask(BUDGET)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return first, statistics.median(later), statistics.median(busy), peak / 1e6


def main() -> None:
    """Print one line per law and question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}; seconds\n")
    print(f"{'question':32s} {'draws':>6s} {'first':>7s} {'again':>7s} {'CPU':>7s} {'peak MB':>8s}")
    for name, constants in LAWS.items():
        law = bs.load_law(name)
        fit = bs.fit(law, runs_of(law, constants), seed=0)
        ensemble = bs.Ensemble.of(fit, unconverged=True)
        given = {"unique_tokens": 1e10} if name == "repeated_data" else None
        questions: dict[str, Callable[[float], Any]] = {
            f"allocate, {name}": lambda budget, b=ensemble, g=given: bs.allocate(b, budget, target=2.3, given=g)
        }
        if name == "chinchilla":
            questions |= {
                "the same, draws made anew": lambda budget, f=fit: bs.allocate(f, budget, target=2.3),
                "best of 3 runs": lambda budget, b=ensemble: bs.DecisionProblem(b).portfolio(budget, 3),
                "smallest budget at three odds": lambda budget, b=ensemble: bs.DecisionProblem(
                    b, target=2.3
                ).smallest_budget(),
            }
        for words, ask in questions.items():
            first, again, busy, peak = timed(ask)
            print(f"{words:32s} {len(ensemble):6d} {first:7.2f} {again:7.2f} {busy:7.2f} {peak:8.0f}", flush=True)


if __name__ == "__main__":
    main()

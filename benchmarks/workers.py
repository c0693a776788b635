"""How much faster several worker processes are: a backtest of many tables, made by one of them and by more.

    uv run python benchmarks/workers.py                      # 40 tables; one core, this process, one worker, two
    uv run python benchmarks/workers.py --tables 8 --workers 1,2,4

Tables are simulated from published constants. Every row of the answer makes the same backtest in new processes, from
the start of the first to the last result, with the compilation cache on disk as an untimed table left it. Workers share
the cores: one alone runs chains side by side, as "this process" does, which starts no worker; two on two cores each run
theirs one after the other. "One core" is a worker that does so too, like one of a cluster: what a second one adds is
that row against "2". The last column says whether all numbers are those of the first row, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor

import numpy as np
import pandas as pd

import bayes_scaling as bs

LAW, CONSTANTS = "chinchilla", "besiroglu2024"


def table(seed: int, rows: int) -> bs.Runs:
    """Simulate a table of runs over two decades of size."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(6e7), np.log(6e9), rows))
    tokens = params * np.exp(rng.uniform(np.log(3), np.log(300), rows))
    return bs.simulate(LAW, pd.DataFrame({"params": params, "tokens": tokens}), CONSTANTS, seed=seed)


def seconds() -> float:
    """Return the CPU time of this process and of the ended ones that it started."""
    while multiprocessing.active_children():
        time.sleep(0.05)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(tables: Mapping[str, bs.Runs], laws: list[str], workers: str) -> tuple[float, float, str]:
    """Return wall-clock and CPU seconds of a backtest, and a digest of all that it says."""
    began, used = time.perf_counter(), seconds()
    with contextlib.ExitStack() as stack:
        executor: Executor | int | None = int(workers) if workers.isdigit() and workers != "0" else None
        if workers == "one core":
            spawned = multiprocessing.get_context("spawn")
            executor = stack.enter_context(ProcessPoolExecutor(1, spawned))
        found = bs.backtest(tables, laws, loo=False, alongside=("exact",), executor=executor)
    wall = time.perf_counter() - began
    content = json.dumps(found.to_dict(), sort_keys=True)
    draws = b"".join(fit.unconstrained.tobytes() for one in found.comparisons.values() for fit in one.fits.values())
    return wall, seconds() - used, hashlib.sha256(content.encode() + draws).hexdigest()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tables", type=int, default=40)
    parser.add_argument("--rows", type=int, default=40, help="runs in each table")
    parser.add_argument("--laws", default=LAW, help="comma-separated")
    parser.add_argument("--workers", default="one core,0,1,2", help="numbers of processes; 0 is this process")
    options = parser.parse_args()
    tables = {f"table {seed}": table(seed, options.rows) for seed in range(options.tables)}
    laws = options.laws.split(",")
    measured({"table 0": tables["table 0"]}, laws, "1")  # leaves programs in the compilation cache
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{options.tables} tables of {options.rows} runs, {options.laws}; {os.cpu_count()} cores, load {load:.1f}\n")
    print("| workers | wall s | CPU s | times as fast as the first | same numbers |\n|---|---|---|---|---|")
    first: tuple[float, str] | None = None
    for workers in options.workers.split(","):
        wall, used, digest = measured(tables, laws, workers)
        first = first or (wall, digest)
        name = "this process" if workers == "0" else workers
        print(f"| {name} | {wall:.0f} | {used:.0f} | {first[0] / wall:.2f} | {'yes' if digest == first[1] else 'NO'} |")


if __name__ == "__main__":
    main()

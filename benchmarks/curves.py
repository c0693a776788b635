"""Fits of whole training curves with default settings: time, convergence, and forecasts of larger models' curves.

    uv run python benchmarks/curves.py --out curves.jsonl
    uv run python benchmarks/curves.py --laws kaplan_trajectory --rows-per-curve 8,12,all --only split
    uv run python benchmarks/curves.py --laws kaplan_trajectory --only split,below-6e4,batch-128,batch-2048,batch-32768
    uv run python benchmarks/curves.py --laws default --only split
    uv run python benchmarks/curves.py --laws nesting_schedule,chinchilla --only cooldown,cosine,size
    uv run python benchmarks/curves.py --simulated 100000 --only none
    uv run python benchmarks/curves.py --data FOLDER [--only steplaw-tuned,multi_power] --out public.jsonl

Fits laws of curves to the bundled tables of curves; ``default`` are the default laws together. ``split``: every third
row of the curves of models up to 113k parameters of ``stdlib_curves`` is fitted, and the curves of larger ones are
forecast. ``below-3e4`` is the same up to another size; ``batch-2048`` leaves out all curves of that batch and
forecasts them. ``continued``: of every fifth of the smaller curves only the first 30 % of steps is fitted, and the
rest of it is forecast. ``cooldown`` and ``cosine`` leave out and forecast the curves of that schedule of
``stdlib_schedules``, and ``size`` those of its largest model. ``--simulated`` fits curves of 60 rows each by
Chinchilla's law, and finds outliers in them.
``--data`` reads public tables of curves from a folder instead (`public_curves.py` says which, and their parts); there
``--only`` takes tables, parts, laws, or a table and a part as in ``steplaw-tuned``.
Every line has a process of its own; the first fit of a process compiles, or reads what was compiled before. Lines that
``--out`` holds are not measured again.

CPU seconds are those of the whole process after imports. ESS is the smallest bulk effective sample size of a coordinate
that was sampled. Errors are of log loss, root mean square; ``late`` is after step 100, ``last`` the last row of a run,
``bias`` the mean error of late rows, ``last_bias`` that of last ones; ``mae`` and ``last_mae`` are mean absolute errors
of the loss itself, which is what published figures are. ``together`` is the share of curves of which no row lies
outside a simultaneous 90 % band.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import public_curves

import bayes_scaling as bs
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.model.choices import default_noise

LAWS = {
    "stdlib_curves": ("kaplan_trajectory", "three_term", "chinchilla", "annealing", "multi_power"),
    "stdlib_schedules": (
        *("kaplan_trajectory", "three_term", "chinchilla", "annealing", "multi_power", "nesting_schedule"),
    ),
}
OF_SCHEDULES = ("cooldown", "cosine", "size")  # parts of ``stdlib_schedules``
TOGETHER = "default"
LARGEST = 2e5  # parameters of models that are fitted in the split
EVERY = 3
LATE = 100  # steps
SO_FAR = 0.3  # share of the steps of a run that goes on
LEVELS = (0.5, 0.8, 0.9)
ROWS_SIMULATED = 60  # of a curve
COLUMNS = (
    *("law", "table", "part", "rows", "read", "wall_s", "cpu_s", "gradients", "path", "converged", "ess_per_s"),
    *("outliers_s", "peak_gb", "error", "late", "bias", "last", "inside_50", "inside_80", "inside_90", "late_90"),
    *("together", "log_score", "mae", "last_mae", "last_bias", "published"),
)


def split(part: str, table: str) -> tuple[bs.Runs, bs.Runs | None]:
    """Return the rows that are fitted and those that are forecast."""
    frame = bs.datasets.load(table).table
    if part == "all":
        return bs.Runs.from_frame(frame), None
    if table == "stdlib_schedules":
        there = frame["params"] == frame["params"].max() if part == "size" else frame["schedule"] == part
        return bs.Runs.from_frame(frame[~there]), bs.Runs.from_frame(frame[there])
    small = frame["params"] <= LARGEST
    if part != "continued":
        kind, _, value = part.partition("-")
        if kind == "batch":
            small = frame["batch_tokens"] != float(value)
        elif kind == "below":
            small = frame["params"] <= float(value)
        frame, small = frame.iloc[::EVERY], small.iloc[::EVERY]
        return bs.Runs.from_frame(frame[small]), bs.Runs.from_frame(frame[~small])
    frame = frame[small]
    goes_on = frame["run"].isin(list(dict.fromkeys(frame["run"]))[::5])
    ahead = goes_on & (frame["steps"] > SO_FAR * frame.groupby("run")["steps"].transform("max"))
    return bs.Runs.from_frame(frame[~ahead]), bs.Runs.from_frame(frame[ahead])


def simulated(rows: int) -> bs.Runs:
    """Return curves of 60 rows by Chinchilla's law, each with a slow deviation of its own."""
    rng = np.random.default_rng(0)
    count = -(-rows // ROWS_SIMULATED)
    params = np.exp(rng.uniform(np.log(1e7), np.log(1e10), count))
    ends = np.exp(rng.uniform(np.log(1e10), np.log(1e12), count))
    table = pd.DataFrame(
        {
            "run": np.repeat([f"r{i}" for i in range(count)], ROWS_SIMULATED),
            "params": np.repeat(params, ROWS_SIMULATED),
            "tokens": np.concatenate([np.geomspace(end / 1e3, end, ROWS_SIMULATED) for end in ends]),
        }
    )
    published = bs.load_law("chinchilla").at("besiroglu2024").constants
    truth = dict(published.values) | {"sigma": 0.001, "sigma_curve": 0.01, "length": 1.0}
    return bs.simulate("chinchilla", table[:rows], truth, noise=bs.Noise("normal", rows="correlated"), seed=0)


def measured(
    law: str, table: str, part: str, per_curve: int | None, rows: int, data: Path | None = None
) -> dict[str, Any]:
    """Fit one law to one table and judge its forecasts."""
    ahead: bs.Runs | None = None
    if data is not None:
        fitted, ahead = public_curves.split(data, table, part)
    elif part == "simulated":
        fitted = simulated(rows)
    else:
        fitted, ahead = split(part, table)
    noise = default_noise(fitted)
    if noise.correlated:
        noise = dataclasses.replace(noise, rows_per_curve=per_curve)
    wall, cpu = time.perf_counter(), time.process_time()
    fit = (
        bs.fit(fitted, noise=noise, progress=False)
        if law == TOGETHER
        else bs.fit(law, fitted, noise=noise, progress=False)
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    out: dict[str, Any] = {"rows": len(fitted), "wall_s": wall, "cpu_s": cpu}
    if isinstance(fit, bs.Fit):
        out |= {
            "read": fit.manifest["runs"]["rows_read"],
            "gradients": float(fit.stats["n_steps"].mean()),
            "path": fit.sampler_used,
            "converged": fit.converged,
            "ess_per_s": fit.diagnostics.ess_bulk / wall,
        }
    else:
        out["converged"] = len(fit.members) == 2 * len(default_laws(fitted))  # those that did not are left out
    if part == "simulated" and isinstance(fit, bs.Fit):
        started = time.perf_counter()
        bs.evaluate.find_outliers(fit)
        out["outliers_s"] = time.perf_counter() - started
    out["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    return out if ahead is None else out | judged(fit, ahead)


def judged(fit: bs.Fit | bs.Ensemble, ahead: bs.Runs) -> dict[str, float]:
    """Return errors, shares of rows inside bands, and log score of the forecast of a single evaluation."""
    new = bs.forecast(fit, ahead, unconverged=True).new_run
    frame, log_loss = ahead.table, np.log(ahead.loss)
    middle = np.median(new, axis=0)
    error, off = np.log(middle) - log_loss, np.abs(middle - ahead.loss)
    steps = frame["steps" if "steps" in frame else "tokens"]
    rows = {
        "error": np.ones(len(frame), bool),
        "late": (steps > LATE).to_numpy(),
        "last": (steps == steps.groupby(frame["run"]).transform("max")).to_numpy(),
    }
    found = {name: float(np.sqrt(np.mean(error[chosen] ** 2))) for name, chosen in rows.items()}
    found |= {"bias": float(np.mean(error[rows["late"]])), "last_bias": float(np.mean(error[rows["last"]]))}
    found |= {"mae": float(np.mean(off)), "last_mae": float(np.mean(off[rows["last"]]))}
    for level in LEVELS:
        low, high = np.quantile(new, [(1 - level) / 2, (1 + level) / 2], axis=0)
        inside = (low <= ahead.loss) & (ahead.loss <= high)
        found[f"inside_{level:.0%}".rstrip("%")] = float(np.mean(inside))
    found["late_90"] = float(np.mean(inside[rows["late"]]))  # of the last level
    centre, spread = np.log(new).mean(axis=0), np.log(new).std(axis=0)
    far, off = np.abs(np.log(new) - centre) / spread, np.abs(log_loss - centre) / spread
    curves = frame.groupby("run").indices.values()
    found["together"] = float(np.mean([off[one].max() <= np.quantile(far[:, one].max(axis=1), 0.9) for one in curves]))
    density = -(((log_loss - centre) / spread) ** 2) / 2 - np.log(spread) - np.log(2 * np.pi) / 2
    return {**found, "log_score": float(density.mean())}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"


def bundled(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return law, table and part of each fit to bundled and simulated curves."""
    tasks = [("chinchilla", "simulated", "simulated")] if options.simulated else []
    for table, laws in LAWS.items():
        chosen = options.laws.split(",") if options.laws else laws
        for part in (options.only or "all,split,continued").split(","):
            if part == "all" or (part != "none" and (part in OF_SCHEDULES) == (table == "stdlib_schedules")):
                tasks += [(law, table, part) for law in chosen]
    return tasks


def public(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return law, table and part of each fit to the public tables of a folder."""
    found = public_curves.tasks(options.data, options.only.split(",") if options.only else [])
    if not options.laws:
        return found
    parts = dict.fromkeys((table, part) for _, table, part in found)
    return [(law, *part) for part in parts for law in options.laws.split(",")]


def main() -> None:
    """Print a row per fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", help="some laws, with commas; by default those of each table")
    parser.add_argument("--only", help="parts, with commas, by default all,split,continued; none for simulated alone")
    parser.add_argument("--rows-per-curve", default="12", help="numbers with commas, or all")
    parser.add_argument("--simulated", type=int, default=0, help="rows of simulated curves")
    parser.add_argument("--out", type=Path, help="JSON lines that a stopped benchmark goes on from")
    parser.add_argument("--data", type=Path, help="folder of public tables, which are fitted instead")
    parser.add_argument("--one", nargs=5, metavar="X", help="law, table, part, rows per curve, rows: print JSON")
    options = parser.parse_args()
    if options.one:
        law, table, part, per_curve, rows = options.one
        most = None if per_curve == "all" else int(per_curve)
        print(json.dumps(measured(law, table, part, most, int(rows), options.data)))
        return
    tasks = bundled(options) if options.data is None else public(options)
    if not tasks:
        parser.error("nothing to fit: the folder has none of the files, or --only leaves nothing")
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {tuple(found["task"]): found for found in map(json.loads, lines)}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for per_curve in options.rows_per_curve.split(","):
        for law, table, part in tasks:
            task = (law, table, part, per_curve, str(options.simulated))
            if task not in done:
                command = [sys.executable, __file__, "--one", *task]
                command += [] if options.data is None else ["--data", str(options.data)]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                done[task] = {"task": task, **json.loads(said.splitlines()[-1])}
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps(done[task]) + "\n")
            found = {
                "law": law,
                "table": table,
                "part": part,
                **done[task],
                "published": public_curves.published(table),
            }
            print(f"| {' | '.join(_shown(found.get(name, '')) for name in COLUMNS)} |", flush=True)


if __name__ == "__main__":
    main()

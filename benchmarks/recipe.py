"""The papers' recipe, step by step, beside the joint posterior of the same curves: constants, forecasts, seconds.

    uv run python benchmarks/recipe.py                      # our measured curves
    uv run python benchmarks/recipe.py --simulated 8        # and simulated ones, whose constants are known

The recipe (Kaplan et al. 2020, section 5; Su et al. 2024) estimates one pair of constants after another: N_c and
alpha_N from final losses of large-batch runs, S_c and alpha_S from their curves, B_star and alpha_B from the steps that
several batches take to the same losses. The joint posterior is that of the same law, `kaplan_trajectory`, taken to be
right. Intervals of the recipe come from resampling whole runs, 200 times; resamples that a step refuses are counted.

Measured: ``stdlib_curves`` without the first 100 steps. ``sizes`` fits models up to 113k parameters and forecasts the
curves of larger ones; ``batch`` fits those at every batch but 8,192 tokens and forecasts the curves at that one, at all
sizes. Simulated: the same sizes and batches, 12 rows a curve, at known constants; ``short`` with the steps of our runs,
``long`` with 1,000 times as many, where large-batch runs converge as the recipe presumes.

Errors are of log loss, root mean square. Inside: share of rows in the pointwise 90 % band, and of curves that lie
wholly in the simultaneous one, for the recipe in the same pointwise one, since it has no other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs

LAW = bs.load_law("kaplan_trajectory")
NAMES = ("N_c", "alpha_N", "S_c", "alpha_S", "B_star", "alpha_B")
LARGEST, BATCH, WARMUP = 2e5, 8192, 100
RESAMPLES = 200
SHOWN = {"params": 519_168.0, "loss": 1.4}  # where quantities are asked for
TRUTH = {"N_c": 5.9e5, "alpha_N": 0.127, "S_c": 38.0, "alpha_S": 0.97, "B_star": 6.7e5, "alpha_B": 0.121}
NOISE = {"sigma": 0.0056, "sigma_curve": 0.019, "length": 2.5}
CORRELATED = bs.Noise("normal", rows="correlated")


def asked(constants: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return what a user asks of the constants: the lowest loss of a size, its critical batch, steps to a loss."""
    known = {name: np.asarray(constants[name], float) for name in NAMES}
    with np.errstate(all="ignore"):
        return {
            "L(519k, inf)": LAW.quantity("converged_loss", known, params=SHOWN["params"]),
            "B_crit(1.4)": LAW.quantity("critical_batch", known, loss=SHOWN["loss"]),
            "S_min(519k, 1.4)": LAW.quantity("minimum_steps", known, **SHOWN),
        }


def resampled(runs: bs.Runs, seed: int) -> tuple[pd.DataFrame, int]:
    """Repeat the recipe on resampled runs; return its constants, and how many resamples it refused."""
    rng, curves = np.random.default_rng(seed), dict(list(runs.table.groupby("run")))
    names, found, refused = list(curves), [], 0
    for _ in range(RESAMPLES):
        chosen = [curves[names[i]].assign(run=str(k)) for k, i in enumerate(rng.integers(len(names), size=len(names)))]
        try:
            # No validation of the table: a run that is drawn twice is no mistake here.
            found.append(LAW.recipe(bs.Runs(pd.concat(chosen, ignore_index=True))))  # type: ignore[misc]
        except (bs.BayesScalingError, np.linalg.LinAlgError):
            refused += 1
    return pd.DataFrame(found, columns=list(NAMES)), refused


def forecast_by_recipe(
    constants: Mapping[str, float], draws: pd.DataFrame, rows: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Return median and 90 % band of rows by the recipe: the point estimate, and its resamples without noise."""
    at = {name: rows[name].to_numpy(float) for name in LAW.inputs}
    every = {name: draws[name].to_numpy()[:, None] for name in NAMES}
    with np.errstate(all="ignore"):
        losses = LAW.evaluate(every, **at)
        low, high = np.nanquantile(losses, [0.05, 0.95], axis=0)
        return {"median": LAW.evaluate(constants, **at), "low": low, "high": high}


def forecast_by_posterior(fit: bs.Fit, rows: pd.DataFrame) -> tuple[dict[str, np.ndarray], list[bool]]:
    """Return median and 90 % band of rows, and of each curve whether its whole band holds it."""
    parts, whole = [], []
    for _, curve in rows.groupby("run", sort=False):
        inputs = {name: float(curve[name].iloc[0]) for name in ("params", "batch_tokens")}
        found = bs.trajectory(fit, steps=curve["steps"].tolist(), unconverged=True, **inputs)
        low, high = found.interval(0.9, "new_run").T
        parts.append(pd.DataFrame({"median": found.median(), "low": low, "high": high}, index=curve.index))
        low, high = found.simultaneous(0.9, "new_run").T
        whole.append(bool(((low <= curve["loss"]) & (curve["loss"] <= high)).all()))
    joined = pd.concat(parts).loc[rows.index]
    return {name: joined[name].to_numpy() for name in joined}, whole


def line(name: str, found: Mapping[str, np.ndarray], rows: pd.DataFrame, seconds: float, whole: float) -> None:
    """Print errors and coverage of one method."""
    loss = rows["loss"].to_numpy()
    error = np.log(found["median"] / loss)
    last = rows["steps"].to_numpy() == rows.groupby("run")["steps"].transform("max").to_numpy()
    inside = np.mean((found["low"] <= loss) & (loss <= found["high"]))
    rms = [100 * np.sqrt(np.mean(part**2)) for part in (error, error[last])]
    bias = 100 * error[last].mean()
    print(
        f"    {name:10s} error {rms[0]:5.1f} % all rows, {rms[1]:5.1f} % last (bias {bias:+5.1f} %); "
        f"inside {inside:.2f} of rows, {whole:.2f} of curves; {seconds:.1f} s",
        flush=True,
    )


def compare(runs: bs.Runs, ahead: pd.DataFrame, truth: Mapping[str, float] | None) -> pd.DataFrame:
    """Estimate by both, print what each forecasts, and return what each says of the constants."""
    started = time.perf_counter()
    point = LAW.recipe(runs)  # type: ignore[misc]
    alone = time.perf_counter() - started
    draws, refused = resampled(runs, 0)
    by_recipe = forecast_by_recipe(point, draws, ahead)
    low, high = by_recipe["low"], by_recipe["high"]
    loss = ahead["loss"].to_numpy()
    held = pd.Series((low <= loss) & (loss <= high)).groupby(ahead["run"].to_numpy()).all().mean()
    line("recipe", by_recipe, ahead, alone, held)
    started = time.perf_counter()
    fit = bs.fit(LAW, runs, discrepancy="none", seed=0, progress=False)
    seconds = time.perf_counter() - started
    by_posterior, whole = forecast_by_posterior(fit, ahead)
    line("posterior", by_posterior, ahead, seconds, float(np.mean(whole)))
    ended = "converged" if fit.converged else fit.problems
    print(f"    recipe refused {refused} of {RESAMPLES} resamples; posterior: {ended}", flush=True)
    posterior = {name: fit.flat()[name] for name in NAMES}
    again = {name: draws[name].to_numpy() for name in NAMES}
    rows = []
    for method, middle, every in (
        ("recipe", {**point, **asked(point)}, {**again, **asked(again)}),
        ("posterior", None, {**posterior, **asked(posterior)}),
    ):
        for name, values in every.items():
            values = np.asarray(values, float)
            low, mid, high = np.nanquantile(np.where(np.isfinite(values), values, np.nan), [0.05, 0.5, 0.95])
            centre = float(mid if middle is None else middle[name])
            rows.append({"of": name, "method": method, "value": centre, "low": low, "high": high})
    table = pd.DataFrame(rows)
    if truth is not None:
        table["truth"] = table["of"].map({**truth, **{k: float(v) for k, v in asked(truth).items()}})
        table["error"] = np.abs(np.log(table["value"] / table["truth"]))
        table["inside"] = (table["low"] <= table["truth"]) & (table["truth"] <= table["high"])
    return table


def measured() -> None:
    """Compare both on our curves."""
    curves = bs.datasets.load("stdlib_curves").after_warmup(steps=WARMUP)
    small, other = curves.column("params") < LARGEST, curves.column("batch_tokens") != BATCH
    for name, fitted, held_out in (("sizes", small, ~small), ("batch", small & other, ~other)):
        runs, ahead = curves.where(fitted), curves.where(held_out).table.reset_index(drop=True)
        print(f"measured, {name}: {runs.counted} fitted, {ahead['run'].nunique()} curves forecast")
        print(compare(runs, ahead, None).pivot(index="of", columns="method").to_string(float_format="{:.3g}".format))


def simulated(tables: int) -> None:
    """Compare both where the constants are known."""
    for name, factor in (("short", 1.0), ("long", 1e3)):
        found = []
        for seed in range(tables):
            print(f"simulated, {name}, seed {seed}")
            table = design(factor)
            runs = bs.simulate(LAW, table, {**TRUTH, **NOISE}, noise=CORRELATED, seed=seed, typical_loss=1.5)
            small = runs.column("params") < LARGEST
            ahead = runs.where(~small).table.reset_index(drop=True)
            found.append(compare(runs.where(small), ahead, TRUTH))
        together = pd.concat(found).groupby(["of", "method"], sort=False)[["error", "inside"]].mean().unstack("method")
        print(f"simulated, {name}, {tables} tables: mean absolute error of the log, share of 90 % intervals that hold")
        print(together.to_string(float_format="{:.3f}".format))


def design(factor: float) -> pd.DataFrame:
    """Return rows like those of our curves, with steps times a factor."""
    last = {128.0: 25_344, 512.0: 6912, 2048.0: 2304, 8192.0: 1152, 32_768.0: 864}
    parts = []
    for params in (3456.0, 9600.0, 24_576.0, 57_600.0, 112_896.0, 248_832.0):
        for batch, end in last.items():
            steps = np.geomspace(WARMUP, factor * end, 12)
            rows = {"run": f"{params:.0f}-{batch:.0f}", "params": params, "batch_tokens": batch, "steps": steps}
            parts.append(pd.DataFrame(rows))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", type=int, default=0, help="simulated tables of each kind")
    parser.add_argument("--no-measured", action="store_true", help="leave our curves out")
    arguments = parser.parse_args()
    if not arguments.no_measured:
        measured()
    if arguments.simulated:
        simulated(arguments.simulated)


if __name__ == "__main__":
    main()

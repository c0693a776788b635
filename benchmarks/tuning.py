"""Is the best learning rate and batch found? Held-out sizes of a public sweep, and simulated sweeps.

    uv run python benchmarks/tuning.py --data FOLDER          # LossCast's StepLaw runs, fitted up to 430M parameters
    uv run python benchmarks/tuning.py --coverage 40          # simulated sweeps: how often 90 % intervals hold
    uv run python benchmarks/tuning.py --own                  # the bundled search for rates: leave one width out

A cell is a number of parameters and of tokens with runs at many rates and batches. What is best in a cell is measured
without any law: the bottom of a quadratic in log rate and log batch through its runs within 2 % of the best loss. What
a choice loses is read off the same quadratic. Cells whose bottom lies outside of their runs are left out.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from suites.cells import located
from suites.losscast import FILE, to_fit

import bayes_scaling as bs
from bayes_scaling.base.names import SAMPLERS, SamplerName
from bayes_scaling.data.tuning import BATCH, RATE, nominal
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import centre_of
from bayes_scaling.model.simulate import draw_prior, simulate

NEAR = 0.02  # runs within this share of the best loss of their cell shape its quadratic
LEAST = 12  # of them, at least
LARGEST = 4.3e8  # parameters of the largest fitted model


def quadratic(cell: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Return the bottom (log rate, log batch), curvature and least loss of a cell; None where the runs do not say."""
    near = cell[cell["loss"] < (1 + NEAR) * cell["loss"].min()]
    x = np.log(near[[RATE, BATCH]].to_numpy())
    if len(near) < LEAST:
        return None
    middle = x.mean(axis=0)
    z = x - middle
    design = np.column_stack([np.ones(len(z)), z, z[:, 0] ** 2, z[:, 1] ** 2, z[:, 0] * z[:, 1]])
    c = np.linalg.lstsq(design, near["loss"].to_numpy())[0]
    bend = np.array([[2 * c[3], c[5]], [c[5], 2 * c[4]]])
    if np.linalg.eigvalsh(bend).min() <= 0:
        return None
    bottom = -np.linalg.solve(bend, c[1:3])
    if ((bottom < z.min(axis=0)) | (bottom > z.max(axis=0))).any():
        return None
    return bottom + middle, bend, float(c[0] + c[1:3] @ bottom / 2)


def held_out(data: Path, sampler: SamplerName) -> pd.DataFrame:
    """Fit the smaller models of a public sweep; return a row per held-out cell and choice."""
    path = located(data, FILE)
    if path is None:
        raise SystemExit(f"{FILE} is not in {data}")
    every = pd.read_csv(path)
    rows = to_fit("steplaw", every[every["source"] == "steplaw"]).reset_index(drop=True)
    small = rows["params"] <= LARGEST
    fit = bs.fit("tuning", bs.Runs.from_frame(rows[small]), discrepancy="none", sampler=sampler, seed=0)
    print(fit)
    return choices(fit, rows[~small])


def choices(fit: bs.Fit, rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each cell, what is best there, our answer and published rules, and what each loses."""
    found = []
    rows = rows.assign(cell=nominal(rows["tokens"].to_numpy()))
    for _, cell in rows.groupby(["params", "cell"]):
        params, tokens = float(cell["params"].iloc[0]), float(cell["cell"].iloc[0])
        measured = quadratic(cell)
        if measured is None:
            continue
        bottom, bend, least = measured
        ours = bs.optimal_hyperparameters(fit, params=params, tokens=tokens, unconverged=True)
        inside = [
            low <= math.exp(at) <= high
            for at, (low, high) in zip(bottom, (ours.interval("rate"), ours.interval("batch_tokens")), strict=True)
        ]
        for one in ours.to_frame().to_dict(orient="records"):
            off = np.log([one["rate"], one["batch_tokens"]]) - bottom
            found.append(
                {
                    "params": params,
                    "tokens": tokens,
                    "choice": one["choice"],
                    "rate": one["rate"],
                    "best_rate": math.exp(bottom[0]),
                    "batch": one["batch_tokens"],
                    "best_batch": math.exp(bottom[1]),
                    "off_rate": off[0],
                    "off_batch": off[1],
                    "loses": float(off @ bend @ off / 2 / least),
                    "rate_inside": inside[0],
                    "batch_inside": inside[1],
                }
            )
    return pd.DataFrame(found)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per choice: root mean square distance from what is best, as a factor, and mean loss lost."""
    by = table.groupby("choice", sort=False)
    factors = {
        name: np.exp(np.sqrt(by[f"off_{name}"].apply(lambda off: float(np.mean(off**2))))) for name in ("rate", "batch")
    }
    return pd.DataFrame(
        {"cells": by.size(), **factors, "loses_mean": by["loses"].mean(), "loses_most": by["loses"].max()}
    )


def own() -> pd.DataFrame:
    """Fit the bundled search without its largest width; return the best rates there by choice."""
    table = bs.datasets.load("stdlib_rates").table.rename(columns={"learning_rate": RATE})
    largest = table["params"] == table["params"].max()
    fit = bs.fit("tuning", bs.Runs.from_frame(table[~largest], loss_unit="nats/byte"), discrepancy="none", seed=0)
    rows = []
    for _, cell in table[largest].groupby(["params", "tokens"]):
        params, tokens, batch = (float(cell[name].iloc[0]) for name in ("params", "tokens", BATCH))
        ours = bs.optimal_hyperparameters(fit, params=params, tokens=tokens, batch_tokens=batch)
        z = np.log(cell[RATE].to_numpy())
        c2, c1, _ = np.polyfit(z - z.mean(), cell["loss"], 2)
        low, high = ours.interval("rate")
        measured = math.exp(z.mean() - c1 / (2 * c2)) if c2 > 0 else math.nan
        rows.append({"batch": batch, "rate": ours.rate, "low": low, "high": high, "measured": measured})
    return pd.DataFrame(rows)


def sweep(seed: int, rows: int) -> pd.DataFrame:
    """Scatter runs over sizes, batches and rates."""
    rng = np.random.default_rng(seed)
    batch = np.exp(rng.uniform(math.log(5e4), math.log(2e6), rows))
    spans = {"params": (6e7, 1e9), "tokens": (2e9, 5e10), RATE: (3e-4, 1e-2)}
    drawn = {name: low * (high / low) ** rng.uniform(size=rows) for name, (low, high) in spans.items()}
    table = pd.DataFrame({**drawn, BATCH: batch})
    return table.assign(steps=table["tokens"] / batch).drop(columns="tokens")


def coverage(tables: int, rows: int = 80) -> pd.DataFrame:
    """Draw laws from the prior, simulate sweeps, and see whether intervals hold the best of a larger run."""
    law, design = bs.load_law("tuning"), sweep(0, rows)
    at = centre_of(law, 3.0, {str(name): design[name].to_numpy() for name in design})
    size: dict[str, Any] = {"params": 4e9, "tokens": 2e11}
    found = []
    for seed in range(tables):
        truth = {**draw_prior(law, Noise("normal"), bs.Discrepancy("none"), at, seed), "sigma": 0.003}
        runs = simulate(law, design, truth, noise=Noise("normal"), seed=seed)
        fit = bs.fit(law, runs, noise="normal", discrepancy="none", sampler="batched", seed=seed)
        if not fit.converged:
            continue
        batch = float(law.quantity("best_batch", truth, **size))
        rate = float(law.quantity("best_rate", truth, **size, batch_tokens=batch))
        ours = bs.optimal_hyperparameters(fit.thinned(400), **size, within=0.1)
        (low, high), (few, many) = ours.interval("rate"), ours.interval("batch_tokens")
        found.append({"rate": low <= rate <= high, "batch_tokens": few <= batch <= many})
    return pd.DataFrame(found)


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of public tables")
    parser.add_argument("--sampler", choices=SAMPLERS, default="auto", help="of the fit to the public sweep")
    parser.add_argument("--coverage", type=int, default=0, help="number of simulated sweeps")
    parser.add_argument("--own", action="store_true", help="the bundled search for rates")
    arguments = parser.parse_args()
    if arguments.data:
        table = held_out(arguments.data, arguments.sampler)
        print(summary(table).round(4).to_string())
        ours = table[table["choice"] == "recommended"]
        print(ours.drop(columns="choice").round(4).to_string(index=False))
        print(f"90 % intervals hold the best rate in {ours['rate_inside'].mean():.0%} of cells, the best batch in "
              f"{ours['batch_inside'].mean():.0%}")  # fmt: skip
    if arguments.own:
        print(own().round(5).to_string(index=False))
    if arguments.coverage:
        held = coverage(arguments.coverage)
        print(f"{len(held)} of {arguments.coverage} fits converged; 90 % intervals hold the truth:")
        print(held.mean().round(3).to_string())


if __name__ == "__main__":
    main()

"""Is the best learning rate and batch found? Held-out sizes of a public sweep, and simulated sweeps.

    uv run python benchmarks/tuning.py --data FOLDER          # LossCast's StepLaw runs, fitted up to 430M parameters
    uv run python benchmarks/tuning.py --data FOLDER --largest 2.15e8
    uv run python benchmarks/tuning.py --coverage 40          # simulated sweeps: how often 90 % intervals hold
    uv run python benchmarks/tuning.py --own                  # the bundled search for rates: leave one width out

A cell is a number of parameters and of tokens with runs at many rates and batches. What is best in a cell is measured
without any law: the bottom of a quadratic in log rate and log batch through its runs within 2 % of the best loss. What
a choice loses is read off the same quadratic. Cells whose bottom lies outside of their runs are left out.

How far a planned run's best rate and batch may lie from the law's (bayes_scaling/predict/tuned_sizes.py) was compared
on the cells of up to 200M parameters, fitted up to 124M; an earlier form was given up when it failed on larger cells.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from suites.cells import located
from suites.losscast import FILE, to_fit

import bayes_scaling as bs
from bayes_scaling.base.names import SAMPLERS, SamplerName
from bayes_scaling.data.tuning import BATCH, RATE, bottoms
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import centre_of
from bayes_scaling.model.simulate import draw_truth, simulate
from bayes_scaling.predict.valleys import best_batch_and_rate

LARGEST = 4.3e8  # parameters of the largest fitted model
SHARES = (0.5, 0.8, 0.9)  # of intervals


def held_out(data: Path, sampler: SamplerName, largest: float) -> pd.DataFrame:
    """Fit the smaller models of a public sweep; return a row per held-out cell and choice."""
    path = located(data, FILE)
    if path is None:
        raise SystemExit(f"{FILE} is not in {data}")
    every = pd.read_csv(path)
    rows = to_fit("steplaw", every[every["source"] == "steplaw"]).reset_index(drop=True)
    small = rows["params"] <= largest
    fit = bs.fit("tuning", bs.Runs.from_frame(rows[small]), discrepancy="none", sampler=sampler, seed=0)
    print(fit)
    return choices(fit, rows[~small])


def choices(fit: bs.Fit, rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each cell, what is best there, our answer and published rules, and what each loses."""
    found = []
    rng = np.random.default_rng(0)
    for cell in bottoms(rows):
        ours = bs.optimal_hyperparameters(fit, params=cell.params, tokens=cell.tokens, unconverged=True)
        (member,) = ours.ensemble.members.values()
        tokens = np.full((len(member), 1), cell.tokens)
        batches, rates = (one[:, 0] for one in best_batch_and_rate(member, cell.params, tokens, None))
        inside = {}
        for i, of in enumerate(("rate", "batch")):
            drawn = np.log((ours.rates, ours.batches)[i])
            kinds = {
                "": drawn,
                "+ error ": drawn + cell.errors[i] * rng.standard_normal(len(drawn)),
                "law alone ": np.log((rates, batches)[i]),
            }
            for (kind, one), share in itertools.product(kinds.items(), SHARES):
                low, high = np.quantile(one, [(1 - share) / 2, (1 + share) / 2])
                inside[f"{of} {kind}{share:.0%}"] = low <= cell.best[i] <= high
        rate, batch = np.exp(cell.best)
        for one in ours.to_frame().to_dict(orient="records"):
            off = np.log([one["rate"], one["batch_tokens"]]) - cell.best
            found.append(
                {
                    "params": cell.params,
                    "tokens": cell.tokens,
                    "choice": one["choice"],
                    "rate": one["rate"],
                    "best_rate": rate,
                    "error_rate": cell.errors[0],
                    "batch": one["batch_tokens"],
                    "best_batch": batch,
                    "error_batch": cell.errors[1],
                    "off_rate": off[0],
                    "off_batch": off[1],
                    "loses": float(off @ cell.bend @ off / 2 / cell.least),
                    "scale_rate": ours.leftover.scales[0],
                    "scale_batch": ours.leftover.scales[1],
                    **inside,
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
        truth = {**draw_truth(law, Noise("normal"), bs.Discrepancy("none"), at, seed), "sigma": 0.003}
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
    parser.add_argument("--largest", type=float, default=LARGEST, help="parameters of the largest fitted model")
    parser.add_argument("--sampler", choices=SAMPLERS, default="auto", help="of the fit to the public sweep")
    parser.add_argument("--coverage", type=int, default=0, help="number of simulated sweeps")
    parser.add_argument("--own", action="store_true", help="the bundled search for rates")
    arguments = parser.parse_args()
    if arguments.data:
        table = held_out(arguments.data, arguments.sampler, arguments.largest)
        print(summary(table).round(4).to_string())
        ours = table[table["choice"] == "recommended"]
        shown = [name for name in map(str, ours) if name != "choice" and "%" not in name]
        print(ours[shown].round(4).to_string(index=False))
        print(f"cells of {len(ours)} whose measured best is inside; its standard error added; of the law alone:")
        print(ours[[name for name in map(str, ours) if "%" in name]].sum().to_string())
    if arguments.own:
        print(own().round(5).to_string(index=False))
    if arguments.coverage:
        held = coverage(arguments.coverage)
        print(f"{len(held)} of {arguments.coverage} fits converged; 90 % intervals hold the truth:")
        print(held.mean().round(3).to_string())


if __name__ == "__main__":
    main()

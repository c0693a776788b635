"""Losses on several domains: one law each, or `mixture_targets` for all? Judged on training rows of a public table.

    uv run python benchmarks/mixtures.py --data FOLDER

The training rows of `domain_mixture` (20 mixtures at each of four sizes, losses on five domains) are split: a third of
the mixtures of a size is held out, each third in turn. Test rows of the task are not read. R2 is over all held-out rows
of a domain, its sizes together, then the mean over domains, as in the task.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from suites.cells import located
from suites.metrics import clipped_r2
from suites.tasks import DOMAINS, TASKS

import bayes_scaling as bs
from bayes_scaling.base.names import SAMPLERS, DiscrepancyName, SamplerName

PARTS = 3
PER_DOMAIN: dict[str, DiscrepancyName] = {
    "one law per domain": "brownian",
    "the same without a discrepancy": "none",
}


def forecasts(
    law: str, below: pd.DataFrame, above: pd.DataFrame, discrepancy: DiscrepancyName, sampler: SamplerName
) -> pd.DataFrame:
    """Return losses, medians and whether they are inside 90 %."""
    runs = bs.Runs.from_frame(below.reset_index(drop=True))
    fit = bs.fit(law, runs, discrepancy=discrepancy, sampler=sampler, seed=0, progress=False)
    ahead = bs.forecast(fit, above.drop(columns="loss").reset_index(drop=True), unconverged=True)
    low, high = np.quantile(ahead.new_run, [0.05, 0.95], axis=0)
    loss = above["loss"].to_numpy()
    inside = (low <= loss) & (loss <= high)
    return pd.DataFrame({"loss": loss, "median": np.median(ahead.new_run, axis=0), "inside": inside})


def stacked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each mixture and domain, with the weight of each domain in its loss."""
    weights = pd.DataFrame(np.eye(len(DOMAINS)), columns=[f"on_{name}" for name in DOMAINS], index=DOMAINS)
    shares = list(DOMAINS[:-1])
    parts = [rows[shares].assign(loss=rows[f"loss_{name}"], **weights.loc[name]) for name in DOMAINS]
    return pd.concat(parts, ignore_index=True)


def judged(table: pd.DataFrame, part: int, sampler: SamplerName) -> pd.DataFrame:
    """Forecast one third of the mixtures of every size in each way."""
    parts = []
    for _, rows in table.groupby("group"):
        third = np.random.default_rng(0).permutation(len(rows)) % PARTS
        below, above = rows[third != part], rows[third == part]
        for name in DOMAINS:
            order = [name, *(other for other in DOMAINS if other != name)]
            one, ahead = (half[order[:-1]].assign(loss=half[f"loss_{name}"]) for half in (below, above))
            for way, discrepancy in PER_DOMAIN.items():
                found = forecasts("mixture:domains=" + "+".join(order), one, ahead, discrepancy, sampler)
                parts.append(found.assign(domain=name, way=way))
        law = "mixture_targets:domains=" + "+".join(DOMAINS)
        found = forecasts(law, stacked(below), stacked(above), "none", sampler)
        parts.append(found.assign(domain=np.repeat(DOMAINS, len(above)), way="mixture_targets"))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Print R2, error and coverage of each way after every third."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public tables")
    parser.add_argument("--sampler", choices=SAMPLERS, default="laplace")
    asked = parser.parse_args()
    path = located(asked.data, "domain_mixture_train.csv")
    if path is None:
        raise SystemExit(f"domain_mixture_train.csv is not in {asked.data}")
    train = pd.read_csv(path)
    task = next(task for task in TASKS if task.name == "domain_mixture")
    renamed = {f"loss_domain_{i + 1}": f"loss_{name}" for i, name in enumerate(DOMAINS)}
    losses = train[list(renamed)].rename(columns=renamed)
    table = pd.concat([train[["group"]], task.inputs(train), losses], axis=1)
    done = []
    for part in range(PARTS):
        done.append(judged(table, part, asked.sampler))
        print(f"{part + 1} of {PARTS} thirds")
        for way, rows in pd.concat(done).groupby("way", sort=False):
            r2 = np.mean([clipped_r2(one["loss"], one["median"]) for _, one in rows.groupby("domain")])
            error = np.sqrt(np.mean(np.log(rows["loss"] / rows["median"]) ** 2))
            inside = rows["inside"].mean()
            print(f"{way}: R2 {r2:.4f}, error {error:.2%}, inside 90 % {inside:.2f}, {len(rows)} rows", flush=True)


if __name__ == "__main__":
    main()

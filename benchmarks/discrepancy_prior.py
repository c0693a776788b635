"""What scale does the discrepancy of laws have? The population of tau over public tables, from which its prior comes.

    uv run python benchmarks/discrepancy_prior.py --data FOLDER

One table says little about tau. Each table is fitted under the package's own prior; the draws of log tau, weighted by
one over that prior, give the likelihood of a normal population of log tau over tables, whose centre and spread are then
fitted by maximum likelihood. Curves and tables are those of ``extrapolation.py``; only rows below its cuts are read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
import scipy.stats
from extrapolation import curves, tables

import bayes_scaling as bs
from bayes_scaling.model.discrepancy import LOG_TAU_SD


def everything(data: Path) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Read what is fitted: kind, name, law, rows."""
    for name, rows, column, at in tables(data):
        yield "table", name, "chinchilla", rows[rows[column] <= at]
    for kind, name, train, _ in curves(data):
        yield kind, name, "power_law:input=tokens", train


def population(log_tau: list[np.ndarray]) -> tuple[float, float]:
    """Return centre and spread of the population of log tau, by maximum likelihood."""
    prior = np.log(bs.Discrepancy().scale), LOG_TAU_SD

    def loss(theta: np.ndarray) -> float:
        centre, spread = theta[0], np.exp(theta[1])
        total = 0.0
        for draws in log_tau:
            ratio = scipy.stats.norm.logpdf(draws, centre, spread) - scipy.stats.norm.logpdf(draws, *prior)
            total += scipy.special.logsumexp(ratio) - np.log(len(draws))
        return -total

    best = scipy.optimize.minimize(loss, [prior[0], 0.0], method="Nelder-Mead").x
    return float(best[0]), float(np.exp(best[1]))


def main() -> None:
    """Fit every table and print the population of tau, by kind and over all kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public tables")
    parser.add_argument("--out", type=Path, default=Path("discrepancy-prior"), help="where draws are kept")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[np.ndarray]] = {}
    for index, (kind, name, law, rows) in enumerate(everything(arguments.data)):
        path = arguments.out / f"{index:03d}.json"
        if not path.is_file():
            fit = bs.fit(law, bs.Runs.from_frame(rows.reset_index(drop=True)), seed=0)
            path.write_text(json.dumps(np.log(fit.flat()["tau"][::10]).tolist()))
        draws = np.array(json.loads(path.read_text()))
        found.setdefault(kind, []).append(draws)
        print(f"{kind:9s} {name:40s} tau {np.exp(np.median(draws)):.4f}", flush=True)
    groups = {**found, "all": [draws for tables_of_kind in found.values() for draws in tables_of_kind]}
    for kind, log_tau in groups.items():
        centre, spread = population(log_tau)
        print(f"{kind:9s} {len(log_tau):3d} tables: median of tau {np.exp(centre):.4f}, sd of log tau {spread:.2f}")


if __name__ == "__main__":
    main()

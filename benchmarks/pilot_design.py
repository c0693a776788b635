"""Which small runs should one have bought? Pools of runs that exist, replayed.

    uv run python benchmarks/pilot_design.py --data FOLDER     # public tables as well
    uv run python benchmarks/pilot_design.py                   # the bundled table alone

The most expensive 15 % of the runs of a pool are held out. Every method starts with the same cheapest runs, buys others
under 1, 5 or 10 % of the cost of the rest, designs in three rounds, each after a fit to what it bought so far, and is
scored on the held-out runs by one and the same default fit to all that it bought. Random choices are repeated with
``--repeats`` seeds. Published replays of this kind: Li et al. 2026, Spend Less, Fit Better (arXiv 2604.22753), whose
price exponent of 0.4 the optimal designs here use.

Methods: ``pilot`` (this package, for the forecast of the held-out runs); ``v_optimal`` and ``d_optimal`` (the law made
linear at a central draw of the same fits, normal noise, the prior's covariance of log constants; least variance of the
held-out losses, largest information on the constants); ``random``; ``by_price`` (random, with probability inverse to
price); ``cheapest``. Every replay is kept in ``--out`` when it is done, and found there again.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.evaluate.scores import score

BUDGETS = (0.01, 0.05, 0.10)
FIRST = 54  # rows of the bundled sweep: that table grows at its end, the pool does not
HELD_OUT = 0.15  # of the runs, the most expensive
ROUNDS = (0.1, 0.4, 1.0)  # of the budget, spent by the end of each: small runs first, then those that they suggest
EXPONENT = 0.4  # of the price, for optimal designs
STEP = 1e-4  # of log constants, for slopes
SEEDED = ("random", "by_price")
DESIGNED = ("pilot", "v_optimal", "d_optimal")


def pools(data: Path | None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Read pools: name, law, runs with ``cost``."""
    bundled = bs.datasets.load("stdlib_sweep").table.head(FIRST)
    yield "bundled sweep", "chinchilla", priced(bundled[["params", "tokens", "loss"]])
    if data is None:
        return
    overtraining = pd.read_csv(data / "gadre_overtraining.csv").rename(columns={"loss_c4_val": "loss"})
    for name, rows in overtraining.groupby("train_dataset"):
        yield f"over-training {name}", "chinchilla", priced(rows[["params", "tokens", "loss"]])
    repeated = pd.read_csv(data / "datablations_final.csv").query("in_notebook_fit_set == 1")
    yield "repeated data", "repeated_data", priced(repeated[["params", "tokens", "unique_tokens", "loss"]])


def priced(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the cost of each run, in FLOPs, and order by it."""
    rows = rows.astype(float).assign(cost=lambda t: 6 * t["params"] * t["tokens"])
    return rows.drop_duplicates().sort_values("cost", kind="stable").reset_index(drop=True)


# --- methods ----------------------------------------------------------------------------------------------------


def fitted(law: str, rows: pd.DataFrame, most: int) -> bs.Fit:
    """Fit at defaults; fits of one pool share a program."""
    runs = bs.Runs.from_frame(rows.drop(columns="cost").reset_index(drop=True))
    return bs.fit(law, runs, seed=0, sampler=bs.Sampler(like_rows=most))


def chosen_by_pilot(fit: bs.Fit, pool: pd.DataFrame, left: list[int], target: pd.DataFrame, budget: float) -> list[int]:
    """Choose for the forecast of the held-out runs."""
    inputs = list(fit.law.inputs)
    ensemble = bs.Ensemble.of(fit, unconverged=True)
    at = {name: target[name].to_numpy() for name in inputs}
    offers = pool.loc[left, [*inputs, "cost"]]
    plan = bs.pilot(ensemble, offers, budget, forecast_at=at, copies=1)
    return [left[i] for i in plan.chosen]


def chosen_by_slopes(
    kind: str, fit: bs.Fit, pool: pd.DataFrame, bought: list[int], left: list[int], target: pd.DataFrame, budget: float
) -> list[int]:
    """Choose greedily by a linear normal model of the law at a central draw of the fit."""
    ensemble = bs.Ensemble.of(fit, unconverged=True)
    member = next(iter(ensemble.members.values()))
    names = [name for name in fit.law_names if (fit.theta()[name] > 0).all()]
    logs = np.log(np.column_stack([fit.theta()[name] for name in names]))
    central = int((((logs - np.median(logs, axis=0)) / logs.std(axis=0)) ** 2).sum(axis=1).argmin())
    prior = np.log(np.column_stack([fit.idata.prior[name].to_numpy().reshape(-1) for name in names]))
    noise = float(np.median(fit.theta()["sigma"]))

    def slopes(rows: pd.DataFrame) -> np.ndarray:
        shifted = np.vstack([logs[central], logs[central] + STEP * np.eye(len(names))])
        at = {name: np.repeat(values[central], len(shifted)) for name, values in member.theta.items()}
        at |= {name: np.exp(shifted[:, i]) for i, name in enumerate(names)}
        points = ensemble.points(**{name: rows[name].to_numpy() for name in fit.law.inputs})
        losses, _ = dataclasses.replace(member, theta=at).law_and_scale(points)
        return np.asarray((losses[1:] - losses[0]).T / STEP)

    precision = np.linalg.inv(np.cov(prior, rowvar=False))
    own = slopes(pool.loc[bought])
    covariance = np.linalg.inv(precision + own.T @ own / noise**2)
    wanted, offered = slopes(target), slopes(pool.loc[left])
    prices = pool.loc[left, "cost"].to_numpy()
    taken: list[int] = []
    while True:
        gains = offered @ covariance
        total = (gains * offered).sum(axis=1) + noise**2
        reduction = ((wanted @ gains.T) ** 2 / total).sum(axis=0)
        gain = reduction if kind == "v_optimal" else np.log(total / noise**2)
        spent = prices[taken].sum()
        affordable = (prices + spent <= budget) & ~np.isin(np.arange(len(left)), taken)
        if not affordable.any():
            return [left[i] for i in taken]
        best = int(np.argmax(np.where(affordable, gain / prices**EXPONENT, -np.inf)))
        taken.append(best)
        covariance = covariance - np.outer(gains[best], gains[best]) / total[best]


def chosen_at_random(pool: pd.DataFrame, left: list[int], budget: float, weights: np.ndarray, seed: int) -> list[int]:
    """Take runs in a random order, those that the budget still pays."""
    order = np.random.default_rng(seed).choice(left, len(left), replace=False, p=weights / weights.sum())
    taken, spent = [], 0.0
    for run in order:
        if spent + pool.loc[run, "cost"] <= budget:
            taken.append(int(run))
            spent += pool.loc[run, "cost"]
    return taken


def replay(law: str, table: pd.DataFrame, share: float, method: str, seed: int) -> dict[str, Any]:
    """Buy runs, fit them, score the held-out ones."""
    pool = table.iloc[: round(len(table) * (1 - HELD_OUT))]
    target = table.iloc[len(pool) :]
    budget = share * pool["cost"].sum()
    start = len(bs.load_law(law).sampled) + 1
    bought = list(range(start))
    left = list(range(start, len(pool)))
    started = time.perf_counter()
    for spent in ROUNDS if method in DESIGNED else ROUNDS[-1:]:
        now = spent * budget - pool.loc[bought, "cost"].sum()
        if not left or pool.loc[left, "cost"].min() > now:
            continue
        prices = pool.loc[left, "cost"].to_numpy()
        if method == "pilot":
            taken = chosen_by_pilot(fitted(law, pool.loc[bought], len(table)), pool, left, target, now)
        elif method in DESIGNED:
            fit = fitted(law, pool.loc[bought], len(table))
            taken = chosen_by_slopes(method, fit, pool, bought, left, target, now)
        elif method == "cheapest":
            taken = [run for run, total in zip(left, prices.cumsum(), strict=True) if total <= now]
        else:
            weights = np.ones(len(left)) if method == "random" else 1 / prices
            taken = chosen_at_random(pool, left, now, weights, seed)
        bought += taken
        left = [run for run in left if run not in taken]
    fit = fitted(law, pool.loc[bought], len(table))
    ahead = bs.forecast(fit, target[list(fit.law.inputs)].reset_index(drop=True), unconverged=True)
    truth = target["loss"].to_numpy()
    scores = score(ahead.predictive, truth)
    error = np.log(ahead.median()) - np.log(truth)
    return {
        "runs": len(bought),
        "spent": float(pool.loc[bought, "cost"].sum() / pool["cost"].sum()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": float(np.clip(1 - (error**2).sum() / ((np.log(truth) - np.log(truth).mean()) ** 2).sum(), -1, 1)),
        "log_score": float(scores["log_score"].mean() + np.log(truth).mean()),
        "covered_90": float(scores["pit"].between(0.05, 0.95).mean()),
        "half_width": float(np.diff(np.log(ahead.interval(0.9)), axis=1).mean() / 2),
        "converged": fit.converged,
        "seconds": time.perf_counter() - started,
    }


def kept(folder: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was measured before, or measure it and write it."""
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    content = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)
    return content


def main() -> None:
    """Replay every pool under every budget with every method, and print what each scored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the public tables")
    parser.add_argument("--out", type=Path, default=Path("pilot_design"), help="where replays are kept")
    parser.add_argument("--repeats", type=int, default=3, help="seeds of random choices")
    options = parser.parse_args()
    rows = []
    for name, law, table in pools(options.data):
        for share in BUDGETS:
            for method in (*DESIGNED, "cheapest", *SEEDED):
                for seed in range(options.repeats if method in SEEDED else 1):
                    key = f"{name} {share} {method} {seed}"
                    print(f"\r{key:60s}", end="", flush=True)
                    found = kept(options.out, key, functools.partial(replay, law, table, share, method, seed))
                    rows.append({"pool": name, "budget": share, "method": method, **found})
    print()
    results = pd.DataFrame(rows)
    measured = ["runs", "spent", "rmse", "r2", "log_score", "covered_90", "half_width", "seconds"]
    by_pool = results.groupby(["pool", "budget", "method"], sort=False)[measured].mean()
    print(by_pool.round(4).to_string())
    print("\nmeans over pools")
    print(by_pool.groupby(["budget", "method"], sort=False).mean().round(4).to_string())


if __name__ == "__main__":
    main()

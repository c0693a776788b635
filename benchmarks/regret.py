"""What a recommended size costs against the best one, where the truth is known: our plan against point fits.

    uv run python benchmarks/regret.py                 # three kinds of truth, 50 simulated tables each

Every table has 60 runs around the curve of Besiroglu et al. 2024, from 1e18 to 3e21 FLOPs, with 0.4 % of scatter. The
truth is that law, or deviates from it along the size of runs (``departures``: a Brownian path of 0.6 % over an e-fold),
or five runs went wrong (``bad runs``: losses 6 to 31 % too high). Each method names the N to train with 5.76e23 FLOPs;
its true regret is the loss there over that of the best split, in nats, on the true curve. One file per table: a
stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs

BUDGET = 5.76e23
ROWS = 60
TRUTH = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)
KINDS = {"law is right": 0.0, "departures": 0.006, "bad runs": 0.0}
CONTENTS = (0.5, 0.8, 0.9)


def table(kind: str, seed: int) -> bs.Runs:
    """Simulate the runs of a table."""
    rng = np.random.default_rng([seed, len(kind)])
    flops = np.exp(rng.uniform(math.log(1e18), math.log(3e21), ROWS))
    params = best_params(flops) * np.exp(rng.uniform(-1.2, 1.2, ROWS))
    design = pd.DataFrame({"params": params, "tokens": flops / (6 * params)})
    constants = TRUTH | {"sigma": 0.004, "nu": 8.0} | ({"tau": KINDS[kind]} if KINDS[kind] else {})
    path = bs.Discrepancy("brownian" if KINDS[kind] else "none")
    runs = bs.simulate("chinchilla", design, constants, discrepancy=path, seed=seed)
    if kind != "bad runs":
        return runs
    loss = runs.loss.copy()
    loss[np.argsort(design["tokens"] / params)[:5]] *= [1.27, 1.31, 1.14, 1.12, 1.06]
    return bs.Runs.from_frame(runs.table.assign(loss=loss))


def best_params(flops: Any) -> Any:
    """Return the true compute-optimal N."""
    a, b = TRUTH["alpha"], TRUTH["beta"]
    return (a * TRUTH["A"] / (b * TRUTH["B"])) ** (1 / (a + b)) * (flops / 6) ** (b / (a + b))


def true_loss(params: float) -> float:
    """Return the loss of N at the budget, on the law."""
    tokens = BUDGET / (6 * params)
    return TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"] + TRUTH["B"] * tokens ** -TRUTH["beta"]


def judged(kind: str, seed: int) -> dict[str, Any]:
    """Return what every method recommends for one table, and the draws' intervals of N*."""
    runs, law = table(kind, seed), bs.load_law("chinchilla")
    fit = bs.fit(law, runs, seed=seed, sampler=bs.Sampler(like_rows=ROWS))
    plan = bs.allocate(fit, BUDGET, unconverged=True, seed=seed)
    methods = {"plan": (plan.params, [plan.interval(p, of="optimum_params") for p in CONTENTS])}
    for loss in ("huber", "squares"):
        point = bs.evaluate.point_fit(law, runs, loss=loss, seed=seed, like_rows=ROWS)
        spread = np.asarray(law.quantity("params_opt", point.bootstrap, flops=BUDGET))
        intervals = [np.quantile(spread, [(1 - p) / 2, (1 + p) / 2]).tolist() for p in CONTENTS]
        methods[loss] = (float(law.quantity("params_opt", point.theta, flops=BUDGET)), intervals)
    methods["20 tokens per parameter"] = (math.sqrt(BUDGET / 120), [])
    return {"converged": fit.converged, "methods": methods}


def main() -> None:
    """Simulate, fit, recommend, and print one table per kind of truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=50, help="of each kind")
    parser.add_argument("--out", type=Path, default=Path("regret"), help="folder for one file per table")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    best = float(best_params(BUDGET))
    print(f"{ROWS} runs per table, {BUDGET:g} FLOPs, true N* {best:.3g}, loss there {true_loss(best):.4f}")
    for kind in KINDS:
        found = []
        for seed in range(arguments.tables):
            path = arguments.out / f"{kind.replace(' ', '_')}-{seed:03d}.json"
            if not path.is_file():
                temporary = path.with_suffix(".part")
                temporary.write_text(json.dumps(judged(kind, seed)))
                temporary.rename(path)
            found.append(json.loads(path.read_text()))
        print(f"\n{kind}: {len(found)} tables, {sum(one['converged'] for one in found)} fits converged")
        print(f"{'method':26s} {'regret [nats]':>20s} {'90 % of tables below':>22s} {'N* inside 50 / 80 / 90 %':>26s}")
        for method in found[0]["methods"]:
            sizes = np.array([one["methods"][method][0] for one in found])
            regret = np.array([true_loss(N) for N in sizes]) - true_loss(best)
            error = regret.std(ddof=1) / math.sqrt(len(regret))
            intervals = np.array([one["methods"][method][1] for one in found])
            inside = (
                ((intervals[:, :, 0] <= best) & (best <= intervals[:, :, 1])).mean(axis=0) if intervals.size else []
            )
            words = " / ".join(f"{share:.0%}" for share in inside)
            mean = f"{regret.mean():.5f} +- {error:.5f}"
            print(f"{method:26s} {mean:>20s} {np.quantile(regret, 0.9):22.5f} {words:>26s}")


if __name__ == "__main__":
    main()

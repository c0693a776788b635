"""Do the bands hold beyond the data? Runs that nobody here trained, fitted below a cut and scored above it.

Default settings throughout, the same for every curve and table. Public tables are read from a folder; none of their
rows is part of this repository:

    uv run python benchmarks/extrapolation.py curves --data FOLDER      # learning curves, one input
    uv run python benchmarks/extrapolation.py tables --data FOLDER      # params and tokens
    uv run python benchmarks/extrapolation.py tables                    # the bundled table alone

Curves: ``alabdulmohsin_lang.csv`` and ``alabdulmohsin_vision_*.csv`` (Alabdulmohsin et al. 2022, arXiv 2209.06640): the
paper's split (``is_train``), RMSLE as in the paper, log density of the loss over the largest training loss. Tables:
``chinchilla_svg.csv``, ``gadre_overtraining.csv``, ``datablations_final.csv`` and the bundled one, each beside a random
hold-out of the same size, in which nothing is extrapolated.

Every fit is kept in ``--out`` when it is done, and found there again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.base.spacing import evenly
from bayes_scaling.evaluate.scores import score, summarise

ONE_INPUT = ("power_law:input=tokens", "delayed_power_law")
TWO_INPUTS = ("chinchilla", "kaplan_joint", "nesting")
FIRST = 54  # rows of the bundled sweep: that table grows at its end, the split does not
LONGEST = 200  # held-out rows of a curve that are scored, evenly spread; the longest curves have five hundred


def kept(folder: Path, name: str, measure: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return scores that are there already, or measure and write them."""
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    if path.is_file():
        return pd.DataFrame(json.loads(path.read_text()))
    started = time.perf_counter()
    scores = measure().assign(seconds=time.perf_counter() - started)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(scores.to_dict(orient="list")))
    partial.replace(path)
    return scores


def forecasts(laws: tuple[str, ...], below: bs.Runs, above: pd.DataFrame) -> Iterator[tuple[str, Any, bool]]:
    """Forecast with each law alone, each with its discrepancy, and all of them together: label, forecast, converged."""
    for law in laws:
        for suffix, discrepancy in ((", law alone", "none"), ("", "brownian")):
            fit = bs.fit(law, below, discrepancy=discrepancy, seed=0)
            yield law + suffix, bs.forecast(fit, above, unconverged=True), fit.converged
    compared = bs.compare(laws, below, alongside=(), loo=False, seed=0)
    converged = all(fit.converged for fit in compared.fits.values())
    yield "together", compared.forecast(above, unconverged=True), converged


def scored(laws: tuple[str, ...], below: pd.DataFrame, above: pd.DataFrame) -> pd.DataFrame:
    """Fit rows below and score those above, in log loss and per unit of the largest loss below."""
    runs = bs.Runs.from_frame(below.reset_index(drop=True))
    inputs = above.drop(columns="loss").reset_index(drop=True)
    parts = []
    started = time.perf_counter()
    for label, forecast, converged in forecasts(laws, runs, inputs):
        part = score(forecast.predictive, above["loss"].to_numpy())
        part["log_score"] += np.log(below["loss"].max())
        now = time.perf_counter()
        parts.append(part.assign(candidate=label, converged=converged, fit_seconds=now - started))
        started = now
    return pd.concat(parts, ignore_index=True)


# --- one input --------------------------------------------------------------------------------------------------


def curves(data: Path) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
    """Read curves: kind, name, training rows, test rows."""
    for path in sorted([*data.glob("alabdulmohsin_lang.csv"), *data.glob("alabdulmohsin_vision*.csv")]):
        kind = "language" if "lang" in path.name else "image"
        table = pd.read_csv(path).rename(columns={"seen_examples": "tokens"})
        for key, curve in table.groupby(["domain", "task", "model"], sort=True):
            rows = curve[["tokens", "loss"]].assign(split=curve["is_train"])
            test = rows[rows["split"] == 0]
            spread = evenly(len(test), LONGEST)
            columns = ["tokens", "loss"]
            yield kind, " ".join(map(str, key)), rows.loc[rows["split"] == 1, columns], test.iloc[spread][columns]


def measure_curves(data: Path, out: Path) -> None:
    """Score every curve and print averages over curves."""
    parts = []
    found = list(curves(data))
    for done, (kind, name, train, test) in enumerate(found):
        scores = kept(out, f"curve {kind} {name}", lambda train=train, test=test: scored(ONE_INPUT, train, test))
        parts.append(scores.assign(kind=kind, curve=name))
        print(f"\r{done + 1} of {len(found)} curves", end="", flush=True)
    print()
    scores = pd.concat(parts, ignore_index=True)
    by_curve = summarise(scores, ["kind", "candidate", "curve"])
    means = by_curve.drop(columns=["curve", "n"]).groupby(["kind", "candidate"], sort=False).mean()
    means["curves"] = by_curve.groupby(["kind", "candidate"], sort=False).size()
    means["seconds"] = (
        scores.groupby(["kind", "candidate", "curve"])["fit_seconds"].first().groupby(level=[0, 1]).mean()
    )
    means["converged"] = scores.groupby(["kind", "candidate"])["converged"].mean()
    print(means.round(4).to_string())
    published = data / "alabdulmohsin_published_rmse.csv"
    if published.is_file():
        against_published(by_curve[by_curve["kind"] == "language"], pd.read_csv(published))


NMT = {"6 Enc, 6 Dec": "6 Enc, 6 Dec", "28 Enc, 6 Dec": "28 Enc, 6 Dec", "6 Enc, 28 Dec": "6 Enc, 28 Dec"}


def against_published(language: pd.DataFrame, published: pd.DataFrame) -> None:
    """Print the RMSLE of language tasks beside the published errors of the paper's four families."""
    best = published.pivot_table(index="task_or_model", columns="method", values="rmse", sort=False)
    print("\npublished errors by task:")
    print(best.to_string())
    print("\nours by task:")
    print(language.pivot_table(index="curve", columns="candidate", values="rmsle", sort=False).round(4).to_string())


# --- two inputs -------------------------------------------------------------------------------------------------


def tables(data: Path | None) -> Iterator[tuple[str, pd.DataFrame, str, float]]:
    """Read tables: name, rows, the column that is cut, and where."""
    bundled = bs.datasets.load("stdlib_sweep").table[["params", "tokens", "flops", "loss"]].head(FIRST)
    yield "bundled sweep", bundled, "flops", float(bundled["flops"].max() / 30)
    if data is None:
        return
    chinchilla = pd.read_csv(data / "chinchilla_svg.csv")[["params", "tokens", "flops", "loss"]]
    yield "Chinchilla <= 1e20", chinchilla, "flops", 1e20
    yield "Chinchilla <= 1e21", chinchilla, "flops", 1e21
    overtraining = pd.read_csv(data / "gadre_overtraining.csv").rename(columns={"loss_c4_val": "loss"})
    for name, rows in overtraining.groupby("train_dataset"):
        yield f"over-training {name}", rows[["params", "tokens", "loss"]], "params", 1e9
    once = pd.read_csv(data / "datablations_final.csv")
    once = once[(once["epochs"] <= 1.01) & (once["in_notebook_fit_set"] == 1)][["params", "tokens", "loss"]]
    flops = 6 * once["params"] * once["tokens"]
    yield "one epoch, C4", once.assign(flops=flops), "flops", float(flops.max() / 10)


def measure_tables(data: Path | None, out: Path) -> None:
    """Score every table above its cut, and on a random hold-out of the same size."""
    parts = []
    for name, rows, column, at in tables(data):
        above = (rows[column] > at).to_numpy()
        random = np.isin(np.arange(len(rows)), np.random.default_rng(0).choice(len(rows), above.sum(), replace=False))
        for how, out_rows in (("largest", above), ("random", random)):
            print(f"{name}, {how}", flush=True)
            key = f"table {name} {how}"
            below, held = rows[~out_rows], rows[out_rows]
            scores = kept(out, key, lambda below=below, held=held: scored(TWO_INPUTS, below, held))
            parts.append(scores.assign(table=name, held_out=how))
    scores = pd.concat(parts, ignore_index=True)
    print(summarise(scores, ["table", "held_out", "candidate"]).round(4).to_string())
    by_table = summarise(scores, ["held_out", "candidate", "table"])
    print("\nmeans over tables")
    print(
        by_table.drop(columns=["table", "n"]).groupby(["held_out", "candidate"], sort=False).mean().round(4).to_string()
    )
    print("\nlog score of all together minus that of the best single law, by table")
    wide = by_table.pivot(index=["held_out", "table"], columns="candidate", values="log_score")
    single = wide.drop(columns="together").max(axis=1)
    print((wide["together"] - single).round(3).to_string())


def main() -> None:
    """Run one of the two benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("curves", "tables"))
    parser.add_argument("--data", type=Path, help="folder of public tables")
    parser.add_argument("--out", type=Path, default=Path("extrapolation"), help="where scores are kept")
    arguments = parser.parse_args()
    if arguments.what == "curves":
        if arguments.data is None:
            parser.error("curves are not part of this repository; give --data FOLDER")
        measure_curves(arguments.data, arguments.out)
    else:
        measure_tables(arguments.data, arguments.out)


if __name__ == "__main__":
    main()

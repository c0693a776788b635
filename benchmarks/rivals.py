"""The closest other package, `simple-scaling-laws`, on the splits of `extrapolation.py`: its laws, its bands, its time.

    uv run --group rivals python benchmarks/rivals.py --data FOLDER

Its laws are fitted at their defaults (a wild bootstrap of 1,000 draws); a draw and its scatter between runs, taken as
normal in log loss with the standard deviation that the package gives, are one part of its predictive distribution, so
that log score, CRPS and coverage are those of `score`. This package never imports it.
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import simple_scaling_laws
from extrapolation import kept, tables

from bayes_scaling.evaluate.scores import score, summarise
from bayes_scaling.predict.predictive import Predictive, Residuals

LAWS: Mapping[str, str] = {
    "skaling-joint-power": "Skaling",
    "separable-power": "additive",
    "kaplan-joint-power": "Kaplan",
    "bounded-rational-power": "rational with a plateau",
}
"""Its laws in parameters and tokens, and how they are listed."""

INPUTS: Mapping[str, str] = {"params": "model_size__params", "tokens": "dataset_size__tokens"}
TARGET = "test_loss__loss"
LEAST = 1e-3  # of the smallest fitted loss: draws that forecast less, or less than nothing, are set to it


def forecast(law: str, below: pd.DataFrame, above: pd.DataFrame) -> Predictive:
    """Fit one of its laws to runs and return what it predicts for others.

    Parameters
    ----------
    law : its own name of the law
    below : runs with ``params``, ``tokens`` and ``loss``
    above : runs with ``params`` and ``tokens``
    """
    rows = below.rename(columns={**INPUTS, "loss": TARGET})[[*INPUTS.values(), TARGET]].astype(float)
    rows["training_run_id"] = [f"run-{i}" for i in range(len(rows))]
    points = above.rename(columns=dict(INPUTS))[list(INPUTS.values())].astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says of every point that it is an extrapolation
        model = simple_scaling_laws.fit(pl.from_dict(rows.to_dict(orient="list")), law=law, seed=0)
        frame = model.prepare_points(pl.from_dict(points.to_dict(orient="list")))
        losses = model.target_draws(TARGET, model.fitting_predictors(frame), kind="mean")
    scatter = model.draws[TARGET].run_sd[:, None]
    losses = np.maximum(losses, LEAST * rows[TARGET].min())
    scale = np.maximum(scatter, 1e-9) / losses
    return Predictive.of(np.log(losses), scale, Residuals.normal(len(losses)))


def rivals(below: pd.DataFrame, above: pd.DataFrame) -> Iterator[tuple[str, Predictive]]:
    """Forecast with each of its laws: label, distribution."""
    for law, name in LAWS.items():
        yield f"simple-scaling-laws, {name}", forecast(law, below, above)


def scored(law: str, below: pd.DataFrame, above: pd.DataFrame, loss: np.ndarray) -> pd.DataFrame:
    """Fit one of its laws and score it: the columns of `score`, ``answer``, ``converged`` and ``seconds``.

    The log score is the log density of the log loss.
    """
    started = time.perf_counter()
    scores = score(forecast(law, below, above), loss)
    scores["log_score"] += np.log(scores["loss"])
    label = f"simple-scaling-laws, {LAWS[law]}"
    return scores.assign(answer=label, converged=1.0, seconds=time.perf_counter() - started)


ND_RIVALS: Mapping[str, Callable[[pd.DataFrame, pd.DataFrame, np.ndarray], pd.DataFrame]] = {
    name: functools.partial(scored, law) for law, name in LAWS.items()
}
"""For the scoreboard: from runs below, inputs above and losses above to scores."""


def splits(data: Path | None) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Read the splits: name, runs to fit, larger runs."""
    for name, rows, column, at in tables(data):
        yield name, rows[rows[column] <= at].reset_index(drop=True), rows[rows[column] > at].reset_index(drop=True)


def main() -> None:
    """Print scores of each law, means over tables and by table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of public tables; the bundled table alone without")
    parser.add_argument("--out", type=Path, default=Path("rivals"), help="where scores are kept")
    options = parser.parse_args()
    parts = []
    for name, below, above in splits(options.data):
        for law, label in LAWS.items():

            def measure(law: str = law, below: pd.DataFrame = below, above: pd.DataFrame = above) -> pd.DataFrame:
                found = scored(law, below, above[list(INPUTS)], above["loss"].to_numpy())
                return found.rename(columns={"seconds": "fit_seconds"})

            print(f"{name}, {label}", flush=True)
            parts.append(kept(options.out, f"{name} {law}", measure).assign(table=name))
    scores = pd.concat(parts, ignore_index=True)
    by_table = summarise(scores, ["answer", "table"])
    seconds = scores.groupby(["answer", "table"])["fit_seconds"].first().rename("seconds").reset_index()
    by_table = by_table.merge(seconds)
    print(by_table.round(4).to_string(index=False))
    print("\nmeans over tables; log score is the log density of the log loss")
    print(by_table.drop(columns=["table", "n"]).groupby("answer", sort=False).mean().round(4).to_string())


if __name__ == "__main__":
    main()

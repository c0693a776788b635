"""LossCast: runs with their whole configuration, fitted up to 430M parameters, scored above: losscast_runs.csv.gz.

`tuning` reads parameters, tokens, learning rate and batch size; `nesting` stands beside it and reads neither rate nor
batch, which are not all on record as they were. The marin runs have eleven optimisers, each with a level, a best rate
and a width of its valley of its own, from a population. Weight decay, warm-up and beta2 are left to the scatter, whose
tails are learned. Nanochat runs have no number of parameters here: 12 layers width^2 is taken.

Recorded batches of the marin runs with soap contradict the losses of all others, by factors of 4 to 16 that differ from
run to run (in the rows that are fitted; a batch of 32,768 tokens learns like one of 262,144 or 524,288). They are taken
as they are recorded: the optimiser's own level and the tails of the scatter have to deal with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_scaling.base.names import SamplerName
from suites import answer
from suites.cells import Cell, Row, located, row

SUITE = "LossCast"
FILE = "losscast_runs.csv.gz"
REFIT, NCPL, TREES = "Chinchilla refit", "NCPL", "best boosted trees"
PUBLISHED = {
    "marin": {REFIT: 0.0240, NCPL: 0.0168, TREES: 0.0157},
    "steplaw": {REFIT: 0.0440, NCPL: 0.0199, TREES: 0.0169},
    "nanochat": {},
}
LAWS = ("tuning", "nesting")
VARYING = ("L_0", "c_r", "w_r")  # level, best rate and width of its valley: what an optimiser changes most
NOTES = {
    "marin": "level, best rate and its valley by optimiser; two sizes to fit",
    "steplaw": "one optimiser",
    "nanochat": "12 layers width^2 parameters",
}


def to_fit(source: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Return inputs, loss and optimiser of the runs of a source, as `tuning` takes them."""
    params = runs["params"] if source != "nanochat" else 12 * runs["layers"] * runs["width"] ** 2
    fitted = pd.DataFrame(
        {
            "run": runs["run"],  # some configurations were run twice
            "params": params,
            "steps": runs["tokens"] / runs["batch_tokens"],
            "batch_tokens": runs["batch_tokens"],
            "tokens": runs["tokens"],
            "peak_learning_rate": runs["learning_rate"],
            "loss": runs["loss"],
        }
    )
    return fitted.assign(optimizer=runs["optimizer"]) if source == "marin" else fitted


def measure(source: str, runs: pd.DataFrame, sampler: SamplerName) -> pd.DataFrame:
    """Score the runs of a source that are not fitted."""
    below, above = (to_fit(source, runs[(runs["split"] == "train") == fitted]) for fitted in (True, False))
    pooled = "optimizer" if source == "marin" else ""
    points, loss = above.drop(columns=["loss", "run"]), above["loss"].to_numpy()
    scores = answer.ours(LAWS, below, points, loss, sampler, pooled, VARYING)
    return scores.assign(fit=source)


def cells(data: Path) -> Iterator[Cell]:
    """Name the sources."""
    path = located(data, FILE)
    if path is None:
        return
    table = pd.read_csv(path)
    for source in PUBLISHED:
        yield Cell(SUITE, source, measure, (source, table[table["source"] == source]))


def rows(scores: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Return the mean absolute error of the final loss of each source."""
    out = []
    for source, published in PUBLISHED.items():
        if source in scores:
            table = scores[source]
            error = float(np.mean(np.abs(table["loss"] - table["median"])))
            out.append(row(SUITE, source, "mean absolute error", error, table, published, NOTES[source]))
    return out

"""Learning curves in one input, with the split and the metrics of NSL-PFN: curves_nslpfn.csv.gz.

RMSLE of the median per curve, and mean log density of y as stored for IC, NMT, LM and BB, of y over the largest y
fitted for the others; means over curves. The answer is the default for curves in one input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_scaling.base.names import SamplerName
from bayes_scaling.base.spacing import evenly
from suites import answer, metrics
from suites.cells import Cell, Row, located, row

SUITE = "NSL-PFN curves"
FILE = "curves_nslpfn.csv.gz"
STORED = ("IC", "NMT", "LM", "BB")  # losses in 0 to 1, scored as they are
LONGEST = 200  # rows of a curve that are fitted, and that are scored, evenly spread: the longest have eight hundred
GROUPS = {
    "image (IC)": ("IC",),
    "language and Nano": ("NMT", "LM", "BB", "Nano"),
    "double descent (DD)": ("DD",),
    "ColPret": ("ColPret",),
}
PUBLISHED = {
    "image (IC)": (
        {"NSL-PFN": 0.0280, "BNSL": 0.0406, "MCMC": 0.0422, "LC-PFN": 0.0428},
        {"NSL-PFN": 3.330, "MCMC": 3.024, "LC-PFN": 2.429},
        "others on all 72 curves, ours on the 36 at hand",
    ),
    "language and Nano": (
        {"NSL-PFN": 0.0194, "BNSL": 0.0223, "MCMC": 0.0235, "LC-PFN": 0.0398},
        {"NSL-PFN": 2.773, "MCMC": 2.216, "LC-PFN": 1.519},
        "all 20 language curves, half of the Nano curves of the others",
    ),
    "double descent (DD)": (
        {"NSL-PFN": 0.0335, "BNSL": 0.0468, "MCMC": 0.0494, "LC-PFN": 0.0706},
        {"NSL-PFN": 2.565, "MCMC": 1.250, "LC-PFN": 1.321},
        "8 of the 16 curves of the others",
    ),
    "ColPret": ({}, {}, "half of the 192 curves"),
}


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep at most `LONGEST` rows, evenly spread."""
    kept = evenly(len(rows), LONGEST)
    return rows.iloc[kept]


def measure(suite: str, curve: pd.DataFrame, sampler: SamplerName) -> pd.DataFrame:
    """Score the rows of a curve that are not fitted; ``density`` is the log density of the published metric."""
    rows = curve.rename(columns={"x": "tokens", "y": "loss"})[["tokens", "loss", "split"]]
    rows = rows.sort_values("tokens").drop_duplicates()
    train = spread(rows[rows["split"] == "train"])[["tokens", "loss"]]
    test = spread(rows[rows["split"] != "train"])
    scores = answer.ours(answer.ONE_INPUT, train, test[["tokens"]], test["loss"].to_numpy(), sampler)
    unit = 1.0 if suite in STORED else float(train["loss"].max())
    return scores.assign(density=scores["log_score"] - np.log(scores["loss"] / unit), fit="curve")


def cells(data: Path) -> Iterator[Cell]:
    """Name the curves of a folder."""
    path = located(data, FILE)
    if path is None:
        return
    table = pd.read_csv(path)
    for (suite, curve, meaning), rows in table.groupby(["suite", "curve", "meaning"], sort=True):
        if (rows["y"] > 0).all() and (rows["split"] == "train").sum() >= 3:
            yield Cell(SUITE, f"{suite}: {curve}: {meaning}", measure, (suite, rows))


def rows(scores: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Return RMSLE, log density and MSCE of each published group of curves."""
    out = []
    for name, suites in GROUPS.items():
        curves = {key: table for key, table in scores.items() if key.split(":")[0] in suites}
        if not curves:
            continue
        error, density, note = PUBLISHED[name]
        whole = pd.concat([table.assign(fit=key) for key, table in curves.items()])
        note = f"{len(curves)} curves; {note}"
        for metric, value, published in (
            ("RMSLE", [metrics.rmsle(t["loss"], t["median"]) for t in curves.values()], error),
            ("LL", [t["density"].mean() for t in curves.values()], density),
            ("MSCE", [metrics.msce(t["pit"]) for t in curves.values()], {}),
        ):
            out.append(row(SUITE, name, metric, float(np.mean(value)), whole, published, note))
    return out

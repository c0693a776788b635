"""Tables in parameters and tokens: the splits of `extrapolation.py`, and OpenEuroLLM below and at 1.7B parameters.

Beside our answer stand point fits of single laws with a bootstrap over runs, by Huber's loss and by least squares, and
whatever `rivals.py` provides where it and the package that it needs are installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import extrapolation
import numpy as np
import pandas as pd

from bayes_scaling.base.names import SamplerName
from suites import answer
from suites.cells import Cell, Row, located, row

SUITE = "params and tokens"
EUROLLM = "OpenEuroLLM, 1.7B held out"
LARGEST = 1.7e9
PUBLISHED = {EUROLLM: {"Chinchilla": 0.0174, "Skaling": 0.0056}}
POINTS = tuple((law, loss) for law in ("chinchilla", "nesting") for loss in ("huber", "squares"))

type Rival = Callable[[pd.DataFrame, pd.DataFrame, np.ndarray], pd.DataFrame]


def rivals() -> Mapping[str, Rival]:
    """Return rivals by name: each takes runs below, inputs above and losses above, and gives columns of `scored`.

    They are those of ``ND_RIVALS`` in ``benchmarks/rivals.py``; none where that cannot be imported.
    """
    try:
        return dict(importlib.import_module("rivals").ND_RIVALS)
    except (ImportError, AttributeError):
        return {}


def tables(data: Path) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Read tables: name, rows, which of them are held out."""
    folders = [folder for folder in (data, data.parent) if (folder / "chinchilla_svg.csv").is_file()]
    for name, rows, column, at in extrapolation.tables(folders[0] if folders else None):
        yield name, rows.reset_index(drop=True), (rows[column] > at).to_numpy()
    path = located(data, "openeurollm_best_per_cell.csv")
    if path is not None:
        rows = pd.read_csv(path)[["params", "tokens", "loss"]]
        yield EUROLLM, rows, (rows["params"] > LARGEST).to_numpy()


def measure(rows: pd.DataFrame, held: np.ndarray, sampler: SamplerName) -> pd.DataFrame:
    """Score our answer, point fits and rivals on the rows that are held out."""
    columns = ["params", "tokens"]
    below, above, loss = rows.loc[~held, [*columns, "loss"]], rows.loc[held, columns], rows.loc[held, "loss"].to_numpy()
    parts = [answer.ours(answer.TWO_INPUTS, below, above, loss, sampler)]
    parts += [answer.point(law, how, below, above, loss) for law, how in POINTS]
    parts += [rival(below, above, loss) for rival in rivals().values()]
    return pd.concat(parts, ignore_index=True).assign(fit="table")


def cells(data: Path) -> Iterator[Cell]:
    """Name the tables."""
    for name, rows, held in tables(data):
        yield Cell(SUITE, name, measure, (rows, held))


def rows(scores: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Return a row per table and answer; the metric is the mean absolute error of the loss."""
    out = []
    for name, table in scores.items():
        for who, part in table.groupby("answer", sort=False):
            published = PUBLISHED.get(name, {}) if who == answer.OURS else {}
            error = float(np.mean(np.abs(part["loss"] - part["median"])))
            out.append(row(SUITE, name, "mean absolute error", error, part, published))
    whole = pd.concat([table.assign(fit=name) for name, table in scores.items()])
    for _, part in whole.groupby("answer", sort=False):
        by_table = part.groupby("fit")
        error = by_table.apply(lambda one: np.sqrt(np.mean(one["error"] ** 2)), include_groups=False)
        mean = row(SUITE, f"mean of {len(error)} tables", "RMS error of log loss", float(error.mean()), part, {})
        out.append(mean)
    return out

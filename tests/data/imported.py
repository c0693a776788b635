"""What the runs of ``tracker_files`` are as a table, and what an import says."""

from __future__ import annotations

import math

import bayes_scaling as bs
from tests.data import tracker_files

MAP = {"params": "n_params", "tokens": "tokens", "loss": "val/loss"}
WANDB_MAP = {**MAP, "params": "model.n_params"}


def expected(last: bool = False) -> list[tuple[str, float, float, float]]:
    """The runs that can be used, as they were given to the libraries."""
    rows = [
        (one.name, one.params, tokens, loss)
        for one in tracker_files.RUNS
        if one.params and math.isfinite(one.losses[-1])
        for _, tokens, loss in (one.points[-1:] if last else one.points)
    ]
    return sorted(rows)


def rows(runs: bs.Runs) -> list[tuple[str, float, float, float]]:
    return sorted(runs.table[["run", "params", "tokens", "loss"]].itertuples(index=False, name=None))


def said(runs: bs.Runs, *words: str) -> bool:
    return any(all(word in note for word in words) for note in runs.notes)

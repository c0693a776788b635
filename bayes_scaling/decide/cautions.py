"""Cautions: where a plan asks a law for what no fitted run shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.decide.problem import Problem
from bayes_scaling.decide.space import Space

OUTSIDE = 3.0  # times beyond the range of fitted runs, for what a law trades off
LARGER = 1000.0  # times the compute of the largest fitted run
RATIOS = {
    "tokens per parameter": ("tokens", "params"),
    "tokens in a batch": ("batch_tokens", None),
    "epochs": ("tokens", "unique_tokens"),
}


def cautions(problem: Problem, space: Space, run: Points) -> tuple[str, ...]:
    """Say in sentences where a run lies far outside the fitted ones, or at the end of what the budget can buy.

    Parameters
    ----------
    run : columns of one run
    """
    tables = [_columns(member.fit.runs) for member in problem.ensemble.members.values()]
    return tuple(_sentences(space, run, tables))


def _columns(runs: Runs) -> dict[str, np.ndarray]:
    known = ("params", "tokens", "steps", "batch_tokens", "unique_tokens", "flops")
    return derive_missing({name: runs.column(name) for name in known if name in runs})[0]


def _sentences(space: Space, run: Points, tables: list[dict[str, np.ndarray]]) -> Iterator[str]:
    if run["tokens"][0] < 2:
        yield (
            "the law wants the whole budget in parameters and none in tokens, which cannot be right: give constraints "
            "within which you trust the law"
        )
    for words, (above, below) in RATIOS.items():
        names = [name for name in (above, below) if name]
        shown = [table for table in tables if all(name in table for name in names)]
        if not shown or any(name not in run for name in names) or (words == "tokens in a batch" and not space.batched):
            continue
        known = np.concatenate([table[above] / (table[below] if below else 1.0) for table in shown])
        planned = float(run[above][0] / (run[below][0] if below else 1.0))
        if not known.min() / OUTSIDE <= planned <= known.max() * OUTSIDE:
            yield f"{planned:.3g} {words}, where fitted runs have {known.min():.3g} to {known.max():.3g}"
    largest = max((float(table["flops"].max()) for table in tables if "flops" in table), default=np.inf)
    if (ratio := float(run["flops"][0]) / largest) > LARGER:
        yield f"{ratio:.3g} times the compute of the largest fitted run"

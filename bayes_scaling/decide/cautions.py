"""Cautions: where a plan asks a law for what no fitted run shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.space import Space

BESIDE = 3.0  # times beyond the range of fitted runs, for what a law trades off
AHEAD = 1000.0  # times the compute of the largest one
RATIOS = {
    "tokens per parameter": ("tokens", "params"),
    "tokens in a batch": ("batch_tokens", None),
    "epochs": ("tokens", "unique_tokens"),
}


def cautions(question: Question, space: Space, run: Points) -> tuple[str, ...]:
    """Say in sentences where a run lies far outside the fitted ones, or at the end of what the budget can buy.

    Parameters
    ----------
    run : columns of one run
    """
    tables = [_columns(member.fit.runs) for member in question.beliefs.members.values()]
    return tuple(_said(space, run, tables))


def _columns(runs: Runs) -> dict[str, np.ndarray]:
    known = ("params", "tokens", "steps", "batch_tokens", "unique_tokens", "flops")
    return derive_missing({name: runs.column(name) for name in known if name in runs})[0]


def _said(space: Space, run: Points, tables: list[dict[str, np.ndarray]]) -> Iterator[str]:
    if run["tokens"][0] < 2:
        yield (
            "the law wants all of the budget in parameters and none in tokens: it cannot be right there; give "
            "constraints within which it is believed"
        )
    for words, (above, below) in RATIOS.items():
        names = [name for name in (above, below) if name]
        shown = [table for table in tables if all(name in table for name in names)]
        if not shown or any(name not in run for name in names) or (words == "tokens in a batch" and not space.batched):
            continue
        known = np.concatenate([table[above] / (table[below] if below else 1.0) for table in shown])
        planned = float(run[above][0] / (run[below][0] if below else 1.0))
        if not known.min() / BESIDE <= planned <= known.max() * BESIDE:
            yield f"{planned:.3g} {words}, where fitted runs have {known.min():.3g} to {known.max():.3g}"
    largest = max((float(table["flops"].max()) for table in tables if "flops" in table), default=np.inf)
    if (ahead := float(run["flops"][0]) / largest) > AHEAD:
        yield f"{ahead:.3g} times the compute of the largest fitted run"

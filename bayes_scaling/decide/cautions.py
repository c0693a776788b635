"""Cautions: where a plan asks a law for what no fitted run shows."""

from __future__ import annotations

from collections.abc import Iterator

from bayes_scaling.data.columns import Points
from bayes_scaling.decide.problem import Problem
from bayes_scaling.decide.space import Space
from bayes_scaling.predict.cautions import far_beyond, known_columns, off_balance


def cautions(problem: Problem, space: Space, runs: Points) -> tuple[str, ...]:
    """Say in sentences where a run lies far outside the fitted ones, or at the end of what the budget can buy.

    Parameters
    ----------
    runs : columns of runs, of which the first one is judged
    """
    run = {name: values[:1] for name, values in runs.items()}
    tables = [known_columns(member.fit.runs) for member in problem.ensemble.members.values()]
    return (*_ends(run), *off_balance(tables, run, space.batched), *far_beyond(tables, run))


def _ends(run: Points) -> Iterator[str]:
    if run["tokens"][0] < 2:
        yield (
            "the law wants the whole budget in parameters and none in tokens, which cannot be right: give constraints "
            "within which you trust the law"
        )

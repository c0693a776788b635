"""Cautions: where a plan asks a law for what no fitted run shows."""

from __future__ import annotations

from collections.abc import Iterator

from bayes_scaling.data.columns import Points
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.space import Space
from bayes_scaling.predict.cautions import NEARLY, far_beyond, known_columns, off_balance


def cautions(problem: CheckedDecision, space: Space, runs: Points) -> tuple[str, ...]:
    """Say in sentences where a run lies far outside the fitted ones, or at the end of what the budget can buy.

    Parameters
    ----------
    runs : columns of runs, of which the first one is judged
    """
    run = {name: values[:1] for name, values in runs.items()}
    tables = [known_columns(member.fit.runs) for member in problem.ensemble.members.values()]
    return (*_ends(run, space), *off_balance(tables, run, space.batched), *far_beyond(tables, run))


def _ends(run: Points, space: Space) -> Iterator[str]:
    """Say where a plan is as far out as plans go."""
    ratio = float(run["tokens"][0] / run["params"][0])
    few, many = (end / NEARLY < ratio < end * NEARLY for end in space.trusted)
    if few or many or run["tokens"][0] < 2:
        yield (
            f"{ratio:.3g} tokens per parameter is as {'many' if many else 'few'} as plans go to, far from all fitted "
            "runs, and the law would go further, which can hardly be right: give constraints within which you trust it"
        )

"""Cautions: where a plan asks a law for what no fitted run shows."""

from __future__ import annotations

from collections.abc import Iterator

from bayes_scaling.base.numbers import FLOPS, amount
from bayes_scaling.data.columns import Points
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.space import Space
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.cautions import (
    MISTAKEN,
    NEARLY,
    SMALLER,
    compute_of,
    far_beyond,
    known_columns,
    meant,
    off_balance,
)


def cautions(problem: CheckedDecision, space: Space, runs: Points) -> tuple[str, ...]:
    """Say in sentences where a run lies far outside the fitted ones, or at the end of what the budget can buy.

    Parameters
    ----------
    runs : columns of runs, of which the first one is judged
    """
    run = {name: values[:1] for name, values in runs.items()}
    tables = _tables(problem)
    beyond = (*off_balance(tables, run, space.batched), *far_beyond(tables, run))
    return (*_ends(run, space), *_far_below(tables, run), *beyond)


def refuse_tiny(problem: CheckedDecision, budget: float, runs: Points) -> None:
    """Refuse a budget whose run takes less than a thousandth of the compute of the smallest fitted run.

    Parameters
    ----------
    budget : in the unit of the cost
    runs : what it buys, of which the first one is judged
    """
    smallest, largest = compute_of(_tables(problem))
    flops, unit = float(runs["flops"][0]), problem.spending.unit
    if flops * MISTAKEN >= smallest:
        return
    hint = meant("flops", budget, smallest, largest) if unit == FLOPS else f"; check that the budget is in {unit}"
    raise PlanError(
        f"a budget of {budget:g} {unit} buys a run {smallest / flops:.3g} times below the smallest fitted run "
        f"({amount(smallest, FLOPS)}){hint}"
    )


def _tables(problem: CheckedDecision) -> list[Points]:
    """Return the sizes of the fitted runs of each law."""
    return [known_columns(member.fit.runs) for member in problem.ensemble.members.values()]


def _far_below(tables: list[Points], run: Points) -> Iterator[str]:
    """Say where a plan takes far less compute than any fitted run."""
    (smallest, _), flops = compute_of(tables), float(run["flops"][0])
    if flops * SMALLER < smallest:
        yield (
            f"the run takes {amount(flops, FLOPS)}, {smallest / flops:.3g} times below the smallest fitted run "
            f"({amount(smallest, FLOPS)})"
        )


def _ends(run: Points, space: Space) -> Iterator[str]:
    """Say where a plan is as far out as plans go."""
    ratio = float(run["tokens"][0] / run["params"][0])
    few, many = (end / NEARLY < ratio < end * NEARLY for end in space.trusted)
    if few or many or run["tokens"][0] < 2:
        yield (
            f"{ratio:.3g} tokens per parameter is as {'many' if many else 'few'} as plans go to, far from all fitted "
            "runs, and the law would go further, which can hardly be right: give constraints within which you trust it"
        )

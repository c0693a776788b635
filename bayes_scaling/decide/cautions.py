"""Cautions: where a plan asks a law for what no fitted run shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bayes_scaling.base.numbers import FLOPS, amount
from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.validation import others
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.space import Space
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.cautions import (
    LARGER,
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
    # A budget may buy far more than any fitted run has, so that a unit as large as the PF-day is likely.
    high = largest * LARGER
    hint = meant("flops", budget, smallest, high) if unit == FLOPS else f"; check that the budget is in {unit}"
    raise PlanError(
        f"a budget of {budget:g} {unit} buys a run {smallest / flops:.3g} times below the smallest fitted run "
        f"({amount(smallest, FLOPS)}){hint}"
    )


def of_budgets(problem: CheckedDecision, bought: pd.DataFrame) -> Iterator[str]:
    """Say from which budget on, and up to which, runs lie far outside the fitted ones.

    Parameters
    ----------
    bought : one row per budget, with the ``params`` and ``tokens`` of its run
    """
    if not len(bought):
        return
    tables, unit = _tables(problem), problem.spending.unit
    (smallest, largest), budgets = compute_of(tables), bought["budget"].to_numpy(float)
    runs, _ = derive_missing({name: bought[name].to_numpy(float) for name in ("params", "tokens")})
    ratio = runs["flops"] / largest
    if (far := ratio > LARGER).any():
        yield (
            f"from a budget of {amount(budgets[far].min(), unit)} on, runs take {ratio[far].min():.3g} times the "
            f"compute of the largest fitted run ({amount(largest, FLOPS)}){_up_to(ratio[far])}"
        )
    if (few := runs["flops"] * SMALLER < smallest).any():
        yield (
            f"up to a budget of {amount(budgets[few].max(), unit)}, runs lie more than {SMALLER:g} times below the "
            f"smallest fitted run ({amount(smallest, FLOPS)})"
        )
    near = np.flatnonzero(~far & ~few)
    each = {i: [*off_balance(tables, {name: values[[i]] for name, values in runs.items()}, False)] for i in near}
    odd = [i for i in near if each[i]]
    if odd:
        more = others(np.isin(near, odd))
        yield f"the run for {amount(budgets[odd[0]], unit)} has {each[odd[0]][0]}{more}"


def _up_to(ratio: np.ndarray) -> str:
    return f", and up to {ratio.max():.3g} times" if len(ratio) > 1 else ""


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

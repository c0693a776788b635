"""Planned runs: what is read of a table of them, or of inputs by name, and what a law lacks."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import pandas as pd

from bayes_scaling.base.messages import listed
from bayes_scaling.data.columns import derive_missing, table_of
from bayes_scaling.data.consistency import refuse_impossible
from bayes_scaling.data.naming import named_as_runs
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.columns import INPUTS
from bayes_scaling.laws.law import Law
from bayes_scaling.model.schedule import STEP_RATE, Schedule, missing_inputs

PLANNED = "the planned runs"  # in messages


def planned(fit: Fit, points: pd.DataFrame | Runs | None, inputs: Mapping[str, Any]) -> pd.DataFrame:
    """Return future runs as a table of positive numbers that has every input of the fit's law."""
    refuse_two_ways(points, inputs)
    law = fit.law
    if points is None:
        unknown = [name for name in inputs if name not in columns_known(law, fit.groups.columns)]
        if unknown:
            raise ForecastError(f"{unknown[0]!r} is no input of a run; law {law.label} needs {', '.join(law.inputs)}")
        points = table_of(inputs)
    frame = rows_known(law, points.table if isinstance(points, Runs) else points, fit.groups.columns)
    refuse_missing_inputs(law, frame, fit.yardstick.schedule)
    if (
        STEP_RATE in law.inputs
        and STEP_RATE not in frame
        and "run" in frame
        and frame["run"].dropna().duplicated().any()
    ):
        raise ForecastError(
            f"rows of one run need the learning rate of each; give {STEP_RATE}, or the ends of runs alone"
        )
    for column, labels in zip(fit.groups.columns, fit.groups.labels, strict=True):
        if column not in frame:
            raise ForecastError(f"say the {column} of each future run: {listed(labels, 8)}, or a new one")
    return frame


def refuse_two_ways(points: pd.DataFrame | Runs | None, inputs: Mapping[str, Any]) -> None:
    """Refuse future runs that are given twice."""
    if points is not None and inputs:
        raise ForecastError("give future runs either as a table or by name, not both")


def columns_known(law: Law, groups: Sequence[str]) -> set[str]:
    """Return the columns that are read of future runs, for a law and columns that name groups."""
    return {*INPUTS, *law.columns, "run", *groups}


def rows_known(law: Law, table: pd.DataFrame, groups: Sequence[str] = ()) -> pd.DataFrame:
    """Return what is read of a table of future runs, in positive numbers, with the columns that follow.

    Parameters
    ----------
    table : with canonical columns, or columns spelled as in a table of runs
    groups : columns that name groups

    Raises
    ------
    ForecastError
        When the table has no rows.
    DataError
        When a cell is no positive number, or numbers of a row contradict each other.
    """
    known, named = columns_known(law, groups), {"run", *groups}
    table, spelled = named_as_runs(table, known, PLANNED)
    frame, origin = table[[name for name in table if name in known]], Origin(PLANNED, spelled)
    if not len(frame):
        raise ForecastError(f"the table of {PLANNED} has no rows; expected one row for each run to forecast")
    numbers = [str(name) for name in frame if name not in named]
    frame = numeric(frame, numbers, origin, law.may_be_zero)
    frame = frame.assign(**derive_missing({name: frame[name] for name in numbers})[0])
    refuse_impossible(frame, origin)
    return frame


def refuse_missing_inputs(law: Law, known: Container[str], usual: Schedule | None) -> None:
    """Refuse future runs that lack an input of a law; arguments as of `missing_inputs`."""
    missing = missing_inputs(law, known, usual)
    if missing:
        raise ForecastError(
            f"law {law.label} needs {', '.join(law.inputs)} of each future run; {missing[0]} is missing"
        )

"""Rows so far of runs that go on: which planned rows continue a run of the fitted table, and what that run showed."""

from __future__ import annotations

import dataclasses
from collections.abc import Container

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import listed, shown
from bayes_scaling.data.columns import ORDERING
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.columns import INPUTS

SAME = 1e-6  # relative difference up to which two sizes of one run are the same


@dataclasses.dataclass(frozen=True, eq=False)
class RunsSoFar:
    """Fitted rows of runs that planned rows continue.

    Attributes
    ----------
    rows : those rows, each run's in order; with no rows where every planned run is new
    along : the column that orders the rows of a run; empty where every planned run is new
    cautions : in sentences, which planned runs have the name of a fitted one and are taken for others
    until : where the run is to end, along that column; None where it is not known, or several runs go on
    """

    rows: pd.DataFrame
    along: str = ""
    cautions: tuple[str, ...] = ()
    until: float | None = None

    @property
    def runs(self) -> list[str]:
        """Labels of the runs that go on."""
        return list(dict.fromkeys(self.rows["run"])) if len(self.rows) else []


def curve_so_far(fit: Fit, run: str) -> tuple[pd.DataFrame, str]:
    """Return the fitted rows of a run, in order, and the column that orders them.

    Raises
    ------
    ForecastError
        When the fitted table has no such run, or the law does not read it as a curve.
    """
    so_far, along = rows_so_far(fit.runs.table, run), along_curves(fit)
    if not along:
        raise ForecastError(
            f"run {shown(run)} cannot be continued by {fit.law.label}, which reads {listed(fit.law.inputs)}: fit a law "
            "that reads steps or tokens along the run"
        )
    if len(so_far) < 2:
        raise ForecastError(f"run {shown(run)} has one row in the fitted table, expected two or more to go on from")
    return so_far.sort_values(along, kind="stable").reset_index(drop=True), along


def rows_so_far(table: pd.DataFrame, run: str) -> pd.DataFrame:
    """Return the rows of a run of a table, or refuse one that has none."""
    if "run" not in table:
        raise ForecastError("the fitted table has no column run, so none of its runs can be continued")
    ids = table["run"].astype(str)
    if run not in set(ids):
        raise ForecastError(f"the fitted table has no run {run!r}; it has {listed(list(dict.fromkeys(ids)), 8)}")
    return table[ids == run].assign(run=run)


def along_curves(fit: Fit) -> str:
    """Return the column that orders the rows of runs as the law reads them; empty where it reads none."""
    law = fit.law.inputs
    lengths = ("steps", "tokens") if {"steps", "batch_tokens"} & set(law) else ()
    return next((name for name in ORDERING if name in fit.runs and name in (*law, *lengths)), "")


def numbered(runs: pd.Series) -> np.ndarray:
    """Return the run of each row as an integer, ``(n_row,)``, given run ids; a row without one is a run of its own."""
    numbers, nameless = pd.factorize(runs.astype(str))[0], runs.isna().to_numpy()
    return np.where(nameless, len(runs) + np.arange(len(runs)), numbers)


def runs_that_go_on(fit: Fit, planned: pd.DataFrame) -> RunsSoFar:
    """Find the runs of the fitted table that planned rows continue.

    A run goes on where rows of runs are correlated or the law reads whole runs, its name is that of a fitted run with
    two rows or more, all its planned rows lie at or beyond the last fitted one and at least one beyond, and what is
    constant along the fitted run has not changed. Where a law reads whole runs, columns of its own may: learning rates.

    Parameters
    ----------
    planned : future rows; those without a column ``run`` are new runs
    """
    none = RunsSoFar(fit.runs.table.iloc[:0])
    along, features = along_curves(fit), fit.law.features
    alone = not fit.noise.correlated and features is None
    if alone or "run" not in planned or "run" not in fit.runs or along not in planned:
        return none
    fitted = fit.runs.table.assign(run=fit.runs.table["run"].astype(str)).sort_values(along, kind="stable")
    known = dict(list(fitted.groupby("run", sort=False)))
    may_change = {"run", "loss", *(features.needs if features else ())} - {*INPUTS}
    found, others = [], []
    for run, ahead in planned.groupby(planned["run"].astype(str), sort=False):
        so_far = known.get(str(run))
        if so_far is None or len(so_far) < 2:
            continue
        here, last = ahead[along].to_numpy(float), float(so_far[along].iloc[-1])
        if not (here > last).any():
            continue
        if change := _change(so_far, ahead, may_change):
            others.append(f"run {run!r} has {change}: taken for another run than the fitted one of that name")
        elif (here < last).any():
            others.append(
                f"rows of run {run!r} begin before its last fitted one ({along} {last:g}): taken for those of a new run"
            )
        else:
            found.append(so_far)
    rows = pd.concat(found, ignore_index=True) if found else none.rows
    return RunsSoFar(rows, along if found else "", tuple(others))


def _change(so_far: pd.DataFrame, ahead: pd.DataFrame, may_change: Container[str]) -> str:
    """Say what differs between the planned rows of a run and all its rows so far; empty where nothing does."""
    for name in so_far:
        if name in may_change or name not in ahead or so_far[name].nunique() != 1:
            continue
        old, new = so_far[name].iloc[0], ahead[name]
        if pd.api.types.is_numeric_dtype(so_far[name]):
            if not np.allclose(new.to_numpy(float), float(old), rtol=SAME, atol=0.0):
                return f"{name} {float(new.iloc[0]):g} instead of {float(old):g}"
        elif (new.astype(str) != str(old)).any():
            return f"{name} {new.iloc[0]} instead of {old}"
    return ""

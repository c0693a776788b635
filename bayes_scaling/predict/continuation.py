"""Continuations: forecasts of the rest of a run that is being trained, given its curve so far.

A run's own rows say more about its future than other runs do: they inform the law, and they show how far this run
deviates from it (`bayes_scaling.predict.deviations`). `forecast` does the same for rows that carry the name of a fitted
run; here a run is named, and what is constant along its curve is filled in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import plain, shown
from bayes_scaling.data.columns import table_of
from bayes_scaling.data.naming import named_as_runs
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.columns import INPUTS
from bayes_scaling.predict.ensemble import Source
from bayes_scaling.predict.forecast import Forecast, at_rows_ahead, by_all_laws, refuse_many
from bayes_scaling.predict.planned import PLANNED, columns_known, planned
from bayes_scaling.predict.so_far import SAME, RunsSoFar, curve_so_far


@validated
def continued(
    source: Source,
    run: str,
    ahead: Mapping[str, Any] | pd.DataFrame,
    *,
    until: float | None = None,
    seed: Seed = 0,
    unconverged: bool = False,
) -> Forecast:
    """Forecast later rows of a run whose curve so far is part of the fitted table.

    Parameters
    ----------
    source : posterior of a law of whole curves, fitted to other runs and to this one so far; or a comparison or an
        ensemble of such laws, which are mixed by weight
    run : its id in the column ``run``
    ahead : future rows, by the columns that change along the run: ``{"steps": [20_000, 40_000]}``, or a table. Columns
        that are constant in all its rows so far (params, batch, group) are filled in. The first row may be at the
        current position of the run, not before it
    until : where the run is to end, in what its curve is ordered by (steps, else tokens). Then finished runs of the
        table, cut at the share of their length at which this one is now, show what its law does not know of the rest,
        such as what a falling learning rate does (`bayes_scaling.predict.finished`). Rows beyond it keep what is shown
        of the end. By default the end is not known, and the law alone says how the curve goes on
    seed : of the noise and the discrepancy ahead
    unconverged : accept fits that did not converge

    Returns
    -------
    Forecast
        ``fitted``: the fitted law; ``mean``: this run's own curve, without the noise of single rows; ``new_run``: the
        loss that an evaluation would measure.

    Raises
    ------
    ForecastError
        When the fitted table has no such run, or an input of the law is missing, or a row is before the last one.
    """
    return by_all_laws(source, seed, unconverged, lambda fit, draws: _continued_by(fit, run, ahead, seed, draws, until))


def _continued_by(
    fit: Fit,
    run: str,
    ahead: Mapping[str, Any] | pd.DataFrame,
    seed: int,
    draws: np.ndarray | None,
    until: float | None,
) -> Forecast:
    """Continue a run with one fit, or with some of its draws."""
    so_far, along = curve_so_far(fit, run)
    frame = _rows_ahead(fit, run, so_far, along, ahead)
    refuse_many(frame)
    now = float(so_far[along].iloc[-1])
    if until is not None and not now < until < np.inf:
        raise ForecastError(
            f"run {shown(run)} is at {along} {now:g}, and is to end at {until:g}; expected a number above where it is"
        )
    found = at_rows_ahead(fit, frame.assign(run=run), RunsSoFar(so_far, along, until=until), seed, draws)
    return dataclasses.replace(
        found,
        points=frame,
        label=f"{fit.law.label}, run {run} continued",
        extrapolation=frame[along].to_numpy(float) / now,
        cautions=(*found.cautions, *(() if fit.noise.correlated else (_taken_apart(run, len(so_far)),))),
    )


def _taken_apart(run: str, rows: int) -> str:
    """Say that the rows of a run were fitted as if each were a run of its own."""
    return (
        f"the {rows} rows of run {plain(run)} were fitted as separate runs, so its own deviation from the law is left "
        "out: fit with correlated rows (--noise-rows correlated, Noise(rows='correlated'))"
    )


def _rows_ahead(
    fit: Fit, run: str, so_far: pd.DataFrame, along: str, ahead: Mapping[str, Any] | pd.DataFrame
) -> pd.DataFrame:
    """Return the future rows of a run, with the columns that are constant in its rows so far filled in."""
    table = table_of(dict(ahead)) if isinstance(ahead, Mapping) else ahead
    frame, _ = named_as_runs(table, columns_known(fit.law, fit.groups.columns), PLANNED)
    if "params" in frame and "params" in so_far and (given := _others(so_far, frame)):
        raise ForecastError(f"run {run!r} has {so_far['params'].iloc[0]:.6g} params, not {given}; leave params out")
    same = [name for name in so_far if name not in frame and name != "loss" and so_far[name].nunique() == 1]
    for name in same:
        frame[str(name)] = so_far[name].iloc[0]
    wanted = [name for name in frame if name in (*INPUTS, *fit.law.columns, *fit.groups.columns)]
    frame = planned(fit, frame[wanted], {})
    frame = frame[[name for name in frame if name in so_far]]
    last = float(so_far[along].iloc[-1])
    if (np.diff(np.append(last, frame[along])) < 0).any():
        raise ForecastError(
            f"rows ahead of run {run!r} go on from {along} {last:g} in order; got {frame[along].min():g}"
        )
    return frame


def _others(so_far: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Return the first number of parameters that is not that of the rows so far; empty where there is none."""
    had = so_far["params"].to_numpy(float)
    given = pd.to_numeric(frame["params"], errors="coerce").to_numpy(float)  # what is no number is refused by its cell
    odd = given[np.isfinite(given) & ((given > had.max() * (1 + SAME)) | (given < had.min() * (1 - SAME)))]
    return f"{odd[0]:.6g}" if len(odd) else ""

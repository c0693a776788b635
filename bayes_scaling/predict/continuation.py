"""Continuations: forecasts of the rest of a run that is being trained, given its curve so far.

A run's own rows say more about its future than other runs do: they inform the law, and they show how far this run
deviates from it. With correlated rows that deviation is an Ornstein-Uhlenbeck process along the curve
(`bayes_scaling.model.curves`). Filtering over the rows so far gives the deviation at the last row; its influence decays
with every e-fold of further steps.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import listed
from bayes_scaling.base.scope import scope
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.draws import by_row
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.columns import INPUTS
from bayes_scaling.model.curves import layout_of, one_step_ahead
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import ALONG
from bayes_scaling.predict.ensemble import law_and_scale
from bayes_scaling.predict.forecast import Forecast, contents, paths_at, planned
from bayes_scaling.predict.predictive import Predictive, Residuals


@validated
def continued(
    fit: Fit,
    run: str,
    ahead: Mapping[str, Any] | pd.DataFrame,
    *,
    seed: Seed = 0,
    unconverged: bool = False,
) -> Forecast:
    """Forecast later rows of a run whose curve so far is part of the fitted table.

    Parameters
    ----------
    fit : posterior of a law of whole curves, fitted to other runs and to this one so far
    run : its id in the column ``run``
    ahead : future rows, by the columns that change along the run: ``{"steps": [20_000, 40_000]}``, or a table. Columns
        that are constant in all its rows so far (params, batch, group) are filled in. The first row may be at the
        current position of the run, not before it
    seed : of the noise and the discrepancy ahead
    unconverged : go on with a fit that did not converge

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
    fit.require_convergence(unconverged)
    so_far, along = curve_so_far(fit, run)
    frame = _rows_ahead(fit, run, so_far, along, ahead)
    both = pd.concat([so_far[list(frame)], frame], ignore_index=True)
    table = {str(name): both[name].to_numpy(float) for name in both if name not in fit.groups.columns}
    theta, cell = fit.in_groups(both, "the run", seed)
    log_law, scale = law_and_scale(fit, theta, table, cell)
    learned, unresolved = (np.broadcast_to(part, log_law.shape) for part in paths_at(fit, table, seed))
    # All rows belong to one run, and so to one group.
    own_theta = {name: values[:, -1] if values.ndim == 2 else values for name, values in by_row(theta, cell).items()}
    now = len(so_far)
    own = _own_deviation(
        np.log(so_far["loss"].to_numpy(float)) - (log_law + learned)[:, :now],
        scale,
        own_theta,
        both[along].to_numpy(float),
        fit.noise,
        np.random.default_rng([seed, 5]),
    )
    # Beyond the last knot the path starts from the current row of the run.
    fresh = unresolved[:, now:] - unresolved[:, [now - 1]]
    log_mean = (log_law + learned)[:, now:] + fresh + own
    residuals = Residuals.of(fit.noise.shape, own_theta, len(log_mean), seed)
    predictive = Predictive.of(log_mean, scale[:, now:], residuals)
    error = ("the law's own error",) if fit.discrepancy_grid.size else ()
    deviation = ("this run's own deviation",) if fit.noise.correlated else ()
    return Forecast(
        points=frame.drop(columns="run", errors="ignore"),
        fitted=np.exp((log_law + learned)[:, now:]),
        mean=np.exp(log_mean),
        new_run=predictive.losses(seed),
        predictive=predictive,
        loss_unit=fit.runs.loss_unit,
        label=f"{fit.law.label}, run {run} continued",
        contains=contents(("parameters",), (*error, *deviation)),
        extrapolation=frame[along].to_numpy(float) / float(so_far[along].iloc[-1]),
    )


def curve_so_far(fit: Fit, run: str) -> tuple[pd.DataFrame, str]:
    """Return the fitted rows of a run, in order, and the column that orders them.

    Raises
    ------
    ForecastError
        When the fitted table has no such run, or the law does not read it as a curve.
    """
    table = fit.runs.table
    if "run" not in table:
        raise ForecastError("the fitted table has no column run, so none of its runs can be continued")
    ids = table["run"].astype(str)
    if run not in set(ids):
        raise ForecastError(f"the fitted table has no run {run!r}; it has {listed(list(dict.fromkeys(ids)), 8)}")
    so_far = table[ids == run]
    along = next((name for name in ALONG if name in so_far and name in (*fit.law.inputs, *_lengths(fit))), None)
    if along is None or len(so_far) < 2:
        raise ForecastError(f"run {run!r} is no curve: {fit.law.label} with {len(so_far)} of its rows")
    return so_far.sort_values(along).reset_index(drop=True), along


def _rows_ahead(
    fit: Fit, run: str, so_far: pd.DataFrame, along: str, ahead: Mapping[str, Any] | pd.DataFrame
) -> pd.DataFrame:
    """Return the future rows of a run, with the columns that are constant in its rows so far filled in."""
    frame = pd.DataFrame({str(name): np.atleast_1d(np.asarray(values)) for name, values in dict(ahead).items()})
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


def _lengths(fit: Fit) -> tuple[str, ...]:
    """Return the columns for the length of a run that a law reads indirectly."""
    return ("steps", "tokens") if {"steps", "batch_tokens"} & set(fit.law.inputs) else ()


def _own_deviation(
    residual: np.ndarray,
    scale: np.ndarray,
    theta: Mapping[str, np.ndarray],
    position: np.ndarray,
    noise: Noise,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the deviation of a run from the law at future rows, given its rows so far, ``(n_draw, n_ahead)``.

    Parameters
    ----------
    residual : (n_draw, n_row) of the rows so far
    scale : (n_draw, n_row + n_ahead) of the noise of single rows
    theta : noise parameters, (n_draw,) each
    position : (n_row + n_ahead,) steps, in order
    """
    rows, ahead = residual.shape[1], len(position) - residual.shape[1]
    if not noise.correlated:
        return np.zeros((len(residual), ahead))
    # The filter predicts the first future row; the deviation is that prediction without the noise of a single row.
    layout = layout_of(np.zeros(rows + 1, int), position[: rows + 1])
    slow, length = theta["sigma_curve"], theta["length"]
    with scope():
        columns = {"noise.layout_row": jnp.asarray(layout.row), "noise.layout_gap": jnp.asarray(layout.gap)}
        known = {row.name: jnp.asarray(theta[row.name]) for row in noise.parameters}
        seen, own = np.append(residual, np.zeros((len(residual), 1)), axis=1), scale[:, : rows + 1]
        ahead_of = jax.vmap(functools.partial(one_step_ahead, family=noise.shape), (0, 0, 0, None))
        predicted = ahead_of(jnp.asarray(seen), jnp.asarray(own), known, columns)
        expected, total = (np.asarray(part)[:, -1] for part in predicted)
    variance = np.maximum(total**2 - own[:, -1] ** 2, 0.0)
    state = expected + np.sqrt(variance) * rng.standard_normal(len(expected))
    out = [state]
    for gap in np.diff(np.log(position[rows:])):
        keep = np.exp(-gap / length)
        state = keep * state + slow * np.sqrt(1 - keep**2) * rng.standard_normal(len(state))
        out.append(state)
    return np.stack(out, axis=1)

"""How far curves lie from the law at rows ahead: of runs that are new, and of runs whose rows so far are known.

With correlated rows the deviation of a run is an Ornstein-Uhlenbeck process along its curve
(`bayes_scaling.model.curves`). Nothing is known of that of a new run. The rows of a run that goes on show its own:
filtering over them gives the deviation at the last row, and its influence decays with every e-fold of further steps.
Both are normal given a draw, so that what they add to a single row has a closed form; only rows of one run together
need them drawn.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.scope import scope
from bayes_scaling.model.curves import layout_of, one_step_ahead
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import curve_layout


@dataclasses.dataclass(frozen=True, eq=False)
class Deviations:
    """Deviations of curves from the law at rows ahead, in log loss, ``(n_draw, n_row)`` each.

    Attributes
    ----------
    centre : expectation, given the rows of the run so far
    scale : standard deviation
    drawn : one draw, together for the rows of a run
    """

    centre: np.ndarray
    scale: np.ndarray
    drawn: np.ndarray

    def replaced(self, rows: np.ndarray, others: Deviations) -> Deviations:
        """Return these deviations with others at some rows, by index."""
        parts = []
        for name in ("centre", "scale", "drawn"):
            values = np.array(getattr(self, name))
            values[:, rows] = getattr(others, name)
            parts.append(values)
        return Deviations(*parts)


@dataclasses.dataclass(frozen=True, eq=False)
class SoFar:
    """Rows of runs that go on, seen by the draws of a fit.

    Attributes
    ----------
    run : (n_seen,) integer per run
    position : (n_seen,) steps, tokens or FLOPs, in order along each run
    residual : (n_draw, n_seen) log loss minus the log of the expected loss
    scale : (n_draw, n_seen) of the scatter of single rows
    theta : noise parameters, (n_draw,) or (n_draw, n_seen)
    """

    run: np.ndarray
    position: np.ndarray
    residual: np.ndarray
    scale: np.ndarray
    theta: Mapping[str, np.ndarray]

    def take(self, rows: np.ndarray) -> SoFar:
        """Keep some rows, by index."""
        theta = {name: _of_rows(values, rows) for name, values in self.theta.items()}
        return SoFar(self.run[rows], self.position[rows], self.residual[:, rows], self.scale[:, rows], theta)

    def end(self, run: int) -> int:
        """Return the last row of a run."""
        return int(np.flatnonzero(self.run == run)[-1])


def of_new_runs(
    noise: Noise, theta: Mapping[str, np.ndarray], table: Mapping[str, np.ndarray], seed: int
) -> Deviations:
    """Return the deviations of runs of which nothing is known.

    Parameters
    ----------
    theta : noise parameters, (n_draw,) or (n_draw, n_row)
    table : columns of the rows ahead; rows without ``run`` are runs of their own
    """
    draws, rows = len(theta["sigma"]), len(next(iter(table.values())))
    nothing = np.broadcast_to(np.zeros((1, 1)), (draws, rows))
    if not noise.correlated:
        return Deviations(nothing, nothing, nothing)
    drawn = noise.with_deviations(nothing, theta, curve_layout(noise, table), seed)
    return Deviations(nothing, np.broadcast_to(columns(theta["sigma_curve"]), nothing.shape), drawn)


def of_runs_that_go_on(
    noise: Noise,
    so_far: SoFar,
    run: np.ndarray,
    position: np.ndarray,
    theta: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> Deviations:
    """Return the deviations of runs at rows ahead, given their rows so far.

    Parameters
    ----------
    so_far : the rows that are known
    run : (n_row,) of each row ahead, as integers of ``so_far``
    position : (n_row,) of each row ahead, in any order, none before the last row so far of its run
    theta : noise parameters, (n_draw,) or (n_draw, n_row)
    """
    shape = (len(so_far.residual), len(run))
    if not noise.correlated:
        return Deviations(np.zeros(shape), np.zeros(shape), np.zeros(shape))
    ids = list(dict.fromkeys(run.tolist()))
    started = {one: (centre, variance) for one, centre, variance in zip(ids, *of_ends(noise, so_far, ids), strict=True)}
    centre, variance, drawn = np.empty(shape), np.empty(shape), np.empty(shape)
    slow, length = (np.broadcast_to(columns(theta[name]), shape) for name in ("sigma_curve", "length"))
    for one in ids:
        here = so_far.position[so_far.end(one)]
        expected, spread = started[one]
        state = expected + np.sqrt(spread) * rng.standard_normal(shape[0])
        of_run = np.flatnonzero(run == one)
        for row in of_run[np.argsort(position[of_run], kind="stable")]:
            keep, fresh = innovations(slow[:, row], length[:, row], np.log(position[row] / here))
            expected, spread = keep * expected, keep**2 * spread + fresh
            state = keep * state + np.sqrt(fresh) * rng.standard_normal(shape[0])
            centre[:, row], variance[:, row], drawn[:, row] = expected, spread, state
            here = position[row]
    return Deviations(centre, np.sqrt(variance), drawn)


def innovations(slow: np.ndarray, length: np.ndarray, e_folds: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is left of a deviation after some e-folds along its curve, and the variance of what is new."""
    return np.exp(-e_folds / length), slow**2 * -np.expm1(-2 * e_folds / length)


def of_ends(noise: Noise, so_far: SoFar, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return expectation and variance of each run's deviation at its last row so far, ``(n_run, n_draw)`` each.

    The filter predicts a row at the end of each run; the deviation is that prediction without the scatter of a row.
    """
    last = np.array([so_far.end(one) for one in ids])
    rows = np.append(np.arange(len(so_far.run)), last)
    layout = layout_of(so_far.run[rows], so_far.position[rows])
    seen, scale = so_far.residual[:, rows], so_far.scale[:, rows]
    theta = {row.name: _of_rows(so_far.theta[row.name], rows) for row in noise.parameters}
    with scope():
        columns = {"noise.layout_row": jnp.asarray(layout.row), "noise.layout_gap": jnp.asarray(layout.gap)}
        known = {name: jnp.asarray(values) for name, values in theta.items()}
        ahead_of = jax.vmap(functools.partial(one_step_ahead, family=noise.scatter_family), (0, 0, 0, None))
        predicted = ahead_of(jnp.asarray(seen), jnp.asarray(scale), known, columns)
        expected, total = (np.asarray(part)[:, len(so_far.run) :].T for part in predicted)
    return expected, np.maximum(total**2 - scale[:, len(so_far.run) :].T ** 2, 0.0)


def _of_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return values if values.ndim == 1 else values[:, rows]


def columns(values: np.ndarray) -> np.ndarray:
    """Return a parameter, (n_draw,) or (n_draw, n_row), with an axis of rows."""
    return np.asarray(values[:, None] if values.ndim == 1 else values)

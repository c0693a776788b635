"""Residuals along a training curve: neighbouring evaluations of one run err together.

The residual of a row is a slow deviation of the whole curve plus a scatter of its own. The deviation is a stationary
Ornstein-Uhlenbeck process in the logarithm of steps: its scale is ``sigma_curve``, and rows that are ``length`` e-folds
of steps apart have a correlation of 1 / e. It is a Markov process, so what the rows of a run say about the next one is
a scalar Kalman filter. Runs are filtered side by side, so that the cost is linear in rows and the number of
sequential steps is the length of the longest run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.families import Family

UNROLLED = 4  # steps of the filter in one turn of its loop: small ones cost more to start than to do
APART = 1e6  # e-folds between rows of different runs: far enough for no correlation, finite for gradients


@dataclasses.dataclass(frozen=True)
class CurveLayout:
    """Rows of all runs, laid out so that runs lie side by side, and short ones behind one another.

    Attributes
    ----------
    row : (step, column) index of a row; the number of rows where there is none
    gap : (step, column) e-folds of position since the row before in the column; `APART` at the start of a run
    """

    row: np.ndarray
    gap: np.ndarray


def layout_of(run: np.ndarray, position: np.ndarray, rows: int = 0) -> CurveLayout:
    """Lay out the rows of runs side by side.

    Parameters
    ----------
    run : (n_row,) integer per run
    position : (n_row,) steps, tokens or FLOPs of each row
    rows : for how many rows there is to be room at least, so that parts of a table share a shape
    """
    n = len(run)
    order = np.lexsort((position, run))
    starts = np.flatnonzero(np.append(True, np.diff(run[order]) != 0))
    curves = sorted(np.split(order, starts[1:]), key=len, reverse=True)
    steps = _rounded(len(curves[0]))
    columns: list[list[np.ndarray]] = []
    filled: list[int] = []
    fits, length = 0, 0
    for curve in curves:  # the longest first, each into the first column that has room
        if len(curve) != length:
            fits, length = 0, len(curve)
        while fits < len(filled) and filled[fits] + length > steps:
            fits += 1  # nor has it room for the next curve of this length
        if fits == len(filled):
            columns.append([])
            filled.append(0)
        columns[fits].append(curve)
        filled[fits] += len(curve)
    row = np.full((steps, _rounded(max(len(columns), -(-rows // steps)))), n)
    gap = np.full(row.shape, APART)
    log_position = np.log(position)
    for i, column in enumerate(columns):
        row[: filled[i], i] = np.concatenate(column)
        gaps = [np.append(APART, np.diff(log_position[curve])) for curve in column]
        gap[: filled[i], i] = np.concatenate(gaps)
    return CurveLayout(row, gap)


def well_spread_rows(run: np.ndarray, position: np.ndarray, most: int) -> np.ndarray:
    """Choose rows of long curves that lie evenly along the logarithm of position; of short ones all.

    The first and the last row of a curve are always chosen. Between them each of ``most`` evenly spread places takes
    the row next to it, or the next one that is free.

    Parameters
    ----------
    run : (n_row,) integer per run
    position : (n_row,) steps, tokens or FLOPs of each row
    most : rows of one curve that are chosen, at least 2

    Returns
    -------
    (n_chosen,) indices of rows, in the order of the table
    """
    order = np.lexsort((position, run))
    curves = np.split(order, np.flatnonzero(np.diff(run[order])) + 1)
    chosen = []
    for curve in curves:
        if len(curve) > most:
            along = np.log(position[curve])
            places, turn = np.linspace(along[0], along[-1], most), np.arange(most)
            after = np.clip(np.searchsorted(along, places), 1, len(curve) - 1)
            nearest = after - (places - along[after - 1] < along[after] - places)
            free = np.maximum.accumulate(nearest - turn) + turn  # one row for each place, in order
            curve = curve[np.minimum(free, len(curve) - most + turn)]
        chosen.append(curve)
    return np.sort(np.concatenate(chosen))


def _rounded(n: int) -> int:
    """Round up to 1, 2, 3, 4, 6, 8, 12, 16, ..., so that few shapes are ever compiled."""
    size = 1
    while size < n:
        size *= 2
    return 3 * size // 4 if size >= 4 and n <= 3 * size // 4 else size


def one_step_ahead(
    residual: Array, scale: Array, theta: Mapping[str, Any], columns: Mapping[str, Any], family: Family
) -> tuple[Array, Array]:
    """Predict each row's residual from the rows of its run before it.

    Parameters
    ----------
    residual : (n_row,) log loss minus the log of the law's mean
    scale : of the scatter of single rows, scalar or (n_row,)
    theta : ``sigma_curve``, ``length`` and the parameters of the family, scalar or (n_row,)
    columns : ``noise.layout_row`` and ``noise.layout_gap`` of `CurveLayout`
    family : of the scatter of single rows

    Returns
    -------
    (n_row,) expectation and scale of each residual, given the residuals before it
    """
    row, gap = columns["noise.layout_row"].astype(int), columns["noise.layout_gap"]

    # One shape for the table: spikes are of the machine, not of a group.
    tails = {row.name: jnp.mean(jnp.asarray(theta[row.name])) for row in family.parameters}
    correlation, fresh, noise = _steps(scale, theta, row, gap)

    def step(state: tuple[Array, Array], now: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (deviation, variance), (r, rho, q, s) = state, now
        expected, before = rho * deviation, rho**2 * variance + q
        total = before + s
        # Under heavy tails a row far off is a spike first and moves the curve's deviation little; if the rows after it
        # are off as well, each moves it a little more.
        gain = before / (before + s / family.weight((r - expected) ** 2 / total, tails))
        return (expected + gain * (r - expected), before * (1 - gain)), (expected, total)

    start = (jnp.zeros(row.shape[1]), jnp.zeros(row.shape[1]))
    _, (expected, total) = jax.lax.scan(step, start, (_laid_out(residual, 0.0, row), correlation, fresh, noise))

    def as_rows(values: Array) -> Array:
        return jnp.ones_like(residual).at[row].set(values, mode="drop")

    return as_rows(expected), as_rows(jnp.sqrt(total))


def whitened(
    residual: Array,
    others: Sequence[Array],
    scale: Array,
    theta: Mapping[str, Any],
    columns: Mapping[str, Any],
    weight: Array,
) -> tuple[Array, Array]:
    """Turn residuals with the covariance of normal rows of runs into residuals that are independent, of unit scale.

    The map is linear, and the same for all series: the filter of `one_step_ahead`, run over several at once.

    Parameters
    ----------
    residual, others : (n_row,) and several of (n_row, n_other)
    scale, theta, columns : as of `one_step_ahead`
    weight : (n_row,) 1 for a row that counts, 0 for padding

    Returns
    -------
    (n_place, 1 + all n_other) what is left of each series, given its rows before, in the order of the layout; and
    (n_place,) the logarithm of the scale that it was divided by. Both are 0 at places without a row that counts
    """
    row, gap = columns["noise.layout_row"].astype(int), columns["noise.layout_gap"]
    # Laid out apart: the gradient of laying out is slow, and some of the others have none.
    series = jnp.concatenate([_laid_out(one, 0.0, row) for one in (residual[:, None], *others)], axis=2)
    counts = _laid_out(weight, 0.0, row).reshape(-1)

    def step(state: tuple[Array, Array], now: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (deviation, variance), (value, rho, q, s) = state, now
        expected, before = rho[:, None] * deviation, rho**2 * variance + q
        total = before + s
        gain, left = before / total, value - expected
        return (expected + gain[:, None] * left, before * (1 - gain)), (left / jnp.sqrt(total)[:, None], total)

    start = (jnp.zeros(series.shape[1:]), jnp.zeros(row.shape[1]))
    _, (left, total) = jax.lax.scan(step, start, (series, *_steps(scale, theta, row, gap)), unroll=UNROLLED)
    return counts[:, None] * left.reshape(len(counts), -1), counts * jnp.log(total).reshape(-1) / 2


def _steps(scale: Array, theta: Mapping[str, Any], row: Array, gap: Array) -> tuple[Array, Array, Array]:
    """Return, (step, column) each, the correlation with the row before, and variances of what is new and of scatter."""
    scatter, slow, length = (_laid_out(x, 1.0, row) for x in (scale, theta["sigma_curve"], theta["length"]))
    correlation = jnp.exp(-gap / length)
    fresh = slow**2 * -jnp.expm1(-2 * gap / length)
    return correlation, fresh, jnp.broadcast_to(scatter**2, row.shape)


def _laid_out(values: Any, empty: float, row: Array) -> Array:
    """Lay values of rows out as the rows are, ``(step, column, ...)``; a number for all rows stays a number."""
    if jnp.ndim(values) == 0:
        return jnp.asarray(values)
    beyond = jnp.full((1, *jnp.shape(values)[1:]), empty)
    return jnp.concatenate([values, beyond])[jnp.minimum(row, len(values))]


def draw_deviations(
    theta: Mapping[str, np.ndarray], layout: CurveLayout, rows: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the slow deviations of curves, ``(n_draw, n_row)``.

    Parameters
    ----------
    theta : ``sigma_curve`` and ``length``, (n_draw,) or (n_draw, n_row)
    layout : of the rows
    """
    slow, length = (np.asarray(theta[name]) for name in ("sigma_curve", "length"))
    slow, length = (values[:, None] if values.ndim == 1 else values for values in (slow, length))
    out = np.empty((len(slow), rows + 1))
    state = np.zeros((len(slow), layout.row.shape[1]))
    for row, gap in zip(layout.row, layout.gap, strict=True):
        scale = length[:, np.minimum(row, length.shape[1] - 1)] if length.shape[1] > 1 else length
        fresh = rng.standard_normal(state.shape)
        state = np.exp(-gap / scale) * state + np.sqrt(-np.expm1(-2 * gap / scale)) * fresh
        out[:, row] = state
    deviations: np.ndarray = slow * out[:, :rows]
    return deviations

"""A table of runs as the arrays that a model reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from bayes_scaling.data.columns import ORDERING, ordering
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import ReferencePoint
from bayes_scaling.model.composition import BASIS, CELL, Composition, offset_site
from bayes_scaling.model.curves import CurveLayout, layout_of, well_spread_rows
from bayes_scaling.model.geometry import Geometry
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.schedule import STEP_RATE, Schedule
from bayes_scaling.model.start import StartOfTable


@dataclasses.dataclass(frozen=True)
class Observations:
    """A table of runs as arrays of a fixed length, so that tables of similar size share one compiled program.

    Attributes
    ----------
    columns : (n_padded,) inputs of the law and of the noise model, the cell of groups of each row, and
        (n_padded, size) what the increments of the discrepancy add to each row
    log_loss : (n_padded,) natural logarithm of the loss
    weight : (n_padded,) 1 for a run, 0 for padding
    cells : (n_cell, n_group_column) group of each cell in each column that something is pooled over
    geometry : coordinates in which the posterior is sampled
    at : the reference point of the table
    """

    columns: Mapping[str, Any]
    log_loss: Any
    weight: Any
    cells: Any
    geometry: Geometry
    at: ReferencePoint


jax.tree_util.register_dataclass(
    Observations, data_fields=["columns", "log_loss", "weight", "cells", "geometry", "at"], meta_fields=[]
)


def reference_point(law: Law, runs: Runs) -> ReferencePoint:
    """Return the centre of a table: median loss, geometric mean of each input and feature of the law."""
    return centre_of(law, float(np.median(runs.loss)), law_table(law, runs))


def centre_of(law: Law, loss: float, table: Mapping[str, np.ndarray]) -> ReferencePoint:
    """Return the reference point of a table of the law's inputs, ``(n_row,)`` each, at a typical loss."""
    columns = {**{name: table[name] for name in law.inputs}, **law.arrays(table)}

    def centre(values: np.ndarray) -> float:
        positive = bool((values > 0).all())
        return float(np.exp(np.mean(np.log(values)))) if positive else float(np.mean(values))

    return ReferencePoint(loss, {name: centre(values) for name, values in columns.items()})


def law_table(law: Law, runs: Runs) -> dict[str, np.ndarray]:
    """Return the columns that a law reads of a table, ``(n_row,)`` each, with run ids as integers where there are."""
    table = {name: runs.column(name) for name in law.inputs}
    return {**table, "run": pd.factorize(runs.table["run"])[0]} if "run" in runs else table


SIZE_MEASURES = ("flops", "params", "tokens", "steps")


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """What a noise model measures runs by: properties of the fitted table.

    Attributes
    ----------
    size : the column that measures the size of a run; empty where runs are of one size
    typical : its geometric mean
    start : units of the start of curves; None where it is not learned
    schedule : of planned runs whose learning rate is not given; None for laws that read none
    """

    size: str
    typical: float
    start: StartOfTable | None
    schedule: Schedule | None = None

    @classmethod
    def of(cls, law: Law, noise: Noise, runs: Runs) -> Yardstick:
        """Measure a table."""
        start_of_curves = noise.start_of_curves
        start = None if start_of_curves is None else StartOfTable.of(start_of_curves, law_table(law, runs))
        return cls(*size_of(runs), start, Schedule.usual(law, runs))


def model_columns(
    law: Law, noise: Noise, table: Mapping[str, np.ndarray], yardstick: Yardstick
) -> dict[str, np.ndarray]:
    """Return the arrays that law and noise read of a table, ``(n_row,)`` each.

    Parameters
    ----------
    table : columns of runs that were measured, or of runs that are planned
    yardstick : of the fitted runs
    """
    schedule = None if STEP_RATE in table else yardstick.schedule
    columns = law.arrays(table) if schedule is None else schedule.at_ends(law, table)
    if "noise.relative_se" in noise.columns:
        # A planned run has no standard error of its own: its scatter is sigma alone.
        columns["noise.relative_se"] = (
            table["loss_se"] / table["loss"] if "loss_se" in table else np.zeros_like(table[law.inputs[0]])
        )
    if "noise.relative_size" in noise.columns:
        columns["noise.relative_size"] = table[yardstick.size] / yardstick.typical
    if yardstick.start is not None:
        columns |= yardstick.start.columns(table)
    return columns


def curve_layout(noise: Noise, table: Mapping[str, np.ndarray], rows: int = 0) -> CurveLayout | None:
    """Return the layout of correlated rows; None where rows are independent.

    Parameters
    ----------
    table : columns of runs; rows without ``run`` are runs of their own
    rows : for how many rows there is to be room at least
    """
    return layout_of(*_along_runs(table), rows) if noise.correlated else None


def _along_runs(table: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the run of each row, and how far along it the row lies."""
    run = table.get("run", np.arange(len(next(iter(table.values())))))
    return run, _position(table, run)


def _position(table: Mapping[str, np.ndarray], run: np.ndarray) -> np.ndarray:
    """Return how far along its run each row lies: the first column that may say so and differs within a run."""
    there = [np.asarray(table[name]) for name in ORDERING if name in table]
    _, first, of_run = np.unique(run, return_index=True, return_inverse=True)
    differing = (one for one in there if np.any(one != one[first][of_run]))
    return next(differing, there[0] if there else np.ones(len(run)))


def rows_read(composition: Composition, runs: Runs) -> np.ndarray:
    """Return the rows of a table that its sampler reads, ``(n_read,)`` indices: all, but for those of long curves."""
    noise = composition.noise
    if not noise.correlated or noise.rows_per_curve is None:
        return np.arange(len(runs))
    return rows_along_curves(runs, noise.rows_per_curve)


def rows_along_curves(runs: Runs, most: int) -> np.ndarray:
    """Return at most so many rows of each run, well spread along it, ``(n_chosen,)`` indices."""
    run = pd.factorize(runs.table["run"])[0] if "run" in runs else np.arange(len(runs))
    position = _position({name: runs.column(name) for name in ordering(runs.table)}, run)
    return well_spread_rows(run, position, most)


def size_of(runs: Runs) -> tuple[str, float]:
    """Return the column that measures the size of these runs, FLOPs where they are known, and its geometric mean.

    A table of none of them has runs of one size: an empty name and 1.
    """
    name = next((name for name in SIZE_MEASURES if name in runs), "")
    return name, float(np.exp(np.mean(np.log(runs.column(name))))) if name else 1.0


def padded_length(n: int) -> int:
    """Round a number of runs up to 32, 64, 128, 192, 256, 384, 512, ... so that few shapes are ever compiled."""
    length = 32
    while length < n:
        length *= 2
    three_quarters = 3 * length // 4
    return three_quarters if length > 128 and n <= three_quarters else length


def observe(
    composition: Composition, runs: Runs, rows: int | None = None, read: np.ndarray | None = None
) -> Observations:
    """Turn a table of runs into arrays padded like those of a table of ``rows`` rows, by default its own number.

    Parameters
    ----------
    read : (n_read,) rows that the arrays hold, by default all. Centre, groups and knots are those of the whole table
    """
    law, noise, pooling = composition.law, composition.noise, composition.pooling
    if "noise.relative_se" in noise.columns and "loss_se" not in runs:
        raise DataError(f"noise scale 'known' reads the column loss_se, which {runs.source} does not have")
    if "noise.relative_size" in noise.columns and not size_of(runs)[0]:
        raise DataError(
            f"noise scale 'growing' reads one of {', '.join(SIZE_MEASURES)}; {runs.source} has none of them"
        )
    read = np.arange(len(runs)) if read is None else read
    n, total = len(read), padded_length(max(len(read), rows or 0))
    table = law_table(law, runs)
    table |= {name: runs.column(name) for name in (*SIZE_MEASURES, "loss", "loss_se") if name in runs}
    groups, grid = composition.groups(runs), composition.discrepancy_grid(runs)
    _, cell = groups.place(runs.table, runs.source)

    def pad(values: np.ndarray, fill: Any) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(fill, (total - n, *values.shape[1:]))])

    columns = {**model_columns(law, noise, table, Yardstick.of(law, noise, runs)), CELL: cell}
    columns = {name: values[read] for name, values in columns.items()}
    if grid.size:
        columns[BASIS] = grid.basis(composition.discrepancy.places(law, table)[read])
    padded = {name: pad(values, values[0]) for name, values in columns.items()}
    if (layout := curve_layout(noise, {name: values[read] for name, values in table.items()}, total)) is not None:
        padded |= {"noise.layout_row": layout.row, "noise.layout_gap": layout.gap}
    centring = {
        offset_site(row): np.zeros(groups.counts[groups.columns.index(pooling[row.name].by)])
        for row in composition.sampled
        if row.name in pooling and pooling[row.name].mode == "partial"
    }
    arrays = Observations(
        columns=padded,
        log_loss=pad(np.log(runs.loss[read]), float(np.log(runs.loss[read[0]]))),
        weight=pad(np.ones(n), 0.0),
        cells=np.array(groups.cells).reshape(len(groups.cells), -1),
        geometry=Geometry.standard(centring, grid.size, total),
        at=reference_point(law, runs),
    )
    # Indices travel as floats, too: programs get one packed array.
    as_floats: Observations = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf, float)), arrays)
    return as_floats

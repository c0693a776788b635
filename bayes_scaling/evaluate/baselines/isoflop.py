"""IsoFLOP parabolas: compute-optimal model sizes without any law."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import shown
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.errors import DataError

SLICE = 0.05  # relative gap in FLOPs that separates two IsoFLOP slices; a slice may be twice as wide
SLICE_SIZES = 4  # different model sizes that make a slice


@dataclasses.dataclass(frozen=True, eq=False)
class IsoflopFit:
    """Compute-optimal model sizes read off parabolas, and the power law through them.

    Attributes
    ----------
    flops : (n_slice,) compute of each usable slice, rising
    params_opt : (n_slice,) model size at the minimum of its parabola
    loss_opt : (n_slice,) loss there
    """

    flops: np.ndarray
    params_opt: np.ndarray
    loss_opt: np.ndarray

    @property
    def exponent(self) -> float:
        """The power a of compute with which the optimal model size grows."""
        return float(self._line[0])

    @property
    def _line(self) -> np.ndarray:
        """Slope, and height at the middle of the slices, of log params against log FLOPs."""
        x = np.log(self.flops)
        return _least_squares(x - x.mean(), np.log(self.params_opt), degree=1)

    @validated
    def params_at(self, flops: ArrayLike) -> np.ndarray:
        """Return the compute-optimal parameters at a budget, of the shape of ``flops``."""
        if not np.all(np.isfinite(flops) & (np.asarray(flops, float) > 0)):
            raise DataError(f"the budget is {shown(flops)}; expected positive numbers of FLOPs")
        slope, middle = self._line
        return np.asarray(np.exp(middle + slope * (np.log(flops) - np.log(self.flops).mean())))

    @validated
    def tokens_at(self, flops: ArrayLike) -> np.ndarray:
        """Return the compute-optimal tokens at a budget, C / (6 N)."""
        return np.asarray(flops, float) / (FLOPS_PER_PARAM_TOKEN * self.params_at(flops))


@validated
def isoflop_parabola(runs: Runs) -> IsoflopFit:
    """Find compute-optimal sizes by approach 2 of Hoffmann et al. 2022 (arXiv 2203.15556).

    Runs of about the same compute are a slice. A parabola of loss in log params is fitted to each; its minimum counts
    where it opens upwards and the minimum lies among the sizes of the slice. A line through the minima, log params
    against log FLOPs, gives the optimum at other budgets.

    Parameters
    ----------
    runs : with params and FLOPs (or tokens, from which FLOPs are 6 N D)

    Raises
    ------
    DataError
        When fewer than two slices have a minimum.
    """
    flops, log_params, loss = runs.column("flops"), np.log(runs.column("params")), runs.loss
    slices = _slices(flops, log_params)
    minima = [
        (np.exp(np.log(flops[rows]).mean()), *found)
        for rows in slices
        if (found := _minimum(log_params[rows], loss[rows])) is not None
    ]
    if len(minima) < 2:
        raise DataError(
            f"{runs.source} has {len(slices)} IsoFLOP slices (FLOPs within {SLICE:.0%}, at least {SLICE_SIZES} model "
            f"sizes), {len(minima)} of them with a minimum among their sizes; expected at least two"
        )
    return IsoflopFit(*np.array(minima).T)


def _slices(flops: np.ndarray, log_params: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each slice, by rising compute.

    Slices are cut where compute makes a gap; a table whose compute has no gaps has no slices, however dense it is.
    """
    order = np.argsort(flops, kind="stable")
    x = np.log(flops[order])
    groups = np.split(order, 1 + np.flatnonzero(np.diff(x) > np.log1p(SLICE)))
    return [
        rows
        for rows in groups
        if len(np.unique(log_params[rows])) >= SLICE_SIZES and np.ptp(np.log(flops[rows])) <= 2 * np.log1p(SLICE)
    ]


def _minimum(log_params: np.ndarray, loss: np.ndarray) -> tuple[float, float] | None:
    """Return params and loss at the minimum of the parabola of a slice; None where there is none among its sizes."""
    centre = log_params.mean()
    bend, slope, height = _least_squares(log_params - centre, loss, degree=2)
    if not bend > 0:
        return None
    place = centre - slope / (2 * bend)
    if not log_params.min() <= place <= log_params.max():
        return None
    return float(np.exp(place)), float(height - slope**2 / (4 * bend))


def _least_squares(x: np.ndarray, y: np.ndarray, degree: int) -> np.ndarray:
    """Return the coefficients of a polynomial, highest power first, ``(degree + 1,)``."""
    return np.asarray(np.linalg.lstsq(np.vander(x, degree + 1), y, rcond=None)[0])

"""Quantities of a fitted law other than the loss, with uncertainty: critical batch sizes, frontiers, data needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import checked_probability
from bayes_scaling.data.columns import table_of
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit


@dataclasses.dataclass(frozen=True, eq=False)
class QuantityDraws:
    """Posterior draws of a quantity of a law.

    Attributes
    ----------
    name, unit, meaning : as the law file states them
    points : one row per point, the inputs of the quantity; a single empty row if it takes none
    draws : (n_draw, n_point); NaN where a draw's law gives no answer (a loss below its floor, for example)
    """

    name: str
    unit: str
    meaning: str
    points: pd.DataFrame
    draws: np.ndarray

    @property
    def defined(self) -> np.ndarray:
        """Posterior probability that the law gives an answer, ``(n_point,)``."""
        return np.asarray(np.isfinite(self.draws).mean(axis=0))

    def quantile(self, probability: float) -> np.ndarray:
        """Return a quantile over the draws that give an answer, ``(n_point,)``; NaN where none does."""
        checked_probability(probability)
        columns = (np.where(np.isfinite(column), column, np.nan) for column in self.draws.T)
        return np.array([np.nanquantile(c, probability) if np.isfinite(c).any() else np.nan for c in columns])

    def median(self) -> np.ndarray:
        """Return the median over the draws that give an answer, ``(n_point,)``."""
        return self.quantile(0.5)

    def interval(self, probability: float = 0.9) -> np.ndarray:
        """Return the equal-tailed credible interval over the draws that give an answer, ``(n_point, 2)``."""
        tail = (1 - checked_probability(probability)) / 2
        return np.stack([self.quantile(tail), self.quantile(1 - tail)], axis=1)

    def to_frame(self, probability: float = 0.9) -> pd.DataFrame:
        """Return one row per point: inputs, median, interval, probability that there is an answer."""
        low, high = self.interval(probability).T
        return self.points.assign(median=self.median(), low=low, high=high, defined=self.defined)


@validated
def quantity(
    fit: Fit,
    name: str,
    *,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    **inputs: Any,
) -> QuantityDraws:
    """Compute a quantity of a law (``law.quantities``) for every posterior draw.

    Parameters
    ----------
    fit : posterior
    name : name of the quantity, ``"critical_batch"``
    group : the group of a pooled fit, ``{"dataset": "c4"}``
    unconverged : accept a fit that did not converge
    inputs : inputs of the quantity, positive numbers or lists of equal length: ``loss=[3.0, 2.5]``; an array of shape
        ``(n_draw, 1)`` gives one value per draw (parameters of another fit)

    Raises
    ------
    LawError
        When the law has no such quantity, or the quantity takes other inputs.
    """
    fit.require_convergence(unconverged)
    theta = {key: values[:, None] for key, values in fit.theta(group).items()}
    count = len(next(iter(theta.values())))
    drawn = {
        key: np.asarray(v, float) for key, v in inputs.items() if isinstance(v, np.ndarray | jax.Array) and v.ndim == 2
    }
    odd = [key for key, v in drawn.items() if v.shape != (count, 1)]
    if odd:
        raise ForecastError(
            f"{odd[0]} has shape {drawn[odd[0]].shape}; expected numbers, a list, or one value for each of the "
            f"{count} draws of the fit, shape ({count}, 1)"
        )
    points = _points({key: value for key, value in inputs.items() if key not in drawn})
    given = {str(key): points[key].to_numpy(float) for key in points}
    with np.errstate(all="ignore"):
        values = fit.law.quantity(name, theta, **given, **drawn)
    row = next(row for row in fit.law.quantities if row.name == name)
    shape = (count, max(len(points), 1))
    return QuantityDraws(name, row.unit, row.meaning, points, np.array(np.broadcast_to(values, shape)))


def _points(inputs: Mapping[str, Any]) -> pd.DataFrame:
    """Return inputs as a table of positive numbers."""
    frame = table_of(inputs) if inputs else pd.DataFrame(index=[0])
    return numeric(frame, list(inputs), Origin("the inputs", {}))

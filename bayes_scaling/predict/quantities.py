"""Quantities of a fitted law other than the loss, with uncertainty: critical batch sizes, frontiers, data needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import checked_probability, equal_tails, listed, shown
from bayes_scaling.data.columns import table_of
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import ForecastError, LawError
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.law import Quantity
from bayes_scaling.predict.ensemble import Source, group_of, shares_of


@dataclasses.dataclass(frozen=True, eq=False)
class QuantityDraws:
    """Posterior draws of a quantity of a law.

    Attributes
    ----------
    name, unit, meaning : as the law file states them
    points : one row per point, the inputs of the quantity; a single empty row if it takes none
    draws : (n_draw, n_point); NaN where a draw's law gives no answer (a loss below its floor, for example)
    laws : of several laws, the weight of each that defines the quantity, by label; they need not sum to one
    """

    name: str
    unit: str
    meaning: str
    points: pd.DataFrame
    draws: np.ndarray
    laws: Mapping[str, float] = dataclasses.field(default_factory=dict)

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
        return np.stack([self.quantile(tail) for tail in equal_tails(probability)], axis=1)

    def to_frame(self, probability: float = 0.9) -> pd.DataFrame:
        """Return one row per point: inputs, median, interval, probability that there is an answer."""
        low, high = self.interval(probability).T
        return self.points.assign(median=self.median(), low=low, high=high, defined=self.defined)


@validated
def quantity(
    fit: Source,
    name: str,
    *,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    **inputs: Any,
) -> QuantityDraws:
    """Compute a quantity of a law (``law.quantities``) for every posterior draw.

    Parameters
    ----------
    fit : posterior; or several, of which those whose law defines the quantity are mixed by weight
    name : name of the quantity, ``"critical_batch"``
    group : the group of a pooled fit, ``{"dataset": "c4"}``
    unconverged : accept fits that did not converge
    inputs : inputs of the quantity, positive numbers or lists of equal length: ``loss=[3.0, 2.5]``; an array of shape
        ``(n_draw, 1)`` gives one value per draw of one fit (parameters of another fit)

    Returns
    -------
    QuantityDraws
        Draws at every point, ``(n_draw, n_point)``, with the unit that the law states.

    Raises
    ------
    ConvergenceError
        When a fit did not converge.
    ForecastError
        When an input is not a positive number, or inputs have other lengths.
    LawError
        When the law has no such quantity, or the quantity takes other inputs; of several laws, when none has it, or
        they mean different things by it.
    """
    if isinstance(fit, Fit):
        fit.require_convergence(unconverged)
        return _quantity_of_fit(fit, name, group, inputs)
    shares = shares_of(fit, 0, unconverged)
    defining = {key: share for key, share in shares.items() if name in _named(share.fit)}
    if not defining:
        known = sorted({f"{one} ({share.fit.law.label})" for share in shares.values() for one in _named(share.fit)})
        raise LawError(f"none of the laws has a quantity {shown(name)}; they have {listed(known) or 'none'}")
    odd = [key for key, value in inputs.items() if isinstance(value, np.ndarray | jax.Array) and value.ndim == 2]
    if odd:
        raise ForecastError(
            f"{odd[0]} has a value per draw, which belongs to one fit: give that one, as in fits[label]"
        )
    group = group_of(fit, group)
    found = {key: _quantity_of_fit(share.fit, name, group, inputs) for key, share in defining.items()}
    first = next(iter(found.values()))
    for key, one in found.items():
        if one.unit != first.unit:
            raise LawError(
                f"the laws count {name} in {first.unit} and in {one.unit}: ask one of them, like fits[{shown(key)}]"
            )
    draws = np.concatenate([one.draws[defining[key].draws] for key, one in found.items()])
    return dataclasses.replace(first, draws=draws, laws={key: float(defining[key].weight) for key in found})


def _named(fit: Fit) -> dict[str, Quantity]:
    return {row.name: row for row in fit.law.quantities}


def _quantity_of_fit(fit: Fit, name: str, group: Mapping[str, str] | None, inputs: Mapping[str, Any]) -> QuantityDraws:
    """Compute a quantity for every draw of one fit."""
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
    row = _named(fit)[name]
    shape = (count, max(len(points), 1))
    return QuantityDraws(name, row.unit, row.meaning, points, np.array(np.broadcast_to(values, shape)))


def _points(inputs: Mapping[str, Any]) -> pd.DataFrame:
    """Return inputs as a table of positive numbers."""
    frame = table_of(inputs) if inputs else pd.DataFrame(index=[0])
    return numeric(frame, list(inputs), Origin("the inputs", {}))

"""Budget surfaces: all runs that spend one budget.

Training takes 6 N D FLOPs and serving 2 N T, so that a run spends the budget where

    N g(D) = S,    g(D) = 3 D + T

where S is half of what the budget buys. Where the prices of training and of serving are both uncertain, g(D) is the
quantile of their sum, which is not linear in D.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import scipy.interpolate
import scipy.optimize

from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN

SERVED_FLOPS = 2.0  # per parameter and token served: a forward pass
RATIO = FLOPS_PER_PARAM_TOKEN / SERVED_FLOPS  # forward passes per token of training
KNOTS = 513  # places on log D at which a bent surface is tabulated
MOST_TOKENS = 1e36  # the last of these places
APART = 1e-12  # difference of log g by which knots are distinct
NEWTON = 30  # steps


@dataclasses.dataclass(frozen=True)
class Surface:
    """All runs that spend a budget: D = C / (6 N) - T / 3.

    Attributes
    ----------
    budget : in its own unit
    flops : C, training FLOPs that it buys where nothing is served
    serving : T, tokens served, converted to the price of training
    """

    budget: float
    flops: float
    serving: float

    @property
    def spend(self) -> float:
        """S, such that N g(D) = S."""
        return self.flops / SERVED_FLOPS

    @property
    def demand(self) -> Any:
        """What compiled functions need to invert g: T, or a piecewise cubic."""
        return self.serving

    def per_param(self, tokens: float) -> float:
        """Return g(D)."""
        return RATIO * tokens + self.serving

    @property
    def most_params(self) -> float:
        """The largest N that leaves one token to train on."""
        return self.params_of_tokens(1.0)

    def tokens(self, params: Any) -> Any:
        """Return D that spends the budget at N."""
        return (self.spend / params - self.serving) / RATIO

    def params_of_tokens(self, tokens: float) -> float:
        """Return N that spends the budget at D."""
        return self.spend / self.per_param(tokens)

    def params_of_ratio(self, ratio: float) -> float:
        """Return N that spends the budget at D / N: the positive root of 3 r N^2 + T N = S."""
        return 2 * self.spend / (self.serving + math.sqrt(self.serving**2 + 4 * RATIO * ratio * self.spend))


@dataclasses.dataclass(frozen=True, eq=False)
class Bend:
    """g(D) as the quantile of the sum of two uncertain prices.

    Attributes
    ----------
    per_flop : (n,) price of training
    served : (n,) price of the FLOPs that serve one parameter, halved
    quantile : of their sum
    """

    per_flop: np.ndarray
    served: np.ndarray
    quantile: float

    def at(self, tokens: float) -> float:
        """Return g(D)."""
        return ordered(self.per_flop * RATIO * tokens + self.served, self.quantile)

    @functools.cached_property
    def inverse(self) -> scipy.interpolate.PchipInterpolator:
        """Log D as a smooth function of log g through knots; the quantile itself jumps from draw to draw."""
        log_tokens = np.linspace(0.0, math.log(MOST_TOKENS), KNOTS)
        log_each = np.log([self.at(D) for D in np.exp(log_tokens)])
        distinct = np.append(np.diff(log_each) > APART, True)
        return scipy.interpolate.PchipInterpolator(log_each[distinct], log_tokens[distinct])

    def tokens(self, wanted: np.ndarray) -> np.ndarray:
        """Return D at which g is as wanted, ``(n,)``, by Newton steps along the draw at the quantile."""
        low, high = self.inverse.x[[0, -1]]
        tokens = np.exp(self.inverse(np.clip(np.log(wanted), low, high)))
        place = max(math.ceil(self.quantile * len(self.per_flop)) - 1, 0)
        for _ in range(NEWTON):
            costs = self.per_flop * RATIO * tokens[:, None] + self.served
            draw = np.argpartition(costs, place, axis=1)[:, place]
            gap = wanted - costs[np.arange(len(tokens)), draw]
            if (np.abs(gap) <= 1e-13 * wanted).all():
                break
            tokens = np.maximum(tokens + gap / (RATIO * self.per_flop[draw]), 0.0)
        return np.asarray(tokens)


@dataclasses.dataclass(frozen=True, eq=False)
class BentSurface(Surface):
    """All runs whose cost has a quantile equal to the budget.

    Attributes
    ----------
    bend : the price of a parameter, in the unit of the budget
    """

    bend: Bend

    @property
    def spend(self) -> float:
        """S, in the unit of the budget."""
        return self.budget / SERVED_FLOPS

    def per_param(self, tokens: float) -> float:
        """Return g(D), the quantile of what one parameter costs."""
        return self.bend.at(tokens)

    @property
    def demand(self) -> Any:
        """Places and coefficients of the piecewise cubic from log g(D) to log D."""
        return self.bend.inverse.x, self.bend.inverse.c

    def tokens(self, params: Any) -> Any:
        """Return D that spends the budget at N."""
        sizes = np.asarray(params, float)
        return self.bend.tokens(self.spend / sizes.reshape(-1)).reshape(sizes.shape)[()]

    def params_of_ratio(self, ratio: float) -> float:
        """Return N that spends the budget at D / N."""

        def gap(log_params: float) -> float:
            params = math.exp(log_params)
            return params * self.per_param(ratio * params) / self.spend - 1

        top = math.log(self.spend / self.per_param(0.0))
        return math.exp(float(scipy.optimize.brentq(gap, min(-200.0, top - 1), top, xtol=1e-13)))


def ordered(draws: np.ndarray, probability: float) -> float:
    """Return the smallest draw that at least this share of the draws does not exceed."""
    return float(np.quantile(draws, probability, method="inverted_cdf"))

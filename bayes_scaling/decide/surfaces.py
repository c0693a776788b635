"""Surfaces: all runs that spend one budget.

Training takes 6 N D FLOPs and serving 2 N T, so that a run spends the budget where

    N g(D) = S,    g(D) = 3 D + T

with S half of what the budget buys. Where the prices of training and of serving are both uncertain, g(D) is the
quantile of their sum, which bends.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import scipy.optimize

FLOPS_PER_PARAM_TOKEN = 6.0
SERVED_FLOPS = 2.0  # per parameter and token served: a forward pass
RATIO = FLOPS_PER_PARAM_TOKEN / SERVED_FLOPS  # forward passes per token of training
KNOTS = 513  # places on log D at which a bent surface is held
MOST_TOKENS = 1e36  # the last of them
NEWTON = 30


@dataclasses.dataclass(frozen=True)
class Surface:
    """All runs that spend a budget: D = C / (6 N) - T / 3.

    Attributes
    ----------
    budget : in its own unit
    flops : C, FLOPs of training that it buys where nothing is served
    serving : T, tokens served, as priced like training
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
        """What compiled functions need to invert g: T, or knots of log g(D) and log D."""
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
class BentSurface(Surface):
    """All runs whose cost has a quantile equal to the budget.

    Attributes
    ----------
    per_flop : (n,) price of training
    served : (n,) price of the FLOPs that serve one parameter, halved
    quantile : of the cost
    """

    per_flop: np.ndarray
    served: np.ndarray
    quantile: float

    @classmethod
    def of(cls, budget: float, flops: float, per_flop: np.ndarray, served: np.ndarray, quantile: float) -> BentSurface:
        """Make the surface of a budget."""
        typical = ordered(served / per_flop, quantile)
        return cls(budget, flops, typical, per_flop, served, quantile)

    @property
    def spend(self) -> float:
        """S, in the unit of the budget."""
        return self.budget / SERVED_FLOPS

    def per_param(self, tokens: float) -> float:
        """Return g(D), the quantile of what one parameter costs."""
        return ordered(self.per_flop * RATIO * tokens + self.served, self.quantile)

    @functools.cached_property
    def demand(self) -> Any:
        """Knots of log g(D) and of log D, ``(513,)`` each."""
        log_tokens = np.linspace(0.0, math.log(MOST_TOKENS), KNOTS)
        return np.log([self.per_param(D) for D in np.exp(log_tokens)]), log_tokens

    def tokens(self, params: Any) -> Any:
        """Return D that spends the budget at N: from the nearest knots, by steps along the draw at the quantile."""
        sizes = np.asarray(params, float)
        wanted = self.spend / sizes.reshape(-1)
        tokens = np.exp(np.interp(np.log(wanted), *self.demand))
        place = max(math.ceil(self.quantile * len(self.per_flop)) - 1, 0)
        for _ in range(NEWTON):
            costs = self.per_flop * RATIO * tokens[:, None] + self.served
            draw = np.argpartition(costs, place, axis=1)[:, place]
            gap = wanted - costs[np.arange(len(tokens)), draw]
            if (np.abs(gap) <= 1e-13 * wanted).all():
                break
            tokens = np.maximum(tokens + gap / (RATIO * self.per_flop[draw]), 0.0)
        return tokens.reshape(sizes.shape)[()]

    def params_of_ratio(self, ratio: float) -> float:
        """Return N that spends the budget at D / N."""

        def gap(log_params: float) -> float:
            params = math.exp(log_params)
            return params * self.per_param(ratio * params) / self.spend - 1

        top = math.log(self.spend / self.per_param(0.0))
        return math.exp(float(scipy.optimize.brentq(gap, min(-200.0, top - 1), top, xtol=1e-13)))


def ordered(draws: np.ndarray, probability: float) -> float:
    """Return the smallest draw that at least this share of draws does not exceed."""
    return float(np.quantile(draws, probability, method="inverted_cdf"))

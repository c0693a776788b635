"""Spaces: the runs that a plan chooses from, as coordinates for an optimiser.

A place is log N and, where a law reads the batch, the position of log B between the smallest and the largest batch
allowed at that N, from 0 to 1. D follows from the budget, and S = D / B from the batch.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.surfaces import RATIO, Surface
from bayes_scaling.predict.valleys import RateRule

ANY_RATIO = (0.0, math.inf)

type Given = float | RateRule
"""An input that a plan does not choose: a number, or a learning rate that follows from size and batch."""


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """Runs that spend a budget within constraints.

    Attributes
    ----------
    surface : what the budget buys
    constraints : what the runs must keep to
    given : inputs of the law that are fixed, or follow from size and batch; ``unique_tokens`` are those that are
        available
    batched : whether the batch is chosen
    trusted : range of D / N that is sought where constraints say nothing of it, and by each draw's own optimum
    """

    surface: Surface
    constraints: Constraints = dataclasses.field(default_factory=Constraints)
    given: Mapping[str, Given] = dataclasses.field(default_factory=dict)
    batched: bool = False
    trusted: tuple[float, float] = ANY_RATIO

    @functools.cached_property
    def within(self) -> tuple[float, float]:
        """The range of N that constraints leave; `PlanError` where they leave none."""
        low, high = self.constraints.range(self.surface)
        if self.constraints.tokens_per_param != ANY_RATIO:
            return low, high
        least, most = _params_between(self.trusted, self.surface)
        near = max(low, least), min(high, most)
        return near if near[0] <= near[1] else (low, high)

    @property
    def choice_of_batch(self) -> bool:
        """Whether there is more than one batch to choose from."""
        return self.batched and self.constraints.batch_tokens[0] < self.constraints.batch_tokens[1]

    @functools.cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and most of each coordinate of a place, ``(1,)`` or ``(2,)`` each."""
        low, high = np.log(self.within)
        if not self.batched:
            return np.array([low]), np.array([high])
        return np.array([low, 0.0]), np.array([high, float(self.choice_of_batch)])

    def log_range(self, less: float = 0.0) -> tuple[float, float]:
        """Return the range of log N in which each draw's own optimum is sought, on a budget smaller by exp(-less).

        Budget and batch leave it, and tokens per parameter that are trusted or that constraints allow.
        """
        low, high = self.constraints.of_batch.range(self.surface) if self.batched else (1.0, self.surface.most_params)
        asked = self.constraints.tokens_per_param
        ratios = (
            self.trusted if asked == ANY_RATIO else (min(self.trusted[0], asked[0]), max(self.trusted[1], asked[1]))
        )
        share = math.exp(-less)
        surface = dataclasses.replace(
            self.surface, budget=share * self.surface.budget, flops=share * self.surface.flops
        )
        least, most = _params_between(ratios, surface)
        # At a fixed D, N is proportional to the budget: so are the limits that batch and steps set.
        top = min(share * high, most)
        return math.log(min(max(share * low, least, 1.0), top)), math.log(top)

    @functools.cached_property
    def setting(self) -> dict[str, Any]:
        """What compiled functions need to know of the space."""
        setting: dict[str, Any] = {"demand": self.surface.demand, "given": dict(self.given)}
        return setting | ({"batch": self.constraints.log_batch} if self.batched else {})

    def params(self, places: np.ndarray) -> np.ndarray:
        """Return N of places, ``(n_place,)``."""
        return np.clip(np.exp(places[:, 0]), *self.within)

    def runs(self, places: np.ndarray) -> Points:
        """Return the runs at places, ``(n_place, 1 or 2)``."""
        params = self.params(places)
        tokens = self._tokens(params)
        batch = np.exp(log_batch(np.log(tokens), places[:, 1], self.constraints.log_batch)) if self.batched else None
        return run_columns(params, tokens, batch, self.given)

    def _tokens(self, params: np.ndarray) -> np.ndarray:
        """Return D at N, at least 1: where nearly all is spent on serving, rounding may take the last token."""
        return np.asarray(np.maximum(self.surface.tokens(params), 1.0))

    def runs_of(self, params: np.ndarray, batch: np.ndarray | None = None) -> Points:
        """Return runs of given sizes, ``(n_run,)``, with batches moved to the nearest that is allowed."""
        tokens = self._tokens(params)
        if self.batched and batch is not None:
            low, high = batch_range(np.log(tokens), self.constraints.log_batch)
            batch = np.exp(np.clip(np.log(batch), low, np.maximum(low, high)))
        return run_columns(params, tokens, batch if self.batched else None, self.given)


def _params_between(ratios: tuple[float, float], surface: Surface) -> tuple[float, float]:
    """Return N at the most and at the least tokens per parameter on a budget surface."""
    low, high = ratios
    least = surface.params_of_ratio(high) if high < math.inf else 0.0
    return least, surface.params_of_ratio(low) if low > 0 else math.inf


def log_tokens(log_spend: Any, log_params: Any, demand: Any) -> Any:
    """Return log D that spends a budget at N, in JAX; the inverse of `Surface.per_param`.

    Parameters
    ----------
    log_spend : log S of the surface
    demand : of the surface
    """
    log_each = log_spend - log_params
    if isinstance(demand, tuple):
        places, coefficients = demand
        before = jnp.clip(jnp.searchsorted(places, log_each) - 1, 0, len(places) - 2)
        return jnp.polyval(coefficients[:, before], log_each - places[before])
    return log_each + jnp.log1p(-demand * jnp.exp(-log_each)) - math.log(RATIO)


def batch_range(log_tokens: Any, limits: Any, xp: Any = np) -> tuple[Any, Any]:
    """Return log of the smallest and largest batch at D; ``limits`` as of `Constraints.log_batch`."""
    low, high, fewest, most = (limits[i] for i in range(4))
    return xp.maximum(low, log_tokens - most), xp.minimum(high, log_tokens - fewest)


def log_batch(log_tokens: Any, share: Any, limits: Any, xp: Any = np) -> Any:
    """Return log B at a share of the way from the smallest to the largest batch."""
    low, high = batch_range(log_tokens, limits, xp)
    return low + share * xp.maximum(high - low, 0.0)


def joined(runs: Sequence[Points]) -> dict[str, np.ndarray]:
    """Return several tables of runs as one."""
    return {name: np.concatenate([one[name] for one in runs]) for name in runs[0]}


def run_columns(params: Any, tokens: Any, batch: Any, given: Mapping[str, Any], xp: Any = np) -> dict[str, Any]:
    """Return what any law may read of runs, ``(n_run,)`` each.

    Parameters
    ----------
    params, tokens, batch : N, D and B; B is None where no law reads it
    given : further inputs: the same for all runs, or a rule for each
    """
    chosen = {"params": params, "tokens": tokens, **({} if batch is None else {"batch_tokens": batch})}
    columns, _ = derive_missing(chosen)
    fixed = {name: value for name, value in given.items() if not isinstance(value, RateRule)}
    rules = {name: value for name, value in given.items() if isinstance(value, RateRule)}
    columns |= {name: xp.zeros_like(params) + value for name, value in fixed.items()}
    columns |= {name: rule.at(columns, xp) for name, rule in rules.items()}
    if "unique_tokens" in given:
        columns["unique_tokens"] = xp.minimum(given["unique_tokens"], tokens)
    return columns

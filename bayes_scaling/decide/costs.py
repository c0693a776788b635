"""Costs: what a run of N parameters and D tokens takes out of a budget.

    cost = price of a FLOP x (6 N D + 2 N T)

T tokens are served after training (Sardana et al. 2023, arXiv 2401.00448), at the price of the training. What is not
known for sure, like utilisation, is given as draws or as a distribution: the cost is then one number per draw, and a
plan meets its budget at a stated quantile of it, by default the median.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike
from numpyro.distributions import Distribution

from bayes_scaling._errors import PlanError
from bayes_scaling._scope import scope
from bayes_scaling._validation import LARGEST, shown

type Uncertain = ArrayLike | Distribution

FLOPS_PER_PARAM_TOKEN = 6.0
SERVED_FLOPS = 2.0  # per parameter and token served: a forward pass
SECONDS_PER_HOUR = 3600.0
DRAWS = 4096  # of a distribution


@dataclasses.dataclass(frozen=True, eq=False)
class Cost:
    """How a budget is spent; made by `flops`, `gpu_hours`, `money` or `lifetime`.

    Attributes
    ----------
    label : what is counted, in words
    unit : of cost and budget
    hours : whether FLOPs are paid by the hour of a device; else the budget is in FLOPs
    peak_flops : of one device, FLOPs per second
    utilisation : share of the peak that training reaches
    price : of one device for one hour
    serving_tokens : T, served after training
    quantile : of the cost, at which the budget is met
    """

    label: str
    unit: str
    hours: bool = False
    peak_flops: float = 1.0
    utilisation: Uncertain = 1.0
    price: Uncertain = 1.0
    serving_tokens: Uncertain = 0.0
    quantile: float = 0.5

    def spending(self, seed: int = 0) -> Spending:
        """Return the cost with what is uncertain about it drawn, by one seed."""
        utilisation, price, serving = _drawn(
            {
                "utilisation": (self.utilisation, 0.0, 1.0),
                "price": (self.price, 0.0, LARGEST),
                "serving_tokens": (self.serving_tokens, -1.0, LARGEST),
            },
            seed,
        )
        per_flop = price / (self.peak_flops * utilisation * SECONDS_PER_HOUR) if self.hours else np.ones_like(price)
        return Spending(per_flop, serving, self.quantile, self.unit)


@dataclasses.dataclass(frozen=True, eq=False)
class Spending:
    """A cost with its draws.

    Attributes
    ----------
    per_flop : (n,) unit of the budget per FLOP
    serving : (n,) tokens served after training; at most one of the two differs between draws
    quantile : of the cost, at which the budget is met
    unit : of the budget
    """

    per_flop: np.ndarray
    serving: np.ndarray
    quantile: float
    unit: str

    def draws(self, params: float, tokens: float) -> np.ndarray:
        """Return the cost of a run, ``(n,)``, in the unit of the budget."""
        training = FLOPS_PER_PARAM_TOKEN * params * tokens
        return np.asarray(self.per_flop * (training + SERVED_FLOPS * params * self.serving))

    def cost(self, params: float, tokens: float) -> float:
        """Return the cost of a run at the quantile that has to meet the budget."""
        return _ordered(self.draws(params, tokens), self.quantile)

    def surface(self, budget: float) -> Surface:
        """Return the runs that spend a budget."""
        if not (np.isfinite(budget) and budget > 0):
            raise PlanError(f"the budget is {budget:g} {self.unit}, expected a positive number of {self.unit}")
        flops = budget / _ordered(self.per_flop, self.quantile)
        surface = Surface(float(budget), flops, _ordered(self.serving, self.quantile))
        if not surface.most_params > 2:
            raise PlanError(
                f"a budget of {budget:g} {self.unit} buys {flops:g} FLOPs, too few for any run; "
                f"check that it is in {self.unit}"
            )
        return surface


@dataclasses.dataclass(frozen=True)
class Surface:
    """All runs that spend a budget: D = C / (6 N) - T / 3.

    Attributes
    ----------
    budget : in its own unit
    flops : C, FLOPs that it buys, serving included
    serving : T, tokens served
    """

    budget: float
    flops: float
    serving: float

    @property
    def most_params(self) -> float:
        """The largest N that leaves one token to train on."""
        return self.params_of_tokens(1.0)

    def tokens(self, params: Any) -> Any:
        """Return D that spends the budget at N."""
        return self.flops / (FLOPS_PER_PARAM_TOKEN * params) - self.serving * SERVED_FLOPS / FLOPS_PER_PARAM_TOKEN

    def params_of_tokens(self, tokens: float) -> float:
        """Return N that spends the budget at D."""
        return self.flops / (FLOPS_PER_PARAM_TOKEN * tokens + SERVED_FLOPS * self.serving)

    def params_of_ratio(self, ratio: float) -> float:
        """Return N that spends the budget at D / N: the positive root of 6 r N^2 + 2 T N = C."""
        half = SERVED_FLOPS * self.serving
        return 2 * self.flops / (half + math.sqrt(half**2 + 4 * FLOPS_PER_PARAM_TOKEN * ratio * self.flops))


# --- the costs that there are ---------------------------------------------------------------------------------------


def flops() -> Cost:
    """Count training FLOPs, 6 N D."""
    return Cost("training FLOPs", "FLOPs")


def gpu_hours(peak_flops: float, utilisation: Uncertain, *, quantile: float = 0.5) -> Cost:
    """Count hours of one device: 6 N D / (peak x utilisation x 3600).

    Parameters
    ----------
    peak_flops : FLOPs per second of one device, such as 989e12
    utilisation : share of it that training reaches, 0.4 for 40 percent; a number, draws of it, or a distribution
    quantile : of the hours, at which the budget is met: 0.9 leaves a chance of one in ten to overrun
    """
    return Cost(
        "GPU-hours",
        "GPU-hours",
        hours=True,
        peak_flops=_peak(peak_flops),
        utilisation=_checked("utilisation", utilisation, 0.0, 1.0),
        quantile=fraction("quantile", quantile),
    )


def money(
    peak_flops: float,
    utilisation: Uncertain,
    price_per_gpu_hour: Uncertain,
    *,
    currency: str = "USD",
    quantile: float = 0.5,
) -> Cost:
    """Count money: GPU-hours times their price.

    Parameters
    ----------
    peak_flops, utilisation, quantile : as of `gpu_hours`
    price_per_gpu_hour : a number, as many draws as of the utilisation, or a distribution
    currency : unit of price and budget
    """
    return Cost(
        "money",
        currency,
        hours=True,
        peak_flops=_peak(peak_flops),
        utilisation=_checked("utilisation", utilisation, 0.0, 1.0),
        price=_checked("price", price_per_gpu_hour, 0.0, LARGEST),
        quantile=fraction("quantile", quantile),
    )


def lifetime(serving_tokens: Uncertain, *, quantile: float = 0.5) -> Cost:
    """Count FLOPs of training and of serving, 6 N D + 2 N T.

    Parameters
    ----------
    serving_tokens : T, tokens served over the model's life; a number, draws of it, or a distribution
    quantile : of the FLOPs, at which the budget is met
    """
    demand = _checked("serving_tokens", serving_tokens, -1.0, LARGEST)
    return Cost(
        "FLOPs of training and serving",
        "FLOPs",
        serving_tokens=demand,
        quantile=fraction("quantile", quantile),
    )


# --- refusals and draws ---------------------------------------------------------------------------------------------


def _ordered(draws: np.ndarray, probability: float) -> float:
    """Return the smallest draw that at least this share of draws does not exceed."""
    return float(np.quantile(draws, probability, method="inverted_cdf"))


def fraction(name: str, value: float) -> float:
    """Return a number strictly between 0 and 1, or say that it looks like a percentage."""
    if not 0 < value < 1:
        hint = f"; write {value / 100:g} for {value:g} percent" if 1 <= value < 100 else ""
        raise PlanError(f"{name} is {value:g}, expected a fraction between 0 and 1{hint}")
    return float(value)


def _peak(value: float) -> float:
    if not (np.isfinite(value) and value >= 1e6):
        raise PlanError(f"peak_flops is {value:g}, expected FLOPs per second of one device, such as 989e12")
    return float(value)


def _checked(name: str, value: Uncertain, above: float, most: float) -> Uncertain:
    """Return numbers as an array and distributions as they are, or say what is impossible about them.

    Parameters
    ----------
    above : exclusive lower bound; -1 for what may be zero
    most : inclusive upper bound
    """
    if isinstance(value, Distribution):
        return value
    try:
        values = np.array(value, float)
    except (TypeError, ValueError):
        raise PlanError(f"{name} is {shown(value)}, expected a number, draws of it, or a distribution") from None
    if values.ndim > 1 or not values.size:
        raise PlanError(f"{name} has shape {values.shape}, expected a number or one row of draws")
    least = max(above, 0.0)
    bad = ~((values > above) & (values >= least) & (values <= most))
    if bad.any():
        first = float(values[bad].flat[0])
        hint = f"; write {first / 100:g} for {first:g} percent" if most == 1.0 and 1 < first <= 100 else ""
        expected = "a fraction above 0 and at most 1" if most == 1.0 else "a positive finite number"
        raise PlanError(f"{name} is {first:g}, expected {expected}{hint}")
    return values


def _drawn(given: dict[str, tuple[Uncertain, float, float]], seed: int) -> list[np.ndarray]:
    """Draw every uncertain number, ``(n,)`` each; those given as draws say how many."""
    lengths = {name: np.size(value) for name, (value, _, _) in given.items() if not isinstance(value, Distribution)}
    several = {name: length for name, length in lengths.items() if length > 1}
    if len(set(several.values())) > 1:
        counted = ", ".join(f"{name} {length}" for name, length in several.items())
        raise PlanError(f"numbers of draws differ ({counted}); give as many draws of each, or single numbers")
    sampled = any(isinstance(value, Distribution) for value, _, _ in given.values())
    count = next(iter(several.values()), DRAWS if sampled else 1)
    out = []
    with scope():
        for place, (name, (value, above, most)) in enumerate(given.items()):
            if isinstance(value, Distribution):
                key = jax.random.fold_in(jax.random.key(seed), place)
                value = np.asarray(value.sample(key, (count,)), float)
                if value.shape != (count,):
                    raise PlanError(f"{name} is a distribution of shape {value.shape[1:]}, expected one of a number")
            out.append(np.broadcast_to(np.asarray(_checked(name, value, above, most)), (count,)))
    return out

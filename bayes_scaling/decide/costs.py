"""Costs: what a run of N parameters and D tokens takes out of a budget.

    cost = price of a training FLOP x 6 N D + price of a serving FLOP x 2 N T

T tokens are served after training (Sardana et al. 2023, arXiv 2401.00448), at the price of training or at their own.
Uncertain numbers, such as utilisation, are given as draws or as a distribution. The cost is then one number per draw,
and a plan meets its budget at a stated quantile of the cost, the median by default.

A cost of your own needs a label, a unit and a method ``spending``; CONTRIBUTING.md shows one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Protocol

import jax
import numpy as np
from numpyro.distributions import Distribution

from bayes_scaling.base.arguments import Numeric, Seed, validated
from bayes_scaling.base.messages import checked_probability, shown
from bayes_scaling.base.scope import scope
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.data.validation import LARGEST
from bayes_scaling.decide.surfaces import SERVED_FLOPS, Bend, BentSurface, Surface, ordered
from bayes_scaling.errors import PlanError

type Uncertain = Numeric | Distribution
"""A number, draws of it, or a distribution."""

SECONDS_PER_HOUR = 3600.0
DRAWS = 4096  # from a distribution
SAME = 1e-12  # relative range below which draws count as one number


class Cost(Protocol):
    """How a budget is spent: what a FLOP of training costs, and one of serving."""

    @property
    def label(self) -> str:
        """What is counted, in words."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the cost and of the budget."""
        ...

    @validated
    def spending(self, seed: int) -> Spending:
        """Return the prices, with every uncertain number drawn; the same seed gives the same draws."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Spending:
    """The prices of a cost, as draws.

    Attributes
    ----------
    per_flop, per_served_flop : (n,) price of one FLOP of training and of serving, in the unit of the budget
    serving : (n,) tokens served after training
    quantile : of the cost, at which the budget is met
    unit : of the budget
    """

    per_flop: np.ndarray
    per_served_flop: np.ndarray
    serving: np.ndarray
    quantile: float
    unit: str

    @classmethod
    @validated
    def of(
        cls,
        per_flop: Numeric,
        unit: str,
        *,
        per_served_flop: Numeric | None = None,
        serving_tokens: Numeric = 0.0,
        quantile: float = 0.5,
    ) -> Spending:
        """Make prices from numbers or equally many draws of each.

        Parameters
        ----------
        per_flop : price of one FLOP of training
        unit : of the budget
        per_served_flop : price of one FLOP of serving; that of training by default
        serving_tokens : tokens served over the model's life
        quantile : of the cost, at which the budget is met
        """
        served = per_flop if per_served_flop is None else per_served_flop
        prices = [np.atleast_1d(np.asarray(draws, float)) for draws in (per_flop, served, serving_tokens)]
        training, serving, tokens = np.broadcast_arrays(*prices)
        return cls(training, serving, tokens, fraction("quantile", quantile), unit)

    @property
    def without_serving(self) -> Spending:
        """The same prices for a run that is never served."""
        return dataclasses.replace(self, serving=np.zeros_like(self.serving))

    @validated
    def draws(self, params: float, tokens: float) -> np.ndarray:
        """Return the cost of a run, ``(n,)``, in the unit of the budget.

        Parameters
        ----------
        params : N; for a model whose forward pass takes other than 2 N FLOPs per token, half of these
        tokens : D
        """
        for name, value in (("params", params), ("tokens", tokens)):
            if not 0 <= value < math.inf:
                raise PlanError(f"{name} is {value:g}, expected a finite number, 0 or more")
        training = FLOPS_PER_PARAM_TOKEN * params * tokens
        return np.asarray(self.per_flop * training + self.per_served_flop * SERVED_FLOPS * params * self.serving)

    @validated
    def cost(self, params: float, tokens: float) -> float:
        """Return the cost of a run at the quantile that has to meet the budget."""
        return ordered(self.draws(params, tokens), self.quantile)

    @property
    def price(self) -> float:
        """Unit of the budget per FLOP of training, at the quantile that has to meet it."""
        return ordered(self.per_flop, self.quantile)

    @functools.cached_property
    def bend(self) -> Bend:
        """Price of a parameter where the prices of training and of serving are uncertain independently."""
        return Bend(self.per_flop, self.per_served_flop * self.serving, self.quantile)

    def surface(self, budget: float) -> Surface:
        """Return all runs that spend a budget."""
        if not (np.isfinite(budget) and budget > 0):
            raise PlanError(f"the budget is {budget:g} {self.unit}, expected a positive number of {self.unit}")
        flops = budget / self.price
        in_training_tokens = self.per_served_flop * self.serving / self.per_flop
        surface: Surface
        if _is_one_number(self.per_flop) or _is_one_number(in_training_tokens):
            # Only one of the two varies: the quantile of the sum is the sum of the quantiles.
            surface = Surface(float(budget), flops, ordered(in_training_tokens, self.quantile))
        else:
            surface = BentSurface(float(budget), flops, ordered(in_training_tokens, self.quantile), self.bend)
        if not surface.most_params > 2:
            raise PlanError(
                f"a budget of {budget:g} {self.unit} buys {flops:g} FLOPs, too few for any run; "
                f"check that it is in {self.unit}"
            )
        return surface


def _is_one_number(draws: np.ndarray) -> bool:
    return bool(np.ptp(draws) <= SAME * np.abs(draws).max())


# --- built-in costs -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class PricedFlops:
    """FLOPs, hours of the devices that run them, or the money that these hours cost.

    Attributes
    ----------
    label, unit : as of `Cost`
    hours : whether FLOPs are paid by the hour of a device; otherwise the budget is in FLOPs
    peak_flops : FLOPs per second of one device
    utilisation : share of the peak that training reaches
    price : of one device for one hour
    serving_tokens : T, served after training
    serving_utilisation, serving_price : the same while serving; None for those of training
    quantile : of the cost, at which the budget is met
    """

    label: str
    unit: str
    hours: bool = False
    peak_flops: float = 1.0
    utilisation: Uncertain = 1.0
    price: Uncertain = 1.0
    serving_tokens: Uncertain = 0.0
    serving_utilisation: Uncertain | None = None
    serving_price: Uncertain | None = None
    quantile: float = 0.5

    def spending(self, seed: int = 0) -> Spending:
        """Return the prices, with every uncertain number drawn."""
        given: dict[str, tuple[Uncertain, float, float]] = {
            "utilisation": (self.utilisation, 0.0, 1.0),
            "price": (self.price, 0.0, LARGEST),
            "serving_tokens": (self.serving_tokens, -1.0, LARGEST),
        }
        if self.serving_utilisation is not None:
            given["serving_utilisation"] = (self.serving_utilisation, 0.0, 1.0)
        if self.serving_price is not None:
            given["serving_price"] = (self.serving_price, 0.0, LARGEST)
        drawn = _drawn_together(given, seed)
        utilisation, price = drawn["utilisation"], drawn["price"]
        serving_utilisation = drawn.get("serving_utilisation", utilisation)
        serving_price = drawn.get("serving_price", price)
        hour = self.peak_flops * SECONDS_PER_HOUR if self.hours else 1.0
        return Spending(
            price / (hour * utilisation),
            serving_price / (hour * serving_utilisation),
            drawn["serving_tokens"],
            self.quantile,
            self.unit,
        )


def flops() -> Cost:
    """Count training FLOPs, 6 N D."""
    return PricedFlops("training FLOPs", "FLOPs")


@validated
def gpu_hours(
    peak_flops: float,
    utilisation: Uncertain,
    *,
    serving_tokens: Uncertain = 0.0,
    serving_utilisation: Uncertain | None = None,
    quantile: float = 0.5,
) -> Cost:
    """Count hours of one device: 6 N D / (peak x utilisation x 3600), and the same for the 2 N T of serving.

    Parameters
    ----------
    peak_flops : FLOPs per second of one device, such as 989e12
    utilisation : share of it that training reaches, 0.4 for 40 percent; a number, draws of it, or a distribution
    serving_tokens : T, tokens served over the model's life, given in the same ways; none by default
    serving_utilisation : share of the peak that serving reaches; that of training by default
    quantile : of the hours, at which the budget is met; 0.9 leaves a 10 % chance of an overrun
    """
    return PricedFlops(
        _label("GPU-hours", serving_tokens),
        "GPU-hours",
        hours=True,
        peak_flops=_peak(peak_flops),
        utilisation=_checked("utilisation", utilisation, 0.0, 1.0),
        serving_tokens=_checked("serving_tokens", serving_tokens, -1.0, LARGEST),
        serving_utilisation=_checked_or_none("serving_utilisation", serving_utilisation, 1.0),
        quantile=fraction("quantile", quantile),
    )


@validated
def money(
    peak_flops: float,
    utilisation: Uncertain,
    price_per_gpu_hour: Uncertain,
    *,
    serving_tokens: Uncertain = 0.0,
    serving_utilisation: Uncertain | None = None,
    serving_price: Uncertain | None = None,
    currency: str = "USD",
    quantile: float = 0.5,
) -> Cost:
    """Count money: GPU-hours times their price.

    Parameters
    ----------
    peak_flops, utilisation, serving_tokens, serving_utilisation, quantile : as of `gpu_hours`
    price_per_gpu_hour : a number, as many draws as of the utilisation, or a distribution
    serving_price : of one hour of a device that serves; that of training by default
    currency : unit of price and budget
    """
    return PricedFlops(
        _label("money", serving_tokens),
        currency,
        hours=True,
        peak_flops=_peak(peak_flops),
        utilisation=_checked("utilisation", utilisation, 0.0, 1.0),
        price=_checked("price", price_per_gpu_hour, 0.0, LARGEST),
        serving_tokens=_checked("serving_tokens", serving_tokens, -1.0, LARGEST),
        serving_utilisation=_checked_or_none("serving_utilisation", serving_utilisation, 1.0),
        serving_price=_checked_or_none("serving_price", serving_price, LARGEST),
        quantile=fraction("quantile", quantile),
    )


@validated
def lifetime(serving_tokens: Uncertain, *, quantile: float = 0.5) -> Cost:
    """Count FLOPs of training and of serving, 6 N D + 2 N T.

    Parameters
    ----------
    serving_tokens : T, tokens served over the model's life; a number, draws of it, or a distribution
    quantile : of the FLOPs, at which the budget is met
    """
    demand = _checked("serving_tokens", serving_tokens, -1.0, LARGEST)
    return PricedFlops(
        "FLOPs of training and serving",
        "FLOPs",
        serving_tokens=demand,
        quantile=fraction("quantile", quantile),
    )


# --- checks and draws ---------------------------------------------------------------------------------------------


def _label(what: str, serving: Uncertain) -> str:
    none = not isinstance(serving, Distribution) and not np.any(serving)
    return what if none else f"{what}, serving included"


@validated
def fraction(name: str, value: float) -> float:
    """Return a number strictly between 0 and 1; say so where it looks like a percentage."""
    return checked_probability(value, name, PlanError)


def _peak(value: float) -> float:
    if not (np.isfinite(value) and value >= 1e6):
        raise PlanError(f"peak_flops is {value:g}, expected FLOPs per second of one device, such as 989e12")
    return float(value)


def _checked(name: str, value: Uncertain, above: float, most: float) -> Uncertain:
    """Return numbers as an array and distributions as they are; refuse impossible values.

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
        usual = "a finite number, 0 or more" if above < 0 else "a positive finite number"
        expected = "a fraction above 0 and at most 1" if most == 1.0 else usual
        raise PlanError(f"{name} is {first:g}, expected {expected}{hint}")
    return values


def _checked_or_none(name: str, value: Uncertain | None, most: float) -> Uncertain | None:
    return None if value is None else _checked(name, value, 0.0, most)


@validated
def draws(name: str, value: Uncertain, seed: Seed) -> np.ndarray:
    """Return draws of a positive uncertain number, ``(n,)``; one where it is a plain number.

    Parameters
    ----------
    name : what it is; numbers of different names are drawn independently
    value : a number, draws of it, or a distribution
    seed : of draws from a distribution
    """
    own = int(np.random.default_rng([seed, *name.encode()]).integers(2**31))
    return _drawn_together({name: (value, 0.0, LARGEST)}, own)[name]


def _drawn_together(given: dict[str, tuple[Uncertain, float, float]], seed: int) -> dict[str, np.ndarray]:
    """Draw every uncertain number, ``(n,)`` each; where some are given as draws, their number is n."""
    known = {name: _checked(name, value, above, most) for name, (value, above, most) in given.items()}
    lengths = {name: np.size(value) for name, value in known.items() if not isinstance(value, Distribution)}
    several = {name: length for name, length in lengths.items() if length > 1}
    if len(set(several.values())) > 1:
        counted = ", ".join(f"{name} {length}" for name, length in several.items())
        raise PlanError(f"numbers of draws differ ({counted}); give equally many draws of each, or single numbers")
    sampled = any(isinstance(value, Distribution) for value in known.values())
    count = next(iter(several.values()), DRAWS if sampled else 1)
    out = {}
    with scope():
        for place, (name, value) in enumerate(known.items()):
            if isinstance(value, Distribution):
                key = jax.random.fold_in(jax.random.key(seed), place)
                value = np.asarray(value.sample(key, (count,)), float)
                if value.shape != (count,):
                    raise PlanError(
                        f"{name} is a distribution over arrays of shape {value.shape[1:]}, expected one over numbers"
                    )
                value = _checked(name, value, *given[name][1:])
            out[name] = np.broadcast_to(np.asarray(value), (count,))
    return out

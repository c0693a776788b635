"""The tables of a study file: runs, laws, budget, goal and pilots, each checked by itself."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pydantic

from bayes_scaling.decide import costs, objectives
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.objectives import Objective
from bayes_scaling.laws.priors import draw_prior, prior_from_spec

type Spec = float | dict[str, Any]
"""A number, or a distribution written as priors are: ``{distribution = "Beta", ...}``."""


class Part(pydantic.BaseModel):
    """One table of the file; words that it does not know are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Part):
    """``[data]``: where the runs are.

    Attributes
    ----------
    file : table of runs beside the study file (.csv, .parquet, .jsonl)
    bundled : or the name of a table that ships with the package
    columns : canonical name to the file's: ``{params = "n_params"}``
    loss_unit, params_convention : as of `Runs.from_frame`
    ends : keep only the last row of every run
    after_warmup : leave out this first share of every curve
    """

    file: str | None = None
    bundled: str | None = None
    columns: dict[str, str] = {}
    loss_unit: str = "nats/token"
    params_convention: str = "unstated"
    ends: bool = False
    after_warmup: float | None = pydantic.Field(default=None, ge=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.bundled is None):
            raise ValueError("needs either file = 'runs.csv' or bundled = 'stdlib_sweep'")
        return self


class Laws(Part):
    """``[laws]``: what is compared, and how runs scatter.

    Attributes
    ----------
    names : laws, as ``load_law`` takes them
    alongside : what each law is shown with: ``exact`` (no discrepancy), point fits ``huber``, ``squares``
    discrepancy : ``brownian``, or ``none``
    noise, noise_scale, noise_rows : as of `Noise`, or ``auto``
    cuts : leave-largest-out cuts, ``{flops = [1e20, 1e21]}``; by default a 3rd, a 10th and a 30th of the largest run
    priors : by law and parameter, ``[laws.priors.chinchilla]``
    """

    names: list[str] = pydantic.Field(default=["chinchilla", "kaplan_joint"], min_length=1)
    alongside: list[Literal["exact", "huber", "squares"]] = ["exact", "huber"]
    discrepancy: Literal["brownian", "none"] = "brownian"
    noise: Literal["auto", "student_t", "normal"] = "auto"
    noise_scale: Literal["constant", "known", "growing"] = "constant"
    noise_rows: Literal["auto", "independent", "correlated"] = "auto"
    cuts: dict[str, list[float]] = {}
    priors: dict[str, dict[str, dict[str, Any]]] = {}


class Budget(Part):
    """``[budget]``: what can be spent, and how spending is counted.

    Attributes
    ----------
    amount : in the unit of the cost
    counted_in : ``flops``, ``gpu_hours``, ``money``, or ``lifetime`` (FLOPs of training and serving)
    peak_flops, utilisation, price_per_gpu_hour, serving_tokens, currency, quantile : as of `gpu_hours`, `money` and
        `lifetime`; uncertain numbers may be distributions
    """

    amount: float = pydantic.Field(gt=0)
    counted_in: Literal["flops", "gpu_hours", "money", "lifetime"] = "flops"
    peak_flops: float | None = pydantic.Field(default=None, gt=0)
    utilisation: Spec | None = None
    price_per_gpu_hour: Spec | None = None
    serving_tokens: Spec = 0.0
    currency: str = "USD"
    quantile: float = pydantic.Field(default=0.5, gt=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _has_prices(self) -> Self:
        hours, money = self.counted_in in ("gpu_hours", "money"), self.counted_in == "money"
        for name, wanted in (("peak_flops", hours), ("utilisation", hours), ("price_per_gpu_hour", money)):
            if wanted and getattr(self, name) is None:
                raise ValueError(f"is counted in {self.counted_in}, which needs {name}")
            if not wanted and getattr(self, name) is not None:
                raise ValueError(f"is counted in {self.counted_in}, which does not read {name}")
        if self.counted_in == "lifetime" and self.serving_tokens == 0.0:
            raise ValueError("is counted over a lifetime, which needs serving_tokens")
        if self.counted_in == "flops" and self.serving_tokens != 0.0:
            raise ValueError("is counted in flops of training; write counted_in = 'lifetime' to add serving_tokens")
        return self

    def cost(self, *, dearer: float = 1.0, busier: float = 1.0) -> Cost:
        """Return the cost, or what it would be at another price or utilisation.

        Parameters
        ----------
        dearer, busier : factors on the price of an hour and on the utilisation
        """
        served, quantile = uncertain("serving_tokens", self.serving_tokens), self.quantile
        if self.counted_in == "flops":
            return costs.flops()
        if self.counted_in == "lifetime":
            return costs.lifetime(served, quantile=quantile)
        peak, utilisation = self.peak_flops or 0.0, scaled("utilisation", self.utilisation, busier)
        if self.counted_in == "gpu_hours":
            return costs.gpu_hours(peak, utilisation, serving_tokens=served, quantile=quantile)
        price = scaled("price_per_gpu_hour", self.price_per_gpu_hour, dearer)
        return costs.money(peak, utilisation, price, serving_tokens=served, currency=self.currency, quantile=quantile)


class Goal(Part):
    """``[goal]``: what a run is measured against, and what a plan optimises.

    Attributes
    ----------
    incumbent : loss to beat; the best of the table by default
    target : loss that is wanted
    objective : name of an objective of the package
    worst, weight, probability : its arguments, where it takes them
    """

    incumbent: float | None = pydantic.Field(default=None, gt=0)
    target: float | None = pydantic.Field(default=None, gt=0)
    objective: Literal[
        "expected_improvement", "expected_loss", "probability_of_target", "cvar", "loss_quantile", "mean_and_cvar"
    ] = "expected_improvement"
    worst: float = pydantic.Field(default=0.05, gt=0, lt=1)
    weight: float = pydantic.Field(default=1.0, ge=0)
    probability: float = pydantic.Field(default=0.9, gt=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _has_target(self) -> Self:
        if self.objective == "probability_of_target" and self.target is None:
            raise ValueError("optimises the probability of a target, which needs target")
        return self

    def chosen(self) -> Objective:
        """Return the objective."""
        match self.objective:
            case "cvar":
                return objectives.cvar(self.worst)
            case "loss_quantile":
                return objectives.loss_quantile(self.probability)
            case "mean_and_cvar":
                return objectives.mean_and_cvar(self.weight, self.worst)
            case "expected_loss":
                return objectives.expected_loss()
            case "probability_of_target":
                return objectives.probability_of_target()
        return objectives.expected_improvement()


class Pilots(Part):
    """``[pilots]``: small runs on offer before the big one.

    Attributes
    ----------
    budget : the most that they may cost, in the unit of the budget; a twentieth of it by default
    params, tokens : ranges of what is offered; by default from the middle of the table to its largest
    copies : how often one of them may be run
    """

    budget: float | None = pydantic.Field(default=None, gt=0)
    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    copies: int = pydantic.Field(default=4, ge=1)


# --- numbers that may be uncertain ---


def uncertain(name: str, given: Spec | None) -> Any:
    """Return a number as it is, a written distribution as one."""
    return prior_from_spec(name, given) if isinstance(given, dict) else given


def scaled(name: str, given: Spec | None, factor: float) -> Any:
    """Return a number times a factor; of a distribution, draws of it times the factor."""
    value = uncertain(name, given)
    if factor == 1.0 or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) * factor
    return np.asarray(draw_prior(value, np.random.default_rng(0), costs.DRAWS)) * factor

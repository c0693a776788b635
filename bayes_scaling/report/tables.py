"""The tables of a study file: runs, laws, budget, goal and pilots, each checked on its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
import pydantic

from bayes_scaling.decide import costs
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.problem import checked_goal
from bayes_scaling.decide.spelling import cost_of, objective_of
from bayes_scaling.errors import BayesScalingError, Remedy
from bayes_scaling.laws.priors import draw_prior, prior_from_spec

type Spec = float | dict[str, Any]
"""A number, or a distribution written as priors are: ``{distribution = "Beta", ...}``."""


class Part(pydantic.BaseModel):
    """One table of the file; unknown keys are refused."""

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
    cost : name of a cost: ``flops``, ``gpu_hours``, ``money``, or ``lifetime`` (FLOPs of training and serving)
    peak_flops, utilisation, price_per_gpu_hour, serving_tokens, currency, quantile : arguments of that cost; uncertain
        numbers may be distributions
    """

    amount: float = pydantic.Field(gt=0)
    cost: str = "flops"
    peak_flops: float | None = pydantic.Field(default=None, gt=0)
    utilisation: Spec | None = None
    price_per_gpu_hour: Spec | None = None
    serving_tokens: Spec | None = None
    currency: str | None = None
    quantile: float | None = pydantic.Field(default=None, gt=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        with _as_value_error():
            self.counted()
        return self

    def counted(self, *, price_factor: float = 1.0, utilisation_factor: float = 1.0) -> Cost:
        """Return the cost, or what it would be at other prices.

        Parameters
        ----------
        price_factor, utilisation_factor : on the price of an hour, and on the utilisation
        """
        given = {
            "peak_flops": self.peak_flops,
            "utilisation": scaled("utilisation", self.utilisation, utilisation_factor),
            "price_per_gpu_hour": scaled("price_per_gpu_hour", self.price_per_gpu_hour, price_factor),
            "serving_tokens": uncertain("serving_tokens", self.serving_tokens),
            "currency": self.currency,
            "quantile": self.quantile,
        }
        return cost_of(self.cost, **{name: value for name, value in given.items() if value is not None})


class Goal(Part):
    """``[goal]``: what a run is compared with, and what a plan optimises.

    Attributes
    ----------
    incumbent : loss to improve on; the best of the table by default
    target : loss that is wanted
    objective : name of an objective and its numbers, such as ``cvar:0.05``
    """

    incumbent: float | None = pydantic.Field(default=None, gt=0)
    target: float | None = pydantic.Field(default=None, gt=0)
    objective: str = "expected_improvement"

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        with _as_value_error():
            checked_goal(objective_of(self.objective), self.incumbent or 1.0, self.target)
        return self


class Pilots(Part):
    """``[pilots]``: small runs on offer before the big one.

    Attributes
    ----------
    budget : the most that they may cost, in the unit of the budget; a twentieth of it by default
    params, tokens : ranges on offer; by default from the median of the table to its largest value
    copies : how often each may be run
    """

    budget: float | None = pydantic.Field(default=None, gt=0)
    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    copies: int = pydantic.Field(default=4, ge=1)


# --- errors in words of the study ---

PLACES = {
    "target": "goal.target",
    "incumbent": "goal.incumbent",
    "columns": "data.columns",
    "given": "given",
    "constraints": "constraints",
    **{name: f"budget.{name}" for name in Budget.model_fields},
}
"""Where the study file has an argument of Python."""


def as_key(remedy: Remedy) -> str:
    """Spell a remedy as a key of the study file; as in Python where the file has none."""
    if remedy.argument not in PLACES:
        return remedy.in_python()
    name = PLACES[remedy.argument] + (f".{remedy.key}" if remedy.key else "")
    return f"{name} = [{', '.join(remedy.value)}]" if isinstance(remedy.value, tuple) else name


@contextlib.contextmanager
def in_words_of_the_study() -> Iterator[None]:
    """Spell the remedies of errors as keys of the study file, where it has them all."""
    try:
        yield
    except BayesScalingError as error:
        if not all(remedy.argument in PLACES for remedy in error.remedies):
            raise
        raise type(error)(error.worded(as_key)) from error


@contextlib.contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn an error of the package into one that pydantic reports with its place."""
    try:
        yield
    except BayesScalingError as error:
        raise ValueError(error.worded(as_key)) from None


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

"""The tables of a study file: runs, laws, budget, goal and pilots, each validated separately."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
import pydantic

from bayes_scaling.base.messages import shown
from bayes_scaling.base.names import (
    AlongName,
    AlongsideName,
    DiscrepancyName,
    NoiseName,
    RowsChoice,
    ScaleChoice,
    StartName,
)
from bayes_scaling.decide import costs
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.problem import checked_goal
from bayes_scaling.decide.spelling import cost_of, objective_of
from bayes_scaling.errors import BayesScalingError, Remedy
from bayes_scaling.laws.catalogue import catalogue_law, is_path, split_label
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import draw_prior, prior_from_spec

type Spec = float | dict[str, Any]
"""A number, or a distribution written like a prior: ``{distribution = "Beta", ...}``."""


class Part(pydantic.BaseModel):
    """One table of the file; unknown keys are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Part):
    """``[data]``: the table of runs.

    Attributes
    ----------
    file : path of the table, relative to the study file (.csv, .parquet, .jsonl)
    bundled : or the name of a bundled table
    columns : from canonical names to the file's names: ``{params = "n_params"}``
    loss_unit, params_convention : as in `Runs.from_frame`
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
    """``[laws]``: the laws to compare, and the noise model.

    Attributes
    ----------
    names : laws, as in ``load_law``; by default those that suit the columns of the table; law files run only with
        ``run_law_files``
    alongside : what each law is shown with: ``exact``, as the law alone, or on one curve with a smooth discrepancy, as
        `fit` has it; and baselines like ``huber``, as of `compare`
    discrepancy, discrepancy_along : kind of the laws' own error, and what it runs along, as in `Discrepancy`
    noise, noise_scale, noise_rows : as in `Noise`, or ``auto``, as of `fit` for several laws
    noise_start : how the start of training curves leaves the law, ``learned`` or ``none``
    cuts : leave-largest-out cuts, ``{flops = [1e20, 1e21]}``; by default a 3rd, a 10th and a 30th of the largest run
    priors : replaced priors by law and parameter, ``[laws.priors.chinchilla]``
    """

    names: list[str] | None = pydantic.Field(default=None, min_length=1)
    alongside: list[AlongsideName] = ["exact", "huber"]
    discrepancy: DiscrepancyName = "brownian"
    discrepancy_along: AlongName = "auto"
    noise: NoiseName = "auto"
    noise_scale: ScaleChoice = "auto"
    noise_rows: RowsChoice = "auto"
    noise_start: StartName = "learned"
    cuts: dict[str, list[float]] = {}
    priors: dict[str, dict[str, dict[str, Any]]] = {}


class Budget(Part):
    """``[budget]``: the budget, and how cost is counted.

    Attributes
    ----------
    amount : the budget in the unit of the cost
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
        """Return the cost, by default at the study's prices.

        Parameters
        ----------
        price_factor, utilisation_factor : factors on the price of an hour and on the utilisation
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
    """``[goal]``: the losses to compare a run with, and the objective of the plan.

    Attributes
    ----------
    incumbent : loss to improve on; the best of the table by default
    target : loss to reach
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
    """``[pilots]``: small runs that could be bought before the big one.

    Attributes
    ----------
    budget : the most that pilots may cost, in the unit of the budget; a twentieth of it by default
    params, tokens : ranges of pilots; by default from the median of the table to its largest value
    copies : how often each pilot may be run
    """

    budget: float | None = pydantic.Field(default=None, gt=0)
    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    copies: int = pydantic.Field(default=4, ge=1)


class Tuning(Part):
    """``[tuning]``: learning rate and batch size of the plan, and what other choices would waste; needs a law of both.

    Attributes
    ----------
    batch_tokens : tokens per step, where they are given and only the rate is chosen
    within : share of the compute that may be wasted inside the region that is reported
    """

    batch_tokens: float | None = pydantic.Field(default=None, gt=0)
    within: float = pydantic.Field(default=0.01, gt=0, lt=1)


class Curve(Part):
    """``[trajectory]``: a run whose whole loss curve is forecast.

    Attributes
    ----------
    params, batch_tokens : of a planned run
    steps, tokens : where it ends; one of them
    run : or the id of a run under way, with rows in the table
    targets : losses; the report says where each is reached, and with which probability
    """

    params: float | None = pydantic.Field(default=None, gt=0)
    batch_tokens: float | None = pydantic.Field(default=None, gt=0)
    steps: float | None = pydantic.Field(default=None, gt=0)
    tokens: float | None = pydantic.Field(default=None, gt=0)
    run: str = ""
    targets: list[float] = []

    @pydantic.model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("needs either steps = 2000 or tokens = 1e9, where the run ends")
        if any(target <= 0 for target in self.targets):
            raise ValueError("has a target that is not a positive loss")
        return self

    @property
    def inputs(self) -> dict[str, float]:
        """What is given of the run."""
        given = {name: getattr(self, name) for name in ("params", "batch_tokens", "steps", "tokens")}
        return {name: value for name, value in given.items() if value is not None}


class Recipes(Part):
    """``[recipes]``: the table holds several recipes, which the report compares at the recommended run.

    Attributes
    ----------
    by : column that names them
    baseline : the recipe that the others are measured against; by default the first in the alphabet
    irreducible : which reading decides, ``shared`` or ``own``; both are shown
    law : of the catalogue, that they are compared by, or a list of them; by default those of the study that read the
        inputs of its first
    """

    by: str = "recipe"
    baseline: str | None = None
    irreducible: Literal["shared", "own"] = "shared"
    law: list[str] | None = pydantic.Field(default=None, min_length=1)

    @pydantic.field_validator("law", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        files = [name for name in self.law or () if is_path(split_label(name)[0])]
        if files:
            raise ValueError(f"names {shown(files[0], 200)}, a law file; recipes are compared by laws of the catalogue")
        with _as_value_error():
            self.laws()
        return self

    def laws(self) -> tuple[Law, ...] | None:
        """Return the laws, of the catalogue whatever they are called: a study does not choose what runs."""
        return None if self.law is None else tuple(catalogue_law(name) for name in self.law)


class Scores(Part):
    """``[scores]``: scores of small models on a benchmark, from which that of the recommended run is forecast.

    Attributes
    ----------
    file : path of the table, relative to the study file: one row per model, with its loss and its score
    score, loss : columns of it
    questions : number of questions of the benchmark; adds their binomial noise
    chance : score of guessing
    link : law of the error against the loss
    target : a score that is wanted
    """

    file: str
    score: str = "score"
    loss: str = "loss"
    questions: int | None = pydantic.Field(default=None, ge=1)
    chance: float = pydantic.Field(default=0.0, ge=0, lt=1)
    link: str = "downstream"
    target: float | None = pydantic.Field(default=None, gt=0, lt=1)


# --- errors in terms of the study ---

PLACES = {
    "target": "goal.target",
    "incumbent": "goal.incumbent",
    "columns": "data.columns",
    "given": "given",
    "constraints": "constraints",
    **{name: f"budget.{name}" for name in Budget.model_fields},
}
"""Arguments in Python by their key in the study file."""


def as_key(remedy: Remedy) -> str:
    """Write a remedy as a key of the study file, or as in Python if the file has none."""
    if remedy.argument not in PLACES:
        return remedy.in_python()
    name = PLACES[remedy.argument] + (f".{remedy.key}" if remedy.key else "")
    if isinstance(remedy.value, tuple):
        return f"{name} = [{', '.join(remedy.value)}]"
    return name if remedy.value else f'{name} = ""'


@contextlib.contextmanager
def in_words_of_the_study() -> Iterator[None]:
    """Write the remedies of errors as keys of the study file, if it has them all."""
    try:
        yield
    except BayesScalingError as error:
        if not all(remedy.argument in PLACES for remedy in error.remedies):
            raise
        raise type(error)(error.worded(as_key)) from error


@contextlib.contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn an error of the package into one that pydantic reports with its location."""
    try:
        yield
    except BayesScalingError as error:
        raise ValueError(error.worded(as_key)) from None


# --- numbers that may be uncertain ---


def uncertain(name: str, given: Spec | None) -> Any:
    """Return a number unchanged, and a distribution parsed from its table."""
    return prior_from_spec(name, given) if isinstance(given, dict) else given


def scaled(name: str, given: Spec | None, factor: float) -> Any:
    """Return a number times a factor; for a distribution, draws of it times the factor."""
    value = uncertain(name, given)
    if factor == 1.0 or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) * factor
    return np.asarray(draw_prior(value, np.random.default_rng(0), costs.DRAWS)) * factor
